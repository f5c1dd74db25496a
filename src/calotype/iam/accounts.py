# SPDX-License-Identifier: Apache-2.0
"""Accounts: rows, and the version that every change of rights moves.

`bump` opens each change: its row lock puts the changes of one account in a line, so that counts and
names checked after it hold until the commit (contract iam.md 1). Versions are never used twice,
not even after a rollback, so a snapshot read inside a transaction that fails is never found again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from calotype.db.session import is_unique_violation
from calotype.db.tables.iam import (
    access_keys,
    accounts,
    agencies,
    enterprise_projects,
    grants,
    groups,
    login_failures,
    policies,
    projects,
    tokens,
    users,
)
from calotype.errors import Conflict, NotFound
from calotype.iam import moments


@dataclass(frozen=True, slots=True)
class Account:
    """One account (the Keystone domain)."""

    id: str
    name: str
    enabled: bool
    eps_enabled: bool
    iam_version: int
    is_first: bool
    created_at: datetime


_BY_ID = select(accounts).where(accounts.c.id == bindparam("account_id"))
_BY_NAME = select(accounts).where(accounts.c.name == bindparam("name"))
_FIRST = select(accounts).where(accounts.c.is_first)
_VERSION = select(accounts.c.iam_version).where(accounts.c.id == bindparam("account_id"))
_BUMP = (
    update(accounts)
    .where(accounts.c.id == bindparam("account_id"))
    .values(
        iam_version=case(
            (accounts.c.iam_version >= bindparam("moment"), accounts.c.iam_version + 1),
            else_=bindparam("moment"),
        )
    )
)


def find(connection: Connection, account_id: str) -> Account | None:
    """Return the account, or None."""
    return _read(connection.execute(_BY_ID, {"account_id": account_id}).first())


def get(connection: Connection, account_id: str) -> Account:
    """Return the account. Raises NotFound."""
    account = find(connection, account_id)
    if account is None:
        raise NotFound(f"no account {account_id}", kind="account", id=account_id)
    return account


def find_by_name(connection: Connection, name: str) -> Account | None:
    """Return the account of this name, or None."""
    return _read(connection.execute(_BY_NAME, {"name": name}).first())


def first(connection: Connection) -> Account | None:
    """Return the account that the first start made, or None for an empty database."""
    return _read(connection.execute(_FIRST).first())


def version(connection: Connection, account_id: str) -> int | None:
    """Return the version of what the account's principals may do, or None for no account."""
    value = connection.execute(_VERSION, {"account_id": account_id}).scalar()
    return None if value is None else int(value)


def all_accounts(connection: Connection, name: str | None = None) -> list[Account]:
    """Return every account, or the one of this name, sorted by name."""
    query = select(accounts).order_by(accounts.c.name)
    if name is not None:
        query = query.where(accounts.c.name == name)
    return [_account(row) for row in connection.execute(query)]


def bump(connection: Connection, account_id: str) -> None:
    """Open a change of the account: move its version and hold its row. Raises NotFound."""
    parameters = {"account_id": account_id, "moment": moments.now()}
    if connection.execute(_BUMP, parameters).rowcount != 1:
        raise NotFound(f"no account {account_id}", kind="account", id=account_id)


def add(connection: Connection, account: Account) -> None:
    """Insert the row. Raises Conflict for a taken name, also one that another has just taken."""
    try:
        connection.execute(
            insert(accounts).values(
                id=account.id,
                name=account.name,
                enabled=account.enabled,
                eps_enabled=account.eps_enabled,
                iam_version=account.iam_version,
                is_first=account.is_first,
                created_at=moments.to_stored(account.created_at),
            )
        )
    except IntegrityError as error:
        if not is_unique_violation(error):
            raise
        raise Conflict(f"there is an account named {account.name}", rule="name_taken") from None


def change(connection: Connection, account_id: str, **columns: bool) -> None:
    """Set `enabled` or `eps_enabled`. Disabling ends every token of the account."""
    bump(connection, account_id)
    if columns:
        connection.execute(update(accounts).where(accounts.c.id == account_id).values(**columns))
    if columns.get("enabled") is False:
        connection.execute(delete(tokens).where(tokens.c.account_id == account_id))
        people = select(users.c.id).where(users.c.account_id == account_id)
        connection.execute(delete(tokens).where(tokens.c.assumed_by.in_(people)))


def remove(connection: Connection, account_id: str) -> None:
    """Delete the account with all that belongs to it, agencies that trust it included."""
    lost_agencies = select(agencies.c.id).where(
        or_(agencies.c.account_id == account_id, agencies.c.trust_account_id == account_id)
    )
    people = select(users.c.id).where(users.c.account_id == account_id)
    for table in (tokens, access_keys):
        connection.execute(
            delete(table).where(
                or_(
                    table.c.account_id == account_id,
                    table.c.agency_id.in_(lost_agencies),
                    table.c.assumed_by.in_(people),
                )
            )
        )
    connection.execute(delete(login_failures).where(login_failures.c.user_id.in_(people)))
    connection.execute(
        delete(grants).where(
            or_(
                grants.c.account_id == account_id,
                (grants.c.principal_kind == "agency") & grants.c.principal_id.in_(lost_agencies),
            )
        )
    )
    for table in (policies, groups, users, enterprise_projects, projects):
        connection.execute(delete(table).where(table.c.account_id == account_id))
    connection.execute(
        delete(agencies).where(
            or_(agencies.c.account_id == account_id, agencies.c.trust_account_id == account_id)
        )
    )
    connection.execute(delete(accounts).where(accounts.c.id == account_id))


def _read(row: Row[Any] | None) -> Account | None:
    return None if row is None else _account(row)


def _account(row: Row[Any]) -> Account:
    return Account(
        id=row.id,
        name=row.name,
        enabled=row.enabled,
        eps_enabled=row.eps_enabled,
        iam_version=row.iam_version,
        is_first=row.is_first,
        created_at=moments.from_stored(row.created_at),
    )
