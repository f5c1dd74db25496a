# SPDX-License-Identifier: Apache-2.0
"""Who asks: the principal, and the caller (principal + credential + scope) of one request or job.

Made by the gate from a credential, carried into flows unchanged (a job never acts with a stronger
identity than the caller who submitted it) and read by the evaluator. Source: contract iam.md 1, 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class PrincipalType(StrEnum):
    """What kind of principal acts."""

    USER = "user"
    AGENCY = "agency"
    OPERATOR = "operator"  # the operator token; a person who is an operator stays USER
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Principal:
    """One acting identity. `account_id` is the account it acts in (A for an agency)."""

    type: PrincipalType
    id: str
    name: str
    account_id: str
    account_name: str
    is_root: bool = False  # account owner; never true for an agency
    is_operator: bool = False  # operator token, or holder of Platform Administrator
    assumed_by: str | None = None  # id of the person behind an agency


@dataclass(frozen=True, slots=True)
class Credential:
    """How the caller proved itself. `id` is the AK, or 8 hex of the token's SHA-256."""

    kind: str  # token | ak | temp_ak | operator | none
    id: str = ""
    mfa_at: datetime | None = None
    session_policy: str | None = None  # canonical JSON document
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """A principal in its scope, with what conditions may ask about the request."""

    principal: Principal
    credential: Credential
    project_id: str | None  # None: domain-scoped
    project_name: str | None
    eps_enabled: bool
    source_ip: str
    user_agent: str
    request_id: str
    arrived_at: datetime
