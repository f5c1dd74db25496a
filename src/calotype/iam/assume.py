# SPDX-License-Identifier: Apache-2.0
"""Agencies: may a principal of one account act as an agency of another (contract iam.md 4.8)?

Unknown, expired and foreign agencies look alike (NOT_FOUND), so that nobody can probe them; only
who is trusted learns that he is not permitted. An agency never assumes an agency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from calotype.iam.builtin import root_grants
from calotype.iam.evaluate import Context, Decision, Question, Reason, decide
from calotype.iam.grants import Grant, GrantSet
from calotype.iam.matching import Resource
from calotype.iam.policy import CompiledPolicy

ASSUME = "iam:agencies:assume"


class Outcome(StrEnum):
    """What becomes of the attempt."""

    ALLOW = "allow"
    DENY = "deny"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class Agency:
    """An agency as far as assuming it asks. `expires_at` None: never."""

    id: str
    account_id: str
    account_enabled: bool
    trusts: str  # account id
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who wants to assume it, in his own account."""

    account_id: str
    account_enabled: bool
    is_root: bool
    is_agency: bool
    context: Context
    region: str
    arrived_at: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """The answer, with the decision on `iam:agencies:assume` where it came to one."""

    outcome: Outcome
    decision: Decision | None = None


def may_assume(
    who: Candidate,
    agency: Agency | None,
    grants: GrantSet | Sequence[Grant],
    *,
    session: CompiledPolicy | None = None,
) -> Attempt:
    """Decide whether `who` may act as `agency` (None: unknown account or agency).

    Only global grants and grants on all projects of his own account count.
    """
    if who.is_agency:
        return Attempt(Outcome.DENY, Decision(False, Reason.IMPLICIT_DENY))
    if agency is None or not agency.account_enabled or not who.account_enabled:
        return Attempt(Outcome.NOT_FOUND)
    if agency.expires_at is not None and agency.expires_at <= who.arrived_at:
        return Attempt(Outcome.NOT_FOUND)
    if agency.trusts != who.account_id:
        return Attempt(Outcome.NOT_FOUND)
    question = Question(
        action=ASSUME,
        resource=Resource("iam", who.region, agency.account_id, "agency", agency.id),
        project_id=None,
        context=who.context,
        uri=uri_of(agency.id),
    )
    decision = decide(root_grants() if who.is_root else grants, question, session=session)
    return Attempt(Outcome.ALLOW if decision.allowed else Outcome.DENY, decision)


def uri_of(agency_id: str) -> str:
    """Return the form in which a policy names an agency."""
    return f"/iam/agencies/{agency_id}"
