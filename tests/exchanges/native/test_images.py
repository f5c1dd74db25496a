# SPDX-License-Identifier: Apache-2.0
"""Create, show, list, update and delete through the gate (native.md 5, 6, 7, 8, 12)."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import pytest
from sqlalchemy import event, update

from calotype.db.tables.images import images
from tests.exchanges.native.conftest import OwnSite
from tests.exchanges.native.site import PATCH, Site, Tenant

V20 = "application/openstack-images-v2.0-json-patch"


def op(verb: str, path: str, *value: object) -> dict[str, object]:
    return {"op": verb, "path": path} | ({"value": value[0]} if value else {})


def test_an_empty_object_makes_an_image(anybody: Tenant) -> None:
    reply = anybody.call("POST", "/v2/images", body={})
    assert reply.status == 201
    made = reply.json
    assert reply.headers["Location"] == f"/v2/images/{made['id']}"
    assert reply.headers["OpenStack-image-import-methods"] == "glance-direct,copy-image"
    assert reply.headers["OpenStack-image-store-ids"] == "default"
    assert (made["status"], made["visibility"], made["owner"]) == (
        "queued",
        "shared",
        anybody.project,
    )
    assert (made["container_format"], made["disk_format"], made["size"]) == (None, None, None)
    shown = anybody.call("GET", f"/v2/images/{made['id'].upper()}")
    assert shown.json == made
    assert shown.headers["OpenStack-image-import-methods"] == "glance-direct,copy-image"
    schema = anybody.call("GET", "/v2/schemas/image").json
    jsonschema.validate(made, schema)


def test_what_a_creation_sets_comes_back(anybody: Tenant) -> None:
    chosen = str(uuid.uuid4())
    body = {
        "id": chosen.upper(), "name": "wéb", "visibility": "private", "protected": True,
        "os_hidden": True, "container_format": "bare", "disk_format": "qcow2", "min_disk": 1,
        "min_ram": None, "tags": ["b", "a", "a"], "kernel_id": None, "empty": "",
        "__description": "text", "hw_firmware_type": "uefi", "__os_version": "odd one",
        "__os_type": "Windows", "__imagetype": "gold", "virtual_env_type": "Ironic",
        "__os_feature_list": "{}", "os_shutdown_timeout": "never",
    }  # fmt: skip
    reply = anybody.call("POST", "/v2/images", body=body)
    assert reply.status == 201, reply.text
    made = reply.json
    assert (made["id"], made["min_ram"], made["tags"]) == (chosen, 0, ["a", "b"])
    kept = set(body) - {"__os_type", "__imagetype", "virtual_env_type"}
    for name in kept - {"id", "tags", "min_ram"}:
        assert made[name] == body[name]
    assert not {"__os_type", "__imagetype", "virtual_env_type"} & set(made)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": 1}, 400), ({"name": "x" * 256}, 400), ({"id": "x"}, 400), ({"id": None}, 400),
        ({"min_disk": "1"}, 400), ({"disk_format": "zvhd2"}, 400), ({"visibility": "x"}, 400),
        ({"tags": "x"}, 400), ({"x": 1}, 400), ({"metadata": "x"}, 400), ({"x" * 256: "y"}, 400),
        ({"": "y"}, 400), ({"__description": "a<b"}, 400), ({"protected": 1}, 400), ([], 400),
        ({"__os_type": 1}, 400), ({"__support_xen_hana": "true", "__support_kvm": "true"}, 400),
        ({"status": "active"}, 403), ({"checksum": "x"}, 403), ({"size": 1}, 403),
        ({"self": "x"}, 403), ({"locations": []}, 403), ({"deleted": True}, 403),
        ({"os_glance_x": "y"}, 403), ({"__unknown": "y"}, 403), ({"owner": "0" * 32}, 403),
        ({"visibility": "public"}, 403), ({f"p{index}": "" for index in range(129)}, 413),
        ({"tags": [str(index) for index in range(129)]}, 413),
    ],
)  # fmt: skip
def test_a_wrong_creation_is_refused(anybody: Tenant, body: object, status: int) -> None:
    assert anybody.call("POST", "/v2/images", body=body).status == status


def test_the_content_type_of_a_creation_matters(anybody: Tenant) -> None:
    for wanted, status in (("text/plain", 415), ("application/json; charset=utf-8", 201)):
        reply = anybody.call("POST", "/v2/images", body={}, headers={"Content-Type": wanted})
        assert reply.status == status


def test_an_id_is_used_once_for_ever_and_tells_nothing(tenant: Tenant, other: Tenant) -> None:
    made = tenant.make()
    texts = {tenant.call("POST", "/v2/images", body={"id": made["id"]}).text}
    texts.add(other.call("POST", "/v2/images", body={"id": made["id"]}).text)
    assert tenant.call("DELETE", f"/v2/images/{made['id']}").status == 204
    gone = other.call("POST", "/v2/images", body={"id": made["id"]})
    texts.add(gone.text)
    assert gone.status == 409
    assert len(texts) == 1


def test_fifty_parallel_creators_at_quota_ten_make_exactly_ten(own_site: OwnSite) -> None:
    tenant = own_site(images_per_project=10).tenant()
    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda _: tenant.call("POST", "/v2/images", body={}), range(50)))
    assert sorted(reply.status for reply in replies) == [201] * 10 + [413] * 40
    assert len(tenant.list(("limit", "100"))) == 10


def test_an_image_of_somebody_else_is_missing(tenant: Tenant, other: Tenant) -> None:
    made = tenant.make(visibility="private")
    path = f"/v2/images/{made['id']}"
    missing = f"/v2/images/{uuid.uuid4()}"
    for method, more in (
        ("GET", {}), ("DELETE", {}), ("PATCH", {"body": [], "headers": {"Content-Type": PATCH}}),
    ):  # fmt: skip
        seen = other.call(method, path, **more)
        assert seen.status == 404
        assert f"No image found with ID {made['id']}" in seen.text
        assert other.call(method, missing, **more).status == 404
    assert other.download(made["id"]).status == 404
    assert other.upload(made["id"], b"x").status == 404
    assert tenant.show(made["id"]) == made


def test_community_and_public_images_are_read_but_not_written_by_others(
    tenant: Tenant, other: Tenant, operator: Tenant
) -> None:
    community = tenant.make(visibility="community")["id"]
    public = operator.make(visibility="public")["id"]
    assert other.show(community)["visibility"] == "community"
    listed = other.list(("limit", "1000"))
    assert public in listed
    assert community not in listed
    assert community in other.list(("visibility", "community"), ("limit", "1000"))
    assert community in other.list(("visibility", "all"), ("limit", "1000"))
    for image_id in (community, public):
        assert other.patch(image_id, op("replace", "/name", "x")).status == 403
        assert other.call("DELETE", f"/v2/images/{image_id}").status == 403
    # leaving or deleting a public image is the operator's, although the project owns it
    assert tenant.patch(public, op("replace", "/visibility", "private")).status == 403
    assert tenant.call("DELETE", f"/v2/images/{public}").status == 403
    assert tenant.patch(community, op("replace", "/visibility", "public")).status == 403
    assert operator.call("DELETE", f"/v2/images/{public}").status == 204


def test_the_operator_sees_all_and_creates_for_others(
    tenant: Tenant, other: Tenant, operator: Tenant
) -> None:
    foreign = other.make(visibility="private", name="hidden from most")
    assert foreign["id"] in operator.list(("owner", other.project))
    given = operator.call("POST", "/v2/images", body={"owner": other.project})
    assert given.status == 201
    assert given.json["id"] in other.list()
    moved = operator.patch(foreign["id"], op("replace", "/owner", tenant.project))
    assert moved.status == 200
    assert foreign["id"] in tenant.list(("name", "hidden from most"))
    assert foreign["id"] not in other.list()
    for wrong in ("nobody", "", other.project + "0", None):
        assert operator.patch(foreign["id"], op("replace", "/owner", wrong)).status == 400
    assert operator.call("POST", "/v2/images", body={"owner": "nobody"}).status == 400


def test_a_patch_is_applied_in_order_and_all_or_nothing(anybody: Tenant) -> None:
    made = anybody.make()["id"]
    good = anybody.patch(
        made, op("replace", "/name", "web"), op("add", "/x", "1"), op("replace", "/x", "2")
    )
    assert good.status == 200
    assert (good.json["name"], good.json["x"]) == ("web", "2")
    bad = anybody.patch(made, op("replace", "/name", "no"), op("remove", "/absent"))
    assert bad.status == 409
    assert anybody.show(made)["name"] == "web"
    old = anybody.patch(made, {"remove": "/x"}, form=V20)
    assert old.status == 200
    assert "x" not in old.json


def test_a_patch_that_changes_nothing_does_not_move_the_time(anybody: Tenant) -> None:
    made = anybody.make(tags=["a"], name="x")
    for operations in ([], [op("replace", "/tags", ["a"]), op("replace", "/name", "x")]):
        reply = anybody.patch(made["id"], *operations)
        assert reply.status == 200
        assert reply.json == made


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        (op("replace", "/id", str(uuid.uuid4())), 403),
        (op("add", "/locations", []), 403),
        (op("add", "/os_glance_x", "y"), 403),
        (op("replace", "/owner", "0" * 32), 403),
        (op("remove", "/name"), 403),
        (op("replace", "/tags/-", "x"), 400),
        (op("add", "/x", 1), 400),
        (op("replace", "/absent", "x"), 409),
        (op("replace", "/tags", [str(index) for index in range(129)]), 413),
    ],
)
def test_wrong_operations_are_refused(anybody: Tenant, operation: object, status: int) -> None:
    assert anybody.patch(anybody.make()["id"], operation).status == status


def test_the_media_type_of_a_patch_matters(anybody: Tenant) -> None:
    made = anybody.make()["id"]
    reply = anybody.patch(made, form="application/json")
    assert reply.status == 415
    assert PATCH in reply.headers["Accept-Patch"]


def test_deleting_takes_a_body_and_gives_the_quota_back(tenant: Tenant) -> None:
    path = f"/v2/images/{tenant.make()['id']}"
    assert tenant.call("DELETE", path, body={"delete_backup": "yes"}).status == 400
    assert tenant.call("DELETE", path, body=[]).status == 400
    reply = tenant.call("DELETE", path, body={"delete_backup": True, "other": 1})
    assert (reply.status, reply.content) == (204, b"")
    assert "content-type" not in reply.headers
    assert tenant.call("DELETE", path).status == 404
    assert tenant.list() == []


def test_a_protected_image_stays(tenant: Tenant) -> None:
    made = tenant.make(protected=True)["id"]
    assert tenant.call("DELETE", f"/v2/images/{made}").status == 403
    assert tenant.patch(made, op("replace", "/protected", False)).status == 200
    assert tenant.call("DELETE", f"/v2/images/{made}").status == 204


def test_an_image_that_an_ims_job_holds_stays(site: Site, tenant: Tenant) -> None:
    made = tenant.make()["id"]
    hold = update(images).where(images.c.id == made).values(job_id="f" * 32)
    site.core.db.write(lambda conn: conn.execute(hold))
    assert tenant.call("DELETE", f"/v2/images/{made}").status == 409
    assert tenant.upload(made, b"x").status == 409
    assert tenant.patch(made, op("replace", "/disk_format", "qcow2")).status == 409
    assert tenant.patch(made, op("replace", "/name", "free")).status == 200


def test_pages_follow_each_other_by_their_links(tenant: Tenant) -> None:
    made = [tenant.make(name=f"n{index % 3}", tags=["t"])["id"] for index in range(7)]
    query = [("limit", "3"), ("tag", "t"), ("sort", "name:asc")]
    seen: list[str] = []
    path: str | None = "/v2/images"
    while path is not None:
        reply = tenant.call("GET", path, query=query)
        assert reply.status == 200
        seen += [one["id"] for one in reply.json["images"]]
        assert reply.json["first"] == "/v2/images?limit=3&tag=t&sort=name%3Aasc"
        assert reply.json["schema"] == "/v2/schemas/images"
        following = urlsplit(reply.json.get("next", ""))
        path = following.path or None
        query = parse_qsl(following.query)
    assert sorted(seen) == sorted(made)
    assert "next" not in reply.json
    last = tenant.call("GET", "/v2/images", query=[("marker", seen[-1]), ("sort", "name:asc")])
    assert (last.status, last.json["images"]) == (200, [])


@pytest.mark.parametrize(
    "query",
    [
        [("limit", "-1")], [("limit", "x")], [("marker", "x")], [("marker", str(uuid.uuid4()))],
        [("sort_key", "owner")], [("name", "gt:x")], [("size_min", "x")], [("visibility", "x")],
        [("member_status", "x")], [("changes-since", "x")], [("name", 'in:"x')],
    ],
)  # fmt: skip
def test_wrong_queries_are_refused(anybody: Tenant, query: list[tuple[str, str]]) -> None:
    assert anybody.call("GET", "/v2/images", query=query).status == 400


def test_filters_find_what_they_name(tenant: Tenant) -> None:
    web = tenant.make(name="web", os_distro="debian", tags=["lts", "x86"])["id"]
    tenant.make(name="db", os_distro="ubuntu", tags=["lts"])
    hidden = tenant.make(name="hidden", os_hidden=True)["id"]
    assert tenant.list(("name", "web")) == [web]
    assert tenant.list(("name", "in:web,none")) == [web]
    assert tenant.list(("os_distro", "debian")) == [web]
    assert tenant.list(("tag", "lts"), ("tag", "x86")) == [web]
    assert tenant.list(("os_hidden", "True")) == [hidden]
    assert len(tenant.list(("__os_type", "Linux"))) == 2
    assert len(tenant.list(("enterprise_project_id", "0"))) == 2
    assert tenant.list(("status", "nonsense")) == []
    assert tenant.list(("limit", "0")) == []


def test_v1_calls_show_the_same_image(tenant: Tenant) -> None:
    made = tenant.make(name="wéb", x="1", **{"odd name": "ü"})
    found = tenant.call("GET", "/v1.1/images/detail", query=[("name", "wéb")])
    assert found.status == 200
    (item,) = found.json["images"]
    assert (item["id"], item["size"], item["is_public"]) == (made["id"], 0, False)
    assert item["properties"] == {"x": "1", "odd name": "ü"}
    head = tenant.call("HEAD", f"/v1/images/{made['id']}")
    assert (head.status, head.content) == (200, b"")
    assert head.headers["X-Image-Meta-Id"] == made["id"]
    assert head.headers["X-Image-Meta-Name"] == "w%C3%A9b"
    assert head.headers["X-Image-Meta-Is_public"] == "False"
    assert head.headers["X-Image-Meta-Property-x"] == "1"
    assert "X-Image-Meta-Checksum" not in head.headers
    assert tenant.call("HEAD", f"/v1/images/{uuid.uuid4()}").status == 404
    for wrong in (("limit", "x"), ("is_public", "maybe"), ("sort_dir", "up"), ("size_min", "x")):
        assert tenant.call("GET", "/v1.1/images/detail", query=[wrong]).status == 400
    gone = tenant.call("DELETE", f"/v1.1/images/{made['id']}")
    assert (gone.status, gone.content) == (200, b"")
    assert tenant.call("GET", "/v1.1/images/detail").json == {"images": []}


def test_v11_shows_what_changed_later_than_a_moment_it_has_printed(tenant: Tenant) -> None:
    path, made = "/v1.1/images/detail", [tenant.make()["id"] for _ in range(3)]

    def changed_since(moment: str) -> set[str]:
        found = tenant.call("GET", path, query=[("changes-since", moment)]).json["images"]
        return {item["id"] for item in found}

    shown = {item["id"]: item["updated_at"] for item in tenant.call("GET", path).json["images"]}
    for number, one in enumerate(made):
        assert changed_since(shown[one]) == set(made[number + 1 :])
        assert changed_since(shown[one] + "Z") == set(made[number + 1 :])
    assert changed_since(shown[made[0]][:19]) == set(made)


def test_discovery_needs_no_credential(site: Site) -> None:
    for path, status in (
        ("/", 300),
        ("/versions", 200),
        ("/v2", 300),
        ("/v2.0", 300),
        ("/v1", 300),
    ):
        reply = site.call("GET", path)
        assert reply.status == status
        links = {one["links"][0]["href"] for one in reply.json["versions"]}
        assert links <= {"http://img.example/v2/", "http://img.example/v1"}
    assert site.call("GET", "/v9").status == 404
    assert site.call("GET", "/v2/images").status == 401


def count(site: Site, work: object) -> int:
    seen: list[str] = []

    def note(*args: object) -> None:
        seen.append(str(args[2]))

    for engine in site.core.db.engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        work()  # type: ignore[operator]  # a lambda of the test
    finally:
        for engine in site.core.db.engines:
            event.remove(engine, "before_cursor_execute", note)
    return sum(not text.startswith("BEGIN") for text in seen)


def test_requests_cost_few_statements(site: Site, anybody: Tenant) -> None:
    made = anybody.make()["id"]
    assert count(site, anybody.list) <= 2
    assert count(site, lambda: anybody.show(made)) <= 2
    assert count(site, lambda: anybody.make(name="x")) <= 4
