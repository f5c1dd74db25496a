# SPDX-License-Identifier: Apache-2.0
"""Grants: rows of principal, policy and scope, unique (contract iam.md 1.1).

Only rows here; that all four belong to one account and may meet is checked in granting.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select

from calotype import ids
from calotype.db.tables.iam import grants
from calotype.iam import accounts, moments


@dataclass(frozen=True, slots=True)
class GrantKey:
    """What makes a grant unique. `scope` is a ScopeKind word; all_projects and global name the
    account as `scope_id`."""

    principal_kind: str  # group | agency | user
    principal_id: str
    policy_id: str
    scope: str
    scope_id: str


@dataclass(frozen=True, slots=True)
class StoredGrant:
    """One grant."""

    id: str
    account_id: str
    key: GrantKey


_OF_ACCOUNT = (
    select(grants)
    .where(grants.c.account_id == bindparam("account_id"))
    .order_by(grants.c.created_at, grants.c.id)
)


def of_account(connection: Connection, account_id: str) -> list[StoredGrant]:
    """Return every grant of an account, the oldest first."""
    return [_read(row) for row in connection.execute(_OF_ACCOUNT, {"account_id": account_id})]


def find(connection: Connection, account_id: str, key: GrantKey) -> StoredGrant | None:
    """Return the grant, or None."""
    query = select(grants).where(
        grants.c.account_id == account_id,
        grants.c.principal_kind == key.principal_kind,
        grants.c.principal_id == key.principal_id,
        grants.c.policy_id == key.policy_id,
        grants.c.scope == key.scope,
        grants.c.scope_id == key.scope_id,
    )
    row = connection.execute(query).first()
    return None if row is None else _read(row)


def on_scope(
    connection: Connection, account_id: str, scope: str, scope_id: str
) -> list[StoredGrant]:
    """Return the grants on one scope, the oldest first."""
    query = _OF_ACCOUNT.where(grants.c.scope == scope, grants.c.scope_id == scope_id)
    return [_read(row) for row in connection.execute(query, {"account_id": account_id})]


def add(connection: Connection, account_id: str, keys: Sequence[GrantKey]) -> int:
    """Add those that are not there yet; return how many were added."""
    accounts.bump(connection, account_id)
    fresh = [key for key in keys if find(connection, account_id, key) is None]
    for key in fresh:
        connection.execute(
            insert(grants).values(
                id=ids.new_hex(),
                account_id=account_id,
                principal_kind=key.principal_kind,
                principal_id=key.principal_id,
                policy_id=key.policy_id,
                scope=key.scope,
                scope_id=key.scope_id,
                created_at=moments.now(),
            )
        )
    return len(fresh)


def remove(connection: Connection, account_id: str, key: GrantKey) -> bool:
    """Remove a grant; tell whether it was there."""
    accounts.bump(connection, account_id)
    grant = find(connection, account_id, key)
    if grant is None:
        return False
    connection.execute(delete(grants).where(grants.c.id == grant.id))
    return True


def _read(row: Row[Any]) -> StoredGrant:
    return StoredGrant(
        id=row.id,
        account_id=row.account_id,
        key=GrantKey(
            principal_kind=row.principal_kind,
            principal_id=row.principal_id,
            policy_id=row.policy_id,
            scope=row.scope,
            scope_id=row.scope_id,
        ),
    )
