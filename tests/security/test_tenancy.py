# SPDX-License-Identifier: Apache-2.0
"""What another account has does not exist (iam.md 4.1, 4.6; security P1, P2).

An invisible thing and a missing one have the same answer, byte for byte, and cost the same
statements. Rows come from the operation table, so a new row is asked without being named here.
"""

from __future__ import annotations

import json

import pytest

from calotype.contract.loader import Operation, load_operations
from tests.exchanges.native.site import Tenant
from tests.security.asking import (
    NO_JOB,
    NOWHERE,
    RAW,
    put,
    send,
    shown,
    statements,
    without_rights,
)
from tests.security.conftest import Door

ROWS = [row for row in load_operations() if not row.planned]
ON_IMAGES = [row for row in ROWS if "{image_id}" in row.path]
ON_JOBS = [row for row in ROWS if "{job_id}" in row.path]


@pytest.fixture
def door(house: Door) -> Door:
    return house


@pytest.fixture
def owner(door: Door) -> Tenant:
    return door.tenant()


@pytest.fixture
def other(door: Door) -> Tenant:
    return door.tenant()


# ---- images


@pytest.mark.parametrize("row", ON_IMAGES, ids=lambda row: row.id)
def test_an_invisible_image_is_answered_as_a_missing_one(
    door: Door, owner: Tenant, other: Tenant, row: Operation
) -> None:
    hidden = [owner.make(visibility=word)["id"] for word in ("private", "shared")]
    nobody = without_rights(other)
    for caller in (other, nobody):
        with statements(door) as for_missing:
            missing = send(caller, row, image_id=NOWHERE)
        assert missing.status in (400, 404), missing.text
        for image in hidden:
            with statements(door) as for_hidden:
                answer = send(caller, row, image_id=image)
            assert shown(answer, image) == shown(missing, NOWHERE)
            assert for_hidden == for_missing
    for image in hidden:
        assert owner.show(image)["status"] == "queued"


@pytest.mark.parametrize("row", ON_IMAGES, ids=lambda row: row.id)
def test_an_id_that_is_none_is_no_image_either(other: Tenant, row: Operation) -> None:
    for text in ("x", "%2e%2e", "a%2fb", "%00", "'%20or%201=1--", "a;x", "%E2%80%AE"):
        answer = send(other, row, image_id=text)
        assert answer.status in (400, 404), (text, answer.text)


def test_lists_tell_nothing_of_images_of_others(owner: Tenant, other: Tenant) -> None:
    for word in ("private", "shared"):
        image = owner.make(visibility=word, name=f"secret-{word}")["id"]
        assert owner.upload(image, RAW).status == 204
        for query in (
            [], [("id", image)], [("name", f"secret-{word}")], [("owner", owner.project)],
            [("visibility", word)], [("member_status", "all")], [("limit", "1000")],
            [("checksum", owner.show(image)["checksum"])], [("visibility", "all")],
        ):  # fmt: skip
            for path in ("/v2/images", "/v2/cloudimages", "/v1.1/images/detail"):
                if path != "/v2/images" and ("visibility", "all") in query:
                    continue
                answer = other.call("GET", path, query=query)
                assert answer.status == 200, answer.text
                owners = [one["owner"] for one in answer.json["images"]]
                assert owner.project not in owners
        for path in ("/v2/images", "/v2/cloudimages", "/v1.1/images/detail"):
            known = other.call("GET", path, query=[("marker", image)])
            unknown = other.call("GET", path, query=[("marker", NOWHERE)])
            assert known.status == 400
            assert shown(known, image) == shown(unknown, NOWHERE)


def test_an_id_is_taken_for_ever_and_says_no_more(owner: Tenant, other: Tenant) -> None:
    living, gone = owner.make()["id"], owner.make()["id"]
    assert owner.call("DELETE", f"/v2/images/{gone}").status == 204
    mine = other.make()["id"]
    answers = [
        shown(other.call("POST", "/v2/images", body={"id": one}), one)
        for one in (living, gone, mine)
    ]
    assert answers[0][0] == 409
    assert answers[0] == answers[1] == answers[2]
    assert owner.call("POST", "/v2/images", body={"id": gone}).status == 409
    assert owner.call("POST", "/v2/images", body={"id": gone.upper()}).status == 409


def test_bytes_and_hashes_of_an_active_image_stay(owner: Tenant) -> None:
    image = owner.make()["id"]
    assert owner.upload(image, RAW).status == 204
    before = owner.show(image)
    assert owner.upload(image, b"\1" + RAW[1:]).status == 409
    for name in ("checksum", "size", "os_hash_value", "status", "disk_format"):
        change = {"op": "replace", "path": f"/{name}", "value": "vhd"}
        assert owner.patch(image, change).status == 403, name
    assert owner.show(image) == before
    assert owner.download(image).content == RAW


@pytest.mark.parametrize("dialect", ["native", "ims"])
def test_what_is_protected_or_not_the_callers_is_so_in_both_dialects(
    owner: Tenant, other: Tenant, dialect: str
) -> None:
    image = owner.make(visibility="community", protected=True, name="kept")["id"]
    assert owner.upload(image, RAW).status == 204
    delete = "/v2/images/{}" if dialect == "native" else "/v1.1/images/{}"
    for caller in (owner, other):
        assert caller.call("DELETE", delete.format(image)).status == 403
    change: dict[str, object] = {"op": "replace", "value": "stolen"}
    if dialect == "native":
        assert other.patch(image, change | {"path": "/name"}).status == 403
        for name, value in (("owner", other.project), ("visibility", "public"), ("id", NOWHERE)):
            wrong = change | {"path": f"/{name}", "value": value}
            assert owner.patch(image, wrong).status == 403, name
    else:
        path = f"/v2/cloudimages/{image}"
        refused = other.call("PATCH", path, body=[change | {"path": "/name"}])
        assert (refused.status, refused.json["error"]["code"]) == (403, "IMG.0026")
        attempts: list[tuple[str, object]] = [
            ("owner", other.project), ("visibility", "public"), ("id", NOWHERE),
            ("protected", False), ("status", "queued"), ("__imagetype", "gold"),
            ("__data_origin", "x"), ("location", "x"),
        ]  # fmt: skip
        for name, text in attempts:
            wrong = change | {"path": f"/{name}", "value": text}
            answer = owner.call("PATCH", path, body=[wrong])
            assert answer.status in (400, 403), (name, answer.text)
    assert owner.show(image)["name"] == "kept"
    assert owner.show(image)["owner"] == owner.project


def test_an_image_that_is_seen_by_all_tells_nothing_of_its_account(
    owner: Tenant, other: Tenant
) -> None:
    body = {"name": "ep-1", "description": "", "type": "prod"}
    ep = owner.call("POST", "/v1.0/enterprise-projects", body=body).json["enterprise_project"]["id"]
    image = owner.make(visibility="community")["id"]
    owner.upload(image, RAW)
    move = [{"op": "replace", "path": "/enterprise_project_id", "value": ep}]
    assert owner.call("PATCH", f"/v2/cloudimages/{image}", body=move).status == 200
    account = owner.call("GET", "/v3/auth/domains").json["domains"][0]
    for answer in (
        other.call("GET", f"/v2/images/{image}"),
        other.call("GET", "/v2/images", query=[("visibility", "community")]),
        other.call("HEAD", f"/v1/images/{image}"),
    ):
        text = answer.text + str(answer.headers)
        assert answer.status == 200
        assert ep not in text
        assert account["id"] not in text
        assert account["name"] not in text


def test_headers_that_claim_an_identity_are_not_read(
    door: Door, owner: Tenant, other: Tenant
) -> None:
    image = owner.make()["id"]
    claims = {
        "X-User-Id": "admin", "X-User": "admin", "X-Roles": "admin", "X-Role": "admin",
        "X-Tenant-Id": owner.project, "X-Project-Id": owner.project, "X-Tenant": "x",
        "X-Domain-Id": "x", "X-Is-Admin-Project": "true", "X-Identity-Status": "Confirmed",
        "X-Service-Catalog": "[]", "X-Service-Token": door.operator_token,
        "X-Forwarded-For": "127.0.0.1", "Cookie": f"token={door.operator_token}",
    }  # fmt: skip
    assert other.call("GET", f"/v2/images/{image}", headers=claims).status == 404
    assert other.call("GET", "/v2/images", headers=claims).json["images"] == []
    assert door.call("GET", f"/v2/images/{image}", headers=claims).status == 401
    assert door.call("GET", "/authz/v1/accounts", headers=claims).status == 401
    made = other.call("POST", "/v2/images", body={}, headers=claims)
    assert made.json["owner"] == other.project


# ---- jobs, buckets, people


def _job(door: Door, tenant: Tenant) -> str:
    url = put(door, tenant, "disk.raw")
    body = {"name": "made", "image_url": url, "min_disk": 1}
    answer = tenant.call("POST", "/v2/cloudimages/action", body=body)
    assert answer.status == 200, answer.text
    return str(answer.json["job_id"])


@pytest.mark.parametrize("row", ON_JOBS, ids=lambda row: row.id)
def test_a_job_of_another_project_is_answered_as_a_missing_one(
    door: Door, owner: Tenant, other: Tenant, row: Operation
) -> None:
    job = _job(door, owner)
    for caller in (other, without_rights(other)):
        with statements(door) as for_missing:
            missing = send(caller, row, job_id=NO_JOB)
        with statements(door) as for_hidden:
            hidden = send(caller, row, job_id=job)
        assert shown(hidden, job) == shown(missing, NO_JOB)
        assert for_hidden == for_missing
    assert other.call("GET", f"/v1/{other.project}/jobs").json["jobs"] == []


def test_a_bucket_of_another_account_is_answered_as_a_missing_one(
    door: Door, owner: Tenant, other: Tenant
) -> None:
    theirs = put(door, owner, "disk.raw")
    bucket = theirs.partition(":")[0]
    unknown = f"{bucket[:-1]}{'0' if bucket[-1] != '0' else '1'}"
    image, row = other.make()["id"], other.make(min_disk=1)["id"]
    other.upload(image, RAW)
    creation = {"name": "x", "image_url": "{}:disk.raw", "min_disk": 1}
    export = f"/v1/cloudimages/{image}/file"
    for path, method, body in (
        ("/v2/cloudimages/action", "POST", creation),
        (f"/v1/cloudimages/{row}/upload", "PUT", {"image_url": "{}:disk.raw"}),
        (export, "POST", {"bucket_url": "{}:new.raw", "file_format": "raw"}),
        (export, "POST", {"bucket_url": "{}:disk.raw", "file_format": "raw"}),
    ):
        answers = []
        for name in (bucket, unknown):
            text = json.dumps(body).replace("{}", name)
            answers.append(shown(other.call(method, path, body=json.loads(text)), name))
        assert answers[0] == answers[1]
        assert answers[0][0] == 400
