# SPDX-License-Identifier: Apache-2.0
"""Tokens: opaque, random, stored as SHA-256, found in one statement with all behind them.

A token carries no rights and its scope never changes; what it may do is asked at each request
(contract iam.md 1.1, 5.1). The operator's token is told apart by its first characters, so that it
costs one statement as well.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, delete, insert, or_, select

from calotype.db.tables.iam import accounts, operator_tokens, projects, tokens
from calotype.iam import holders, moments
from calotype.iam.holders import Holder

OPERATOR_START = "operator-"


@dataclass(frozen=True, slots=True)
class ScopeProject:
    """The project a token is scoped to. Suspended when not `enabled`."""

    id: str
    name: str
    enabled: bool


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A living token."""

    sha256: str
    holder: Holder
    project: ScopeProject | None  # None: domain-scoped
    methods: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime
    mfa_at: datetime | None


@dataclass(frozen=True, slots=True)
class OperatorRecord:
    """The operator's token, with the project it was asked to act in and that project's account."""

    sha256: str
    project: ScopeProject | None
    account_id: str
    account_name: str
    eps_enabled: bool
    iam_version: int


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to issue. Exactly one of `user_id` and `agency_id` is given."""

    user_id: str | None
    agency_id: str | None
    assumed_by: str | None
    account_id: str
    project_id: str | None
    methods: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime
    mfa_at: datetime | None = None


_FIND = (
    select(
        tokens,
        projects.c.name.label("project_name"),
        projects.c.enabled.label("project_enabled"),
        *holders.columns(),
    )
    .select_from(holders.joined(tokens).outerjoin(projects, projects.c.id == tokens.c.project_id))
    .where(
        tokens.c.sha256 == bindparam("sha256"),
        tokens.c.expires_at > bindparam("moment"),
        holders.alive(tokens),
    )
)
_FIND_OPERATOR = (
    select(
        operator_tokens.c.sha256,
        accounts,
        projects.c.id.label("project_id"),
        projects.c.name.label("project_name"),
        projects.c.enabled.label("project_enabled"),
    )
    .select_from(
        operator_tokens.outerjoin(projects, projects.c.id == bindparam("project_id")).join(
            accounts,
            or_(
                accounts.c.id == projects.c.account_id,
                and_(projects.c.id.is_(None), accounts.c.is_first),
            ),
        )
    )
    .where(operator_tokens.c.sha256 == bindparam("sha256"))
)
_INSERT = insert(tokens)


def new_token() -> str:
    """Return a new token text: 256 random bits in URL-safe letters."""
    return secrets.token_urlsafe(32)


def new_operator_token() -> str:
    """Return a new operator token text."""
    return OPERATOR_START + secrets.token_urlsafe(32)


def fingerprint(token: str) -> str:
    """Return the SHA-256 of a token text, as it is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def find(connection: Connection, sha256: str) -> TokenRecord | None:
    """Return the living token of this fingerprint, or None; one statement."""
    parameters = {"sha256": sha256, "moment": moments.now()}
    row = connection.execute(_FIND, parameters).first()
    return None if row is None else _token(row)


def find_operator(
    connection: Connection, sha256: str, project_id: str | None
) -> OperatorRecord | None:
    """Return the operator's token of this fingerprint, or None; one statement.

    Without a project, or with one that does not exist, the account is the first one.
    """
    row = connection.execute(_FIND_OPERATOR, {"sha256": sha256, "project_id": project_id}).first()
    if row is None:
        return None
    project = None
    if row.project_id is not None:
        project = ScopeProject(row.project_id, row.project_name, row.project_enabled)
    return OperatorRecord(
        sha256=row.sha256,
        project=project,
        account_id=row.id,
        account_name=row.name,
        eps_enabled=row.eps_enabled,
        iam_version=row.iam_version,
    )


def issue(connection: Connection, token: NewToken) -> str:
    """Store a new token; return its text, which is kept nowhere else."""
    text = new_token()
    connection.execute(
        _INSERT,
        {
            "sha256": fingerprint(text),
            "kind": "agency" if token.agency_id is not None else "user",
            "user_id": token.user_id,
            "agency_id": token.agency_id,
            "assumed_by": token.assumed_by,
            "account_id": token.account_id,
            "project_id": token.project_id,
            "methods": ",".join(token.methods),
            "issued_at": moments.to_stored(token.issued_at),
            "expires_at": moments.to_stored(token.expires_at),
            "mfa_at": None if token.mfa_at is None else moments.to_stored(token.mfa_at),
        },
    )
    return text


def revoke(connection: Connection, sha256: str) -> bool:
    """End one token; tell whether it was there."""
    return connection.execute(delete(tokens).where(tokens.c.sha256 == sha256)).rowcount > 0


def revoke_of_user(connection: Connection, user_id: str) -> int:
    """End every token of a user and of agencies it assumed; return how many."""
    mine = or_(tokens.c.user_id == user_id, tokens.c.assumed_by == user_id)
    return connection.execute(delete(tokens).where(mine)).rowcount


def drop_expired(connection: Connection) -> int:
    """Remove tokens whose time is over; return how many. For the housekeeping of the service."""
    return connection.execute(delete(tokens).where(tokens.c.expires_at <= moments.now())).rowcount


def set_operator(connection: Connection, token: str) -> None:
    """Make `token` the only operator token."""
    connection.execute(delete(operator_tokens))
    connection.execute(
        insert(operator_tokens).values(sha256=fingerprint(token), created_at=moments.now())
    )


def operator_fingerprint(connection: Connection) -> str | None:
    """Return the SHA-256 of the operator token, or None before the first start."""
    value = connection.execute(select(operator_tokens.c.sha256)).scalar()
    return None if value is None else str(value)


def _token(row: Row[Any]) -> TokenRecord:
    project = None
    if row.project_id is not None:
        project = ScopeProject(row.project_id, row.project_name, bool(row.project_enabled))
    return TokenRecord(
        sha256=row.sha256,
        holder=holders.read(row),
        project=project,
        methods=tuple(row.methods.split(",")),
        issued_at=moments.from_stored(row.issued_at),
        expires_at=moments.from_stored(row.expires_at),
        mfa_at=moments.from_nullable(row.mfa_at),
    )
