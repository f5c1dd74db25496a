# SPDX-License-Identifier: Apache-2.0
"""CLIENT-NEEDS 6, Must 31 to 51 as far as their operations exist: the native dialect.

Each test carries the number of its Must. 31 and 38 are also in journeys/test_both_dialects.py and
journeys/test_other_entrances.py; what belongs to import, members and metadefs comes with them.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import jsonschema
import pytest

from tests.made_disks import raw_bytes
from tests.people import Account, fresh
from tests.service import Service, until
from tests.wire import JSON, OCTETS, PATCH_21, Api, wait_a_second

READ_ONLY = {
    "__imagetype": "private",
    "__isregistered": "true",
    "__image_source_type": "uds",
    "__image_size": "0",
    "__os_type": "Linux",
    "__os_bit": "64",
    "__platform": "Other",
    "virtual_env_type": "FusionCompute",
    "enterprise_project_id": "0",
}


@pytest.fixture(scope="module")
def api(service: Service) -> Api:
    """The root user of an account of this file."""
    return Account.make(service).root


@pytest.fixture(scope="module")
def schema(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.ok("GET", "/v2/schemas/image")
    return found


def test_m31_no_string_appears_that_its_creator_did_not_write(api: Api) -> None:
    base = set(api.ok("POST", "/v2/images", {}))
    written = {"name": "x", "disk_format": "raw", "container_format": "bare", "os_distro": "d"}
    image_id = api.make(raw_bytes(), **written)
    added = {name for name in api.native(image_id) if name not in base | set(written)}
    assert added <= {"stores", "direct_url"}
    assert api.ims_images(id=image_id)[0]["virtual_env_type"] == "FusionCompute"


def test_m32_inherited_system_properties_are_accepted_and_dropped(api: Api) -> None:
    inherited = READ_ONLY | {"__os_version": "Ubuntu 22.04 server 64bit", "__description": "d"}
    made = api.ok("POST", "/v2/images", {"name": fresh("snapshot"), **inherited})
    assert not set(READ_ONLY) & set(made), "read-only ones are dropped"
    assert (made["__os_version"], made["__description"]) == (inherited["__os_version"], "d")
    (ims,) = api.ims_images(id=made["id"])
    assert (ims["__platform"], ims["__os_version"]) == ("Ubuntu", inherited["__os_version"])
    same = [{"op": "add", "path": f"/{name}", "value": ims[name]} for name in READ_ONLY]
    assert api.patch(made["id"], *same).status_code == 200
    changed = {"op": "add", "path": "/__os_type", "value": "Windows"}
    assert api.patch(made["id"], changed).status_code == 403


def test_m33_answers_of_create_and_update_validate_against_the_schema(
    api: Api, schema: dict[str, Any]
) -> None:
    validator = jsonschema.Draft4Validator(schema)
    made = api.ok("POST", "/v2/images", {"name": None, "tags": ["x"], "empty": ""})
    validator.validate(made)
    changed = api.patch(made["id"], {"op": "add", "path": "/kernel_id", "value": made["id"]})
    validator.validate(changed.json())
    api.ok("PATCH", "/v2/images/" + made["id"], content=b"[]", headers={"Content-Type": PATCH_21})
    validator.validate(api.native(api.make(raw_bytes())))


def test_m34_the_schema_has_what_clients_look_for(schema: dict[str, Any]) -> None:
    assert schema["name"] == "image"
    assert schema["additionalProperties"] == {"type": "string"}
    assert {link["rel"] for link in schema["links"]} == {"self", "enclosure", "describedby"}
    properties = schema["properties"]
    assert {"qcow2", "raw", "vhd", "vmdk"} <= set(properties["disk_format"]["enum"])
    custom = {name for name, each in properties.items() if each.get("is_base") is False}
    assert {"kernel_id", "ramdisk_id", "os_distro", "architecture"} <= custom
    assert not custom & {"id", "name", "status", "locations", "direct_url"}
    assert {"direct_url", "locations", "os_hash_value"} <= set(properties)


def test_m35_m36_the_last_page_has_no_next_and_repeats_the_filters(api: Api) -> None:
    tag = fresh("paged")
    for number in range(3):
        api.make(name=f"{tag} {number}", tags=[tag, "ä b"])
    params = {"limit": "2", "tag": [tag, "ä b"], "sort": "name:asc"}
    page = api.ok("GET", "/v2/images", params=params)
    assert page["next"].startswith("/v2/images?")
    assert (f"tag={tag}" in page["next"], "sort=name" in page["next"]) == (True, True)
    assert "first" in page
    last = api.ok("GET", page["next"])
    assert [image["name"] for image in last["images"]] == [f"{tag} 2"]
    assert "next" not in last
    after = api.ok("GET", "/v2/images", params=params | {"marker": last["images"][-1]["id"]})
    assert (after["images"], "next" in after) == ([], False)
    exact = api.ok("GET", "/v2/images", params={"tag": tag, "limit": "3"})
    assert len(exact["images"]) == 3
    assert "next" not in exact


@pytest.mark.parametrize("name", ["no such", "a/b", "名字", "x" * 500, "%", "a?b", "A" * 36])
def test_m37_anything_that_is_no_image_is_404(api: Api, name: str) -> None:
    answer = api.call("GET", "/v2/images/" + quote(name, safe=""))
    assert answer.status_code == 404
    assert "No image found with ID" in answer.text


def test_m38_m41_hashes_fit_and_chunked_bodies_of_any_client_are_taken(api: Api) -> None:
    content = raw_bytes(seed=61)

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(content), 50_001):
            yield content[start : start + 50_001]

    image_id = api.make()
    answer = api.upload(image_id, pieces(), Accept="", **{"X-OpenStack-Image-Size": "1048576"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert "Content-Type" not in answer.headers
    image = api.native(image_id)
    assert image["checksum"] == hashlib.md5(content).hexdigest()
    digest = hashlib.new(image["os_hash_algo"], content).hexdigest()
    assert image["os_hash_value"] == digest
    assert api.download(image_id).content == content
    other = api.make()
    wrong = api.upload(other, content, **{"X-OpenStack-Image-Size": "5"})
    assert (wrong.status_code, api.native(other)["status"]) == (400, "queued")


def test_m39_an_upload_shows_saving_and_then_active(api: Api) -> None:
    image_id = api.make()
    seen: list[str] = []

    def slow() -> Iterator[bytes]:
        yield raw_bytes()
        for _ in until(20, 0.02):
            status = Api(api.base_url, api.token, api.project_id).native(image_id)["status"]
            seen.append(status)
            if status == "saving":
                break
        yield b"\0" * 512

    assert api.upload(image_id, slow()).status_code == 204
    assert set(seen) <= {"queued", "saving"}
    assert api.native(image_id)["status"] == "active"


def test_m42_nothing_makes_an_empty_image_except_a_raw_one_on_purpose(api: Api) -> None:
    empty = api.make()
    assert api.upload(empty, b"").status_code == 204
    assert (api.native(empty)["status"], api.native(empty)["size"]) == ("active", 0)
    other = api.make(disk_format="qcow2")
    assert api.upload(other, b"").status_code == 400
    broken = api.make()
    break_off(api, f"/v2/images/{broken}/file")
    for _ in until(20, 0.05):
        if api.native(broken)["status"] == "queued":
            break
    assert api.upload(broken, b"").status_code == 400
    assert api.native(broken)["status"] == "queued"
    assert api.upload(broken, raw_bytes()).status_code == 204


def break_off(api: Api, path: str) -> None:
    """Start an upload and close the connection in the middle of it."""
    place = urlsplit(api.base_url)
    assert place.hostname
    head = f"PUT {path} HTTP/1.1\r\nHost: {place.netloc}\r\nX-Auth-Token: {api.token}\r\n"
    head += f"Content-Type: {OCTETS}\r\nContent-Length: 1048576\r\n\r\n"
    image_id = path.split("/")[3]
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall(head.encode() + raw_bytes()[:300_000])
        for _ in until(20, 0.02):
            if api.native(image_id)["status"] == "saving":
                break


@pytest.mark.parametrize("version", ["v2.1", "v2.0"])
def test_m43_an_empty_patch_changes_nothing_not_even_the_time(api: Api, version: str) -> None:
    image_id = api.make()
    before = api.native(image_id)
    wait_a_second()
    media = {"Content-Type": f"application/openstack-images-{version}-json-patch"}
    answer = api.call("PATCH", f"/v2/images/{image_id}", content=b"[]", headers=media)
    assert (answer.status_code, answer.json()) == (200, before)


def test_m44_replace_of_a_null_base_attribute_and_of_the_same_tags_succeeds(api: Api) -> None:
    image_id = api.ok("POST", "/v2/images", {"tags": ["a"]})["id"]
    answer = api.patch(
        image_id,
        {"op": "replace", "path": "/name", "value": "now"},
        {"op": "replace", "path": "/disk_format", "value": "raw"},
        {"op": "replace", "path": "/tags", "value": ["a"]},
    )
    assert answer.status_code == 200, answer.text
    assert (answer.json()["name"], answer.json()["disk_format"]) == ("now", "raw")


def test_m45_a_queued_image_says_how_it_can_be_filled(api: Api) -> None:
    answer = api.call("POST", "/v2/images", {})
    shown = api.call("GET", f"/v2/images/{answer.json()['id']}")
    for each in (answer, shown):
        assert "OpenStack-image-store-ids" in each.headers
        assert "OpenStack-image-import-methods" in each.headers
    assert answer.headers["Location"] == f"/v2/images/{answer.json()['id']}"


def test_m47_a_property_named_metadata_is_refused(api: Api) -> None:
    assert api.call("POST", "/v2/images", {"metadata": "x"}).status_code == 400


@pytest.mark.parametrize("media", [JSON, "application/json;charset=UTF-8", OCTETS, "text/x", None])
def test_m49_without_a_body_any_content_type_is_fine(api: Api, media: str | None) -> None:
    headers = {"Content-Type": media} if media else {}
    image_id = api.make()
    assert api.call("GET", f"/v2/images/{image_id}", headers=headers).status_code == 200
    assert api.call("GET", "/v2/images", headers=headers).status_code == 200
    assert api.call("GET", "/v2/cloudimages", headers=headers).status_code == 200
    assert api.call("DELETE", f"/v2/images/{image_id}", headers=headers).status_code == 204


def test_m49_delete_takes_a_json_body(api: Api) -> None:
    image_id = api.make()
    path = f"/v2/images/{image_id}"
    assert api.call("DELETE", path, {"delete_backup": "yes"}).status_code == 400
    assert api.call("DELETE", path, {"delete_backup": True, "other": 1}).status_code == 204


def test_m50_custom_properties_come_back_byte_for_byte(api: Api) -> None:
    properties = {
        "empty": "",
        "spaces": "  two  ",
        "unicode": "名字 ü \U0001f600",
        "quotes": "\"'<>&\\",
        "long": "x" * 60_000,
        "lines": "a\nb\r\nc\t",
        "Case/Slash ~": "kept",
    }
    image_id = api.ok("POST", "/v2/images", properties)["id"]
    shown = api.native(image_id)
    assert {name: shown[name] for name in properties} == properties


def test_m51_versions_are_listed_for_the_command_line(api: Api) -> None:
    answer = api.call("GET", "/versions")
    assert answer.status_code == 200
    ids = [version["id"] for version in answer.json()["versions"]]
    assert ids[0] == "v2.18"
    assert {"v2.0", "v2.12", "v2.17", "v1.1", "v1.0"} <= set(ids)
