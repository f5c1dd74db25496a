# SPDX-License-Identifier: Apache-2.0
"""Custom policies: rows. Built-in ones have none (see builtin.py).

The document is stored as it was given, once the grammar has accepted it; each change of it moves
`number`, which audit records keep (contract iam.md 6.2, 8).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from calotype.db.tables.iam import grants, policies
from calotype.errors import Conflict, NotFound
from calotype.iam import accounts, moments
from calotype.iam.limits import require_room


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """One custom policy."""

    id: str
    account_id: str
    name: str  # custom_<account id>_<n>
    display_name: str
    type: str  # AX | XA
    description: str
    document: str  # JSON
    number: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NewPolicy:
    """What a caller gives for a custom policy; `document` is JSON that the grammar accepted."""

    id: str
    account_id: str
    display_name: str
    type: str
    description: str
    document: str


_OF_ACCOUNT = (
    select(policies)
    .where(policies.c.account_id == bindparam("account_id"))
    .order_by(policies.c.display_name)
)
_BY_ID = select(policies).where(
    policies.c.account_id == bindparam("account_id"), policies.c.id == bindparam("policy_id")
)


def of_account(connection: Connection, account_id: str) -> list[StoredPolicy]:
    """Return the custom policies of an account sorted by display name."""
    return [_read(row) for row in connection.execute(_OF_ACCOUNT, {"account_id": account_id})]


def find(connection: Connection, account_id: str, policy_id: str) -> StoredPolicy | None:
    """Return a custom policy of the account, or None."""
    parameters = {"account_id": account_id, "policy_id": policy_id}
    row = connection.execute(_BY_ID, parameters).first()
    return None if row is None else _read(row)


def get(connection: Connection, account_id: str, policy_id: str) -> StoredPolicy:
    """Return a custom policy of the account. Raises NotFound."""
    policy = find(connection, account_id, policy_id)
    if policy is None:
        raise NotFound(f"no policy {policy_id}", kind="policy", id=policy_id)
    return policy


def add(connection: Connection, policy: NewPolicy, limit: int) -> StoredPolicy:
    """Insert a custom policy. Raises Conflict for a taken name, QuotaExceeded past `limit`."""
    accounts.bump(connection, policy.account_id)
    known = of_account(connection, policy.account_id)
    require_room("custom policies", len(known), limit)
    _require_free_name(known, policy.display_name)
    start = f"custom_{policy.account_id}_"
    used = [int(one.name.removeprefix(start)) for one in known]
    moment = moments.now()
    connection.execute(
        insert(policies).values(
            id=policy.id,
            account_id=policy.account_id,
            name=f"{start}{max(used, default=-1) + 1}",
            display_name=policy.display_name,
            type=policy.type,
            description=policy.description,
            document=policy.document,
            number=1,
            created_at=moment,
            updated_at=moment,
        )
    )
    return get(connection, policy.account_id, policy.id)


def change(connection: Connection, account_id: str, policy_id: str, **columns: str) -> StoredPolicy:
    """Set display_name, type, description or document; return the new row.

    Raises NotFound, Conflict for a taken name.
    """
    accounts.bump(connection, account_id)
    policy = get(connection, account_id, policy_id)
    name = columns.get("display_name", policy.display_name)
    if name != policy.display_name:
        _require_free_name(of_account(connection, account_id), name)
    connection.execute(
        update(policies)
        .where(policies.c.id == policy_id)
        .values(**columns, number=policies.c.number + 1, updated_at=moments.now())
    )
    return get(connection, account_id, policy_id)


def remove(connection: Connection, account_id: str, policy_id: str) -> StoredPolicy:
    """Delete a custom policy with its grants; return what it was. Raises NotFound."""
    accounts.bump(connection, account_id)
    policy = get(connection, account_id, policy_id)
    connection.execute(
        delete(grants).where(grants.c.account_id == account_id, grants.c.policy_id == policy_id)
    )
    connection.execute(delete(policies).where(policies.c.id == policy_id))
    return policy


def _require_free_name(known: list[StoredPolicy], name: str) -> None:
    if any(one.display_name == name for one in known):
        raise Conflict(f"the account has a policy named {name}", rule="name_taken", name=name)


def _read(row: Row[Any]) -> StoredPolicy:
    return StoredPolicy(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        display_name=row.display_name,
        type=row.type,
        description=row.description,
        document=row.document,
        number=row.number,
        created_at=moments.from_stored(row.created_at),
        updated_at=moments.from_stored(row.updated_at),
    )
