# SPDX-License-Identifier: Apache-2.0
"""People and projects of other accounts, the operator, and what proxies say (iam.md 4.1, 6)."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from sqlalchemy import update

from calotype.contract.loader import Operation, load_operations
from calotype.db.tables.iam import enterprise_projects
from tests.exchanges.native.site import PASSWORD, Reply, Tenant
from tests.security.asking import RAW, put, send, shown, without_rights
from tests.security.conftest import Door, OpenDoor

ROWS = [row for row in load_operations() if not row.planned]
PEOPLE = [
    row
    for row in ROWS
    if row.dialect in ("iam", "eps")
    and re.search(r"\{(user|group|role|access_key)_?i?d?", row.path)
]


@pytest.fixture
def door(house: Door) -> Door:
    return house


@pytest.fixture
def owner(door: Door) -> Tenant:
    return door.tenant()


@pytest.fixture
def other(door: Door) -> Tenant:
    return door.tenant()


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
    url = put(door, other, "disk.raw")
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
    url = put(door, owner, "disk.raw")
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
