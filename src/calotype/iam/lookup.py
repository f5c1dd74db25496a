# SPDX-License-Identifier: Apache-2.0
"""Whether something of an account exists, by kind and id, for decisions that address it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, select

from calotype.db.tables import iam as tables
from calotype.iam import builtin
from calotype.iam.snapshot import AccountSnapshot

_KINDS: Mapping[str, tuple[Table, str]] = {
    "user": (tables.users, "id"),
    "group": (tables.groups, "id"),
    "project": (tables.projects, "id"),
    "agency": (tables.agencies, "id"),
    "policy": (tables.policies, "id"),
    "enterprise_project": (tables.enterprise_projects, "id"),
    "access_key": (tables.access_keys, "access"),
}
_KNOWN: Mapping[str, Callable[[AccountSnapshot], Mapping[str, object]]] = {
    "user": lambda snapshot: snapshot.members,
    "group": lambda snapshot: snapshot.groups,
    "project": lambda snapshot: snapshot.projects,
    "policy": lambda snapshot: snapshot.policies,
    "enterprise_project": lambda snapshot: snapshot.enterprise_projects,
}


def exists(
    connection: Connection,
    snapshot: AccountSnapshot,
    kind: str,
    entity_id: str,
    account_id: str | None,
) -> bool:
    """Tell whether the account (None: any) has it; costs nothing for what the snapshot knows."""
    if account_id == snapshot.account.id and kind in _KNOWN:
        return entity_id in _KNOWN[kind](snapshot)
    if kind == "policy" and entity_id in builtin.compiled_by_id():
        return True
    table, key = _KINDS[kind]
    column: Column[Any] = table.c[key]
    wanted: ColumnElement[bool] = column == entity_id
    if account_id is not None:
        wanted = and_(wanted, table.c.account_id == account_id)
    return connection.execute(select(column).where(wanted).limit(1)).first() is not None


def key_owner(connection: Connection, access: str) -> str | None:
    """Return the id of the user an access key belongs to, None when there is no such key."""
    column = tables.access_keys.c.user_id
    found = connection.execute(select(column).where(tables.access_keys.c.access == access)).scalar()
    return None if found is None else str(found)
