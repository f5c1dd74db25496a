# SPDX-License-Identifier: Apache-2.0
"""Tags of one image as strings and as pairs, and the quota (contract ims.md, values.md 3)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from tests.exchanges.ims.answers import code
from tests.exchanges.native.conftest import OwnSite
from tests.exchanges.native.site import Reply, Site, Tenant


def put(who: Tenant, image_id: object, **body: object) -> Reply:
    return who.call("PUT", "/v1/cloudimages/tags", body={"image_id": image_id, **body})


def add(who: Tenant, image_id: str, tag: object) -> Reply:
    path = f"/v2/{who.project}/images/{image_id}/tags"
    return who.call("POST", path, body={"tag": tag})


def batch(who: Tenant, image_id: str, action: object, tags: object) -> Reply:
    path = f"/v2/{who.project}/images/{image_id}/tags/action"
    return who.call("POST", path, body={"action": action, "tags": tags})


def remove(who: Tenant, image_id: str, tags: object) -> Reply:
    path = f"/v1/{who.project}/cloudimages/{image_id}/tags/delete"
    return who.call("DELETE", path, body={"tags": tags})


def drop(who: Tenant, image_id: str, key: str) -> Reply:
    return who.call("DELETE", f"/v2/{who.project}/images/{image_id}/tags/{key}")


def pair(key: object, value: object = "") -> dict[str, object]:
    return {"key": key, "value": value}


def test_both_forms_of_a_tag_meet_in_one_store(anybody: Tenant) -> None:
    image_id = anybody.make()["id"]
    assert put(anybody, image_id.upper(), tag="env.prod").status == 204
    assert put(anybody, image_id, image_tag=pair(" web ", " ")).status == 204
    assert anybody.show(image_id)["tags"] == ["env=prod", "web"]
    path = f"/v2/{anybody.project}/images/{image_id}/tags"
    listed = anybody.call("GET", path)
    assert listed.json == {"tags": [pair("env", "prod"), pair("web")]}
    assert add(anybody, image_id, pair("env", "stage")).status == 204
    after = anybody.show(image_id)
    assert after["tags"] == ["env=stage", "web"], "a key has one value"
    assert add(anybody, image_id, pair("env", "stage")).status == 204
    assert anybody.show(image_id) == after, "the same pair again changes nothing"
    assert drop(anybody, image_id, "web").status == 204
    assert code(drop(anybody, image_id, "web")) == (404, "IMG.0121")
    assert anybody.show(image_id)["tags"] == ["env=stage"]


def test_native_strings_are_read_as_pairs(anybody: Tenant) -> None:
    strings = ["a=1", "a=2", "a=", "a", "=x", "k=v=w", "日本"]
    image_id = anybody.make(tags=strings)["id"]
    listed = anybody.call("GET", f"/v2/{anybody.project}/images/{image_id}/tags").json["tags"]
    assert [(one["key"], one["value"]) for one in listed] == [
        ("", "x"), ("a", ""), ("a", "1"), ("a", "2"), ("k", "v=w"), ("日本", ""),
    ]  # fmt: skip
    assert add(anybody, image_id, pair("a", "3")).status == 204
    assert anybody.show(image_id)["tags"] == sorted(["a=3", "=x", "k=v=w", "日本"])
    assert drop(anybody, image_id, "%E6%97%A5%E6%9C%AC").status == 204


def test_a_batch_creates_all_or_nothing(anybody: Tenant) -> None:
    image_id = anybody.make(tags=["old=1"])["id"]
    good = [pair("old", "2"), pair("new", "x"), pair("flag")]
    assert batch(anybody, image_id, "create", good).status == 204
    assert anybody.show(image_id)["tags"] == ["flag", "new=x", "old=2"]
    bad = [pair("more"), pair("bad|key")]
    assert code(batch(anybody, image_id, "create", bad)) == (400, "IMG.0115")
    many = [pair(f"k{number}") for number in range(8)]
    assert code(batch(anybody, image_id, "create", many)) == (400, "IMG.0116")
    assert anybody.show(image_id)["tags"] == ["flag", "new=x", "old=2"]


@pytest.mark.parametrize("how", ["batch", "remove"])
def test_removal_takes_what_matches_and_skips_the_rest(anybody: Tenant, how: str) -> None:
    def take(*tags: object) -> Reply:
        if how == "batch":
            return batch(anybody, image_id, "delete", list(tags))
        return remove(anybody, image_id, list(tags))

    image_id = anybody.make(tags=["a=1", "b=2", "c=3", "d", "e=5", "e=6"])["id"]
    assert take(pair("a", "other"), {"key": "nowhere"}, {"key": "a|*"}).status == 204
    assert len(anybody.show(image_id)["tags"]) == 6
    assert take(pair("a", "1"), {"key": "b"}, pair("c", None), pair("d")).status == 204
    assert anybody.show(image_id)["tags"] == ["e=5", "e=6"]
    assert take(pair("e", "6")).status == 204
    assert anybody.show(image_id)["tags"] == ["e=5"]
    same = anybody.show(image_id)
    assert take(pair("e", "6")).status == 204
    assert anybody.show(image_id) == same
    for tags in ([], None, "a", {}, [1]):
        body = {"tags": tags}
        wrong = (
            batch(anybody, image_id, "delete", tags)
            if how == "batch"
            else remove(anybody, image_id, tags)
        )
        assert code(wrong) == (400, "IMG.0001"), body
    for tags in (
        [pair("x"), pair("x", "2")],
        [pair("k" * 128)],
        [pair("k", "v" * 256)],
        [pair("")],
        [{"value": "v"}],
        [{"key": "k", "more": 1}],
        [pair(f"k{number}") for number in range(101)],
    ):
        assert code(take(*tags)) == (400, "IMG.0115"), tags
    assert code(take(pair("k", 5))) == (400, "IMG.0001")


def test_an_image_with_more_native_tags_can_still_replace_and_remove(anybody: Tenant) -> None:
    image_id = anybody.make(tags=[f"k{number}=0" for number in range(12)])["id"]
    assert code(add(anybody, image_id, pair("eleventh"))) == (400, "IMG.0116")
    assert code(put(anybody, image_id, tag="eleventh")) == (400, "IMG.0116")
    assert add(anybody, image_id, pair("k3", "new")).status == 204
    assert drop(anybody, image_id, "k0").status == 204
    assert len(anybody.show(image_id)["tags"]) == 11


BAD_PUTS: list[tuple[dict[str, Any], str]] = [
    ({}, "IMG.0001"),
    ({"tag": None, "image_tag": None}, "IMG.0001"),
    ({"tag": "a", "image_tag": pair("b")}, "IMG.0115"),
    ({"tag": "a b"}, "IMG.0115"),
    ({"tag": ""}, "IMG.0115"),
    ({"tag": "a=" + "b" * 44}, "IMG.0115"),
    ({"tag": 5}, "IMG.0001"),
    ({"image_tag": "a"}, "IMG.0001"),
    ({"image_tag": {"key": "a"}}, "IMG.0115"),
    ({"image_tag": {"key": "a", "value": 1}}, "IMG.0001"),
    ({"image_tag": {"key": "a", "value": "", "x": ""}}, "IMG.0115"),
    ({"image_tag": pair("k" * 37)}, "IMG.0115"),
    ({"image_tag": pair("k", "a/b")}, "IMG.0115"),
    ({"tag": "a", "other": 1}, "IMG.0001"),
]


@pytest.mark.parametrize(("body", "wanted"), BAD_PUTS)
def test_a_put_is_refused_with_the_code_of_its_field(
    anybody: Tenant, body: dict[str, Any], wanted: str
) -> None:
    image_id = anybody.make(tags=["kept"])["id"]
    assert code(put(anybody, image_id, **body)) == (400, wanted)
    assert anybody.show(image_id)["tags"] == ["kept"]


@pytest.mark.parametrize("tag", [None, "text", [], {}, {"key": "k"}])
def test_an_added_tag_is_a_pair(anybody: Tenant, tag: object) -> None:
    image_id = anybody.make()["id"]
    wanted = "IMG.0115" if isinstance(tag, dict) else "IMG.0001"
    assert code(add(anybody, image_id, tag)) == (400, wanted)
    assert code(batch(anybody, image_id, "CREATE", [pair("a")])) == (400, "IMG.0001")
    assert code(batch(anybody, image_id, "create", [])) == (400, "IMG.0001")


def test_missing_foreign_and_public_images_are_told_apart_by_place_and_right(
    anybody: Tenant, operator: Tenant, other: Tenant
) -> None:
    private, public = anybody.make()["id"], operator.make(visibility="public")["id"]
    for image_id in (private, str(uuid4())):
        assert code(put(other, image_id, tag="x")) == (400, "IMG.0027"), "named in the body"
        assert code(add(other, image_id, pair("x"))) == (404, "IMG.0027"), "named in the path"
        assert code(drop(other, image_id, "x")) == (404, "IMG.0027")
    assert code(put(other, public, tag="x")) == (403, "IMG.0026")
    assert code(remove(other, public, [pair("x")])) == (403, "IMG.0026")
    path = f"/v2/{other.project}/images/{public}/tags"
    assert code(other.call("GET", path)) == (403, "IMG.0026"), "owner only"
    assert code(put(other, "short", tag="x")) == (400, "IMG.0066")
    assert code(put(other, None, tag="x")) == (400, "IMG.0001")
    wrong = f"/v2/{anybody.project}/images/{public}/tags"
    assert code(other.call("GET", wrong)) == (400, "IMG.0030")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_parallel_changes_of_one_image_lose_nothing(own_site: OwnSite, kind: str) -> None:
    tenant = own_site(kind).tenant()
    image_id = tenant.make()["id"]
    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(add, tenant, image_id, pair(f"k{n}", "v")) for n in range(12)]
        statuses = sorted(one.result().status for one in work)
    assert statuses == [204] * 10 + [400] * 2
    assert len(tenant.show(image_id)["tags"]) == 10


def test_the_quota_counts_every_image_of_the_project(tenant: Tenant, site: Site) -> None:
    def quota() -> dict[str, Any]:
        reply = tenant.call("GET", "/v1/cloudimages/quota")
        assert reply.status == 200
        (found,) = reply.json["quotas"]["resources"]
        assert list(reply.json) == ["quotas"] and list(reply.json["quotas"]) == ["resources"]
        return dict(found)

    limit = site.core.settings.images_per_project
    nothing = {"type": "image", "used": 0, "quota": limit, "min": 1, "max": 1000}
    assert quota() == nothing
    image_id = tenant.make()["id"]
    assert quota() == nothing | {"used": 1}
    tenant.call("DELETE", f"/v2/images/{image_id}")
    assert quota() == nothing
