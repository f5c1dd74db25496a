# SPDX-License-Identifier: Apache-2.0
"""The kinds of `ims.create`: what selects one, and that those without a backend pass all checks of
their own fields before they are refused.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from calotype.api.ims import creations
from calotype.api.ims.creations import Creation, Limits, Unserved
from calotype.api.ims.kinds import Kind, kind_of
from tests.unit.api_ims.refusals import ACCEPTED, code_of, refusal_of

LIMITS = Limits(tags=10, strict_os_versions=True)
ID = "c5df0d52-7a0e-4d4b-9d0e-2f8f1c6b7a90"
OTHER_ID = "d5df0d52-7a0e-4d4b-9d0e-2f8f1c6b7a90"
UBUNTU = "Ubuntu 22.04 server 64bit"
DISK: dict[str, Any] = {"image_url": "disks:b.vmdk", "min_disk": 100}
VOLUME: dict[str, Any] = {"name": "data", "volume_id": ID}
GOOD: dict[Kind, dict[str, Any]] = {
    Kind.SERVER: {"name": "x", "instance_id": ID},
    Kind.OVA: {"name": "x", "image_url": "disks:a.ova", "min_disk": 40},
    Kind.SET: {"name": "x", "image_url": "disks:a.vmdk", "min_disk": 40, "data_images": [DISK]},
    Kind.VOLUME: {"name": "x", "volume_id": ID, "os_version": UBUNTU},
    Kind.VOLUMES: {"data_images": [VOLUME]},
}


def code(kind: Kind, change: dict[str, Any]) -> str:
    return code_of(creations.read_create, GOOD[kind] | change, LIMITS)


@pytest.mark.parametrize("kind", GOOD)
def test_a_kind_without_a_backend_is_read_and_refused_by_its_own_code(kind: Kind) -> None:
    found = creations.read_create(GOOD[kind] | {"enterprise_project_id": ID.upper()}, LIMITS)
    assert isinstance(found, Unserved)
    assert (found.kind, found.enterprise_project_id) == (kind, ID)
    refusal = found.refusal()
    assert refusal.code == "IMG.0105"
    assert len(refusal.message) > 30


def test_the_images_of_a_request_are_counted_for_the_quota() -> None:
    def images(kind: Kind, **change: Any) -> int:
        found = creations.read_create(GOOD[kind] | change, LIMITS)
        assert isinstance(found, Unserved)
        return found.images

    disks = [DISK | {"image_url": f"disks:{number}.raw"} for number in range(3)]
    volumes = [VOLUME, {"name": "two", "volume_id": OTHER_ID}]
    assert images(Kind.SERVER) == images(Kind.VOLUME) == images(Kind.OVA) == 1
    assert images(Kind.SET, data_images=disks) == 4
    assert images(Kind.VOLUMES, data_images=volumes) == 2


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"instance_id": ID}, Kind.SERVER),
        ({"instance_id": 5}, Kind.SERVER),
        ({"instance_id": ID, "image_url": "", "volume_id": None}, Kind.SERVER),
        ({"image_url": "disks:a.raw"}, Kind.FILE),
        ({"image_url": "disks:a.raw", "volume_id": "", "data_images": []}, Kind.FILE),
        ({"image_url": 5}, Kind.FILE),
        ({"image_url": ""}, Kind.FILE),
        ({"image_url": "nonsense"}, Kind.FILE),
        ({"image_url": "disks:a.raw", "type": "IsoImage"}, Kind.ISO),
        ({"image_url": "disks:a.ISO"}, Kind.ISO),
        ({"image_url": "disks:a.iso.gz"}, Kind.ISO),
        ({"image_url": "disks:a.iso", "type": "BMS"}, Kind.ISO),
        ({"image_url": "disks:a.OVA"}, Kind.OVA),
        ({"image_url": "disks:a.raw", "data_images": [DISK]}, Kind.SET),
        ({"image_url": "disks:a.raw", "data_images": [{}]}, Kind.SET),
        ({"volume_id": ID}, Kind.VOLUME),
        ({"volume_id": ""}, Kind.VOLUME),
        ({"data_images": [VOLUME]}, Kind.VOLUMES),
        ({"data_images": [{}], "image_url": ""}, Kind.VOLUMES),
        ({"data_images": [VOLUME | {"image_url": ""}], "volume_id": ""}, Kind.VOLUMES),
    ],
)
def test_the_present_sources_select_the_kind(body: dict[str, Any], kind: Kind) -> None:
    assert kind_of(body) is kind


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "IMG.0001"),
        ({"instance_id": None, "data_images": []}, "IMG.0001"),
        ({"instance_id": ""}, "IMG.0012"),
        ({"instance_id": "", "image_url": "disks:a.raw"}, "IMG.0012"),
        ({"instance_id": ID, "image_url": "disks:a.raw"}, "IMG.0001"),
        ({"instance_id": ID, "volume_id": ID}, "IMG.0001"),
        ({"image_url": "disks:a.raw", "volume_id": ID}, "IMG.0001"),
        ({"instance_id": ID, "data_images": [VOLUME]}, "IMG.0001"),
        ({"volume_id": ID, "data_images": [VOLUME]}, "IMG.0001"),
        ({"image_url": "disks:a.ova", "data_images": [DISK]}, "IMG.0001"),
        ({"image_url": "disks:a.raw", "data_images": [VOLUME]}, "IMG.0001"),
        ({"image_url": "disks:a.raw", "data_images": [DISK, VOLUME]}, "IMG.0001"),
        ({"data_images": [DISK]}, "IMG.0001"),
        ({"data_images": [DISK | VOLUME]}, "IMG.0001"),
        ({"data_images": [VOLUME, 5]}, "IMG.0001"),
        ({"data_images": "x"}, "IMG.0001"),
    ],
)
def test_contradictory_sources_are_refused(body: dict[str, Any], expected: str) -> None:
    assert code_of(kind_of, body) == expected


def test_the_choice_of_the_kind_comes_after_unknown_members_and_before_fields() -> None:
    both = {"instance_id": ID, "image_url": "disks:a.raw", "name": 5}
    code, message = refusal_of(creations.read_create, both, LIMITS)
    assert (code, "instance_id, image_url" in message) == ("IMG.0001", True)
    message = refusal_of(creations.read_create, both | {"colour": 1}, LIMITS)[1]
    assert message.startswith("colour")


SERVER_AND_VOLUME: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "IMG.0013"),
    ({"tags": ["!"]}, "IMG.0115"),
    *(({"type": word}, ACCEPTED) for word in ("ECS", "FusionCompute", "BMS", "Ironic", "")),
    ({"type": "IsoImage"}, "IMG.0117"),
    ({"type": "x"}, "IMG.0117"),
    ({"type": 5}, "IMG.0001"),
    ({"os_type": "BeOS"}, ACCEPTED),
    ({"os_type": 5}, "IMG.0001"),
    ({"os_version": "Plan 9"}, "IMG.0056"),
    ({"os_version": UBUNTU, "os_type": "Windows"}, ACCEPTED),
    ({"min_disk": 0}, ACCEPTED),
    ({"min_disk": "40"}, "IMG.0055"),
    ({"is_quick_import": True}, ACCEPTED),
    ({"is_quick_import": 1}, "IMG.0001"),
    ({"checksum": "x"}, ACCEPTED),
    ({"checksum": 5}, "IMG.0001"),
    ({"min_ram": -1}, "IMG.0055"),
    ({"min_ram": 8, "max_ram": 4}, "IMG.0055"),
    ({"cmk_id": "x"}, ACCEPTED),
    ({"cmk_id": 5}, "IMG.0001"),
]
OTHERS: list[tuple[Kind, dict[str, Any], str]] = [
    (Kind.SERVER, {"instance_id": "x"}, "IMG.0012"),
    (Kind.SERVER, {"instance_id": 5}, "IMG.0001"),
    (Kind.SERVER, {"architecture": "ARM", "hw_firmware_type": "efi"}, ACCEPTED),
    (Kind.SERVER, {"architecture": 5}, "IMG.0001"),
    (Kind.VOLUME, {"volume_id": "x"}, "IMG.0120"),
    (Kind.VOLUME, {"volume_id": ""}, "IMG.0120"),
    (Kind.VOLUME, {"volume_id": 5}, "IMG.0001"),
    (Kind.VOLUME, {"os_version": None}, "IMG.0056"),
    (Kind.VOLUME, {"os_version": ""}, "IMG.0056"),
    (Kind.VOLUME, {"architecture": "ARM"}, "IMG.0212"),
    (Kind.VOLUME, {"architecture": "arm", "hw_firmware_type": "bios"}, "IMG.0141"),
    (Kind.OVA, {"type": "x"}, "IMG.0024"),
    (Kind.OVA, {"type": "BMS"}, ACCEPTED),
    (Kind.OVA, {"os_type": "BeOS"}, "IMG.0122"),
    (Kind.OVA, {"os_version": "Plan 9"}, "IMG.0056"),
    (Kind.OVA, {"min_disk": None}, "IMG.0055"),
    (Kind.OVA, {"is_quick_import": True}, "IMG.0072"),
    (Kind.OVA, {"image_url": "Disks:a.ova"}, "IMG.0109"),
    (Kind.OVA, {"cmk_id": "x"}, "IMG.0031"),
    (Kind.OVA, {"cmk_id": ID, "type": "Ironic"}, "IMG.0118"),
    (Kind.SET, {"type": "BMS"}, ACCEPTED),
    (Kind.SET, {"image_url": "disks:a.iso"}, "IMG.0072"),
    (Kind.SET, {"image_url": "disks:a.iso", "type": "BMS"}, "IMG.0024"),
    (Kind.SET, {"type": "IsoImage"}, "IMG.0072"),
    (Kind.SET, {"min_disk": 1025}, "IMG.0055"),
    (Kind.SET, {"is_quick_import": True}, "IMG.0072"),
    (Kind.SET, {"is_quick_import": True, "image_url": "disks:a.raw"}, ACCEPTED),
    (Kind.SET, {"hw_firmware_type": "efi"}, "IMG.0141"),
    (Kind.VOLUMES, {"name": "a/b", "description": "<", "tags": ["!"]}, ACCEPTED),
    (Kind.VOLUMES, {"name": 5}, "IMG.0001"),
    (Kind.VOLUMES, {"tags": "x"}, "IMG.0001"),
    (Kind.VOLUMES, {"image_tags": 5}, "IMG.0001"),
    (Kind.VOLUMES, {"type": "x", "os_version": "x", "os_type": "x", "checksum": "x"}, ACCEPTED),
    (Kind.VOLUMES, {"min_disk": 0, "min_ram": 9, "max_ram": 1, "cmk_id": "x"}, ACCEPTED),
    (Kind.VOLUMES, {"max_ram": "x"}, "IMG.0055"),
    (Kind.VOLUMES, {"is_config": "x"}, "IMG.0001"),
    (Kind.VOLUMES, {"enterprise_project_id": "x"}, "IMG.0155"),
]


@pytest.mark.parametrize("kind", [Kind.SERVER, Kind.VOLUME])
@pytest.mark.parametrize(("change", "expected"), SERVER_AND_VOLUME)
def test_servers_and_volumes_have_their_own_words(
    kind: Kind, change: dict[str, Any], expected: str
) -> None:
    assert code(kind, change) == expected


@pytest.mark.parametrize(("kind", "change", "expected"), OTHERS)
def test_each_kind_checks_its_own_fields_and_the_types_of_the_others(
    kind: Kind, change: dict[str, Any], expected: str
) -> None:
    assert code(kind, change) == expected


DISK_FIELDS: list[tuple[dict[str, Any], str, str]] = [
    # change of the second element, code in a set, code among volumes
    ({"colour": 1}, "IMG.0001", "IMG.0001"),
    ({"name": "a/b"}, "IMG.0003", "IMG.0003"),
    ({"name": "x" * 129}, "IMG.0002", "IMG.0002"),
    ({"name": 5}, "IMG.0001", "IMG.0001"),
    ({"name": None}, ACCEPTED, "IMG.0013"),
    ({"name": ""}, ACCEPTED, "IMG.0013"),
    ({"description": "<"}, "IMG.0054", "IMG.0054"),
    ({"description": ""}, ACCEPTED, ACCEPTED),
    ({"tags": ["!"]}, "IMG.0115", "IMG.0115"),
    ({"tags": ["a"], "image_tags": [{"key": "b", "value": ""}]}, "IMG.0115", "IMG.0115"),
    ({"tags": [f"k{n}" for n in range(11)]}, "IMG.0116", "IMG.0116"),
    ({"image_tags": [{"key": "b", "value": ""}]}, ACCEPTED, ACCEPTED),
    ({"min_disk": 0}, "IMG.0055", ACCEPTED),
    ({"min_disk": 2048}, ACCEPTED, ACCEPTED),
    ({"min_disk": 2049}, "IMG.0055", ACCEPTED),
    ({"min_disk": None}, "IMG.0055", ACCEPTED),
    ({"min_disk": "x"}, "IMG.0055", "IMG.0055"),
    ({"is_quick_import": True}, "IMG.0072", ACCEPTED),
    ({"is_quick_import": False}, ACCEPTED, ACCEPTED),
    ({"is_quick_import": 1}, "IMG.0001", "IMG.0001"),
]


@pytest.mark.parametrize(("change", "in_a_set", "among_volumes"), DISK_FIELDS)
def test_the_elements_of_data_images_are_checked_and_named_by_their_index(
    change: dict[str, Any], in_a_set: str, among_volumes: str
) -> None:
    second = {"name": "two", "image_url": "disks:c.qcow2", "min_disk": 1}
    for kind, disks, expected in (
        (Kind.SET, [DISK, second | change], in_a_set),
        (Kind.VOLUMES, [VOLUME, {"name": "two", "volume_id": OTHER_ID} | change], among_volumes),
    ):
        body = GOOD[kind] | {"data_images": disks}
        found, message = refusal_of(creations.read_create, body, LIMITS)
        assert found == expected
        assert found == ACCEPTED or "data_images[1]." in message


@pytest.mark.parametrize(
    ("kind", "disks", "expected"),
    [
        (Kind.SET, [{"min_disk": 1}], "IMG.0068"),
        (Kind.SET, [DISK | {"image_url": "disks:b.iso"}], "IMG.0072"),
        (Kind.SET, [DISK | {"image_url": "disks:b.ova"}], "IMG.0072"),
        (Kind.SET, [DISK | {"image_url": "b:b.raw"}], "IMG.0109"),
        (Kind.SET, [DISK | {"volume_id": ""}], ACCEPTED),
        (Kind.SET, [DISK, DISK], "IMG.0123"),
        (Kind.SET, [DISK | {"image_url": "disks:a.vmdk"}], "IMG.0123"),
        (Kind.SET, [DISK | {"image_url": f"disks:{n}.raw"} for n in range(3)], ACCEPTED),
        (Kind.SET, [DISK | {"image_url": f"disks:{n}.raw"} for n in range(4)], "IMG.0194"),
        (Kind.SET, [DISK | {"image_url": "disks:b.raw", "is_quick_import": True}], ACCEPTED),
        (Kind.VOLUMES, [{"name": "x"}], "IMG.0120"),
        (Kind.VOLUMES, [VOLUME | {"volume_id": "x"}], "IMG.0120"),
        (Kind.VOLUMES, [VOLUME | {"volume_id": 5}], "IMG.0001"),
        (Kind.VOLUMES, [VOLUME, VOLUME | {"volume_id": ID.upper()}], "IMG.0001"),
        (Kind.VOLUMES, [VOLUME | {"volume_id": ID[:-1] + str(n)} for n in range(9)], ACCEPTED),
    ],
)
def test_sources_of_the_elements(kind: Kind, disks: list[Any], expected: str) -> None:
    assert code(kind, {"data_images": disks}) == expected


WRONG: dict[Kind, list[tuple[dict[str, Any], str]]] = {
    Kind.SERVER: [
        ({"name": "a/b"}, "IMG.0003"),
        ({"type": "x"}, "IMG.0117"),
        ({"os_version": "x"}, "IMG.0056"),
        ({"instance_id": "x"}, "IMG.0012"),
        ({"min_ram": -1}, "IMG.0055"),
    ],
    Kind.VOLUME: [
        ({"name": "a/b"}, "IMG.0003"),
        ({"type": "x"}, "IMG.0117"),
        ({"os_version": "x"}, "IMG.0056"),
        ({"volume_id": "x"}, "IMG.0120"),
        ({"architecture": "x"}, "IMG.0212"),
        ({"hw_firmware_type": "x"}, "IMG.0141"),
    ],
    Kind.SET: [
        ({"image_url": "b:x"}, "IMG.0109"),
        ({"min_disk": 0}, "IMG.0055"),
        ({"data_images": [{"name": "a/b"}]}, "IMG.0003"),
        ({"is_quick_import": True}, "IMG.0072"),
        ({"architecture": "x"}, "IMG.0212"),
    ],
}


@pytest.mark.parametrize("kind", WRONG)
def test_of_two_wrong_fields_the_earlier_of_the_table_answers(kind: Kind) -> None:
    for (one, first), (other, _) in combinations(WRONG[kind], 2):
        assert code(kind, other | one) == first, (one, other)


def test_a_file_and_an_iso_are_served() -> None:
    body = {"name": "x", "image_url": "disks:a.raw", "min_disk": 1}
    assert isinstance(creations.read_create(body, LIMITS), Creation)
    body |= {"image_url": "disks:a.iso", "os_version": UBUNTU}
    assert isinstance(creations.read_create(body, LIMITS), Creation)
