# SPDX-License-Identifier: Apache-2.0
"""Random policies, grants and questions, in the engine's form and in the oracle's."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from calotype.iam.builtin import BUILTIN, compiled
from calotype.iam.conditions import TAG_PREFIX
from calotype.iam.evaluate import Question
from calotype.iam.grants import Grant, ScopeKind
from calotype.iam.matching import Resource
from calotype.iam.policy import compile_policy
from tests.unit.iam.naive import RawGrant, RawQuestion

ACTIONS = ("ims:images:get", "ims:images:list", "ims:images:delete", "ims:serverImages:create")
PATTERNS = (
    "*:*:*",
    "ims:*:*",
    "IMS:images:*",
    "ims:*:get*",
    "ims:*:l*t",
    "ims:server*:create",
    "ims:images:delete",
    "ims:images:get",
    "ecs:*:*",
)
RESOURCES = (
    "ims:*:*:image:*",
    "ims:*:*:image:img-1",
    "IMS:region-1:acme:Image:img-*",
    "ims:*:globex:image:*",
    "obs:*:*:object:*",
)
EPS = ("0", "ep-a", "ep-b")
PROJECTS = ("p1", "p2")
ROLES = ("IMS Administrator", "Tenant Administrator", "Tenant Guest", "Server Administrator")


@st.composite
def statements(draw: st.DrawFn) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Effect": draw(st.sampled_from(("Allow", "Allow", "Deny"))),
        "Action": draw(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2)),
    }
    if draw(st.booleans()):
        statement["Resource"] = draw(st.lists(st.sampled_from(RESOURCES), min_size=1, max_size=2))
    if draw(st.booleans()):
        operator = draw(
            st.sampled_from(
                (
                    "StringEquals",
                    "StringNotEquals",
                    "StringEqualsIfExists",
                    "StringNotEqualsIfExists",
                )
            )
        )
        values = draw(st.lists(st.sampled_from(("dev", "prod")), min_size=1, max_size=2))
        statement["Condition"] = {operator: {"g:ResourceTag/env": values}}
    return statement


@st.composite
def grants(draw: st.DrawFn) -> tuple[Grant, RawGrant]:
    number = draw(st.integers(0, 10**9))
    if draw(st.integers(0, 3)) == 0:
        name = draw(st.sampled_from(ROLES))
        row = next(one for one in BUILTIN if one.display_name == name)
        scope, scope_id = draw(_scopes(with_ep=False))
        raw = RawGrant(
            name,
            row.document(),
            scope.value,
            scope_id,
            tuple(one for _, one in row.depends),
            row.excepted,
        )
        return Grant(str(number), ("group", "g"), compiled()[name], scope, scope_id), raw
    document = {
        "Version": "1.1",
        "Statement": draw(st.lists(statements(), min_size=1, max_size=3)),
    }
    scope, scope_id = draw(_scopes(with_ep=True))
    policy = compile_policy(str(number), f"policy {number}", 1, document)
    return (
        Grant(str(number), ("group", "g"), policy, scope, scope_id),
        RawGrant(f"policy {number}", document, scope.value, scope_id),
    )


@st.composite
def _scopes(draw: st.DrawFn, with_ep: bool) -> tuple[ScopeKind, str]:
    kinds = [ScopeKind.PROJECT, ScopeKind.ALL_PROJECTS, ScopeKind.GLOBAL]
    if with_ep:
        kinds += [ScopeKind.ENTERPRISE_PROJECT] * 2
    kind = draw(st.sampled_from(kinds))
    names = {ScopeKind.PROJECT: PROJECTS, ScopeKind.ENTERPRISE_PROJECT: EPS}.get(kind, ("acme",))
    return kind, draw(st.sampled_from(names))


@st.composite
def questions(draw: st.DrawFn) -> tuple[Question, RawQuestion]:
    raw = RawQuestion(
        action=draw(st.sampled_from(ACTIONS)),
        project=draw(st.sampled_from(PROJECTS)),
        ep=draw(st.sampled_from((None, *EPS))),
        ep_counts=draw(st.booleans()),
        image_id=draw(st.sampled_from(("", "img-1", "img-2"))),
        tags=draw(st.sampled_from(({}, {"env": "dev"}, {"env": "prod"}))),
    )
    return as_question(raw), raw


def as_question(raw: RawQuestion) -> Question:
    """Return the engine's form of a question."""
    return Question(
        action=raw.action,
        resource=Resource("ims", "region-1", "acme", "image", raw.image_id),
        project_id=raw.project,
        context={TAG_PREFIX + key: (value,) for key, value in raw.tags.items()},
        ep=raw.ep,
        ep_counts=raw.ep_counts,
    )
