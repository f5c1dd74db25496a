# SPDX-License-Identifier: Apache-2.0
"""Agencies: rows, and finding the one that a login names (contract iam.md 4.8)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, or_, select

from calotype.db.tables.iam import accounts, agencies
from calotype.iam import moments


@dataclass(frozen=True, slots=True)
class Agency:
    """Account `account_id` lets principals of `trust_account_id` act inside it."""

    id: str
    account_id: str
    name: str
    trust_account_id: str
    description: str
    duration: str  # FOREVER | ONEDAY | number of days
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class LoginAgency:
    """An agency with what a login asks of its account."""

    agency: Agency
    account_name: str
    account_enabled: bool


_LOGIN = (
    select(
        agencies,
        accounts.c.name.label("account_name"),
        accounts.c.enabled.label("account_enabled"),
    )
    .join(accounts, accounts.c.id == agencies.c.account_id)
    .where(
        agencies.c.name == bindparam("name"),
        or_(accounts.c.id == bindparam("account_id"), accounts.c.name == bindparam("account_name")),
    )
)
_OF_ACCOUNT = (
    select(agencies)
    .where(agencies.c.account_id == bindparam("account_id"))
    .order_by(agencies.c.name)
)


def of_account(connection: Connection, account_id: str) -> list[Agency]:
    """Return the agencies of an account sorted by name."""
    return [_read(row) for row in connection.execute(_OF_ACCOUNT, {"account_id": account_id})]


def find_for_login(
    connection: Connection, name: str, *, account_id: str | None, account_name: str | None
) -> LoginAgency | None:
    """Return the agency by name in the account given by id or name; one statement."""
    parameters = {"name": name, "account_id": account_id, "account_name": account_name}
    row = connection.execute(_LOGIN, parameters).first()
    return None if row is None else LoginAgency(_read(row), row.account_name, row.account_enabled)


def insert_row(connection: Connection, agency: Agency) -> None:
    """Insert the row without any check."""
    connection.execute(
        insert(agencies).values(
            id=agency.id,
            account_id=agency.account_id,
            name=agency.name,
            trust_account_id=agency.trust_account_id,
            description=agency.description,
            duration=agency.duration,
            created_at=moments.to_stored(agency.created_at),
            expires_at=moments.to_stored(agency.expires_at) if agency.expires_at else None,
        )
    )


def _read(row: Row[Any]) -> Agency:
    return Agency(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        trust_account_id=row.trust_account_id,
        description=row.description,
        duration=row.duration,
        created_at=moments.from_stored(row.created_at),
        expires_at=moments.from_nullable(row.expires_at),
    )
