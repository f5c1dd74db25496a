# SPDX-License-Identifier: Apache-2.0
"""The image as this dialect shows it: values.md 6 to 8, types of CLIENT-NEEDS 4."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.api.ims import shapes
from calotype.images.model import Image
from tests.type_table import check_ims
from tests.unit.images.making import ACCOUNT, ALICE, BOB, START, image

EP = "9b27efab-4a17-4c06-bfa2-3e0cf021d3c3"
KEY = "c5df0d52-7a0e-4d4b-9d0e-2f8f1c6b7a90"
OTHER_ACCOUNT = "e" * 32
MD5 = "0cc175b9c0f1b6a831c399e269772661"


def body(one: Image, viewer: str = ALICE, account: str = ACCOUNT, eps: bool = True) -> Any:
    found = shapes.image_body(one, project_id=viewer, account_id=account, eps_enabled=eps)
    check_ims(found)
    return found


IMPORTED = image(
    id="8a1c0d52-7a0e-4d4b-9d0e-2f8f1c6b7a90",
    origin="ims",
    name="web-base",
    status="active",
    container_format="bare",
    disk_format="qcow2",
    min_disk=40,
    size=1181116006,
    virtual_size=10737418240,
    md5=MD5,
    blob_id="b",
    tags=("env=prod", "web"),
    os_version="Ubuntu 22.04 server 64bit",
    platform="Ubuntu",
    os_bit="64",
    active_at=START + timedelta(seconds=190, microseconds=5),
    updated_at=START + timedelta(seconds=190),
    properties={
        "__description": "base of the web tier",
        "__data_origin": "file,disks:web/base.qcow2",
        "__root_origin": "file",
        "__is_config_init": "false",
    },
)


def test_the_example_of_the_contract() -> None:
    identity = "8a1c0d52-7a0e-4d4b-9d0e-2f8f1c6b7a90"
    assert body(IMPORTED) == {
        "id": identity,
        "name": "web-base",
        "status": "active",
        "visibility": "private",
        "protected": False,
        "owner": ALICE,
        "container_format": "bare",
        "disk_format": "qcow2",
        "min_disk": 40,
        "min_ram": 0,
        "size": 1181116006,
        "virtual_size": 10737418240,
        "checksum": MD5,
        "tags": ["env=prod", "web"],
        "created_at": "2026-11-24T05:00:00Z",
        "updated_at": "2026-11-24T05:03:10Z",
        "active_at": "2026-11-24T05:03:10Z",
        "file": f"/v2/images/{identity}/file",
        "self": f"/v2/images/{identity}",
        "schema": "/v2/schemas/image",
        "enterprise_project_id": "0",
        "virtual_env_type": "FusionCompute",
        "__imagetype": "private",
        "__isregistered": "true",
        "__image_source_type": "uds",
        "__image_size": "1181116006",
        "__os_type": "Linux",
        "__os_version": "Ubuntu 22.04 server 64bit",
        "__platform": "Ubuntu",
        "__os_bit": "64",
        "__description": "base of the web tier",
        "__data_origin": "file,disks:web/base.qcow2",
        "__root_origin": "file",
        "__is_config_init": "false",
    }


def test_a_native_row_without_bytes_has_every_attribute_from_the_start() -> None:
    found = body(image(status="queued"))
    expected = {
        "name": "",
        "status": "queued",
        "container_format": "bare",
        "disk_format": "qcow2",
        "min_disk": 0,
        "min_ram": 0,
        "size": 0,
        "virtual_size": None,
        "checksum": "",
        "tags": [],
        "__image_size": "0",
        "__imagetype": "private",
        "__isregistered": "true",
        "__image_source_type": "uds",
        "__os_type": "Linux",
        "__os_version": "Other Linux(64 bit)",
        "__platform": "Other",
        "__os_bit": "64",
        "virtual_env_type": "FusionCompute",
        "enterprise_project_id": "0",
    }
    assert {name: found[name] for name in expected} == expected
    for absent in (
        *("active_at", "max_ram", "hw_firmware_type", "__root_origin", "__data_origin"),
        *("__whole_image", "__support_arm", "__system__cmkid", "__description"),
    ):
        assert absent not in found


def test_a_native_image_stems_from_a_file_once_it_has_bytes() -> None:
    uploaded = image(status="active", size=5, blob_id="b", md5=MD5)
    assert body(uploaded)["__root_origin"] == "file"
    assert "__data_origin" not in body(uploaded)
    made = replace(uploaded, origin="ims")
    assert "__root_origin" not in body(made)


def test_a_data_disk_image_has_no_version_and_no_bits() -> None:
    found = body(image(env_type="DataImage", os_type="Windows"))
    assert (found["__os_type"], found["__platform"]) == ("Windows", "Other")
    assert not {"__os_version", "__os_bit"} & set(found)


def test_optional_attributes_have_their_types() -> None:
    found = body(
        image(
            max_ram="",
            firmware="uefi",
            is_arm=True,
            is_whole=True,
            cmk_id=KEY,
            active_at=START,
            properties={
                "__description": "",
                "__originalimagename": KEY,
                "__backup_id": KEY,
                "__lazyloading": "true",
                "__sequence_num": "0",
                "__os_feature_list": '{"a":"b"}',
                "__support_kvm": "true",
                "__support_fc_inject": "false",
                "hw_vif_multiqueue_enabled": "true",
                "os_shutdown_timeout": "60",
                "__system_support_market": "true",
                "__is_offshelved": "false",
                "__account_code": "1",
                "Mixed Case/Property": "kept",
                "empty": "",
                "null": None,
            },
        )
    )
    assert (found["max_ram"], found["hw_firmware_type"]) == ("", "uefi")
    assert (found["__support_arm"], found["__whole_image"]) == ("true", True)
    assert (found["__system__cmkid"], found["active_at"]) == (KEY, "2026-11-24T05:00:00Z")
    assert (found["__description"], found["empty"]) == ("", "")
    assert (found["__system_support_market"], found["__is_offshelved"]) == (True, "false")
    assert found["Mixed Case/Property"] == "kept"
    assert "null" not in found


@pytest.mark.parametrize(
    ("core", "shown"),
    [
        ("queued", "queued"),
        ("saving", "saving"),
        ("uploading", "saving"),
        ("importing", "saving"),
        ("active", "active"),
        ("deactivated", "deactivated"),
        ("killed", "killed"),
    ],
)
def test_status_words(core: str, shown: str) -> None:
    assert body(image(status=core))["status"] == shown


@pytest.mark.parametrize(
    ("visibility", "members", "viewer", "shown"),
    [
        ("public", 0, ALICE, ("gold", "public")),
        ("public", 0, BOB, ("gold", "public")),
        ("private", 0, ALICE, ("private", "private")),
        ("private", 1, ALICE, ("private", "private")),
        ("community", 0, ALICE, ("private", "private")),
        ("community", 0, BOB, ("private", "private")),
        ("shared", 0, ALICE, ("private", "private")),
        ("shared", 1, ALICE, ("shared", "shared")),
        ("shared", 1, BOB, ("shared", "shared")),
    ],
)
def test_image_type_and_visibility_depend_on_the_viewer(
    visibility: str, members: int, viewer: str, shown: tuple[str, str]
) -> None:
    found = body(image(visibility=visibility, member_count=members), viewer)
    assert (found["__imagetype"], found["visibility"]) == shown


@pytest.mark.parametrize(
    ("viewer", "account", "eps", "project", "origin"),
    [
        (ALICE, ACCOUNT, True, EP, True),
        (ALICE, ACCOUNT, False, "0", True),
        (BOB, ACCOUNT, True, EP, False),
        (BOB, OTHER_ACCOUNT, True, "0", False),
    ],
)
def test_no_id_of_another_account_and_no_origin_of_another_project_is_shown(
    viewer: str, account: str, eps: bool, project: str, origin: bool
) -> None:
    shared = replace(IMPORTED, visibility="shared", member_count=1, enterprise_project_id=EP)
    found = body(shared, viewer, account, eps)
    assert found["enterprise_project_id"] == project
    assert ("__data_origin" in found) is origin
    assert found["__root_origin"] == "file"


def test_a_public_image_shows_no_origin_even_to_its_owner() -> None:
    public = replace(IMPORTED, visibility="public")
    assert "__data_origin" not in body(public)


def test_stored_names_cannot_replace_what_is_computed() -> None:
    names = [*body(IMPORTED), "__whole_image", "__support_arm", "__system__cmkid", "max_ram"]
    names += ["__image_location", "_sys_enterprise_project_id", "active_at", "hw_firmware_type"]
    forged = dict.fromkeys(names, "forged")
    kept = {"__description", "__is_config_init", "__data_origin", "__root_origin"}
    before = image(origin="ims", status="active")
    found = shapes.image_body(
        replace(before, properties=forged), project_id=BOB, account_id=ACCOUNT, eps_enabled=True
    )
    assert {name for name, value in found.items() if value == "forged"} <= kept
    assert set(found) - set(body(before)) <= kept


VALUES = st.text(max_size=5)
TRUTH = st.sampled_from(["true", "false"])
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "__description": VALUES,
        "__data_origin": st.just(f"instance,{KEY}"),
        "__root_origin": st.just("file"),
        "__lazyloading": st.just("true"),
        "__support_kvm": TRUTH,
        "__support_kvm_gpu_type": st.just("V100"),
        "__is_config_init": TRUTH,
        "__system_support_market": TRUTH,
        "hw_vif_multiqueue_enabled": TRUTH,
        "os_shutdown_timeout": st.just("300"),
        "os_distro": VALUES | st.none(),
        "Any Name": VALUES,
    },
)
IMAGES = st.builds(
    image,
    name=st.none() | VALUES,
    origin=st.sampled_from(["native", "ims"]),
    status=st.sampled_from("queued saving uploading importing active deactivated killed".split()),
    visibility=st.sampled_from(["private", "shared", "community", "public"]),
    member_count=st.integers(0, 2),
    protected=st.booleans(),
    container_format=st.sampled_from([None, "bare", "ova"]),
    disk_format=st.sampled_from([None, "raw", "ami"]),
    min_disk=st.integers(0, 2048),
    max_ram=st.sampled_from([None, "", "0", "4096"]),
    size=st.none() | st.integers(0, 2**40),
    blob_id=st.sampled_from([None, "b"]),
    virtual_size=st.none() | st.integers(0, 2**40),
    md5=st.sampled_from([None, MD5]),
    env_type=st.sampled_from(["FusionCompute", "Ironic", "IsoImage", "DataImage"]),
    os_type=st.sampled_from(["Linux", "Windows", "Other"]),
    os_version=st.sampled_from([None, "Plan 9"]),
    os_bit=st.sampled_from([None, "32", "64"]),
    is_arm=st.booleans(),
    is_whole=st.booleans(),
    firmware=st.sampled_from([None, "bios", "uefi"]),
    cmk_id=st.sampled_from([None, KEY]),
    tags=st.sampled_from([(), ("a", "b=c")]),
    active_at=st.sampled_from([None, START]),
    enterprise_project_id=st.sampled_from(["0", EP]),
    properties=PROPERTIES,
)


@settings(deadline=None)
@given(
    IMAGES, st.sampled_from([ALICE, BOB]), st.sampled_from([ACCOUNT, OTHER_ACCOUNT]), st.booleans()
)
def test_every_image_has_the_documented_types_for_every_viewer(
    one: Image, viewer: str, account: str, eps: bool
) -> None:
    found = body(one, viewer, account, eps)
    assert ("__os_version" in found) is (one.env_type != "DataImage")
    assert ("__os_bit" in found) is (one.env_type != "DataImage")
    assert found["__image_size"] == str(found["size"])
    assert account == ACCOUNT or found["enterprise_project_id"] == "0"
