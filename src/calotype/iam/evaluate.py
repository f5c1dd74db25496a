# SPDX-License-Identifier: Apache-2.0
"""The decision: one function of grants, session policy and question (contract iam.md 4.2, 4.4).

Deny beats Allow wherever either comes from; nothing is allowed by default. The same function
serves enforcement, the simulator and explanations; for the last a Collector notes every statement
that applied and why the others did not. No database, no HTTP, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from calotype.iam.conditions import EP_KEY
from calotype.iam.grammar import GLOBAL_SERVICES
from calotype.iam.grants import (
    Grant,
    GrantSet,
    Matched,
    Place,
    Reach,
    ScopeKind,
    as_grant_set,
    missing_role,
)
from calotype.iam.matching import Resource
from calotype.iam.policy import CompiledPolicy
from calotype.iam.statement import Effect

ANY = "any"
Context = Mapping[str, tuple[str, ...]]


class Reason(StrEnum):
    """Why one action is decided so."""

    ALLOWED = "allowed"
    ROOT = "root"
    EXPLICIT_DENY = "explicit_deny"
    IMPLICIT_DENY = "implicit_deny"
    EP_GRANT_NOT_SUPPORTED = "ep_grant_not_supported"


@dataclass(frozen=True, slots=True)
class Question:
    """May the caller do `action` here?

    `ep` is the enterprise project the action is evaluated in, or None; `ep_counts` is the row's
    second column. `context` maps normalised condition keys to request values; the key of the
    enterprise project is not in it, because it follows from `ep`.
    """

    action: str
    resource: Resource
    project_id: str | None
    context: Context
    ep: str | None = None
    ep_counts: bool = False
    uri: str | None = None

    @property
    def service(self) -> str:
        """The service of the action."""
        return self.action.partition(":")[0].lower()

    @property
    def place(self) -> Place:
        """Which grants exist for this question."""
        is_global = self.service in GLOBAL_SERVICES
        return Place(
            Reach.GLOBAL if is_global else Reach.PROJECT,
            None if is_global else self.project_id,
            self.ep if self.ep_counts else None,
        )

    def lookup(self, key: str) -> tuple[str, ...]:
        """Return the request's values of a condition key, none when it is absent."""
        if key == EP_KEY:
            return (self.ep,) if self.ep_counts and self.ep is not None else ()
        return self.context.get(key, ())


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer. `by` holds the deciding statement, or all of them when a Collector listened."""

    allowed: bool
    reason: Reason
    by: tuple[Matched, ...] = ()


@dataclass(frozen=True, slots=True)
class Ignored:
    """A grant that had no say, and why (contract iam.md 7)."""

    grant: Grant
    why: str


@dataclass(slots=True)
class Collector:
    """Notes, for an explanation, what a decision looked at."""

    ignored: list[Ignored] = field(default_factory=list)

    def gather(self, grants: GrantSet, question: Question, effect: Effect) -> tuple[Matched, ...]:
        """Note the grants without a say; return the applying statements of `effect`."""
        applicable = set(map(id, grants.applicable(question.place)))
        by: list[Matched] = []
        for grant in grants:
            if id(grant) not in applicable:
                self.ignored.append(Ignored(grant, _not_here(grant, grants, question)))
                continue
            applying, why = _applying(grant, question)
            by += [one for one in applying if one.statement.effect is effect]
            if not applying:
                self.ignored.append(Ignored(grant, why))
        return tuple(by)


def decide(
    grants: GrantSet | Sequence[Grant],
    question: Question,
    *,
    session: CompiledPolicy | None = None,
    collector: Collector | None = None,
) -> Decision:
    """Decide one action. `session` is the policy of a temporary credential: it can only narrow."""
    held = as_grant_set(grants)
    decision = _decide(held, question, session)
    if collector is None:
        return decision
    effect = Effect.DENY if decision.reason is Reason.EXPLICIT_DENY else Effect.ALLOW
    by = collector.gather(held, question, effect)
    return replace(decision, by=by or decision.by)


def decide_any(
    grants: GrantSet | Sequence[Grant],
    question: Question,
    eps: Iterable[str],
    *,
    session: CompiledPolicy | None = None,
    collector: Collector | None = None,
) -> Decision:
    """Decide a question without an enterprise project of its own: one allowing one is enough."""
    held = as_grant_set(grants)
    refused: list[tuple[str, Decision]] = []
    for ep in eps:
        here = replace(question, ep=ep, ep_counts=True)
        decision = _decide(held, here, session)
        if decision.allowed:
            return decide(held, here, session=session, collector=collector)
        refused.append((ep, decision))
    if not refused:
        return decide(held, question, session=session, collector=collector)
    every = all(decision.reason is Reason.EXPLICIT_DENY for _, decision in refused)
    if collector is not None:
        decide(held, replace(question, ep=refused[0][0]), session=session, collector=collector)
    return refused[0][1] if every else Decision(False, Reason.IMPLICIT_DENY)


def ep_would_allow(
    grants: GrantSet | Sequence[Grant],
    question: Question,
    eps: Iterable[str],
    session: CompiledPolicy | None = None,
) -> bool:
    """Tell whether a grant on one of `eps` would have allowed it, if such grants counted."""
    held = as_grant_set(grants)
    for ep in eps:
        here = replace(question, ep=ep, ep_counts=True)
        denies, allows = held.candidates(here.place, here.action)
        if session is not None and _session_refuses(session, here) is not None:
            continue
        if any(_applies(one, here) for one in denies):
            continue
        if any(
            one.grant.scope is ScopeKind.ENTERPRISE_PROJECT and _applies(one, here)
            for one in allows
        ):
            return True
    return False


def _decide(grants: GrantSet, question: Question, session: CompiledPolicy | None) -> Decision:
    denies, allows = grants.candidates(question.place, question.action)
    for one in denies:
        if _applies(one, question):
            return Decision(False, Reason.EXPLICIT_DENY, (one,))
    if session is not None:
        refusal = _session_refuses(session, question)
        if refusal is not None:
            return Decision(False, refusal)
    for one in allows:
        if _applies(one, question):
            return Decision(True, Reason.ALLOWED, (one,))
    return Decision(False, Reason.IMPLICIT_DENY)


def _applies(one: Matched, question: Question) -> bool:
    statement = one.statement
    return statement.plain or (
        statement.covers(question.resource, question.uri)
        and statement.failing(question.lookup) is None
    )


def _session_refuses(session: CompiledPolicy, question: Question) -> Reason | None:
    allowed = False
    for statement in session.speaking_of(question.action):
        if not statement.covers(question.resource, question.uri):
            continue
        if statement.failing(question.lookup) is not None:
            continue
        if statement.effect is Effect.DENY:
            return Reason.EXPLICIT_DENY
        allowed = True
    return None if allowed else Reason.IMPLICIT_DENY


def _applying(grant: Grant, question: Question) -> tuple[list[Matched], str]:
    applying: list[Matched] = []
    why = "action_no_match"
    for statement in grant.policy.speaking_of(question.action):
        if not statement.covers(question.resource, question.uri):
            why = "resource_no_match"
            continue
        failing = statement.failing(question.lookup)
        if failing is not None:
            why = f"condition_false:{failing.operator}/{failing.label}"
            continue
        applying.append(Matched(grant, statement))
    return applying, why


def _not_here(grant: Grant, grants: GrantSet, question: Question) -> str:
    place = question.place
    if grant.scope is ScopeKind.ENTERPRISE_PROJECT:
        if not question.ep_counts:
            return "ep_not_supported_by_operation"
        if grant.scope_id != place.ep:
            return "other_enterprise_project"
    elif grant.scope is ScopeKind.GLOBAL and place.reach is Reach.PROJECT:
        return "global_scope"
    elif grant.scope is ScopeKind.PROJECT and grant.scope_id != place.project_id:
        return "other_project"
    missing = missing_role(grant.policy, grants.applicable(place))
    return f"dependency_missing:{missing}"
