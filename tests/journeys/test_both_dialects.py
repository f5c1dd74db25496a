# SPDX-License-Identifier: Apache-2.0
"""One image, two dialects: every field in both, with the types that the strictest client needs.

Images are made by each entrance; their answers of create, list, show and update are checked with
the type table of CLIENT-NEEDS 4, and field by field against what was put in (values.md 6).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.made_disks import MIB, break_qcow2, make_disk, raw_bytes
from tests.people import Account, fresh
from tests.service import Service
from tests.type_table import check_ims, check_job, check_native
from tests.wire import Api

SAME = (
    "id",
    "name",
    "owner",
    "protected",
    "container_format",
    "disk_format",
    "min_disk",
    "min_ram",
    "size",
    "virtual_size",
    "checksum",
    "tags",
    "created_at",
    "updated_at",
    "file",
    "self",
    "schema",
)
NOT_STRINGS_IN_IMS = {"__whole_image", "__system_support_market"}


def ims_view(api: Api, image_id: str) -> dict[str, Any]:
    (found,) = api.ims_images(id=image_id)
    check_ims(found)
    return found


def native_view(api: Api, image_id: str) -> dict[str, Any]:
    shown = api.native(image_id)
    listed = api.ok("GET", "/v2/images", params={"id": image_id})["images"]
    assert listed == [shown], "list and show differ"
    check_native(shown)
    return shown


def test_an_imported_image_has_the_same_fields_in_both_dialects(
    service: Service, root: Api, tmp_path: Path
) -> None:
    disk = make_disk(tmp_path, "vmdk", 24 * MIB, seed=21)
    name = fresh("both")
    url = service.bucket_put(disk.path, f"in/{name}.vmdk")
    body = {
        "name": name,
        "image_url": url,
        "min_disk": 2,
        "min_ram": 1024,
        "max_ram": 4096,
        "os_version": "ubuntu 22.04 Server 64bit",
        "description": "",
        "image_tags": [{"key": "env", "value": "prod"}, {"key": "bare", "value": ""}],
        "hw_firmware_type": "uefi",
        "architecture": "arm",
        "is_config": True,
    }
    job_id = root.submit("/v2/cloudimages/action", body)
    check_job(root.job(job_id))
    image_id = root.done(job_id)["image_id"]
    check_job(root.job(job_id))
    ims, native = ims_view(root, image_id), native_view(root, image_id)
    content = root.download(image_id).content
    expected = {
        "name": name,
        "status": "active",
        "visibility": "private",
        "protected": False,
        "owner": root.project_id,
        "container_format": "bare",
        "disk_format": "qcow2",
        "min_disk": 2,
        "min_ram": 1024,
        "max_ram": "4096",
        "size": len(content),
        "virtual_size": disk.virtual_size,
        "checksum": hashlib.md5(content).hexdigest(),
        "tags": ["bare", "env=prod"],
        "enterprise_project_id": "0",
        "virtual_env_type": "FusionCompute",
        "hw_firmware_type": "uefi",
        "__imagetype": "private",
        "__isregistered": "true",
        "__image_source_type": "uds",
        "__image_size": str(len(content)),
        "__os_type": "Linux",
        "__os_version": "Ubuntu 22.04 server 64bit",
        "__platform": "Ubuntu",
        "__os_bit": "64",
        "__description": "",
        "__data_origin": f"file,{url}",
        "__root_origin": "file",
        "__support_arm": "true",
        "__is_config_init": "false",
    }
    assert {field: ims.get(field) for field in expected} == expected
    assert ims["active_at"] >= ims["created_at"]
    for field, value in ims.items():
        shown = value if field in SAME or field in ("status", "visibility") else str(value)
        assert native[field] == shown, field
    assert native["_sys_enterprise_project_id"] == "0"
    assert native["os_hash_value"] == hashlib.sha512(content).hexdigest()
    assert (native["os_hidden"], native["stores"]) == (False, "default")


def test_a_native_image_shows_natively_only_what_was_written_and_all_of_it_in_ims(
    root: Api,
) -> None:
    written: dict[str, Any] = {
        "name": fresh("native"),
        "disk_format": "raw",
        "container_format": "bare",
        "min_disk": 1,
        "min_ram": 5,
        "tags": ["x", "a=1"],
        "empty": "",
        "os_distro": "debian",
        "owner_specified.openstack.md5": "",
        "Mixed Case/Property": "kept",
    }
    made = root.ok("POST", "/v2/images", written)
    check_native(made)
    image_id = made["id"]
    assert made == root.native(image_id), "create and show differ"
    queued = ims_view(root, image_id)
    assert (queued["status"], queued["size"], queued["__image_size"]) == ("queued", 0, "0")
    assert (queued["checksum"], queued["visibility"]) == ("", "private")
    content = raw_bytes()
    assert root.upload(image_id, content).status_code == 204
    native, ims = native_view(root, image_id), ims_view(root, image_id)
    base = set(native) - set(written)
    assert {name for name in base if name.startswith("__")} == set()
    assert base.isdisjoint({"virtual_env_type", "enterprise_project_id", "hw_firmware_type"})
    written["tags"] = sorted(written["tags"])
    assert {field: native[field] for field in written} == written
    for field in SAME:
        assert ims[field] == native[field], field
    assert ims["__os_version"] == "Other Linux(64 bit)"
    assert (ims["__platform"], ims["__os_bit"]) == ("Other", "64")
    assert (ims["virtual_env_type"], ims["__root_origin"]) == ("FusionCompute", "file")
    assert "__data_origin" not in ims
    assert (ims["os_distro"], ims["empty"]) == ("debian", "")


def test_answers_of_updates_have_the_types_too(root: Api) -> None:
    image_id = root.make(raw_bytes(), name=fresh("types"))
    flags = {
        "/__support_kvm": True,
        "/__support_fc_inject": "true",
        "/__is_config_init": True,
        "/hw_vif_multiqueue_enabled": True,
        "/os_shutdown_timeout": 60,
        "/hw_firmware_type": "bios",
        "/max_ram": 0,
        "/free": 5,
        "/free2": True,
    }
    operations = [{"op": "add", "path": path, "value": value} for path, value in flags.items()]
    answer = root.ok("PATCH", f"/v2/cloudimages/{image_id}", operations)
    check_ims(answer)
    assert (answer["free"], answer["free2"]) == ("5", "true")
    assert answer["os_shutdown_timeout"] == "60"
    changed = root.patch(image_id, {"op": "replace", "path": "/min_ram", "value": 7})
    check_native(changed.json())
    assert changed.json() == native_view(root, image_id)


@pytest.mark.parametrize("more", [{}, {"disk_format": None}, {"name": None, "min_disk": None}])
def test_a_bare_native_row_has_all_types_in_both_dialects(root: Api, more: dict[str, Any]) -> None:
    made = root.ok("POST", "/v2/images", more)
    check_native(made)
    native_view(root, made["id"])
    image = ims_view(root, made["id"])
    assert (image["name"], image["container_format"]) == ("", "bare")
    assert (image["disk_format"], image["min_disk"]) == ("qcow2", 0)


def test_a_killed_image_has_all_types_in_both_dialects(account: Account, tmp_path: Path) -> None:
    # The look at submission reads the header only; that an L2 entry lies past the end shows later.
    disk = make_disk(tmp_path, "qcow2", 32 * MIB, seed=22)
    break_qcow2(disk.path)
    url = account.put(disk.path, account.bucket(), "broken.qcow2")
    body = {"name": "broken", "image_url": url, "min_disk": 1}
    job_id = account.root.submit("/v2/cloudimages/action", body)
    job = account.root.wait(job_id)
    check_job(job)
    assert (job["status"], job["error_code"]) == ("FAIL", "IMG.0057")
    image_id = job["entities"]["image_id"]
    assert ims_view(account.root, image_id)["status"] == "killed"
    check_native(account.root.native(image_id))
    listed = account.root.ok("GET", "/v2/images")["images"]
    assert listed == [], "a killed image is left out of native lists"
