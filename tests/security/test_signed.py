# SPDX-License-Identifier: Apache-2.0
"""Signed requests through the whole gate: what an unproven caller learns and leaves (iam.md 5.2).

The checks of one signature are in `tests/unit/gate`, what real clients send in `tests/peers`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from calotype.db.tables.blobs import blobs, leases
from tests.exchanges.native.site import JSON, OCTETS, PATCH, Reply, Tenant
from tests.security.conftest import Door, OpenDoor
from tests.unit.gate.signer import ACCESS, CREDENTIAL, FORMS, UNSIGNED_HOST, sign

RAW = bytes(1 << 20)
OTHER = b"\1" + RAW[1:]
WHY = "Incorrect IAM authentication information: "
MISMATCH = WHY + "verify aksk signature fail"
UNSIGNED = {"X-Sdk-Content-Sha256": "UNSIGNED-PAYLOAD"}


@dataclass
class Key:
    """An access key in use."""

    door: Door
    access: str
    secret: str
    form: str = ACCESS

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        sent: bytes | None = None,
        **more: Any,
    ) -> Reply:
        """Sign a request for `body`, and send `sent` instead if it is given."""
        url = f"http://img.example{path}"
        lines = sign(self.form, self.access, self.secret, method, url, headers or {}, body, **more)
        content = body if sent is None else sent
        named = dict(lines)
        if content is not None:
            named["content-length"] = str(len(content))
        pieces = None if content is None else [content]
        return self.door.call(method, path, headers=named, content=pieces)


def key_of(tenant: Tenant, form: str = ACCESS) -> Key:
    """Make an access key of the root user."""
    body = {"credential": {"description": "test"}}
    made = tenant.call("POST", "/v3.0/OS-CREDENTIAL/credentials", body=body).json["credential"]
    assert isinstance(tenant.site, Door)
    return Key(tenant.site, made["access"], made["secret"], form)


@pytest.fixture
def door(house: Door) -> Door:
    return house


@pytest.fixture
def tenant(door: Door) -> Tenant:
    return door.tenant()


def left(door: Door) -> tuple[int, int, int]:
    """Return how many blobs and leases there are, and files in the store and in scratch."""

    def count(connection: Any) -> tuple[int, int]:
        rows = [
            connection.execute(select(func.count()).select_from(table)).scalar()
            for table in (blobs, leases)
        ]
        return rows[0], rows[1]

    places = (door.core.settings.scratch, door.core.settings.data_dir / "blobs")
    files = [one for place in places for one in place.rglob("*") if one.is_file()]
    return (*door.core.db.read(count), len(files))


@pytest.mark.parametrize("covered", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_reads_makes_changes_and_uploads(
    door: Door, tenant: Tenant, form: str, covered: bool
) -> None:
    key = key_of(tenant, form)
    more = {} if covered else UNSIGNED
    assert key.send("GET", "/v2/images", headers=dict(more)).status == 200
    made = key.send("POST", "/v2/images", b"{}", {"Content-Type": JSON} | more)
    assert made.status == 201, made.text
    image = made.json["id"]
    formats = b'[{"op": "replace", "path": "/disk_format", "value": "raw"},'
    formats += b' {"op": "replace", "path": "/container_format", "value": "bare"}]'
    patched = key.send("PATCH", f"/v2/images/{image}", formats, {"Content-Type": PATCH} | more)
    assert patched.status == 200, patched.text
    path = f"/v2/images/{image}/file"
    assert key.send("PUT", path, RAW, {"Content-Type": OCTETS} | more).status == 204
    assert tenant.show(image)["size"] == len(RAW)


@pytest.mark.parametrize("form", [UNSIGNED_HOST, CREDENTIAL])
def test_an_upload_of_other_bytes_than_the_signed_ones_leaves_nothing(
    door: Door, tenant: Tenant, form: str
) -> None:
    key = key_of(tenant, form)
    image = tenant.make()["id"]
    before = left(door)
    path = f"/v2/images/{image}/file"
    refused = key.send("PUT", path, RAW, {"Content-Type": OCTETS}, sent=OTHER)
    assert (refused.status, refused.json["error_msg"]) == (401, MISMATCH)
    assert left(door) == before
    shown = tenant.show(image)
    assert (shown["status"], shown["size"], shown["checksum"]) == ("queued", None, None)
    # Nor is an upload counted any more, or remembered as torn.
    assert key.send("PUT", path, RAW, {"Content-Type": OCTETS}).status == 204


def test_a_declared_hash_must_be_that_of_the_bytes(door: Door, tenant: Tenant) -> None:
    key = key_of(tenant, UNSIGNED_HOST)
    image = tenant.make()["id"]
    before = left(door)
    for declared in ("0" * 64, "unsigned-payload", "x"):
        headers = {"Content-Type": OCTETS, "X-Sdk-Content-Sha256": declared}
        refused = key.send("PUT", f"/v2/images/{image}/file", RAW, headers)
        assert (refused.status, refused.json["error_msg"]) == (401, MISMATCH), declared
    assert left(door) == before
    assert tenant.show(image)["status"] == "queued"


@pytest.mark.parametrize("covered", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_without_a_good_signature_nothing_is_told(
    door: Door, tenant: Tenant, form: str, covered: bool
) -> None:
    """Neither the project, nor its state, nor whether something exists: only that it is wrong."""
    other = door.tenant()
    more = {} if covered else UNSIGNED
    asked: list[tuple[str, str, bytes | None, dict[str, str]]] = [
        ("GET", "/v2/images", None, {"X-Project-Id": other.project}),
        ("GET", "/v2/images", None, {"X-Domain-Id": "0" * 32}),
        ("GET", f"/v1/{other.project}/jobs", None, {}),
        ("GET", "/v1/%7Bproject_id%7D/jobs", None, {}),
        ("GET", f"/v1/{tenant.project}/jobs", None, {"X-Project-Id": "0" * 32}),
        ("GET", "/no/such/path", None, {}),
        ("DELETE", "/v2/images", None, {}),
        ("GET", "/v2/tasks", None, {}),
        ("POST", "/v2/images", b"{}", {"X-Project-Id": other.project, "Content-Type": JSON}),
        ("POST", "/v2/images", b"{", {"Content-Type": JSON}),
        ("GET", f"/v2/images/{tenant.make()['id']}", None, {}),
        ("DELETE", f"/v2/images/{'0' * 8}-0000-0000-0000-{'0' * 12}", None, {}),
    ]
    answers = set()
    for method, path, body, headers in asked:
        wrong = key_of(door.tenant(), form)  # another one each time: five failures lock a key
        wrong.secret = "w" * 40
        reply = wrong.send(method, path, body, headers | more)
        answers.add((reply.status, reply.json.get("error_msg"), reply.headers["content-type"]))
    assert answers == {(401, MISMATCH, JSON)}


@pytest.mark.parametrize("form", FORMS)
def test_a_proven_caller_is_told_what_is_wrong_with_the_project(
    door: Door, tenant: Tenant, form: str
) -> None:
    key, other = key_of(tenant, form), door.tenant()
    foreign = key.send("GET", "/v2/images", headers={"X-Project-Id": other.project})
    assert foreign.status == 403
    in_path = key.send("GET", f"/v1/{other.project}/jobs")
    assert (in_path.status, in_path.json["error"]["code"]) == (403, "IMG.0026")
    differs = key.send("GET", f"/v1/{other.project}/jobs", headers={"X-Project-Id": tenant.project})
    assert (differs.status, differs.json["error"]["code"]) == (400, "IMG.0030")
    unfilled = key.send("GET", "/v1/%7Bproject_id%7D/jobs")
    assert (unfilled.status, unfilled.json["error"]["code"]) == (400, "IMG.0030")
    assert "project id" in unfilled.json["error"]["message"]
    assert key.send("GET", f"/v1/{tenant.project}/jobs").status == 200


def _unread() -> bytes:
    raise AssertionError("the body was read")


def test_a_foreign_project_is_refused_before_an_upload_is_taken(door: Door, tenant: Tenant) -> None:
    key, other = key_of(tenant, UNSIGNED_HOST), door.tenant()
    image = other.make(visibility="community")["id"]
    headers = {"Content-Type": OCTETS, "X-Project-Id": other.project}

    async def never() -> AsyncIterator[bytes]:
        yield _unread()

    url = f"http://img.example/v2/images/{image}/file"
    lines = sign(UNSIGNED_HOST, key.access, key.secret, "PUT", url, headers, RAW)
    reply = door.call("PUT", f"/v2/images/{image}/file", headers=dict(lines), content=never())
    assert reply.status == 403


def test_a_token_beside_a_readable_signature_does_not_count(door: Door, tenant: Tenant) -> None:
    other = door.tenant()
    key = key_of(tenant)
    made = tenant.make(name="of the key")["id"]
    reply = key.send("GET", "/v2/images", headers={"X-Auth-Token": other.token})
    assert [one["id"] for one in reply.json["images"]] == [made]
    key.secret = "w" * 40
    assert key.send("GET", "/v2/images", headers={"X-Auth-Token": other.token}).status == 401
    unreadable = {"Authorization": "SDK-HMAC-SHA256 nonsense"}
    assert door.call("GET", "/v2/images", token=other.token, headers=unreadable).status == 200
    assert door.call("GET", "/v2/images", headers=unreadable).json["error_msg"] == MISMATCH


def test_the_clock_may_differ_by_a_quarter_of_an_hour(tenant: Tenant) -> None:
    key, now = key_of(tenant), datetime.now(UTC)
    for seconds, status in ((-890, 200), (890, 200), (-960, 401), (960, 401)):
        reply = key.send("GET", "/v2/images", date=now + timedelta(seconds=seconds))
        assert reply.status == status, seconds
        if status == 401:
            assert reply.json["error_msg"] == f"{WHY}x-sdk-date expired"


def test_a_locked_key_says_so_for_good_signatures_and_bad_ones(door: Door, tenant: Tenant) -> None:
    key = key_of(tenant, UNSIGNED_HOST)
    image = tenant.make()["id"]
    secret, key.secret = key.secret, "w" * 40
    for _ in range(5):
        path = f"/v2/images/{image}/file"
        assert key.send("PUT", path, RAW, {"Content-Type": OCTETS}).status == 401
    locked = key.send("GET", "/v2/images")
    key.secret = secret
    again = key.send("GET", "/v2/images")
    for reply in (locked, again):
        assert reply.status == 401
        assert reply.json["error_msg"] == f"{WHY}AK access failed to reach the limit,forbidden"
    assert key_of(tenant).send("GET", "/v2/images").status == 200


def test_a_key_dies_with_its_user_at_once(door: Door, tenant: Tenant) -> None:
    user = {"name": "signer", "password": "Correct.horse9"}
    user_id = tenant.call("POST", "/v3/users", body={"user": user}).json["user"]["id"]
    body = {"credential": {"user_id": user_id}}
    made = tenant.call("POST", "/v3.0/OS-CREDENTIAL/credentials", body=body).json["credential"]
    key = Key(door, made["access"], made["secret"])
    assert key.send("GET", "/v3/auth/projects").status == 200
    tenant.call("PATCH", f"/v3/users/{user_id}", body={"user": {"enabled": False}})
    dead = key.send("GET", "/v3/auth/projects")
    assert dead.json["error_msg"] == f"{WHY}Get secretKey failed,ak:{key.access},err:ak not exist"
    tenant.call("PATCH", f"/v3/users/{user_id}", body={"user": {"enabled": True}})
    assert key.send("GET", "/v3/auth/projects").status == 200
    tenant.call("DELETE", f"/v3.0/OS-CREDENTIAL/credentials/{key.access}")
    assert key.send("GET", "/v3/auth/projects").status == 401


def test_strict_mode_wants_host_and_project_signed(open_door: OpenDoor) -> None:
    door = open_door(signature_strict=True)
    tenant = door.tenant()
    project = {"X-Project-Id": tenant.project}
    assert key_of(tenant).send("GET", "/v2/images", headers=project).status == 200
    for form, name in ((UNSIGNED_HOST, "host"), (CREDENTIAL, "x-project-id")):
        refused = key_of(tenant, form).send("GET", "/v2/images", headers=project)
        assert refused.json["error_msg"] == f"{WHY}unsigned_header:{name}"
        tenant = door.tenant()
        project = {"X-Project-Id": tenant.project}


def test_a_write_is_processed_once_where_the_replay_cache_is_on(open_door: OpenDoor) -> None:
    door = open_door(replay_cache=True)
    tenant = door.tenant()
    key, now = key_of(tenant, UNSIGNED_HOST), datetime.now(UTC)
    body = b'[{"op": "add", "path": "/seen", "value": "once"}]'
    path, headers = f"/v2/images/{tenant.make()['id']}", {"Content-Type": PATCH}
    sent = [key.send("PATCH", path, body, headers, date=now) for _ in range(2)]
    assert sent[0].status == 200
    assert sent[1].json["error_msg"] == f"{WHY}signature already used"
    reads = [key.send("GET", "/v2/images", date=now).status for _ in range(2)]
    assert reads == [200, 200]
