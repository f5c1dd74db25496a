# SPDX-License-Identifier: Apache-2.0
"""Rights of other services: a second decision beside the row's."""

from __future__ import annotations

from dataclasses import replace

from calotype.cli.policy_world import made_id
from calotype.gate.enforce import Outcome, Why
from calotype.iam.grants import Grant, GrantSet, ScopeKind
from calotype.iam.policy import compile_policy
from tests.unit.gate.asking import (
    ACME,
    IMAGE,
    PROJECT,
    ROOT,
    asked,
    decide,
    holds,
)

# ---- rights of other services


CREATE = {"name": "n", "image_url": "disks:a/b:c.raw", "min_disk": 1}


def test_the_bucket_right_is_a_second_decision() -> None:
    ask = asked("POST", "/v2/cloudimages/action", CREATE)
    verdict = decide(ask, holds("IMS FullAccess"))
    assert verdict.decision is Outcome.DENY
    assert [check.action for check in verdict.failing] == ["obs:object:GetObject"]
    assert verdict.error().message.startswith("obs:object:GetObject is not allowed")
    assert decide(ask, holds("IMS FullAccess", "OBS Administrator")).allowed
    assert decide(ask, holds("IMS FullAccess"), services=frozenset()).allowed
    assert decide(replace(ask, caller=ROOT)).allowed


def test_the_bucket_right_may_name_bucket_and_object() -> None:
    def policy(resource: str) -> GrantSet:
        document = {
            "Version": "1.1",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": ["obs:object:GetObject"],
                    "Resource": [resource],
                    "Condition": {"StringEquals": {"g:ServiceName": ["obs"]}},
                }
            ],
        }
        compiled_one = compile_policy("w", "w", 1, document)
        mine = Grant("w", ("group", "g"), compiled_one, ScopeKind.PROJECT, PROJECT)
        return GrantSet([*holds("IMS FullAccess"), mine])

    ask = asked("POST", "/v2/cloudimages/action", CREATE)
    assert decide(ask, policy(f"obs:region-1:{ACME}:object:disks/a/b:c.raw")).allowed
    assert decide(ask, policy("obs:*:*:object:disks/*")).allowed
    assert not decide(ask, policy("obs:*:*:object:other/*")).allowed


def test_every_named_object_needs_the_right() -> None:
    body = {**CREATE, "data_images": [{"image_url": "disks:second.raw"}]}
    verdict = decide(asked("POST", "/v2/cloudimages/action", body), holds("IMS FullAccess"))
    assert len(verdict.rights) == 2
    server = {"name": "n", "instance_id": "x"}
    ask = asked("POST", "/v2/cloudimages/action", server)
    assert decide(ask, holds("IMS FullAccess")).allowed


def test_a_grant_on_an_enterprise_project_gives_no_bucket_right() -> None:
    ask = asked("POST", "/v2/cloudimages/action", CREATE)
    verdict = decide(ask, holds("FullAccess", on="0"))
    assert verdict.reason is Why.EP_GRANT_NOT_SUPPORTED


def test_one_of_two_backup_rights_is_enough() -> None:
    ask = asked("POST", "/v1/cloudimages/wholeimages/action", {"name": "n", "backup_id": "x"})
    services = frozenset({"cbr"})
    assert not decide(ask, holds("IMS FullAccess"), services=services).allowed
    for role in ("CBR Admin", "CSBS Administrator"):
        assert decide(ask, holds("IMS FullAccess", role), services=services).allowed
    assert decide(ask, holds("IMS FullAccess")).allowed


def test_an_encrypted_image_needs_the_key_as_well() -> None:
    services = frozenset({"kms"})
    grants = holds("IMS FullAccess")
    encrypted = asked("GET", f"/v2/images/{made_id('images', 'img-key')}/file")
    verdict = decide(encrypted, grants, services=services)
    assert [check.action for check in verdict.failing] == ["kms:cmk:use"]
    assert decide(asked("GET", f"/v2/images/{IMAGE}/file"), grants, services=services).allowed


def test_the_relation_is_decided_after_the_other_rights() -> None:
    body = {"bucket_url": "disks:out.raw", "file_format": "raw"}
    gold = made_id("images", "img-gold")
    ask = asked("POST", f"/v1/cloudimages/{gold}/file", body)
    assert decide(ask, holds("IMS FullAccess")).reason is Why.IMPLICIT_DENY
    both = holds("IMS FullAccess", "OBS Administrator")
    assert decide(ask, both).reason is Why.NOT_OWNER
