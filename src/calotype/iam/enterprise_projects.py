# SPDX-License-Identifier: Apache-2.0
"""Enterprise projects: rows and their rules (contract iam.md 1, 6.4).

Every account has the built-in one, id `0`, named `default`, which never changes. Whether one holds
images is not known here: `flows/enterprise_projects.py` asks before it removes a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from calotype.db.tables.iam import enterprise_projects, grants
from calotype.errors import Conflict, NotFound, ReadOnly
from calotype.iam import accounts, moments
from calotype.iam.limits import require_room

DEFAULT = "0"
TYPES = ("prod", "poc")


@dataclass(frozen=True, slots=True)
class EnterpriseProject:
    """One enterprise project of an account."""

    account_id: str
    id: str
    name: str
    description: str
    enabled: bool
    type: str  # prod | poc
    created_at: datetime
    updated_at: datetime


_OF_ACCOUNT = (
    select(enterprise_projects)
    .where(enterprise_projects.c.account_id == bindparam("account_id"))
    .order_by(enterprise_projects.c.created_at.desc(), enterprise_projects.c.id)
)
_BY_ID = select(enterprise_projects).where(
    enterprise_projects.c.account_id == bindparam("account_id"),
    enterprise_projects.c.id == bindparam("ep_id"),
)
_GRANTED = (
    select(func.count())
    .select_from(grants)
    .where(
        grants.c.account_id == bindparam("account_id"),
        grants.c.scope == "enterprise_project",
        grants.c.scope_id == bindparam("ep_id"),
    )
)


def of_account(connection: Connection, account_id: str) -> list[EnterpriseProject]:
    """Return the enterprise projects of an account, the newest first."""
    return [_read(row) for row in connection.execute(_OF_ACCOUNT, {"account_id": account_id})]


def get(connection: Connection, account_id: str, ep_id: str) -> EnterpriseProject:
    """Return an enterprise project of the account. Raises NotFound."""
    row = connection.execute(_BY_ID, {"account_id": account_id, "ep_id": ep_id}).first()
    if row is None:
        raise NotFound(f"no enterprise project {ep_id}", kind="enterprise_project", id=ep_id)
    return _read(row)


def add(connection: Connection, project: EnterpriseProject, limit: int) -> None:
    """Insert the row. Raises Conflict for a taken name, QuotaExceeded past `limit`."""
    accounts.bump(connection, project.account_id)
    known = of_account(connection, project.account_id)
    require_room("enterprise projects", sum(one.id != DEFAULT for one in known), limit)
    _require_free_name(known, project)
    insert_row(connection, project)


def insert_row(connection: Connection, project: EnterpriseProject) -> None:
    """Insert the row without any check; for a new account."""
    connection.execute(
        insert(enterprise_projects).values(
            account_id=project.account_id,
            id=project.id,
            name=project.name,
            description=project.description,
            enabled=project.enabled,
            type=project.type,
            created_at=moments.to_stored(project.created_at),
            updated_at=moments.to_stored(project.updated_at),
        )
    )


def change(
    connection: Connection, account_id: str, ep_id: str, **columns: str | bool
) -> EnterpriseProject:
    """Set name, description, type or enabled; return the new row.

    Raises NotFound, Conflict, ReadOnly for the built-in one.
    """
    accounts.bump(connection, account_id)
    project = get(connection, account_id, ep_id)
    _refuse_default(ep_id)
    if columns.get("name", project.name) != project.name:
        wanted = str(columns["name"])
        taken = [one for one in of_account(connection, account_id) if one.name == wanted]
        if taken:
            raise _name_taken(wanted)
    connection.execute(
        update(enterprise_projects)
        .where(enterprise_projects.c.account_id == account_id, enterprise_projects.c.id == ep_id)
        .values(**columns, updated_at=moments.now())
    )
    return get(connection, account_id, ep_id)


def granted(connection: Connection, account_id: str, ep_id: str) -> int:
    """Return how many grants are on the enterprise project."""
    parameters = {"account_id": account_id, "ep_id": ep_id}
    return int(connection.execute(_GRANTED, parameters).scalar_one())


def remove(connection: Connection, account_id: str, ep_id: str) -> EnterpriseProject:
    """Delete one without grants; return what it was.

    Raises NotFound, Conflict while it has grants, ReadOnly for the built-in one. The caller has
    made sure that it holds no image, after `accounts.bump`.
    """
    accounts.bump(connection, account_id)
    project = get(connection, account_id, ep_id)
    _refuse_default(ep_id)
    count = granted(connection, account_id, ep_id)
    if count:
        raise Conflict(
            f"the enterprise project {ep_id} has {count} grants; revoke them first",
            rule="enterprise_project_in_use",
        )
    connection.execute(
        delete(enterprise_projects).where(
            enterprise_projects.c.account_id == account_id, enterprise_projects.c.id == ep_id
        )
    )
    return project


def _refuse_default(ep_id: str) -> None:
    if ep_id == DEFAULT:
        raise ReadOnly(
            "the built-in enterprise project 0 cannot be renamed, disabled or deleted",
            rule="enterprise_project_default",
        )


def _require_free_name(known: list[EnterpriseProject], project: EnterpriseProject) -> None:
    if any(one.name == project.name for one in known):
        raise _name_taken(project.name)


def _name_taken(name: str) -> Conflict:
    return Conflict(
        f"the account has an enterprise project named {name}",
        rule="name_taken",
        name=name,
    )


def _read(row: Row[Any]) -> EnterpriseProject:
    return EnterpriseProject(
        account_id=row.account_id,
        id=row.id,
        name=row.name,
        description=row.description,
        enabled=row.enabled,
        type=row.type,
        created_at=moments.from_stored(row.created_at),
        updated_at=moments.from_stored(row.updated_at),
    )
