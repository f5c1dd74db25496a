# SPDX-License-Identifier: Apache-2.0
"""Users: rows and the rules of their changes.

Disabling or deleting a user and changing its password end its tokens in the same transaction, the
tokens of agencies it assumed included. The root user is never deleted, disabled or renamed away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from calotype.db.tables.iam import access_keys, grants, login_failures, users
from calotype.db.tables.iam import accounts as account_table
from calotype.errors import Conflict, NotFound, ReadOnly
from calotype.iam import accounts, moments, tokens
from calotype.iam.limits import require_room


@dataclass(frozen=True, slots=True)
class User:
    """One person or program of an account."""

    id: str
    account_id: str
    name: str
    enabled: bool
    is_root: bool
    password_hash: str | None = field(repr=False)
    password_expires_at: datetime | None
    access_mode: str  # default | programmatic | console
    description: str
    email: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class LoginUser:
    """A user with what a login asks of its account."""

    user: User
    account_name: str
    account_enabled: bool


_OF_ACCOUNT = (
    select(users).where(users.c.account_id == bindparam("account_id")).order_by(users.c.name)
)
# Limits count what people add: the root user, the group `admin` and enterprise project 0 are ours.
_COUNT = (
    select(func.count())
    .select_from(users)
    .where(users.c.account_id == bindparam("account"), users.c.is_root.is_(False))
)
_BY_ID = select(users).where(
    users.c.account_id == bindparam("account_id"), users.c.id == bindparam("user_id")
)
_LOGIN = select(
    users,
    account_table.c.name.label("account_name"),
    account_table.c.enabled.label("account_enabled"),
).join(account_table, account_table.c.id == users.c.account_id)


def of_account(
    connection: Connection, account_id: str, *, name: str | None = None, enabled: bool | None = None
) -> list[User]:
    """Return the users of an account sorted by name, narrowed by name and state."""
    rows = connection.execute(_OF_ACCOUNT, {"account_id": account_id})
    found = [_user(row) for row in rows]
    return [
        user
        for user in found
        if (name is None or user.name == name) and (enabled is None or user.enabled == enabled)
    ]


def find(connection: Connection, account_id: str, user_id: str) -> User | None:
    """Return a user of the account, or None."""
    row = connection.execute(_BY_ID, {"account_id": account_id, "user_id": user_id}).first()
    return None if row is None else _user(row)


def get(connection: Connection, account_id: str, user_id: str) -> User:
    """Return a user of the account. Raises NotFound, for one of another account as well."""
    user = find(connection, account_id, user_id)
    if user is None:
        raise NotFound(f"no user {user_id}", kind="user", id=user_id)
    return user


def find_for_login(
    connection: Connection,
    *,
    user_id: str | None = None,
    name: str | None = None,
    account_id: str | None = None,
    account_name: str | None = None,
) -> LoginUser | None:
    """Return the user by id, or by name in the account given by id or name; one statement."""
    if user_id is not None:
        query = _LOGIN.where(users.c.id == user_id)
    elif name is not None and (account_id is not None or account_name is not None):
        query = _LOGIN.where(users.c.name == name)
    else:
        return None
    if account_id is not None:
        query = query.where(users.c.account_id == account_id)
    if account_name is not None:
        query = query.where(account_table.c.name == account_name)
    row = connection.execute(query).first()
    return None if row is None else LoginUser(_user(row), row.account_name, row.account_enabled)


def add(connection: Connection, user: User, limit: int) -> None:
    """Insert the row. Raises Conflict for a taken name, QuotaExceeded past `limit` users."""
    accounts.bump(connection, user.account_id)
    used = connection.execute(_COUNT, {"account": user.account_id}).scalar_one()
    require_room("users in an account", used, limit)
    _require_free_name(connection, user.account_id, user.name)
    insert_row(connection, user)


def insert_row(connection: Connection, user: User) -> None:
    """Insert the row without any check; for the root user of a new account."""
    connection.execute(
        insert(users).values(
            id=user.id,
            account_id=user.account_id,
            name=user.name,
            enabled=user.enabled,
            is_root=user.is_root,
            password_hash=user.password_hash,
            password_expires_at=(
                moments.to_stored(user.password_expires_at) if user.password_expires_at else None
            ),
            access_mode=user.access_mode,
            description=user.description,
            email=user.email,
            created_at=moments.to_stored(user.created_at),
        )
    )


def change(
    connection: Connection, account_id: str, user_id: str, **columns: str | bool | None
) -> User:
    """Set name, enabled, password_hash, access_mode, description or email; return the new row.

    Raises NotFound, Conflict for a taken name, ReadOnly for disabling the root user.
    """
    accounts.bump(connection, account_id)
    user = get(connection, account_id, user_id)
    if user.is_root and columns.get("enabled") is False:
        raise ReadOnly("the root user of an account cannot be disabled", rule="root_user")
    name = columns.get("name")
    if isinstance(name, str) and name != user.name:
        _require_free_name(connection, account_id, name)
    if columns:
        connection.execute(update(users).where(users.c.id == user_id).values(**columns))
    if columns.get("enabled") is False or "password_hash" in columns:
        tokens.revoke_of_user(connection, user_id)
    return get(connection, account_id, user_id)


def remove(connection: Connection, account_id: str, user_id: str) -> User:
    """Delete a user with its keys, tokens and grants; return what it was. Raises NotFound."""
    accounts.bump(connection, account_id)
    user = get(connection, account_id, user_id)
    if user.is_root:
        raise ReadOnly("the root user of an account cannot be deleted", rule="root_user")
    tokens.revoke_of_user(connection, user_id)
    connection.execute(
        delete(access_keys).where(
            (access_keys.c.user_id == user_id) | (access_keys.c.assumed_by == user_id)
        )
    )
    connection.execute(
        delete(grants).where(grants.c.principal_kind == "user", grants.c.principal_id == user_id)
    )
    connection.execute(delete(login_failures).where(login_failures.c.user_id == user_id))
    connection.execute(delete(users).where(users.c.id == user_id))
    return user


def _require_free_name(connection: Connection, account_id: str, name: str) -> None:
    if of_account(connection, account_id, name=name):
        raise Conflict(f"the account has a user named {name}", rule="name_taken", name=name)


def _user(row: Row[Any]) -> User:
    return User(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        enabled=row.enabled,
        is_root=row.is_root,
        password_hash=row.password_hash,
        password_expires_at=moments.from_nullable(row.password_expires_at),
        access_mode=row.access_mode,
        description=row.description,
        email=row.email,
        created_at=moments.from_stored(row.created_at),
    )
