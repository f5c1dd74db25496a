# SPDX-License-Identifier: Apache-2.0
"""What another account has does not exist (iam.md 4.1, 4.6; security P1, P2).

An invisible thing and a missing one have the same answer, byte for byte, and cost the same
statements. Rows come from the operation table, so a new row is asked without being named here.
"""

from __future__ import annotations

import contextlib
import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, update

from calotype.contract.loader import Operation, load_operations
from calotype.db.tables.iam import enterprise_projects
from tests.exchanges.native.site import JSON, OCTETS, PASSWORD, PATCH, Reply, Tenant
from tests.security.conftest import Door, OpenDoor
from tests.security.test_audit import _put

RAW = bytes(1 << 20)
NOWHERE = "00000000-0000-4000-8000-000000000000"
NO_JOB = "0" * 32
BODIES: dict[str, object] = {
    "ims.update": [{"op": "replace", "path": "/name", "value": "x"}],
    "ims.register": {"image_url": "bucket:key.raw"},
    "ims.export": {"bucket_url": "bucket:key.raw", "file_format": "raw"},
    "glance.update": [{"op": "replace", "path": "/name", "value": "x"}],
}
ROWS = [row for row in load_operations() if not row.planned]
ON_IMAGES = [row for row in ROWS if "{image_id}" in row.path]
ON_JOBS = [row for row in ROWS if "{job_id}" in row.path]


@pytest.fixture
def owner(door: Door) -> Tenant:
    return door.tenant()


@pytest.fixture
def other(door: Door) -> Tenant:
    return door.tenant()


def send(tenant: Tenant, row: Operation, **values: str) -> Reply:
    """Send the request of a row with path values, and a body that fits its form."""
    path = row.path
    known = {"project_id": tenant.project, "member_id": tenant.project, "tag": "t", "key": "k"}
    for name, value in (known | values).items():
        path = path.replace(f"{{{name}}}", value)
    if row.body == "stream":
        return tenant.call(row.method, path, content=[RAW], headers={"Content-Type": OCTETS})
    if row.body != "json":
        return tenant.call(row.method, path)
    media = PATCH if row.id == "glance.update" else JSON
    body = BODIES.get(row.handler, {})
    return tenant.call(row.method, path, body=body, headers={"Content-Type": media})


def shown(reply: Reply, *ids: str) -> tuple[int, list[tuple[str, str]], str]:
    """Return an answer without what differs from request to request."""
    lines = [
        (name, text)
        for name, text in reply.headers.multi_items()
        if name not in ("x-request-id", "x-openstack-request-id")
    ]
    text = reply.text
    for one in ids:
        text = text.replace(one, "ID")
    return reply.status, lines, text


@contextlib.contextmanager
def statements(door: Door) -> Iterator[list[str]]:
    """Collect the statements of what runs inside."""
    found: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        found.append(statement)

    for engine in door.core.db.engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        for engine in door.core.db.engines:
            event.remove(engine, "before_cursor_execute", note)


def without_rights(tenant: Tenant) -> Tenant:
    """Return a user of the same account who holds nothing."""
    name = f"u-{uuid.uuid4().hex[:8]}"
    made = tenant.call("POST", "/v3/users", body={"user": {"name": name, "password": PASSWORD}})
    user = {"id": made.json["user"]["id"], "password": PASSWORD}
    identity = {"methods": ["password"], "password": {"user": user}}
    auth = {"identity": identity, "scope": {"project": {"id": tenant.project}}}
    login = tenant.site.call("POST", "/v3/auth/tokens", body={"auth": auth})
    assert login.status == 201, login.text
    return Tenant(tenant.site, tenant.project, login.headers["x-subject-token"])


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
                assert answer.json["images"] == []
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
    url = _put(door, tenant, "disk.raw")
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
    theirs = _put(door, owner, "disk.raw")
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


PEOPLE = [
    row
    for row in ROWS
    if row.dialect in ("iam", "eps")
    and re.search(r"\{(user|group|role|access_key)_?i?d?", row.path)
]


@pytest.mark.parametrize("row", PEOPLE, ids=lambda row: row.id)
def test_people_of_another_account_do_not_exist(
    owner: Tenant, other: Tenant, row: Operation
) -> None:
    user = {"name": "hidden", "password": PASSWORD}
    user_id = owner.call("POST", "/v3/users", body={"user": user}).json["user"]["id"]
    group = owner.call("POST", "/v3/groups", body={"group": {"name": "g"}}).json["group"]["id"]
    policy = {"Version": "1.1", "Statement": [{"Effect": "Allow", "Action": ["ims:images:get"]}]}
    role = {"display_name": "r", "type": "XA", "description": "", "policy": policy}
    role_id = owner.call("POST", "/v3.0/OS-ROLE/roles", body={"role": role}).json["role"]["id"]
    key = owner.call(
        "POST", "/v3.0/OS-CREDENTIAL/credentials", body={"credential": {"user_id": user_id}}
    ).json["credential"]["access"]
    theirs = {"user_id": user_id, "group_id": group, "role_id": role_id, "access_key": key}
    none = {"user_id": "0" * 32, "group_id": "0" * 32, "role_id": "0" * 32, "access_key": "A" * 20}
    own = {"enterprise_project_id": "0", "domain_id": "0" * 32}
    domain = other.call("GET", "/v3/auth/domains").json["domains"][0]["id"]
    for caller in (other, without_rights(other)):
        answers = [
            shown(send(caller, row, **own | {"domain_id": domain} | values), *values.values())
            for values in (theirs, none)
        ]
        assert answers[0] == answers[1]
        assert answers[0][0] in (400, 404)


# ---- enterprise projects


def test_ids_of_enterprise_projects_cannot_be_probed(
    door: Door, owner: Tenant, other: Tenant
) -> None:
    body = {"name": "ep", "description": "", "type": "prod"}

    def made(tenant: Tenant) -> str:
        answer = tenant.call("POST", "/v1.0/enterprise-projects", body=body)
        return str(answer.json["enterprise_project"]["id"])

    off, foreign, missing = made(other), made(owner), str(uuid.uuid4())
    disable = update(enterprise_projects).where(enterprise_projects.c.id == off)
    door.core.db.write(lambda connection: connection.execute(disable.values(enabled=False)))
    url = _put(door, other, "disk.raw")
    nobody = without_rights(other)
    refused, told = [], []
    for ep in (off, foreign, missing):
        creation = {"name": "x", "image_url": url, "min_disk": 1, "enterprise_project_id": ep}
        answer = nobody.call("POST", "/v2/cloudimages/action", body=creation)
        refused.append((answer.status, _undecided(answer)))
        answer = other.call("POST", "/v2/cloudimages/action", body=creation)
        told.append((answer.status, answer.json["error"]["code"]))
        query = [("enterprise_project_id", ep)]
        listed = nobody.call("GET", "/v2/cloudimages", query=query)
        refused.append((listed.status, _undecided(listed)))
    assert {status for status, _ in refused} == {403}
    assert len({text for _, text in refused}) == 2  # one for the creation, one for the list
    assert told == [(400, "IMG.0155")] * 3
    for ep in (foreign, missing):
        answer = other.call("GET", "/v2/cloudimages", query=[("enterprise_project_id", ep)])
        assert (answer.status, answer.json["images"]) == (200, [])


def _undecided(reply: Reply) -> str:
    """Return the body without the decision's id."""
    return re.sub(r"decision [0-9A-Z]{26}", "decision", reply.text)


# ---- the operator


def test_an_image_made_or_moved_for_another_project_belongs_to_its_account(
    door: Door, owner: Tenant, other: Tenant
) -> None:
    operator = door.operator(owner.project)
    made = operator.call("POST", "/v2/images", body={"owner": other.project}).json["id"]
    account = other.call("GET", "/v3/auth/domains").json["domains"][0]["id"]
    path = f"/authz/v1/accounts/{account}"
    assert door.call("DELETE", path, token=door.operator_token).status == 409
    body = {"name": "ep", "description": "", "type": "prod"}
    ep = owner.call("POST", "/v1.0/enterprise-projects", body=body).json["enterprise_project"]["id"]
    moved = owner.make()["id"]
    owner.upload(moved, RAW)
    move = [{"op": "replace", "path": "/enterprise_project_id", "value": ep}]
    assert owner.call("PATCH", f"/v2/cloudimages/{moved}", body=move).status == 200
    given = {"op": "replace", "path": "/owner", "value": other.project}
    assert operator.patch(moved, given).status == 200
    # No enterprise project of the former account goes along, so the new one can list it.
    seen = {
        one["id"]: one["enterprise_project_id"]
        for one in other.call("GET", "/v2/cloudimages").json["images"]
    }
    assert seen == {moved: "0", made: "0"}
    assert owner.call("DELETE", f"/v1.0/enterprise-projects/{ep}").status == 204
    # A right on another enterprise project of the account says nothing about them.
    ep = other.call("POST", "/v1.0/enterprise-projects", body=body).json["enterprise_project"]["id"]
    user = without_rights(other)
    me = user.call("GET", "/v3/auth/tokens", headers={"X-Subject-Token": user.token}).json
    user_id = me["token"]["user"]["id"]
    roles = other.call("GET", "/v3/roles", query=[("display_name", "IMS FullAccess")]).json["roles"]
    grant = f"/v3.0/OS-PERMISSION/enterprise-projects/{ep}/users/{user_id}/roles/{roles[0]['id']}"
    assert other.call("PUT", grant).status == 204
    for image in (made, moved):
        assert user.call("GET", f"/v2/images/{image}").status == 403
        assert user.call("DELETE", f"/v2/images/{image}").status == 403


def test_an_operator_acts_in_the_project_it_names_or_not_at_all(door: Door, owner: Tenant) -> None:
    private = owner.make(visibility="private")["id"]
    assert private in door.operator(owner.project).list()
    for named in ("x", "0" * 32, f"{owner.project}x", "' OR 1=1", str(uuid.uuid4())):
        answer = door.operator(named).call("GET", "/v2/images")
        assert answer.status == 403, (named, answer.text)
        assert private not in answer.text


def test_a_project_that_went_meanwhile_takes_no_image(
    door: Door, owner: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The enterprise project is looked at again where the image is made."""
    body = {"name": "ep", "description": "", "type": "prod"}
    ep = owner.call("POST", "/v1.0/enterprise-projects", body=body).json["enterprise_project"]["id"]
    url = _put(door, owner, "disk.raw")
    buckets = door.core.buckets
    opened = buckets.open

    def slow(account_id: str, name: str) -> Any:
        disable = update(enterprise_projects).where(enterprise_projects.c.id == ep)
        door.core.db.write(lambda connection: connection.execute(disable.values(enabled=False)))
        return opened(account_id, name)

    monkeypatch.setattr(buckets, "open", slow)
    creation = {"name": "x", "image_url": url, "min_disk": 1, "enterprise_project_id": ep}
    answer = owner.call("POST", "/v2/cloudimages/action", body=creation)
    assert (answer.status, answer.json["error"]["code"]) == (400, "IMG.0155")
    assert owner.call("GET", "/v2/cloudimages").json["images"] == []
    assert owner.call("GET", f"/v1/{owner.project}/jobs").json["jobs"] == []


FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "images.example:8443"}


def test_only_a_proxy_that_is_trusted_says_where_the_service_is(open_door: OpenDoor) -> None:
    believed, not_believed = open_door(trusted_proxies=["192.0.2.0/24"]), open_door()
    links = [
        door.call("GET", "/v3", headers=FORWARDED).json["version"]["links"][0]["href"]
        for door in (believed, not_believed)
    ]
    assert links == ["https://images.example:8443/v3/", "http://img.example/v3/"]
    for host in ("evil.example/x", 'a"b', "a b", "\xff\xfe", "a,b", "<script>", "me@evil.example"):
        for name in ("X-Forwarded-Host", "X-Forwarded-Proto"):
            answer = believed.call("GET", "/v3", headers=FORWARDED | {name: host})
            assert answer.status == 200, answer.text
            href = answer.json["version"]["links"][0]["href"]
            assert href in ("https://img.example/v3/", "http://images.example:8443/v3/"), href
            refused = believed.call("GET", "/v2/images", headers=FORWARDED | {name: host})
            assert refused.status == 401
            assert host not in refused.headers["www-authenticate"]
