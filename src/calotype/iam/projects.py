# SPDX-License-Identifier: Apache-2.0
"""IAM projects: rows. A project belongs to one account; an image's owner is a project id."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from calotype.db.tables.iam import projects
from calotype.errors import Conflict, NotFound
from calotype.iam import accounts, moments


@dataclass(frozen=True, slots=True)
class Project:
    """One project. A project that is not `enabled` is suspended."""

    id: str
    account_id: str
    name: str
    description: str
    enabled: bool
    is_default: bool
    created_at: datetime


_OF_ACCOUNT = (
    select(projects)
    .where(projects.c.account_id == bindparam("account_id"))
    .order_by(projects.c.is_default.desc(), projects.c.name)
)
_BY_ID = select(projects).where(
    projects.c.account_id == bindparam("account_id"), projects.c.id == bindparam("project_id")
)

_ACCOUNT_OF = select(projects.c.account_id).where(projects.c.id == bindparam("project_id"))
_ENABLED = select(projects.c.id).where(
    projects.c.id.in_(bindparam("ids", expanding=True)), projects.c.enabled.is_(True)
)


def of_account(connection: Connection, account_id: str) -> list[Project]:
    """Return the projects of an account, the default one first."""
    return [_project(row) for row in connection.execute(_OF_ACCOUNT, {"account_id": account_id})]


def get(connection: Connection, account_id: str, project_id: str) -> Project:
    """Return a project of the account. Raises NotFound, for one of another account as well."""
    parameters = {"account_id": account_id, "project_id": project_id}
    row = connection.execute(_BY_ID, parameters).first()
    if row is None:
        raise NotFound(f"no project {project_id}", kind="project", id=project_id)
    return _project(row)


def account_of(connection: Connection, project_id: str) -> str | None:
    """Return the account that a project of any account belongs to, None when there is none."""
    found = connection.execute(_ACCOUNT_OF, {"project_id": project_id}).scalar()
    return None if found is None else str(found)


def enabled_among(connection: Connection, project_ids: Collection[str]) -> frozenset[str]:
    """Return which of these are enabled projects, of whatever account."""
    return frozenset(connection.execute(_ENABLED, {"ids": list(project_ids)}).scalars())


def add(connection: Connection, project: Project) -> None:
    """Insert the row. Raises Conflict when the account has a project of this name."""
    accounts.bump(connection, project.account_id)
    if any(known.name == project.name for known in of_account(connection, project.account_id)):
        raise Conflict(f"the account has a project named {project.name}", rule="name_taken")
    connection.execute(
        insert(projects).values(
            id=project.id,
            account_id=project.account_id,
            name=project.name,
            description=project.description,
            enabled=project.enabled,
            is_default=project.is_default,
            created_at=moments.to_stored(project.created_at),
        )
    )


def change(
    connection: Connection, account_id: str, project_id: str, **columns: str | bool
) -> Project:
    """Set `name`, `description` or `enabled`; return the new row. Raises NotFound, Conflict."""
    accounts.bump(connection, account_id)
    get(connection, account_id, project_id)
    name = columns.get("name")
    for known in of_account(connection, account_id):
        if known.name == name and known.id != project_id:
            raise Conflict(f"the account has a project named {name}", rule="name_taken")
    if columns:
        connection.execute(update(projects).where(projects.c.id == project_id).values(**columns))
    return get(connection, account_id, project_id)


def _project(row: Row[Any]) -> Project:
    return Project(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        description=row.description,
        enabled=row.enabled,
        is_default=row.is_default,
        created_at=moments.from_stored(row.created_at),
    )
