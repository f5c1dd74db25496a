# SPDX-License-Identifier: Apache-2.0
"""Members through the gate: who adds, answers, sees and removes them (native.md 5, 16; M48)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import jsonschema
import pytest

from tests.exchanges.native.conftest import OwnSite
from tests.exchanges.native.site import Reply, Site, Tenant


def add(owner: Tenant, image_id: str, member: object) -> Reply:
    return owner.call("POST", f"/v2/images/{image_id}/members", body={"member": member})


def answer(member: Tenant, image_id: str, status: object, of: str = "") -> Reply:
    path = f"/v2/images/{image_id}/members/{of or member.project}"
    return member.call("PUT", path, body={"status": status})


def members(who: Tenant, image_id: str) -> Reply:
    return who.call("GET", f"/v2/images/{image_id}/members")


def shared(owner: Tenant, *with_whom: Tenant) -> dict[str, Any]:
    made = owner.make()
    for one in with_whom:
        assert add(owner, made["id"], one.project).status == 200
    return made


def test_a_new_member_is_pending_and_its_record_has_the_published_form(
    tenant: Tenant, other: Tenant
) -> None:
    made = tenant.make()
    reply = add(tenant, made["id"], other.project)
    assert reply.status == 200
    record = reply.json
    assert (record["member_id"], record["image_id"]) == (other.project, made["id"])
    assert (record["status"], record["schema"]) == ("pending", "/v2/schemas/member")
    jsonschema.validate(record, tenant.call("GET", "/v2/schemas/member").json)
    path = f"/v2/images/{made['id']}/members"
    assert tenant.call("GET", f"{path}/{other.project}").json == record
    assert members(tenant, made["id"]).json == {
        "members": [record],
        "schema": "/v2/schemas/members",
    }


def test_a_project_id_is_one_member_in_each_of_its_forms(tenant: Tenant, other: Tenant) -> None:
    made = tenant.make()
    dashed = str(UUID(other.project)).upper()
    assert add(tenant, made["id"], dashed).json["member_id"] == other.project
    assert add(tenant, made["id"], other.project).status == 409
    assert tenant.call("GET", f"/v2/images/{made['id']}/members/{dashed}").status == 200
    assert answer(other, made["id"], "accepted", dashed).status == 200
    assert tenant.call("DELETE", f"/v2/images/{made['id']}/members/{dashed}").status == 204


def test_the_answer_of_a_member_decides_what_its_lists_show(tenant: Tenant, other: Tenant) -> None:
    image_id = shared(tenant, other)["id"]
    assert other.show(image_id)["id"] == image_id
    assert image_id not in other.list()
    assert image_id in other.list(("member_status", "pending"))
    for status, listed in (("accepted", True), ("rejected", False), ("pending", False)):
        reply = answer(other, image_id, status)
        assert (reply.status, reply.json["status"]) == (200, status)
        assert (image_id in other.list()) is listed
        assert other.show(image_id)["id"] == image_id
    first = answer(other, image_id, "accepted").json
    assert answer(other, image_id, "accepted").json == first


def test_a_member_sees_its_own_record_and_no_other(
    site: Site, tenant: Tenant, other: Tenant
) -> None:
    third = site.tenant()
    image_id = shared(tenant, other, third)["id"]
    found = members(other, image_id).json["members"]
    assert [one["member_id"] for one in found] == [other.project]
    own, foreign = (f"/v2/images/{image_id}/members/{one.project}" for one in (other, third))
    assert other.call("GET", own).status == 200
    assert other.call("GET", foreign).status == 404
    assert answer(other, image_id, "accepted", third.project).status == 404
    assert other.call("DELETE", own).status == 403, "a member leaves by rejecting"
    listed = [one["member_id"] for one in members(tenant, image_id).json["members"]]
    assert listed == [other.project, third.project], "in the order of adding"


def test_nobody_else_learns_of_members(site: Site, tenant: Tenant, other: Tenant) -> None:
    stranger = site.tenant()
    image_id = shared(tenant, other)["id"]
    for reply in (
        members(stranger, image_id),
        add(stranger, image_id, stranger.project),
        answer(stranger, image_id, "accepted"),
        stranger.call("DELETE", f"/v2/images/{image_id}/members/{other.project}"),
    ):
        assert reply.status == 404
        assert f"No image found with ID {image_id}" in reply.text
    assert add(other, image_id, stranger.project).status == 403
    assert answer(tenant, image_id, "accepted", other.project).status == 403


def test_the_owner_cannot_be_a_member_and_bodies_are_read_strictly(anybody: Tenant) -> None:
    image_id = anybody.make()["id"]
    bad = ("", None, 7, ["x"], "a" * 256, "a\x07b", anybody.project)
    assert [add(anybody, image_id, one).status for one in bad] == [400] * len(bad)
    path = f"/v2/images/{image_id}/members"
    assert anybody.call("POST", path, body=[]).status == 400
    assert anybody.call("POST", path, body={}).status == 400
    assert anybody.call("POST", path).status == 400
    missing = f"{path}/{'f' * 32}"
    assert anybody.call("GET", missing).status == 404
    assert anybody.call("DELETE", missing).status == 404
    assert anybody.call("PUT", missing, body={"status": "accepted"}).status == 404


@pytest.mark.parametrize("status", ["ACCEPTED", "", None, 1, "deleted"])
def test_a_status_is_one_of_three_words(tenant: Tenant, other: Tenant, status: object) -> None:
    image_id = shared(tenant, other)["id"]
    assert answer(other, image_id, status).status == 400
    record = members(tenant, image_id).json["members"][0]
    assert record["status"] == "pending"


def test_a_private_image_is_shared_by_its_first_member_and_private_after_its_last(
    tenant: Tenant, other: Tenant
) -> None:
    image_id = tenant.make(visibility="private")["id"]
    assert members(tenant, image_id).json["members"] == []
    assert add(tenant, image_id, other.project).status == 200
    assert tenant.show(image_id)["visibility"] == "shared"
    gone = tenant.call("DELETE", f"/v2/images/{image_id}/members/{other.project}")
    assert gone.status == 204
    assert tenant.show(image_id)["visibility"] == "private"
    assert other.call("GET", f"/v2/images/{image_id}").status == 404


def test_stored_members_see_nothing_while_the_image_is_private_and_again_later(
    tenant: Tenant, other: Tenant
) -> None:
    image_id = shared(tenant, other)["id"]
    replace = {"op": "replace", "path": "/visibility", "value": "private"}
    assert tenant.patch(image_id, replace).status == 200
    assert members(tenant, image_id).json["members"] == []
    assert other.call("GET", f"/v2/images/{image_id}").status == 404
    assert tenant.patch(image_id, replace | {"value": "shared"}).status == 200
    assert members(tenant, image_id).json["members"][0]["member_id"] == other.project
    assert other.show(image_id)["id"] == image_id


@pytest.mark.parametrize("visibility", ["community", "public"])
def test_images_that_everybody_sees_have_no_members(
    tenant: Tenant, operator: Tenant, other: Tenant, visibility: str
) -> None:
    image_id = operator.make(visibility=visibility)["id"]
    assert add(tenant, image_id, other.project).status == 403
    assert members(tenant, image_id).status == 403, "also for the owner"
    assert members(other, image_id).status == 403
    assert other.call("GET", f"/v2/images/{image_id}/members/{other.project}").status == 403
    assert answer(other, image_id, "accepted").status == 403


def test_the_operator_sees_and_changes_members_of_every_owner(
    site: Site, tenant: Tenant, other: Tenant
) -> None:
    image_id = shared(tenant, other)["id"]
    somebody = site.operator(site.tenant().project)
    assert len(members(somebody, image_id).json["members"]) == 1
    assert answer(somebody, image_id, "accepted", other.project).status == 200
    assert image_id in other.list()
    path = f"/v2/images/{image_id}/members/{other.project}"
    assert somebody.call("DELETE", path).status == 204


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_parallel_additions_stop_exactly_at_the_limit(own_site: OwnSite, kind: str) -> None:
    site = own_site(kind, members_per_image=3)
    tenant = site.tenant()
    image_id = tenant.make(visibility="private")["id"]
    wanted = [f"{number:032x}" for number in range(1, 9)]
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda one: add(tenant, image_id, one).status, wanted))
    assert sorted(replies) == [200] * 3 + [413] * 5
    assert len(members(tenant, image_id).json["members"]) == 3
    assert add(tenant, image_id, wanted[replies.index(200)]).status == 409


def test_members_stay_through_all_states_of_an_image(tenant: Tenant, other: Tenant) -> None:
    image_id = shared(tenant, other)["id"]
    assert answer(other, image_id, "accepted").status == 200
    assert tenant.upload(image_id, b"bytes").status == 204
    assert other.download(image_id).content == b"bytes"
    before = members(tenant, image_id).json
    assert tenant.call("POST", f"/v2/images/{image_id}/actions/deactivate").status == 204
    assert members(tenant, image_id).json == before
    assert other.download(image_id).status == 403
