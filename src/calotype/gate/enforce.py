# SPDX-License-Identifier: Apache-2.0
"""The permission check: one function for the service, the simulator and explanations.

Owns the order of contract iam.md 4.1, steps 2 to 6a: scope, parse, find, actions (and other
services' rights), relation, names. Handlers never ask about rights; what this lets through may
still be refused for state, quota or form. Source: contract iam.md 4, security.md P1.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from calotype.gate.enforce_actions import Actions, Powers, operator_missing
from calotype.gate.enforce_find import Missing, find, is_member
from calotype.gate.enforce_list import narrowed_filter, plain_filter
from calotype.gate.enforce_names import forbidden_name
from calotype.gate.enforce_parse import check_path_project, needs_project, read_wanted
from calotype.gate.enforce_types import (
    Asked,
    Case,
    Check,
    Found,
    ListFilter,
    Outcome,
    TargetImage,
    TargetJob,
    Verdict,
    Wanted,
    Why,
    World,
)
from calotype.iam.evaluate import Reason, decide
from calotype.iam.grants import Grant, GrantSet, as_grant_set
from calotype.iam.policy import CompiledPolicy, compile_policy
from calotype.principal import Caller, PrincipalType

__all__ = [
    "Asked",
    "Case",
    "Check",
    "Found",
    "ListFilter",
    "Outcome",
    "TargetImage",
    "TargetJob",
    "Verdict",
    "Wanted",
    "Why",
    "World",
    "enforce",
    "enforce_scope",
]

OTHER_SERVICES = frozenset({"obs"})


def enforce_scope(asked: Asked) -> Verdict | None:
    """Step 2, before the body is read: a refusal, or None when the scope is good.

    Raises Invalid (`project_mismatch`, `project_placeholder`) for the project of an IMS path.
    """
    if needs_project(asked) and asked.caller.project_id is None:
        return Verdict(Outcome.DENY, Why.SCOPE_NOT_PROJECT, rule="scope_not_project")
    check_path_project(asked)
    return None


def enforce(
    asked: Asked,
    world: World,
    grants: GrantSet | Sequence[Grant],
    *,
    services: frozenset[str] = OTHER_SERVICES,
    explain: bool = False,
) -> Verdict:
    """Decide one request of an authenticated caller (or a row that needs no credential).

    `services` are the other services that exist here and whose rights are asked as a second
    decision. `explain` makes every check list all that applied and all that did not.
    Raises Invalid or Malformed when what authorization needs cannot be read.
    """
    refusal = enforce_scope(asked)
    if refusal is not None:
        return refusal
    wanted = read_wanted(asked)
    if wanted is None:
        return _missing(_unreadable(asked))
    try:
        wanted, found = find(asked, wanted, world)
    except Missing as missing:
        return _missing(missing)
    case = Case(asked, wanted, found)
    actions = Actions(case, world, _powers(asked.caller, as_grant_set(grants)), explain)
    verdict = _decide_actions(case, actions, services)
    if verdict.allowed:
        verdict = _decide_relation(case, verdict)
    if verdict.allowed:
        verdict = _decide_names(case, world, verdict)
    return _with_limits(case, world, actions, verdict) if verdict.allowed else verdict


def _decide_actions(case: Case, actions: Actions, services: frozenset[str]) -> Verdict:
    checks = actions.row()
    row = case.asked.operation
    verdict = Verdict(
        Outcome.ALLOW,
        _why(checks),
        checks=checks,
        images=case.found.images,
        job=case.found.job,
        target_ep=_target_ep(case),
    )
    if any(not check.allowed for check in checks):
        return replace(verdict, decision=Outcome.DENY)
    if operator_missing(row, case, actions.powers):
        return replace(
            verdict, decision=Outcome.DENY, reason=Why.IMPLICIT_DENY, rule="operator_only"
        )
    rights = actions.rights(services)
    refused = tuple(check for check in rights if not check.allowed)
    if refused:
        return replace(verdict, decision=Outcome.DENY, reason=_why(refused), rights=rights)
    return replace(verdict, rights=rights)


def _why(checks: tuple[Check, ...]) -> Why:
    """Return the reason of all checks: a Deny anywhere, else that of the first that fails."""
    if not checks:
        return Why.NO_ACTION_REQUIRED
    failing = [check.reason for check in checks if not check.allowed]
    if Reason.EXPLICIT_DENY.value in failing:
        return Why.EXPLICIT_DENY
    return Why(failing[0] if failing else checks[0].reason)


def _decide_relation(case: Case, verdict: Verdict) -> Verdict:
    required = case.asked.operation.who
    if required is None:
        return verdict
    result = _relation(case, required)
    verdict = replace(verdict, relation=(required, "ok" if result is None else result.value))
    if result is None:
        return verdict
    rule = "project_mismatch" if case.asked.operation.id == "ims.members_update" else None
    if rule is not None and case.wanted.member_id == case.wanted.project_id:
        rule = None
    return replace(verdict, decision=Outcome.DENY, reason=result, rule=rule)


def _relation(case: Case, required: str) -> Why | None:
    caller = case.caller.principal
    if caller.is_operator:
        return None
    if required == "self":
        own = case.wanted.user_id in (None, caller.id)
        return None if own and caller.type is PrincipalType.USER else Why.NOT_OWNER
    for image in case.found.images:
        owns = image.owner == case.wanted.project_id
        if required == "own" and not owns:
            return Why.NOT_OWNER
        if required == "own/mem" and not (owns or is_member(image)):
            return Why.NOT_OWNER
        if required == "mem":
            is_itself = case.wanted.member_id == case.wanted.project_id
            if owns or not is_itself or not is_member(image):
                return Why.NOT_MEMBER
    return None


def _decide_names(case: Case, world: World, verdict: Verdict) -> Verdict:
    if case.asked.operation.dialect != "native":
        return verdict
    name = forbidden_name(case, world.present)
    if name is None:
        return verdict
    return replace(verdict, decision=Outcome.DENY, reason=Why.READ_ONLY_ATTRIBUTE, attribute=name)


def _with_limits(case: Case, world: World, actions: Actions, verdict: Verdict) -> Verdict:
    row = case.asked.operation
    powers = actions.powers
    if row.id == "eps.list":
        return replace(verdict, eps=_visible_eps(case, world, actions))
    if row.target != "list":
        return verdict
    unlimited = powers.is_operator or (powers.is_root and powers.session is None)
    if unlimited or not row.enterprise_project:
        filtered = replace(plain_filter(case), only_ep=case.wanted.only_ep)
    else:
        question = actions.question(row.requirements[0].action)
        filtered = narrowed_filter(case, world, question, powers.held, powers.session)
    return replace(verdict, list_filter=filtered)


def _visible_eps(case: Case, world: World, actions: Actions) -> frozenset[str] | None:
    powers = actions.powers
    if powers.is_operator:
        return None
    question = actions.question(case.asked.operation.requirements[0].action)
    return frozenset(
        ep
        for ep in world.eps(case.caller.principal.account_id)
        if decide(
            powers.held, replace(question, ep=ep, ep_counts=True), session=powers.session
        ).allowed
    )


def _target_ep(case: Case) -> str | None:
    row = case.asked.operation
    if case.wanted.moves_to:
        return case.wanted.moves_to[-1]
    in_request = any(need.evaluated_in == "request" for need in row.requirements)
    return case.wanted.target_ep if in_request else None


def _missing(missing: Missing) -> Verdict:
    return Verdict(
        Outcome.NOT_FOUND, Why.NOT_VISIBLE, kind=missing.kind, wanted_id=missing.wanted_id
    )


def _unreadable(asked: Asked) -> Missing:
    if asked.operation.target == "job":
        return Missing("job", asked.params["job_id"])
    return Missing("image", asked.params["image_id"])


def _powers(caller: Caller, grants: GrantSet) -> Powers:
    principal = caller.principal
    text = caller.credential.session_policy
    return Powers(
        grants,
        None if text is None else _session(text),
        principal.is_root,
        principal.is_operator,
    )


@lru_cache(maxsize=256)
def _session(text: str) -> CompiledPolicy:
    return compile_policy("session", "session policy", 1, json.loads(text))
