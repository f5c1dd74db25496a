# SPDX-License-Identifier: Apache-2.0
"""What the deployment says of itself and of a project's use (native.md 10, 18, 21)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from calotype.images import quota
from tests.exchanges.native.conftest import OwnSite
from tests.exchanges.native.site import Site, Tenant

MIB = 1 << 20


def usage(who: Tenant) -> dict[str, Any]:
    reply = who.call("GET", "/v2/info/usage")
    assert reply.status == 200, reply.text
    found: dict[str, Any] = reply.json["usage"]
    return found


def test_import_methods_are_those_of_a_queued_image(own_site: OwnSite) -> None:
    for allowed, more in (([], []), (["any-public"], ["web-download"])):
        tenant = own_site(import_allow=allowed).tenant()
        found = tenant.call("GET", "/v2/info/import").json["import-methods"]
        assert found["value"] == ["glance-direct", "copy-image", *more]
        assert (found["type"], bool(found["description"])) == ("array", True)
        made = tenant.call("POST", "/v2/images", body={})
        assert made.headers["OpenStack-image-import-methods"] == ",".join(found["value"])


def test_one_store_is_a_list_of_one(anybody: Tenant) -> None:
    reply = anybody.call("GET", "/v2/info/stores")
    assert reply.json == {"stores": [{"id": "default", "default": "true"}]}


def test_stores_show_what_is_set_and_details_only_to_the_operator(
    own_site: OwnSite, tmp_path: Path
) -> None:
    stores = [
        {"id": "slow", "url": f"file://{tmp_path}/slow", "read_only": True, "description": "old"},
        {"id": "fast", "url": "s3://secret-bucket/inner", "default": True, "weight": 7},
        {"id": "os_glance_tasks_store", "url": f"file://{tmp_path}/tasks"},
    ]
    site = own_site(stores=stores)
    tenant = site.tenant()
    plain = [
        {"id": "slow", "description": "old", "read-only": "true"},
        {"id": "fast", "default": "true"},
    ]
    assert tenant.call("GET", "/v2/info/stores").json["stores"] == plain
    assert tenant.call("GET", "/v2/info/stores/detail").status == 403
    reply = site.operator(tenant.project).call("GET", "/v2/info/stores/detail")
    slow, fast = reply.json["stores"]
    assert slow == plain[0] | {
        "type": "file",
        "weight": 0,
        "properties": {"chunk_size": MIB, "thin_provisioning": True},
    }
    assert fast == plain[1] | {"type": "s3", "weight": 7, "properties": fast["properties"]}
    assert set(fast["properties"]) == {
        "s3_store_large_object_size",
        "s3_store_large_object_chunk_size",
        "s3_store_thread_pools",
    }
    assert all(type(value) is int and value > 0 for value in fast["properties"].values())
    assert "secret-bucket" not in reply.text and str(tmp_path) not in reply.text


def test_usage_counts_images_bytes_and_uploads_of_the_project(site: Site, tenant: Tenant) -> None:
    nothing = usage(tenant)
    assert nothing == {
        "image_size_total": {"usage": 0, "limit": -1},
        "image_stage_total": {"usage": 0, "limit": -1},
        "image_count_total": {"usage": 0, "limit": 500},
        "image_count_uploading": {"usage": 0, "limit": 40},
    }
    first, second = tenant.make()["id"], tenant.make()["id"]
    assert tenant.upload(first, b"x" * (2 * MIB + 5)).status == 204
    used = usage(tenant)
    assert (used["image_size_total"]["usage"], used["image_count_total"]["usage"]) == (2, 2)
    seen: list[int] = []

    def pieces() -> Any:
        yield b"part"
        seen.append(usage_while_uploading())
        yield b"rest"

    def usage_while_uploading() -> int:
        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(usage, tenant).result()
        return int(found["image_count_uploading"]["usage"])

    path = f"/v2/images/{second}/file"
    assert tenant.call("PUT", path, content=pieces()).status == 204
    assert seen == [1]
    assert usage(tenant)["image_count_uploading"]["usage"] == 0
    for one in (first, second):
        assert tenant.call("DELETE", f"/v2/images/{one}").status == 204
    assert usage(tenant) == nothing


def test_limits_of_the_operator_win_over_settings(own_site: OwnSite) -> None:
    site = own_site(bytes_per_project=5 * MIB + 1, staged_bytes_per_project=3 * MIB)
    tenant = site.tenant()
    found = usage(tenant)
    assert (found["image_size_total"]["limit"], found["image_stage_total"]["limit"]) == (5, 3)
    site.core.db.write(
        lambda conn: quota.set_limits(conn, tenant.project, images=7, stored=9 * MIB, staged=0)
    )
    found = usage(tenant)
    assert [one["limit"] for one in found.values()] == [9, 0, 7, 40]


@pytest.mark.parametrize("name", ["member", "members", "task", "tasks"])
def test_schemas_are_schemas(anybody: Tenant, name: str) -> None:
    schema = anybody.call("GET", f"/v2/schemas/{name}").json
    jsonschema.Draft4Validator.check_schema(schema)
    assert schema["name"] == name


def test_items_of_task_lists_lack_what_only_one_task_shows(anybody: Tenant) -> None:
    one = anybody.call("GET", "/v2/schemas/task").json
    many = anybody.call("GET", "/v2/schemas/tasks").json
    assert set(one) == {"name", "properties"}
    item = many["properties"]["tasks"]["items"]["properties"]
    assert set(one["properties"]) - set(item) == {"input", "result", "message"}
    assert many["links"] == [{"rel": "describedby", "href": "{schema}"}]


def test_information_needs_a_credential(site: Site) -> None:
    for path in ("import", "stores", "stores/detail", "usage"):
        assert site.call("GET", f"/v2/info/{path}").status == 401
