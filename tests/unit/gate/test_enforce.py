# SPDX-License-Identifier: Apache-2.0
"""Enforcement beyond what a vector can say: refusals of form and refusals as errors.

The order and the rules themselves: tests/table/test_policy_vectors.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from calotype.cli.policy_world import made_id
from calotype.contract import load_errors
from calotype.errors import CalotypeError, Invalid, NotAllowed, NotFound, ReadOnly
from calotype.gate.enforce import Asked, Why, enforce_scope
from calotype.iam.grants import GrantSet
from tests.unit.gate.asking import (
    ALICE,
    IMAGE,
    NOTHING,
    PROJECT,
    ROOT,
    asked,
    decide,
    holds,
)

# ---- refusals of form, before anything is looked up


@pytest.mark.parametrize(
    ("method", "path", "body", "rule", "code"),
    [
        ("GET", "/v2/%7Bproject_id%7D/images/tags", None, "project_placeholder", "IMG.0030"),
        ("GET", f"/v2/{'0' * 32}/images/tags", None, "project_mismatch", "IMG.0030"),
        ("GET", "/v2/nothing/images/tags", None, "project_mismatch", "IMG.0030"),
        ("PATCH", "/v2/cloudimages/not-an-id", [], "image_id", "IMG.0066"),
        ("PATCH", f"/v2/cloudimages/{IMAGE}", {}, "body_malformed", "IMG.0001"),
        ("PATCH", f"/v2/cloudimages/{IMAGE}", [7], "body_malformed", "IMG.0001"),
        ("PATCH", f"/v2/cloudimages/{IMAGE}", [{"op": "add"}], "field_wrong", "IMG.0001"),
        (
            "PATCH",
            f"/v2/cloudimages/{IMAGE}",
            [{"op": "add", "path": "/enterprise_project_id"}],
            "field_wrong",
            "IMG.0001",
        ),
        (
            "PATCH",
            f"/v2/cloudimages/{IMAGE}",
            [{"op": "add", "path": "/enterprise_project_id", "value": "all_granted_eps"}],
            "enterprise_project_form",
            "IMG.0155",
        ),
        ("PATCH", f"/v2/cloudimages/{IMAGE}", [{"path": "/a/b"}], "field_wrong", "IMG.0001"),
        ("PATCH", f"/v2/cloudimages/{IMAGE}", [{"path": "/a~2"}], "field_wrong", "IMG.0001"),
        ("POST", "/v2/cloudimages/action", None, "body_missing", "IMG.0007"),
        ("POST", "/v2/cloudimages/action", [], "body_malformed", "IMG.0001"),
        (
            "POST",
            "/v2/cloudimages/action",
            {"enterprise_project_id": "all_granted_eps"},
            "enterprise_project_form",
            "IMG.0155",
        ),
        (
            "POST",
            "/v2/cloudimages/action",
            {"enterprise_project_id": 0},
            "field_wrong",
            "IMG.0001",
        ),
        (
            "POST",
            "/v2/cloudimages/quickimport/action",
            {"type": "IsoImage"},
            "image_type",
            "IMG.0024",
        ),
        ("POST", "/v2/cloudimages/quickimport/action", {"type": 7}, "field_wrong", "IMG.0001"),
        ("POST", "/v1/cloudimages/members", {"images": []}, "field_wrong", "IMG.0001"),
        ("POST", "/v1/cloudimages/members", {"images": [7]}, "field_wrong", "IMG.0001"),
        ("POST", "/v1/cloudimages/members", {"images": ["x"]}, "image_id", "IMG.0066"),
        ("PUT", "/v1/cloudimages/members", {"images": [IMAGE]}, "field_wrong", "IMG.0001"),
        (
            "PUT",
            "/v1/cloudimages/members",
            {"images": [IMAGE], "project_id": "x"},
            "project_id",
            "IMG.0067",
        ),
        ("PUT", "/v1/cloudimages/tags", {"tag": "a"}, "field_wrong", "IMG.0001"),
        ("PUT", "/v1/cloudimages/tags", {"image_id": "x"}, "image_id", "IMG.0066"),
    ],
)
def test_what_authorization_needs_is_read_first(
    method: str, path: str, body: object, rule: str, code: str
) -> None:
    with pytest.raises(Invalid) as refused:
        decide(asked(method, path, body))
    assert refused.value.rule == rule
    assert load_errors().wire(refused.value).ims == code


def test_a_list_takes_one_enterprise_project() -> None:
    twice = [("enterprise_project_id", "0"), ("enterprise_project_id", "0")]
    with pytest.raises(Invalid) as refused:
        decide(asked("GET", "/v2/cloudimages", query=twice))
    assert refused.value.rule == "query_repeated"
    with pytest.raises(Invalid) as malformed:
        decide(asked("GET", "/v2/cloudimages", query=[("enterprise_project_id", "x")]))
    assert malformed.value.rule == "enterprise_project_form"


def test_the_scope_can_be_refused_before_the_body_is_read() -> None:
    ask = asked("POST", "/v2/images", caller=replace(ALICE, project_id=None))
    verdict = enforce_scope(ask)
    assert verdict is not None
    assert verdict.reason is Why.SCOPE_NOT_PROJECT
    assert enforce_scope(asked("POST", "/v2/images")) is None
    dashed = f"{PROJECT[:8]}-{PROJECT[8:12]}-{PROJECT[12:16]}-{PROJECT[16:20]}-{PROJECT[20:]}"
    assert enforce_scope(asked("GET", f"/v2/{dashed.upper()}/images/tags")) is None


# ---- refusals as errors


def _error(ask: Asked, grants: GrantSet = NOTHING) -> CalotypeError:
    return decide(ask, grants).error()


def test_a_refusal_names_the_first_failing_action_and_the_decision() -> None:
    verdict = decide(asked("PUT", f"/v2/images/{IMAGE}/file"))
    error = verdict.error()
    assert isinstance(error, NotAllowed)
    assert error.message == f"ims:images:get is not allowed (decision {verdict.decision_id})"
    assert error.facts["decision_id"] == verdict.decision_id
    assert len(verdict.decision_id) == 26


def test_a_missing_image_has_the_published_text() -> None:
    missing = made_id("images", "img-none")
    error = _error(asked("GET", f"/v2/images/{missing}"))
    assert isinstance(error, NotFound)
    assert error.message == f"No image found with ID {missing}"
    assert load_errors().wire(error).native == 404
    malformed = _error(asked("GET", "/v2/images/My-Image"))
    assert malformed.message == "No image found with ID My-Image"


def test_a_missing_job_is_400_in_the_ims_dialect() -> None:
    error = _error(asked("GET", "/v1/cloudimages/job/xyz"))
    code = load_errors().wire(error).ims
    assert (code, load_errors().status(code, in_path=True)) == ("IMG.0023", 400)


def test_a_missing_entity_is_named_by_its_kind() -> None:
    error = _error(asked("GET", f"/v3/users/{'0' * 32}"))
    assert isinstance(error, NotFound)
    assert (error.rule, error.facts["kind"]) == ("entity_not_found", "user")
    wire = load_errors().wire(error)
    assert (wire.iam, wire.eps) == (404, "EPS.0005")


def test_a_reserved_name_is_a_read_only_error() -> None:
    error = _error(asked("POST", "/v2/images", {"status": "active"}, caller=ROOT))
    assert isinstance(error, ReadOnly)
    assert error.facts["field"] == "status"
    assert load_errors().wire(error).native == 403


def test_accepting_for_another_project_is_a_project_mismatch() -> None:
    shared = {"images": [made_id("images", "img-gold")], "status": "accepted"}
    other = {**shared, "project_id": "0" * 32}
    ask = asked("PUT", "/v1/cloudimages/members", other)
    error = _error(ask, holds("IMS FullAccess"))
    assert load_errors().wire(error).ims == "IMG.0030"
    own = asked("PUT", "/v1/cloudimages/members", {**shared, "project_id": PROJECT})
    assert load_errors().wire(_error(own, holds("IMS FullAccess"))).ims == "IMG.0026"


def test_the_operator_is_named_where_only_he_may() -> None:
    error = _error(asked("GET", "/v2/cache", caller=ROOT))
    assert error.message.startswith("only the operator may do that")
