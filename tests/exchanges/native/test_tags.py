# SPDX-License-Identifier: Apache-2.0
"""Tags, deactivation and reactivation of one image through the gate (native.md 4, 15, 17)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from tests.exchanges.native.conftest import OwnSite
from tests.exchanges.native.site import Reply, Tenant


def tag(who: Tenant, method: str, image_id: str, text: str, **more: object) -> Reply:
    return who.call(method, f"/v2/images/{image_id}/tags/{quote(text, safe='')}", **more)


def act(who: Tenant, image_id: str, word: str, **more: object) -> Reply:
    return who.call("POST", f"/v2/images/{image_id}/actions/{word}", **more)


@pytest.mark.parametrize("text", ["lts", "a=1", "a b", "ümläut", "x/y", "100%", "日" * 255])
def test_a_tag_comes_and_goes_exactly_as_given(anybody: Tenant, text: str) -> None:
    image_id = anybody.make(tags=["a=2"])["id"]
    added = tag(anybody, "PUT", image_id, text)
    assert (added.status, added.content) == (204, b"")
    shown = anybody.show(image_id)
    assert shown["tags"] == sorted(["a=2", text])
    assert tag(anybody, "PUT", image_id, text).status == 204
    assert anybody.show(image_id) == shown, "the same tag again changes nothing"
    assert tag(anybody, "DELETE", image_id, text).status == 204
    assert anybody.show(image_id)["tags"] == ["a=2"]
    assert tag(anybody, "DELETE", image_id, text).status == 404


def test_a_new_tag_moves_updated_at_and_is_found(anybody: Tenant) -> None:
    image_id = anybody.make()["id"]
    assert tag(anybody, "PUT", image_id, "findme").status == 204
    assert anybody.list(("tag", "findme")) == [image_id]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_tags_are_refused_by_their_length_and_characters_and_take_no_body(
    anybody: Tenant, method: str
) -> None:
    image_id = anybody.make(tags=["kept"])["id"]
    for text in ("x" * 256, "a\nb", "\x7f"):
        assert tag(anybody, method, image_id, text).status == 400
    assert tag(anybody, method, image_id, "kept", body={}).status == 400
    assert anybody.show(image_id)["tags"] == ["kept"]


def test_only_the_owner_tags_an_image(tenant: Tenant, operator: Tenant, other: Tenant) -> None:
    private, public = tenant.make()["id"], operator.make(visibility="public")["id"]
    assert tag(other, "PUT", private, "x").status == 404
    assert tag(other, "PUT", public, "x").status == 403
    assert tag(other, "DELETE", public, "x").status == 403
    assert tag(operator, "PUT", private, "x").status == 204


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_parallel_tags_are_all_kept_up_to_the_limit(own_site: OwnSite, kind: str) -> None:
    tenant = own_site(kind, native_tags_per_image=4).tenant()
    image_id = tenant.make(tags=["first"])["id"]
    with ThreadPoolExecutor(4) as pool:
        work = pool.map(lambda text: tag(tenant, "PUT", image_id, text).status, "abcdef")
        statuses = sorted(work)
    assert statuses == [204] * 3 + [413] * 3
    assert len(tenant.show(image_id)["tags"]) == 4
    assert tag(tenant, "PUT", image_id, "first").status == 204, "nothing grows"


def test_a_deactivated_image_keeps_everything_but_gives_no_bytes(
    tenant: Tenant, operator: Tenant
) -> None:
    image_id = tenant.make()["id"]
    assert tenant.upload(image_id, b"content").status == 204
    active = tenant.show(image_id)
    assert act(tenant, image_id, "reactivate").status == 204
    assert tenant.show(image_id) == active, "already there: no change"
    assert act(tenant, image_id, "deactivate").status == 204
    locked = tenant.show(image_id)
    assert locked["status"] == "deactivated"
    same = set(active) - {"status", "updated_at"}
    assert {name: locked[name] for name in same} == {name: active[name] for name in same}
    assert tenant.download(image_id).status == 403
    assert operator.download(image_id).content == b"content"
    assert act(tenant, image_id, "deactivate").status == 204
    assert tenant.show(image_id) == locked
    assert act(tenant, image_id, "reactivate").status == 204
    assert tenant.download(image_id).content == b"content"


@pytest.mark.parametrize("word", ["deactivate", "reactivate"])
def test_an_image_without_bytes_is_neither(anybody: Tenant, word: str) -> None:
    image_id = anybody.make()["id"]
    assert act(anybody, image_id, word).status == 403
    assert act(anybody, image_id, word, body={}).status == 400
    assert act(anybody, "0" * 36, word).status == 404
    assert anybody.show(image_id)["status"] == "queued"


def test_only_the_owner_deactivates(tenant: Tenant, operator: Tenant, other: Tenant) -> None:
    image_id = operator.make(visibility="public")["id"]
    assert tenant.upload(image_id, b"x").status == 204
    assert act(other, image_id, "deactivate").status == 403
    assert tenant.show(image_id)["status"] == "active"
