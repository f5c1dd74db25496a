# SPDX-License-Identifier: Apache-2.0
"""Changing images: the patch of each dialect, and moves between enterprise projects.

The rules are ims.md ims.update, native.md 7 and iam.md 4.3.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.made_disks import raw_bytes
from tests.people import Account, fresh
from tests.wire import Api, ims_error

JSON_TYPES = ["application/json", "application/json;charset=UTF-8", "application/json-patch+json"]


@pytest.fixture(scope="module")
def image_id(root: Api) -> str:
    """An active image that the tests of this file change."""
    return root.make(raw_bytes(), name=fresh("changed"))


def update(api: Api, image_id: str, *operations: dict[str, Any]) -> Any:
    return api.call("PATCH", f"/v2/cloudimages/{image_id}", list(operations))


def test_the_ims_patch_changes_what_the_native_dialect_shows(root: Api, image_id: str) -> None:
    name = fresh("new name").replace("-", " ")
    answer = update(
        root,
        image_id,
        {"op": "replace", "path": "/name", "value": name},
        {"op": "add", "path": "/__description", "value": "first"},
        {"op": "replace", "path": "/__description", "value": "second"},
        {"op": "add", "path": "/min_ram", "value": 512},
        {"op": "replace", "path": "/max_ram", "value": 4096},
        {"op": "add", "path": "/__support_kvm", "value": "true"},
        {"op": "add", "path": "/colour", "value": "blue"},
    )
    assert answer.status_code == 200, answer.text
    ims = answer.json()
    assert (ims["name"], ims["__description"], ims["min_ram"]) == (name, "second", 512)
    assert (ims["max_ram"], ims["__support_kvm"], ims["colour"]) == ("4096", "true", "blue")
    assert ims == root.ims_images(id=image_id)[0]
    native = root.native(image_id)
    assert (native["name"], native["min_ram"], native["colour"]) == (name, 512, "blue")


@pytest.mark.parametrize("media", JSON_TYPES)
def test_the_ims_patch_takes_each_json_media_type(root: Api, image_id: str, media: str) -> None:
    answer = root.call(
        "PATCH", f"/v2/cloudimages/{image_id}", content=b"[]", headers={"Content-Type": media}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"] == image_id


def test_the_native_patch_changes_what_the_ims_dialect_shows(root: Api, image_id: str) -> None:
    answer = root.patch(
        image_id,
        {"op": "replace", "path": "/name", "value": "from native"},
        {"op": "replace", "path": "/min_disk", "value": 3},
        {"op": "add", "path": "/hw~1disk", "value": "scsi"},
        {"op": "replace", "path": "/tags", "value": ["b", "a", "a"]},
        {"op": "replace", "path": "/visibility", "value": "private"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json() == root.native(image_id)
    assert answer.json()["hw/disk"] == "scsi"
    image = root.ims_images(id=image_id)[0]
    assert (image["name"], image["min_disk"], image["tags"]) == ("from native", 3, ["a", "b"])
    assert (image["visibility"], image["__imagetype"]) == ("private", "private")


def test_the_old_native_patch_form_works_too(root: Api, image_id: str) -> None:
    media = {"Content-Type": "application/openstack-images-v2.0-json-patch"}
    content = b'[{"replace": "/name", "value": "old form"}, {"add": "/a", "value": "1"}]'
    answer = root.call("PATCH", f"/v2/images/{image_id}", content=content, headers=media)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["name"], answer.json()["a"]) == ("old form", "1")


def test_a_native_patch_is_all_or_nothing(root: Api, image_id: str) -> None:
    before = root.native(image_id)
    answer = root.patch(
        image_id,
        {"op": "replace", "path": "/name", "value": "half"},
        {"op": "replace", "path": "/no_such", "value": "x"},
    )
    assert answer.status_code == 409
    assert root.native(image_id) == before


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        ({"op": "replace", "path": "/id", "value": "x"}, 403),
        ({"op": "replace", "path": "/status", "value": "queued"}, 403),
        ({"op": "replace", "path": "/checksum", "value": "x"}, 403),
        ({"op": "add", "path": "/locations", "value": []}, 403),
        ({"op": "add", "path": "/os_glance_x", "value": "x"}, 403),
        ({"op": "add", "path": "/__unknown", "value": "x"}, 403),
        ({"op": "replace", "path": "/enterprise_project_id", "value": "1"}, 403),
        ({"op": "replace", "path": "/disk_format", "value": "qcow2"}, 403),
        ({"op": "replace", "path": "/owner", "value": "0" * 32}, 403),
        ({"op": "replace", "path": "/visibility", "value": "public"}, 403),
        ({"op": "replace", "path": "/visibility", "value": "secret"}, 400),
        ({"op": "add", "path": "/metadata", "value": "x"}, 400),
        ({"op": "add", "path": "/number", "value": 3}, 400),
        ({"op": "move", "path": "/name", "value": "x"}, 400),
        ({"op": "replace", "path": "name", "value": "x"}, 400),
        ({"op": "replace", "path": "/name/x", "value": "x"}, 400),
        ({"op": "replace", "path": "/min_ram", "value": -1}, 400),
        ({"op": "remove", "path": "/name"}, 403),
    ],
)
def test_a_native_patch_refuses_what_the_contract_keeps(
    root: Api, image_id: str, operation: dict[str, Any], status: int
) -> None:
    before = root.native(image_id)
    assert root.patch(image_id, operation).status_code == status
    assert root.native(image_id) == before


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ({"op": "replace", "path": "/status", "value": "queued"}, "IMG.0035"),
        ({"op": "replace", "path": "/min_disk", "value": 1}, "IMG.0035"),
        ({"op": "replace", "path": "/__no_such", "value": "x"}, "IMG.0035"),
        ({"op": "replace", "path": "/os_shutdown_timeout", "value": 61}, "IMG.0035"),
        ({"op": "add", "path": "/os_shutdown_timeout", "value": 59}, "IMG.0001"),
        ({"op": "add", "path": "/hw_firmware_type", "value": "efi"}, "IMG.0141"),
        ({"op": "replace", "path": "/min_ram", "value": "x"}, "IMG.0055"),
        ({"op": "replace", "path": "/name", "value": " x"}, "IMG.0003"),
        ({"op": "replace", "path": "/name", "value": ""}, "IMG.0013"),
        ({"op": "replace", "path": "/name", "value": "x" * 129}, "IMG.0002"),
        ({"op": "add", "path": "/__description", "value": "a<b"}, "IMG.0054"),
        ({"op": "add", "path": "/__description", "value": "x" * 1025}, "IMG.0004"),
        ({"op": "replace", "path": "/enterprise_project_id", "value": "no"}, "IMG.0155"),
        ({"op": "replace", "path": "/a/b", "value": "x"}, "IMG.0001"),
        ({"op": "test", "path": "/name", "value": "x"}, "IMG.0001"),
    ],
)
def test_an_ims_patch_refuses_with_its_code(
    root: Api, image_id: str, operation: dict[str, Any], code: str
) -> None:
    before = root.ims_images(id=image_id)
    assert ims_error(update(root, image_id, operation))[:2] == (400, code)
    assert root.ims_images(id=image_id) == before


def test_an_image_moves_between_enterprise_projects(account: Account) -> None:
    target = account.enterprise_project()
    image_id = account.root.make(raw_bytes())
    assert account.root.ims_images(id=image_id)[0]["enterprise_project_id"] == "0"
    moved = update(
        account.root,
        image_id,
        {"op": "replace", "path": "/enterprise_project_id", "value": target},
        {"op": "replace", "path": "/name", "value": "moved"},
    )
    assert moved.status_code == 200, moved.text
    assert (moved.json()["enterprise_project_id"], moved.json()["name"]) == (target, "moved")
    listed = [image["id"] for image in account.root.ims_images(enterprise_project_id=target)]
    assert listed == [image_id]
    assert account.root.ims_images(enterprise_project_id="0") == []
    unknown = "00000000-0000-4000-8000-000000000000"
    refused = update(
        account.root,
        image_id,
        {"op": "replace", "path": "/enterprise_project_id", "value": unknown},
    )
    assert ims_error(refused)[:2] == (400, "IMG.0155")


def test_the_ims_patch_needs_an_active_image(root: Api) -> None:
    queued = root.make()
    refused = update(root, queued, {"op": "replace", "path": "/name", "value": "x"})
    assert ims_error(refused)[:2] == (400, "IMG.0046")
