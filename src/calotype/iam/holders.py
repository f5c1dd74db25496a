# SPDX-License-Identifier: Apache-2.0
"""Who stands behind a token or an access key, read together with it in one statement.

A credential lives only while everything behind it does: its account is enabled, its user is enabled
or its agency has not ended, still trusts the account of the person who assumed it, and that person
and account are enabled (contract iam.md 4.8, 5.1). The condition is part of the statement, so a
dead credential is simply not found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Row, Table, and_, bindparam, or_

from calotype.db.tables.iam import accounts, agencies, users
from calotype.iam import moments
from calotype.principal import Principal, PrincipalType

_person = users.alias("person")
_home = accounts.alias("home")


@dataclass(frozen=True, slots=True)
class Person:
    """The user who assumed an agency, in the account the agency trusts."""

    id: str
    name: str
    account_id: str
    account_name: str


@dataclass(frozen=True, slots=True)
class Holder:
    """The user or agency a credential acts as, with its account."""

    is_agency: bool
    id: str
    name: str  # of an agency: `<account>/<agency>`
    is_root: bool
    account_id: str
    account_name: str
    eps_enabled: bool
    iam_version: int
    password_expires_at: datetime | None
    ends_at: datetime | None  # of an agency
    person: Person | None

    def principal(self, *, is_operator: bool = False) -> Principal:
        """Return the principal that acts; an agency is never root."""
        return Principal(
            type=PrincipalType.AGENCY if self.is_agency else PrincipalType.USER,
            id=self.id,
            name=self.name,
            account_id=self.account_id,
            account_name=self.account_name,
            is_root=self.is_root and not self.is_agency,
            is_operator=is_operator,
            assumed_by=self.person.id if self.person else None,
        )


def columns() -> Sequence[ColumnElement[Any]]:
    """Return the columns that `read` needs, labelled so that they never meet another name."""
    return (
        users.c.name.label("holder_user_name"),
        users.c.is_root.label("holder_is_root"),
        users.c.password_expires_at.label("holder_password_expires_at"),
        agencies.c.name.label("holder_agency_name"),
        agencies.c.expires_at.label("holder_ends_at"),
        accounts.c.name.label("holder_account_name"),
        accounts.c.eps_enabled.label("holder_eps_enabled"),
        accounts.c.iam_version.label("holder_iam_version"),
        _person.c.name.label("holder_person_name"),
        _home.c.id.label("holder_home_id"),
        _home.c.name.label("holder_home_name"),
    )


def joined(credential: Table) -> FromClause:
    """Return the credential's table joined with all that stands behind it."""
    return (
        credential.join(accounts, accounts.c.id == credential.c.account_id)
        .outerjoin(users, users.c.id == credential.c.user_id)
        .outerjoin(agencies, agencies.c.id == credential.c.agency_id)
        .outerjoin(_person, _person.c.id == credential.c.assumed_by)
        .outerjoin(_home, _home.c.id == _person.c.account_id)
    )


def alive(credential: Table) -> ColumnElement[bool]:
    """Return the condition under which the credential counts; needs the parameter `moment`."""
    as_user = and_(
        credential.c.agency_id.is_(None),
        users.c.enabled,
        users.c.account_id == credential.c.account_id,
    )
    as_agency = and_(
        agencies.c.account_id == credential.c.account_id,
        or_(agencies.c.expires_at.is_(None), agencies.c.expires_at > bindparam("moment")),
        _person.c.enabled,
        _home.c.enabled,
        _home.c.id == agencies.c.trust_account_id,
    )
    return and_(accounts.c.enabled, or_(as_user, as_agency))


def read(row: Row[Any]) -> Holder:
    """Return the holder of a credential's row."""
    is_agency = row.agency_id is not None
    name = row.holder_user_name
    person = None
    if is_agency:
        name = f"{row.holder_account_name}/{row.holder_agency_name}"
        person = Person(
            id=row.assumed_by,
            name=row.holder_person_name,
            account_id=row.holder_home_id,
            account_name=row.holder_home_name,
        )
    return Holder(
        is_agency=is_agency,
        id=row.agency_id if is_agency else row.user_id,
        name=name,
        is_root=bool(row.holder_is_root) and not is_agency,
        account_id=row.account_id,
        account_name=row.holder_account_name,
        eps_enabled=row.holder_eps_enabled,
        iam_version=row.holder_iam_version,
        password_expires_at=moments.from_nullable(row.holder_password_expires_at),
        ends_at=moments.from_nullable(row.holder_ends_at),
        person=person,
    )
