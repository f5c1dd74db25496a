# SPDX-License-Identifier: Apache-2.0
"""CLIENT-NEEDS 6, Must 14 to 30 as far as their operations exist: the IMS dialect.

Each test carries the number of its Must; 20 is journeys/test_both_dialects.py. The request bodies
are those that the vendor's SDK and the two Terraform providers send (CLIENT-NEEDS 3).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.made_disks import MIB, break_qcow2, make_disk, raw_bytes
from tests.people import Account, fresh
from tests.service import Service
from tests.type_table import check_ims, check_job
from tests.wire import Api, ims_error, wait_a_second

CREATE = "/v2/cloudimages/action"


@pytest.fixture(scope="module")
def owner(service: Service) -> Account:
    """An account of this file."""
    return Account.make(service)


@pytest.fixture(scope="module")
def api(owner: Account) -> Api:
    return owner.root


@pytest.fixture(scope="module")
def url(owner: Account, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A raw disk in a bucket of the account."""
    file: Path = tmp_path_factory.mktemp("ims") / "disk.raw"
    file.write_bytes(raw_bytes())
    return owner.put(file, owner.bucket(), "dir/disk.raw")


@pytest.fixture(scope="module")
def active(api: Api) -> str:
    return api.make(raw_bytes(), name=fresh("active"))


def update(api: Api, image_id: str, *operations: dict[str, Any]) -> Any:
    return api.call("PATCH", f"/v2/cloudimages/{image_id}", list(operations))


def test_m14_an_image_is_listed_by_id_in_every_state_but_deleted(api: Api) -> None:
    image_id = api.make()
    assert [image["status"] for image in api.ims_images(id=image_id)] == ["queued"]
    api.upload(image_id, raw_bytes())
    assert [image["status"] for image in api.ims_images(id=image_id)] == ["active"]


def test_m15_an_unknown_or_deleted_id_is_an_empty_list(api: Api) -> None:
    image_id = api.make()
    assert api.call("DELETE", f"/v2/images/{image_id}", {"delete_backup": True}).status_code == 204
    for gone in (image_id, "no-such-id", "00000000-0000-4000-8000-000000000000"):
        assert api.ims_images(id=gone) == []
    assert image_id not in {image["id"] for image in api.ims_images()}


def test_m16_m17_marker_pages_end_in_an_empty_page_newest_first(service: Service) -> None:
    api = Account.make(service).root
    made = [api.make(name=f"page {number}") for number in range(7)]
    assert [image["id"] for image in api.ims_images()] == made[::-1]
    native = api.ok("GET", "/v2/images")["images"]
    assert [image["id"] for image in native] == made[::-1]
    seen: list[str] = []
    page = api.ims_images(limit=3)
    for _ in range(10):
        seen += [image["id"] for image in page]
        if not page:
            break
        page = api.ims_images(limit=3, marker=seen[-1])
    assert seen == made[::-1]
    assert api.call("GET", "/v2/cloudimages?limit=3&marker=" + made[0]).json() == {"images": []}


def test_m18_all_granted_enterprise_projects_and_0(owner: Account, active: str) -> None:
    for value in ("all_granted_eps", "0", ""):
        found = owner.root.ims_images(enterprise_project_id=value)
        assert active in {image["id"] for image in found}, value
    answer = owner.root.call("GET", "/v2/cloudimages?enterprise_project_id=nope")
    assert ims_error(answer)[:2] == (400, "IMG.0155")


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        ({"__imagetype": "gold"}, False),
        ({"__imagetype": "private"}, True),
        ({"virtual_env_type": "FusionCompute"}, True),
        ({"virtual_env_type": "DataImage"}, False),
        ({"__platform": "Other"}, True),
        ({"__platform": "Ubuntu"}, False),
        ({"architecture": "x86"}, True),
        ({"architecture": "arm"}, False),
        ({"__whole_image": "true"}, False),
        ({"__whole_image": "false"}, True),
        ({"tag": "colour=blue"}, True),
        ({"tag": "colour"}, False),
        ({"sort_key": "name", "sort_dir": "asc"}, True),
        ({"sort_key": "size", "sort_dir": "desc"}, True),
        ({"size_min": "1048576", "size_max": "1048576"}, True),
        ({"size_min": "1048577"}, False),
        ({"status": "active", "visibility": "private", "protected": "False"}, True),
        ({"unknown_parameter": "x", "owner": ""}, True),
        ({"__os_type": "Linux", "__os_bit": "64", "__support_arm": "false"}, True),
        ({"hw_firmware_type": "bios"}, True),
        ({"disk_format": "raw", "container_format": "bare", "min_disk": "0"}, True),
        ({"created_at": "gt:2026-01-01T00:00:00Z"}, True),
        ({"updated_at": "lt:2020-01-01T00:00:00Z"}, False),
    ],
)
def test_m19_filters_of_clients_are_accepted(
    api: Api, filters: dict[str, str], shown: bool
) -> None:
    image_id = api.make(raw_bytes(), name=fresh("filter"), tags=["colour=blue"])
    found = {image["id"] for image in api.ims_images(**filters)}
    assert (image_id in found) is shown
    assert api.call("DELETE", f"/v2/images/{image_id}").status_code == 204


def test_m19_a_flavor_without_a_table_is_a_400_and_a_page_holds_500(api: Api) -> None:
    assert ims_error(api.call("GET", "/v2/cloudimages?flavor_id=x"))[:2] == (400, "IMG.0192")
    assert api.call("GET", "/v2/cloudimages?limit=1000").status_code == 200
    assert ims_error(api.call("GET", "/v2/cloudimages?limit=1001"))[:2] == (400, "IMG.0017")


@pytest.mark.parametrize("media", ["application/json", "application/json;charset=UTF-8"])
def test_m21_a_patch_as_plain_json_answers_the_full_image(
    api: Api, active: str, media: str
) -> None:
    content = b'[ {"op": "replace", "path": "/name", "value": "as json"} ]'
    headers = {"Content-Type": media}
    answer = api.call("PATCH", f"/v2/cloudimages/{active}", content=content, headers=headers)
    assert answer.status_code == 200
    check_ims(answer.json())
    assert answer.json() == api.ims_images(id=active)[0]


@pytest.mark.parametrize("value", [1024, "1024"])
def test_m22_replace_of_an_absent_attribute_asks_for_add_except_for_memory(
    api: Api, value: object
) -> None:
    image_id = api.make(raw_bytes())
    described = {"op": "replace", "path": "/__description", "value": "x"}
    assert ims_error(update(api, image_id, described))[:2] == (400, "IMG.0035")
    assert update(api, image_id, described | {"op": "add"}).status_code == 200
    assert update(api, image_id, described | {"value": "y"}).json()["__description"] == "y"
    for name in ("max_ram", "min_ram"):
        answer = update(api, image_id, {"op": "replace", "path": f"/{name}", "value": value})
        assert answer.status_code == 200, answer.text
    assert (answer.json()["min_ram"], answer.json()["max_ram"]) == (1024, "1024")


def test_m23_max_ram_is_digits_and_0_removes_the_limit(api: Api, active: str) -> None:
    set_to = {"op": "replace", "path": "/max_ram", "value": 8192}
    assert update(api, active, set_to).json()["max_ram"] == "8192"
    assert update(api, active, set_to | {"value": 0}).json()["max_ram"] == "0"
    over = [set_to | {"value": 0}, {"op": "replace", "path": "/min_ram", "value": 9000}]
    assert update(api, active, *over).status_code == 200


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (
            CREATE,
            {
                "description": "",
                "image_tags": [{"key": "k", "value": "v"}],
                "architecture": "x86",
                "hw_firmware_type": "uefi",
                "is_quick_import": False,
                "is_config": True,
                "type": "ECS",
                "enterprise_project_id": "",
                "max_ram": 0,
                "min_ram": 0,
                "os_version": "Ubuntu 22.04 server 64bit",
                "data_images": [],
                "tags": [],
                "cmk_id": None,
            },
        ),
        (
            "/v2/cloudimages/quickimport/action",
            {
                "description": "",
                "os_version": "Ubuntu 22.04 server 64bit",
                "license_type": None,
                "type": "ECS",
                "architecture": "x86",
                "hw_firmware_type": "bios",
                "enterprise_project_id": "0",
                "image_tags": [],
            },
        ),
        (
            "/v1/cloudimages/dataimages/action",
            {"description": "", "os_type": "Linux", "tags": [], "enterprise_project_id": "0"},
        ),
    ],
)
def test_m24_empty_optional_members_are_no_unknown_fields(
    api: Api, url: str, path: str, more: dict[str, Any]
) -> None:
    name = fresh("optional")
    job_id = api.submit(path, {"name": name, "image_url": url, "min_disk": 1, **more})
    assert api.done(job_id)["image_name"] == name
    assert api.ims_images(name=name)[0]["__description"] == ""


def test_m24_members_of_other_kinds_are_known_although_their_backend_is_missing(api: Api) -> None:
    server = {"name": "x", "instance_id": "11111111-2222-4333-8444-555555555555"}
    whole = {"name": "x", "backup_id": "11111111-2222-4333-8444-555555555555"}
    whole |= {"vault_id": "11111111-2222-4333-8444-555555555556", "whole_image_type": "CBR"}
    volumes = {"data_images": [{"name": "d", "volume_id": server["instance_id"]}]}
    for path, body in (
        (CREATE, server | {"type": "ECS", "enterprise_project_id": "0", "description": ""}),
        (CREATE, volumes),
        ("/v1/cloudimages/wholeimages/action", whole),
    ):
        assert ims_error(api.call("POST", path, body))[:2] == (400, "IMG.0105"), path


def test_m25_m26_the_origin_is_the_url_as_sent_and_arm_is_told(api: Api, url: str) -> None:
    arm, x86 = (
        api.ims_images(id=api.import_file(url, fresh("origin"), architecture=word))[0]
        for word in ("arm", "x86")
    )
    assert arm["__data_origin"] == f"file,{url}"
    assert arm["__data_origin"].count(",") == 1
    assert arm["__support_arm"] == "true"
    assert x86.get("__support_arm") != "true"
    body = {"name": "x", "image_url": url.replace("disk.raw", "di,sk.raw"), "min_disk": 1}
    assert ims_error(api.call("POST", CREATE, body))[:2] == (400, "IMG.0075")


def test_m27_m28_m29_a_job_can_be_read_at_once_and_ends_with_a_listed_image(
    api: Api, url: str
) -> None:
    body = {"name": fresh("job"), "image_url": url, "min_disk": 1, "tags": ["a.b", "c"]}
    answer = api.call("POST", CREATE, body)
    assert answer.status_code == 200
    assert set(answer.json()) == {"job_id"}
    job_id = answer.json()["job_id"]
    check_job(api.job(job_id))
    entities = api.done(job_id)
    check_job(api.job(job_id))
    (image,) = api.ims_images(id=entities["image_id"])
    assert (image["status"], image["tags"]) == ("active", ["a=b", "c"])


def test_m28_a_failed_job_says_why_in_strings(owner: Account, api: Api, tmp_path: Path) -> None:
    disk = make_disk(tmp_path, "qcow2", 8 * MIB)
    break_qcow2(disk.path)
    bad = owner.put(disk.path, owner.bucket(), "bad.qcow2")
    job = api.wait(api.submit(CREATE, {"name": "bad", "image_url": bad, "min_disk": 1}))
    check_job(job)
    assert (job["status"], job["error_code"]) == ("FAIL", "IMG.0057")
    assert job["fail_reason"].split(":")[0] in ("CORRUPT", "TRUNCATED")
    assert job["entities"]["error_code"] == job["error_code"]
    assert job["entities"]["error"] == job["fail_reason"]


def test_m43_an_empty_ims_patch_changes_nothing_not_even_the_time(api: Api, active: str) -> None:
    (before,) = api.ims_images(id=active)
    wait_a_second()
    answer = update(api, active)
    assert (answer.status_code, answer.json()) == (200, before)


def test_m59_terraform_huaweicloud_plans_nothing_after_apply(api: Api, url: str) -> None:
    """The calls of `ims_obs_system_image`: create, poll, read, update each attribute, read."""
    body = {
        "name": fresh("tf"),
        "image_url": url,
        "min_disk": 1,
        "description": "",
        "os_version": "Ubuntu 22.04 server 64bit",
        "is_config": False,
        "image_tags": [{"key": "env", "value": "prod"}],
        "enterprise_project_id": "0",
    }
    image_id = api.done(api.submit(CREATE, body))["image_id"]

    def read() -> dict[str, Any]:
        (image,) = api.ims_images(id=image_id, enterprise_project_id="all_granted_eps")
        check_ims(image)
        return image

    image = read()
    assert image["__data_origin"].split(",") == ["file", url]
    assert (image["__os_version"], image["min_disk"]) == (body["os_version"], 1)
    assert (image.get("__description", ""), image["enterprise_project_id"]) == ("", "0")
    assert image["tags"] == ["env=prod"]
    for path, value in (("/name", "tf-renamed"), ("/__description", "d"), ("/max_ram", 4096)):
        operation = {"op": "replace", "path": path, "value": value}
        answer = update(api, image_id, operation)
        if answer.status_code == 400:
            assert answer.json()["error"]["code"] == "IMG.0035"
            answer = update(api, image_id, operation | {"op": "add"})
        assert answer.status_code == 200, answer.text
    image = read()
    assert (image["name"], image["__description"]) == ("tf-renamed", "d")
    assert (image["max_ram"], image["min_ram"]) == ("4096", 0)
    assert read() == image
