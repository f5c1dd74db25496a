# SPDX-License-Identifier: Apache-2.0
"""Access keys: rows, and the one statement that finds a key with all behind it.

The secret is stored wrapped under the name `access-key:<AK>`, so that a row copied over another
does not open. It is shown once, when the key is made (contract iam.md 5.2, 6.1).
"""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, or_, select, update

from calotype.db.tables.iam import access_keys
from calotype.errors import NotFound
from calotype.iam import accounts, holders, moments
from calotype.iam.holders import Holder
from calotype.iam.limits import require_room

_ACCESS_LETTERS = string.ascii_uppercase + string.digits
_SECRET_LETTERS = string.ascii_letters + string.digits


class Wrapper(Protocol):
    """Keeps secrets that must be read back; see keys/."""

    def wrap(self, data: bytes, name: str) -> str:
        """Return a text to store."""
        ...

    def unwrap(self, text: str, name: str) -> bytes:
        """Return what was wrapped under the same name."""
        ...


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A permanent key as its owner sees it."""

    access: str
    user_id: str
    active: bool
    description: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A living key with its holder. Temporary when `security_token` is given."""

    access: str
    secret: bytes = field(repr=False)
    holder: Holder
    security_token: str | None  # SHA-256
    session_policy: str | None
    expires_at: datetime | None


_OF_USER = (
    select(access_keys)
    .where(access_keys.c.user_id == bindparam("user"), access_keys.c.security_token.is_(None))
    .order_by(access_keys.c.created_at, access_keys.c.access)
)
_FIND = (
    select(access_keys, *holders.columns())
    .select_from(holders.joined(access_keys))
    .where(
        access_keys.c.access == bindparam("access"),
        access_keys.c.active,
        or_(access_keys.c.expires_at.is_(None), access_keys.c.expires_at > bindparam("moment")),
        holders.alive(access_keys),
    )
)


def new_access() -> str:
    """Return a new AK: 20 capital letters and digits."""
    return "".join(secrets.choice(_ACCESS_LETTERS) for _ in range(20))


def new_secret() -> str:
    """Return a new SK: 40 letters and digits."""
    return "".join(secrets.choice(_SECRET_LETTERS) for _ in range(40))


def find(connection: Connection, access: str, wrapper: Wrapper) -> KeyRecord | None:
    """Return the living key, or None; one statement. The secret comes unwrapped."""
    row = connection.execute(_FIND, {"access": access, "moment": moments.now()}).first()
    if row is None:
        return None
    return KeyRecord(
        access=row.access,
        secret=wrapper.unwrap(row.secret, _name(row.access)),
        holder=holders.read(row),
        security_token=row.security_token,
        session_policy=row.session_policy,
        expires_at=moments.from_nullable(row.expires_at),
    )


def create(
    connection: Connection,
    wrapper: Wrapper,
    account_id: str,
    user_id: str,
    *,
    description: str,
    limit: int,
) -> tuple[AccessKey, str]:
    """Make a key of a user; return it with its secret. Raises QuotaExceeded past `limit` keys."""
    accounts.bump(connection, account_id)
    count = select(func.count()).select_from(_OF_USER.subquery())
    used = connection.execute(count, {"user": user_id}).scalar_one()
    require_room("access keys of a user", used, limit)
    secret = new_secret()
    key = insert_row(connection, wrapper, account_id, user_id, (new_access(), secret), description)
    return key, secret


def insert_row(
    connection: Connection,
    wrapper: Wrapper,
    account_id: str,
    user_id: str,
    pair: tuple[str, str],
    description: str,
) -> AccessKey:
    """Store a key whose AK and SK are given, without counting; for the first start."""
    access, secret = pair
    moment = moments.now()
    connection.execute(
        insert(access_keys).values(
            access=access,
            secret=wrapper.wrap(secret.encode(), _name(access)),
            account_id=account_id,
            user_id=user_id,
            active=True,
            description=description,
            created_at=moment,
        )
    )
    return AccessKey(access, user_id, True, description, moments.from_stored(moment))


def of_user(connection: Connection, user_id: str) -> list[AccessKey]:
    """Return the permanent keys of a user, the oldest first."""
    return [_key(row) for row in connection.execute(_OF_USER, {"user": user_id})]


def of_account(connection: Connection, account_id: str) -> list[AccessKey]:
    """Return the permanent keys of an account's users."""
    query = (
        select(access_keys)
        .where(
            access_keys.c.account_id == account_id,
            access_keys.c.security_token.is_(None),
            access_keys.c.user_id.is_not(None),
        )
        .order_by(access_keys.c.created_at, access_keys.c.access)
    )
    return [_key(row) for row in connection.execute(query)]


def get(connection: Connection, account_id: str, access: str) -> AccessKey:
    """Return a permanent key of the account. Raises NotFound."""
    query = select(access_keys).where(
        access_keys.c.access == access,
        access_keys.c.account_id == account_id,
        access_keys.c.security_token.is_(None),
        access_keys.c.user_id.is_not(None),
    )
    row = connection.execute(query).first()
    if row is None:
        raise NotFound(f"no access key {access}", kind="access_key", id=access)
    return _key(row)


def change(
    connection: Connection, account_id: str, access: str, **columns: str | bool
) -> AccessKey:
    """Set `active` or `description`; return the new row. Raises NotFound."""
    accounts.bump(connection, account_id)
    get(connection, account_id, access)
    if columns:
        connection.execute(
            update(access_keys).where(access_keys.c.access == access).values(**columns)
        )
    return get(connection, account_id, access)


def remove(connection: Connection, account_id: str, access: str) -> AccessKey:
    """Delete a key; return what it was. Raises NotFound."""
    accounts.bump(connection, account_id)
    key = get(connection, account_id, access)
    connection.execute(delete(access_keys).where(access_keys.c.access == access))
    return key


def _name(access: str) -> str:
    return f"access-key:{access}"


def _key(row: Row[Any]) -> AccessKey:
    return AccessKey(
        access=row.access,
        user_id=row.user_id,
        active=row.active,
        description=row.description,
        created_at=moments.from_stored(row.created_at),
    )
