# SPDX-License-Identifier: Apache-2.0
"""The command lines and libraries of OpenStack: create, list, show, download, delete.

Unmodified `openstack`, `glance`, openstacksdk and glanceclient on the shared service.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from openstack.exceptions import ForbiddenException

from tests import sdk
from tests.made_disks import make_disk, raw_bytes
from tests.people import fresh
from tests.service import Service
from tests.wire import Api


@pytest.mark.heavy
def test_the_openstack_command_makes_finds_downloads_and_deletes(
    service: Service, root: Api, tmp_path: Path
) -> None:
    disk = make_disk(tmp_path, "qcow2", seed=31)
    name = fresh("osc image")
    create = ["image", "create", name, "--disk-format", "qcow2", "--container-format", "bare"]
    create += ["--file", str(disk.path), "--property", "os_distro=debian", "--tag", "lts"]
    made = json.loads(sdk.openstack_cli(service, *create, "-f", "json"))
    assert made["name"] == name
    listed = json.loads(sdk.openstack_cli(service, "image", "list", "--name", name, "-f", "json"))
    assert [(image["ID"], image["Status"]) for image in listed] == [(made["id"], "active")]
    shown = json.loads(sdk.openstack_cli(service, "image", "show", name, "-f", "json"))
    assert shown["id"] == made["id"]
    assert shown["checksum"] == hashlib.md5(disk.path.read_bytes()).hexdigest()
    assert (shown["tags"], shown["properties"]["os_distro"]) == (["lts"], "debian")
    sdk.openstack_cli(service, "image", "set", name, "--min-disk", "5", "--private")
    assert root.native(made["id"])["min_disk"] == 5
    file = tmp_path / "saved"
    sdk.openstack_cli(service, "image", "save", "--file", file, name)
    assert file.read_bytes() == disk.path.read_bytes()
    sdk.openstack_cli(service, "image", "delete", name)
    assert root.call("GET", f"/v2/images/{made['id']}").status_code == 404


@pytest.mark.heavy
def test_the_glance_command_makes_shows_downloads_and_deletes(
    service: Service, root: Api, tmp_path: Path
) -> None:
    file = tmp_path / "disk.raw"
    file.write_bytes(raw_bytes())
    name = fresh("glance")
    create = ["image-create", "--name", name, "--disk-format", "raw", "--container-format", "bare"]
    sdk.glance_cli(service, *create, "--file", file, "--property", "colour=blue")
    (image,) = root.ok("GET", "/v2/images", params={"name": name})["images"]
    assert (image["status"], image["colour"]) == ("active", "blue")
    assert name in sdk.glance_cli(service, "image-list")
    assert image["checksum"] in sdk.glance_cli(service, "image-show", image["id"])
    sdk.glance_cli(service, "image-update", image["id"], "--name", f"{name} 2", "--min-ram", "64")
    assert root.native(image["id"])["name"] == f"{name} 2"
    copy = tmp_path / "copy"
    sdk.glance_cli(service, "image-download", image["id"], "--file", copy)
    assert copy.read_bytes() == file.read_bytes()
    sdk.glance_cli(service, "image-delete", image["id"])
    assert root.call("GET", f"/v2/images/{image['id']}").status_code == 404


@pytest.fixture(scope="module")
def cloud(service: Service) -> Any:
    with sdk.connection(service.credentials) as connected:
        yield connected


def test_openstacksdk_uploads_with_checks_and_repeats_nothing(cloud: Any, tmp_path: Path) -> None:
    file = tmp_path / "disk.raw"
    file.write_bytes(raw_bytes(seed=32))
    name = fresh("sdk")
    options = {"filename": str(file), "disk_format": "raw", "container_format": "bare"}
    made = cloud.image.create_image(name, validate_checksum=True, **options)
    assert cloud.image.get_image(made.id).status == "active"
    again = cloud.image.create_image(name, validate_checksum=True, **options)
    assert again.id == made.id, "the same content is not uploaded twice"
    cloud.image.delete_image(made.id, ignore_missing=False)
    assert cloud.image.find_image(name) is None


def test_openstacksdk_walks_pages_and_updates(cloud: Any) -> None:
    tag = fresh("page")
    ids = [cloud.image.create_image(f"{tag}-{n}", tags=[tag]).id for n in range(5)]
    found = [image.id for image in cloud.image.images(tag=tag, limit=2)]
    assert found == ids[::-1], "newest first, each once"
    changed = cloud.image.update_image(ids[0], name=f"{tag}-new", min_ram=128)
    assert (changed.name, changed.min_ram) == (f"{tag}-new", 128)
    for image_id in ids:
        cloud.image.delete_image(image_id)
    assert list(cloud.image.images(tag=tag)) == []


def test_openstacksdk_finds_nothing_under_strange_names(cloud: Any) -> None:
    for name in ("no such", "a/b", "ünïcode 名字", "%2e%2e", "x" * 300, "a?b#c"):
        assert cloud.image.find_image(name, ignore_missing=True) is None


def test_openstacksdk_reads_a_refusal(cloud: Any, root: Api) -> None:
    image_id = root.make(protected=True)
    with pytest.raises(ForbiddenException):
        cloud.image.delete_image(image_id)
    root.patch(image_id, {"op": "replace", "path": "/protected", "value": False})


def test_glanceclient_creates_updates_and_reads_its_own_answers(service: Service) -> None:
    images = sdk.glance(service.credentials).images
    made = images.create(
        name=fresh("library"), disk_format="raw", container_format="bare", tags=["t"], colour="blue"
    )
    images.upload(made.id, io.BytesIO(raw_bytes()))
    assert images.get(made.id).status == "active"
    changed = images.update(made.id, remove_props=["colour"], min_disk=2, shape="round")
    assert (changed.min_disk, changed.shape) == (2, "round")
    assert "colour" not in changed
    assert b"".join(images.data(made.id)) == raw_bytes()
    names = [image.id for image in images.list(filters={"name": made.name}, page_size=1)]
    assert names == [made.id]
    images.delete(made.id)
    assert list(images.list(filters={"name": made.name})) == []
