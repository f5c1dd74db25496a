# SPDX-License-Identifier: Apache-2.0
"""What the gate decides about lists: sets, clauses, and a judge for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from calotype.cli.policy_world import made_id
from calotype.gate.enforce import Why
from calotype.iam.grants import Grant, GrantSet, ScopeKind
from calotype.iam.policy import compile_policy
from calotype.principal import Principal, PrincipalType
from tests.unit.gate.asking import (
    ACME,
    ALICE,
    PROJECT,
    ROOT,
    WORLD,
    asked,
    decide,
    holds,
)

# ---- lists


def test_a_list_without_conditions_needs_no_look_at_any_image() -> None:
    verdict = decide(asked("GET", "/v2/cloudimages"), holds("IMS FullAccess"))
    limits = verdict.list_filter
    assert limits is not None
    assert (limits.open_eps, limits.rules, limits.judge) == (None, (), None)


def test_a_list_by_enterprise_project_is_a_set_of_them() -> None:
    ep = made_id("eps", "ep-a")
    verdict = decide(asked("GET", "/v2/cloudimages"), holds("IMS FullAccess", on=ep))
    assert verdict.list_filter is not None
    assert verdict.list_filter.open_eps == frozenset({ep})
    assert verdict.list_filter.judge is None


def _denying(condition: Mapping[str, object]) -> GrantSet:
    document = {
        "Version": "1.1",
        "Statement": [{"Effect": "Deny", "Action": ["ims:images:list"], "Condition": condition}],
    }
    policy = compile_policy("w", "w", 1, document)
    return GrantSet(
        [
            *holds("IMS FullAccess"),
            Grant("w", ("group", "g"), policy, ScopeKind.PROJECT, PROJECT),
        ]
    )


def test_tag_equality_becomes_part_of_the_query() -> None:
    grants = _denying({"StringEquals": {"g:ResourceTag/env": ["dev"]}})
    limits = decide(asked("GET", "/v2/cloudimages"), grants).list_filter
    assert limits is not None
    assert limits.judge is None
    assert {clause.tags for rule in limits.rules for clause in rule.deny} == {
        (("env", frozenset({"dev"})),)
    }
    assert not limits.admits(WORLD.target("img-a", PROJECT))
    assert limits.admits(WORLD.target("img-b", PROJECT))


def test_another_condition_on_the_image_is_judged_one_by_one() -> None:
    grants = _denying({"StringStartWith": {"g:ResourceTag/env": ["d"]}})
    limits = decide(asked("GET", "/v2/cloudimages"), grants).list_filter
    assert limits is not None
    assert limits.judge is not None
    assert not limits.admits(WORLD.target("img-a", PROJECT))
    assert limits.admits(WORLD.target("img-b", PROJECT))


def test_a_natively_repeated_tag_key_counts_with_each_value() -> None:
    grants = _denying({"StringEquals": {"g:ResourceTag/env": ["prod"]}})
    limits = decide(asked("GET", "/v2/cloudimages"), grants).list_filter
    assert limits is not None
    image = replace(WORLD.target("img-a", PROJECT), tags={"env": ("dev", "prod")})
    assert not limits.admits(image)


def test_the_operator_lists_every_owner_natively() -> None:
    operator = Principal(PrincipalType.OPERATOR, "op", "operator", "", "", is_operator=True)
    caller = replace(ALICE, principal=operator, project_id=None)
    verdict = decide(asked("GET", "/v2/images", caller=caller))
    assert verdict.allowed
    assert verdict.list_filter is not None
    assert verdict.list_filter.all_owners
    create = asked("POST", "/v2/images", {}, caller=caller)
    assert decide(create).reason is Why.SCOPE_NOT_PROJECT


def test_a_list_of_enterprise_projects_is_narrowed_to_those_of_a_grant() -> None:
    ep = made_id("eps", "ep-b")
    ask = asked("GET", "/v1.0/enterprise-projects")
    assert decide(ask, holds("EPS ReadOnlyAccess", on=ep)).eps == frozenset({ep})
    assert decide(replace(ask, caller=ROOT)).eps == frozenset(WORLD.eps(ACME))
