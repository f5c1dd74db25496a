# SPDX-License-Identifier: Apache-2.0
"""Groups and who is in them. Flat; the reserved group `admin` stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from calotype.db.tables.iam import grants, group_members, groups
from calotype.errors import Conflict, NotFound, ReadOnly
from calotype.iam import accounts, moments, users
from calotype.iam.limits import require_room

ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Group:
    """One group of an account."""

    id: str
    account_id: str
    name: str
    description: str
    created_at: datetime


_OF_ACCOUNT = (
    select(groups).where(groups.c.account_id == bindparam("account_id")).order_by(groups.c.name)
)
_MEMBERS = (
    select(group_members.c.group_id, group_members.c.user_id)
    .join(groups, groups.c.id == group_members.c.group_id)
    .where(groups.c.account_id == bindparam("account_id"))
    .order_by(group_members.c.group_id, group_members.c.user_id)
)


def of_account(connection: Connection, account_id: str, *, name: str | None = None) -> list[Group]:
    """Return the groups of an account sorted by name, or the one of this name."""
    rows = connection.execute(_OF_ACCOUNT, {"account_id": account_id})
    return [group for group in map(_group, rows) if name is None or group.name == name]


def memberships(connection: Connection, account_id: str) -> list[tuple[str, str]]:
    """Return every (group id, user id) of an account."""
    rows = connection.execute(_MEMBERS, {"account_id": account_id})
    return [(row.group_id, row.user_id) for row in rows]


def get(connection: Connection, account_id: str, group_id: str) -> Group:
    """Return a group of the account. Raises NotFound, for one of another account as well."""
    query = select(groups).where(groups.c.id == group_id, groups.c.account_id == account_id)
    row = connection.execute(query).first()
    if row is None:
        raise NotFound(f"no group {group_id}", kind="group", id=group_id)
    return _group(row)


def add(connection: Connection, group: Group, limit: int) -> None:
    """Insert the row. Raises Conflict for a taken name, QuotaExceeded past `limit` groups."""
    accounts.bump(connection, group.account_id)
    known = of_account(connection, group.account_id)
    require_room("groups in an account", sum(one.name != ADMIN for one in known), limit)
    if any(one.name == group.name for one in known):
        raise Conflict(f"the account has a group named {group.name}", rule="name_taken")
    insert_row(connection, group)


def insert_row(connection: Connection, group: Group) -> None:
    """Insert the row without any check; for a new account."""
    connection.execute(
        insert(groups).values(
            id=group.id,
            account_id=group.account_id,
            name=group.name,
            description=group.description,
            created_at=moments.to_stored(group.created_at),
        )
    )


def change(connection: Connection, account_id: str, group_id: str, **columns: str) -> Group:
    """Set `name` or `description`; return the new row. Raises NotFound, Conflict, ReadOnly."""
    accounts.bump(connection, account_id)
    group = get(connection, account_id, group_id)
    name = columns.get("name", group.name)
    if name != group.name:
        _refuse_reserved(group)
        if of_account(connection, account_id, name=name):
            raise Conflict(f"the account has a group named {name}", rule="name_taken")
    if columns:
        connection.execute(update(groups).where(groups.c.id == group_id).values(**columns))
    return get(connection, account_id, group_id)


def remove(connection: Connection, account_id: str, group_id: str) -> Group:
    """Delete a group with its grants; return what it was. Raises NotFound, ReadOnly."""
    accounts.bump(connection, account_id)
    group = get(connection, account_id, group_id)
    _refuse_reserved(group)
    connection.execute(
        delete(grants).where(grants.c.principal_kind == "group", grants.c.principal_id == group_id)
    )
    connection.execute(delete(groups).where(groups.c.id == group_id))
    return group


def users_of(connection: Connection, account_id: str, group_id: str) -> list[users.User]:
    """Return the members of a group. Raises NotFound."""
    get(connection, account_id, group_id)
    members = {user for group, user in memberships(connection, account_id) if group == group_id}
    return [user for user in users.of_account(connection, account_id) if user.id in members]


def groups_of(connection: Connection, account_id: str, user_id: str) -> list[Group]:
    """Return the groups a user is in. Raises NotFound."""
    users.get(connection, account_id, user_id)
    mine = {group for group, user in memberships(connection, account_id) if user == user_id}
    return [group for group in of_account(connection, account_id) if group.id in mine]


def has_user(connection: Connection, account_id: str, group_id: str, user_id: str) -> bool:
    """Tell whether the user is in the group. Raises NotFound when either does not exist."""
    get(connection, account_id, group_id)
    users.get(connection, account_id, user_id)
    return _is_member(connection, group_id, user_id)


def add_user(
    connection: Connection, account_id: str, group_id: str, user_id: str, limit: int
) -> bool:
    """Put a user in a group; tell whether that changed anything.

    Raises NotFound, QuotaExceeded past `limit` groups of the user.
    """
    accounts.bump(connection, account_id)
    if has_user(connection, account_id, group_id, user_id):
        return False
    count = select(func.count()).where(group_members.c.user_id == user_id)
    require_room("groups of a user", connection.execute(count).scalar_one(), limit)
    connection.execute(insert(group_members).values(group_id=group_id, user_id=user_id))
    return True


def remove_user(connection: Connection, account_id: str, group_id: str, user_id: str) -> None:
    """Take a user out of a group. Raises NotFound, also for a user who is not in it."""
    accounts.bump(connection, account_id)
    if not has_user(connection, account_id, group_id, user_id):
        raise NotFound(f"user {user_id} is not in group {group_id}", kind="membership", id=user_id)
    connection.execute(
        delete(group_members).where(
            group_members.c.group_id == group_id, group_members.c.user_id == user_id
        )
    )


def _is_member(connection: Connection, group_id: str, user_id: str) -> bool:
    query = select(group_members.c.user_id).where(
        group_members.c.group_id == group_id, group_members.c.user_id == user_id
    )
    return connection.execute(query).first() is not None


def _refuse_reserved(group: Group) -> None:
    if group.name == ADMIN:
        raise ReadOnly("the group `admin` is reserved and stays as it is", rule="reserved_group")


def _group(row: Row[Any]) -> Group:
    return Group(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        description=row.description,
        created_at=moments.from_stored(row.created_at),
    )
