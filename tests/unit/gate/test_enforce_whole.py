# SPDX-License-Identifier: Apache-2.0
"""Enforcement as one piece: explanations, sessions, both dialects, every row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from calotype.cli.policy_world import made_id
from calotype.contract import BadRow
from calotype.gate import predicates
from calotype.gate.enforce import Asked, TargetImage, Why
from calotype.iam.grants import GrantSet
from tests.unit.gate.asking import (
    ACME,
    ALICE,
    IMAGE,
    NOTHING,
    PROJECT,
    ROOT,
    ROWS,
    asked,
    decide,
    holds,
)

# ---- explanations, sessions, self-check


def test_an_explanation_is_the_same_decision_with_everything_it_looked_at() -> None:
    ep = made_id("eps", "ep-b")
    grants = GrantSet([*holds("IMS ReadOnlyAccess"), *holds("IMS FullAccess", on=ep)])
    ask = asked("DELETE", f"/v2/images/{IMAGE}")
    plain, explained = decide(ask, grants), decide(ask, grants, explain=True)
    assert (plain.decision, plain.reason) == (explained.decision, explained.reason)
    assert [(one.grant.id, one.why) for one in explained.checks[0].ignored] == [
        ("IMS ReadOnlyAccess", "action_no_match"),
        ("IMS FullAccess", "other_enterprise_project"),
    ]
    there = decide(
        asked("DELETE", f"/v2/images/{made_id('images', 'img-b')}"), grants, explain=True
    )
    assert [one.grant.policy.name for one in there.checks[0].by] == ["IMS FullAccess"]


def test_a_session_policy_travels_with_the_credential() -> None:
    document = {
        "Version": "1.1",
        "Statement": [{"Effect": "Allow", "Action": ["ims:images:list"]}],
    }
    credential = replace(ROOT.credential, session_policy=json.dumps(document))
    caller = replace(ROOT, credential=credential)
    assert not decide(asked("GET", f"/v2/images/{IMAGE}", caller=caller)).allowed
    assert decide(asked("GET", "/v2/images", caller=caller)).reason is Why.ROOT


def test_the_target_is_never_taken_from_the_body() -> None:
    foreign = {"owner": PROJECT, "id": IMAGE, "account_id": ACME}
    gold = made_id("images", "img-gold")
    ask = asked(
        "PATCH", f"/v2/images/{gold}", [{"op": "replace", "path": "/owner", "value": PROJECT}]
    )
    assert decide(ask, holds("IMS FullAccess")).reason is Why.NOT_OWNER
    delete = replace(asked("DELETE", f"/v2/images/{gold}"), body=foreign)
    assert decide(delete, holds("IMS FullAccess")).reason is Why.NOT_OWNER


def test_both_dialects_agree_where_their_rows_are_equal() -> None:
    for grants in (NOTHING, holds("IMS FullAccess"), holds("IMS ReadOnlyAccess")):
        for name in ("img-a", "img-gold"):
            image = made_id("images", name)
            patch = [{"op": "replace", "path": "/name", "value": "n"}]
            native = decide(asked("PATCH", f"/v2/images/{image}", patch), grants)
            ims = decide(asked("PATCH", f"/v2/cloudimages/{image}", patch), grants)
            assert (native.decision, native.reason) == (ims.decision, ims.reason)


def test_every_named_predicate_exists() -> None:
    predicates.require_known(ROWS)
    first = ROWS[0].requirements[0]
    unknown = replace(ROWS[0], requirements=(replace(first, when="at_night"),))
    with pytest.raises(BadRow, match="at_night"):
        predicates.require_known([unknown])


def test_every_row_is_decided_for_a_stranger_without_a_grant() -> None:
    """No row lets a caller without any grant do more than the contract says."""
    sample = {"project_id": PROJECT, "image_id": IMAGE, "job_id": "0" * 32}
    bodies: Mapping[str, object] = {
        "ims.update": [],
        "ims.members_add": {"images": [IMAGE]},
        "ims.members_update": {"images": [IMAGE], "project_id": PROJECT},
        "ims.members_delete": {"images": [IMAGE]},
        "ims.tag_put": {"image_id": IMAGE},
        "eps.migrate": {
            "action": "bind",
            "project_id": PROJECT,
            "resource_id": IMAGE,
        },
        "eps.action": {"action": "enable"},
    }
    passed = set()
    for row in ROWS:
        params = {name: sample.get(name, "x") for name in row.patterns}
        if row.dialect == "eps" and params:
            params["enterprise_project_id"] = "0"
        body = bodies.get(row.id, {}) if row.body in ("json", "optional_json") else None
        verdict = decide(Asked(row, ALICE, params, (), body))
        if verdict.allowed:
            assert verdict.reason is Why.NO_ACTION_REQUIRED, row.id
            passed.add(row.id)
    assert {row.id for row in ROWS if row.id in passed and row.requirements} == {
        "iam.key_create",
        "iam.key_list",
        "authz.explain",
    }


def test_a_target_image_needs_only_what_a_list_row_has() -> None:
    image = TargetImage(IMAGE, PROJECT, ACME, "0", "private")
    assert (image.tags, image.member_status, image.status) == ({}, None, "active")
