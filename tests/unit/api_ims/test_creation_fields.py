# SPDX-License-Identifier: Apache-2.0
"""Bodies of `ims.create` from a file, `ims.quickimport`, `ims.create_data`: every field rule with
its code.
"""

from __future__ import annotations

from typing import Any

import pytest

from calotype.api.ims import creations
from tests.unit.api_ims.creating import EP, GOOD, KEY, LIMITS, READERS, UBUNTU, WINDOWS, code
from tests.unit.api_ims.refusals import ACCEPTED, code_of

COMMON: list[tuple[dict[str, Any], str]] = [
    ({"name": None}, "IMG.0013"),
    ({"name": "x" * 129}, "IMG.0002"),
    ({"name": "a/b"}, "IMG.0003"),
    ({"name": 5}, "IMG.0001"),
    ({"description": "x" * 1025}, "IMG.0004"),
    ({"description": "a\nb"}, "IMG.0054"),
    ({"description": 5}, "IMG.0001"),
    ({"description": ""}, ACCEPTED),
    ({"tags": ["a b"]}, "IMG.0115"),
    ({"tags": [f"k{n}" for n in range(11)]}, "IMG.0116"),
    ({"tags": ["a"], "image_tags": [{"key": "b", "value": ""}]}, "IMG.0115"),
    ({"image_tags": [{"key": "a=b", "value": ""}]}, "IMG.0115"),
    ({"image_tags": "a"}, "IMG.0001"),
    ({"checksum": f"sha256:{'0' * 64}"}, ACCEPTED),
    ({"checksum": f"sha512:{'Af' * 64}"}, ACCEPTED),
    ({"checksum": f"sha256:{'0' * 63}"}, "IMG.0001"),
    ({"checksum": f"sha512:{'0' * 64}"}, "IMG.0001"),
    ({"checksum": f"SHA256:{'0' * 64}"}, "IMG.0001"),
    ({"checksum": "md5:" + "0" * 32}, "IMG.0001"),
    ({"checksum": f"sha256:{'0' * 64}\n"}, "IMG.0001"),
    ({"checksum": 5}, "IMG.0001"),
    ({"checksum": ""}, ACCEPTED),
    ({"enterprise_project_id": EP}, ACCEPTED),
    ({"enterprise_project_id": ""}, ACCEPTED),
    ({"enterprise_project_id": "nope"}, "IMG.0155"),
    ({"colour": "blue"}, "IMG.0001"),
    ({"colour": None}, "IMG.0001"),
    ({"Name": "x"}, "IMG.0001"),
]
SIZES: list[tuple[dict[str, Any], str]] = [
    ({"min_disk": value}, "IMG.0055") for value in (None, 0, -1, "40", 40.0, True, [40], 2049)
]


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize(("change", "expected"), COMMON + SIZES)
def test_common_fields_and_min_disk_are_checked_in_every_creation(
    kind: str, change: dict[str, Any], expected: str
) -> None:
    assert code(kind, change) == expected


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("body", [None, [], "x", 5, True])
def test_a_body_is_an_object(kind: str, body: object) -> None:
    assert code_of(READERS[kind], body, LIMITS) == "IMG.0001"
    for check in (creations.check_form, creations.check_quick_form):
        assert code_of(check, body) == "IMG.0001"


@pytest.mark.parametrize(
    ("kind", "size", "expected"),
    [
        ("file", 1, ACCEPTED),
        ("file", 1024, ACCEPTED),
        ("file", 1025, "IMG.0055"),
        ("iso", 1025, "IMG.0055"),
        ("quick", 1025, "IMG.0055"),
        ("quick data", 2048, ACCEPTED),
        ("data", 2048, ACCEPTED),
    ],
)
def test_system_disks_go_to_1024_and_data_disks_to_2048(
    kind: str, size: int, expected: str
) -> None:
    assert code(kind, {"min_disk": size}) == expected


FILE: list[tuple[dict[str, Any], str]] = [
    *(({"type": word}, ACCEPTED) for word in ("ECS", "FusionCompute", "BMS", "Ironic", "", None)),
    ({"type": "IsoImage"}, "IMG.0166"),
    ({"type": "IsoImage", "os_version": UBUNTU}, "IMG.0072"),
    ({"type": "DataImage"}, "IMG.0024"),
    ({"type": "ecs"}, "IMG.0024"),
    ({"type": 5}, "IMG.0001"),
    *(({"os_type": word}, ACCEPTED) for word in ("Linux", "Windows", "Other", "", None)),
    ({"os_type": "linux"}, "IMG.0122"),
    ({"os_type": ["Linux"]}, "IMG.0001"),
    ({"os_type": "Windows", "os_version": UBUNTU}, "IMG.0122"),
    ({"os_type": "Linux", "os_version": UBUNTU}, ACCEPTED),
    ({"os_version": "ubuntu_22.04 SERVER 64bit"}, ACCEPTED),
    ({"os_version": "Red Hat Linux Enterprise 7.4 64bit"}, ACCEPTED),
    ({"os_version": "Plan 9"}, "IMG.0056"),
    ({"os_version": 22.04}, "IMG.0001"),
    ({"os_version": ""}, ACCEPTED),
    ({"image_url": 5}, "IMG.0001"),
    ({"image_url": "nocolon.raw"}, "IMG.0068"),
    ({"image_url": "disks:a.exe"}, "IMG.0072"),
    ({"image_url": "disks:a.zvhd2"}, "IMG.0072"),
    ({"image_url": "disks:a.qcow2.gz"}, ACCEPTED),
    ({"image_url": "disks:a.img"}, ACCEPTED),
    ({"data_images": []}, ACCEPTED),
    ({"data_images": None}, ACCEPTED),
    ({"data_images": {}}, "IMG.0001"),
    ({"data_images": [5]}, "IMG.0001"),
    ({"is_quick_import": True}, "IMG.0056"),
    ({"is_quick_import": True, "os_version": UBUNTU}, "IMG.0072"),
    ({"is_quick_import": True, "os_version": UBUNTU, "image_url": "b12:a.raw"}, ACCEPTED),
    ({"is_quick_import": True, "os_version": UBUNTU, "image_url": "b12:a.IMG"}, ACCEPTED),
    ({"is_quick_import": True, "os_version": UBUNTU, "image_url": "b12:a.raw.gz"}, "IMG.0072"),
    ({"is_quick_import": True, "os_version": UBUNTU, "image_url": "b12:a.iso"}, "IMG.0072"),
    ({"is_quick_import": "true"}, "IMG.0001"),
    ({"is_quick_import": None}, ACCEPTED),
    ({"is_config": True}, ACCEPTED),
    ({"is_config": 1}, "IMG.0001"),
    *(({"architecture": word}, ACCEPTED) for word in ("x86", "arm", "", None)),
    ({"architecture": "ARM"}, "IMG.0212"),
    ({"architecture": True}, "IMG.0001"),
    *(({"hw_firmware_type": word}, ACCEPTED) for word in ("bios", "uefi", "", None)),
    ({"hw_firmware_type": "UEFI"}, "IMG.0141"),
    ({"hw_firmware_type": "bios", "architecture": "arm"}, "IMG.0141"),
    ({"hw_firmware_type": "uefi", "architecture": "arm"}, ACCEPTED),
    *(({"min_ram": value}, ACCEPTED) for value in (0, 2147483647, None)),
    *(({"min_ram": value}, "IMG.0055") for value in (-1, 2147483648, "1", 1.0, True, "")),
    *(({"max_ram": value}, ACCEPTED) for value in (0, 2147483647, None)),
    *(({"max_ram": value}, "IMG.0055") for value in (-1, 2147483648, "1", 1.0, False, "")),
    ({"min_ram": 8, "max_ram": 7}, "IMG.0055"),
    ({"min_ram": 8, "max_ram": 8}, ACCEPTED),
    ({"min_ram": 8, "max_ram": 0}, ACCEPTED),
    ({"cmk_id": KEY}, ACCEPTED),
    ({"cmk_id": ""}, ACCEPTED),
    ({"cmk_id": KEY.replace("-", "")}, "IMG.0031"),
    ({"cmk_id": KEY, "type": "BMS"}, "IMG.0118"),
    ({"cmk_id": "x", "type": "BMS"}, "IMG.0031"),
    # fields of other kinds: their type counts, their value does not
    ({"volume_id": ""}, ACCEPTED),
    ({"license_type": "", "vault_id": ""}, ACCEPTED),
    ({"license_type": 5}, "IMG.0001"),
    ({"vault_id": 5}, "IMG.0001"),
]
ISO: list[tuple[dict[str, Any], str]] = [
    *(({"type": word}, ACCEPTED) for word in ("ECS", "FusionCompute", "IsoImage", "", None)),
    ({"type": "BMS"}, "IMG.0024"),
    ({"type": "Ironic"}, "IMG.0024"),
    ({"os_version": None}, "IMG.0166"),
    ({"os_version": ""}, "IMG.0166"),
    ({"os_version": "Plan 9"}, "IMG.0056"),
    ({"type": "IsoImage", "image_url": "disks:a.raw"}, "IMG.0072"),
    ({"type": "IsoImage", "image_url": "disks:a.ova"}, "IMG.0072"),
    ({"image_url": "disks:A.ISO"}, ACCEPTED),
    ({"is_quick_import": True}, "IMG.0072"),
    ({"cmk_id": KEY}, "IMG.0167"),
    ({"cmk_id": "x"}, "IMG.0031"),
]
QUICK: list[tuple[dict[str, Any], str]] = [
    *(({"type": word}, ACCEPTED) for word in ("ECS", "BMS", "", None)),
    *(({"type": word}, "IMG.0024") for word in ("FusionCompute", "Ironic", "IsoImage", "ecs")),
    ({"os_version": None}, "IMG.0056"),
    ({"os_version": ""}, "IMG.0056"),
    ({"os_version": "Plan 9"}, "IMG.0056"),
    ({"os_version": "Plan 9", "os_type": "BeOS"}, "IMG.0056"),
    ({"os_type": "Other"}, "IMG.0122"),
    ({"os_type": "BeOS"}, "IMG.0122"),
    ({"os_type": "Linux"}, ACCEPTED),
    ({"image_url": None}, "IMG.0068"),
    ({"image_url": "disks:a.img"}, ACCEPTED),
    *(({"image_url": f"b12:a.{end}"}, "IMG.0072") for end in ("qcow2", "zvhd2", "iso", "raw.gz")),
    ({"architecture": "ARM"}, "IMG.0212"),
    ({"architecture": "arm", "hw_firmware_type": "bios"}, "IMG.0141"),
    ({"license_type": "mine"}, "IMG.0001"),
    ({"license_type": "byol"}, "IMG.0001"),
    ({"license_type": "byol", "os_version": WINDOWS}, ACCEPTED),
    ({"license_type": "platform", "os_version": WINDOWS}, ACCEPTED),
    ({"license_type": ""}, ACCEPTED),
    ({"cmk_id": KEY}, "IMG.0001"),
    ({"min_ram": 1}, "IMG.0001"),
]
QUICK_DATA: list[tuple[dict[str, Any], str]] = [
    ({"os_version": "Plan 9"}, ACCEPTED),
    ({"os_version": 9}, "IMG.0001"),
    ({"os_type": "Windows"}, ACCEPTED),
    ({"os_type": "Other"}, "IMG.0122"),
    ({"architecture": "ARM", "hw_firmware_type": "efi"}, ACCEPTED),
    ({"architecture": 5}, "IMG.0001"),
    ({"hw_firmware_type": 5}, "IMG.0001"),
    ({"license_type": "byol", "os_type": "Windows"}, ACCEPTED),
    ({"license_type": "byol"}, "IMG.0001"),
]
DATA: list[tuple[dict[str, Any], str]] = [
    *(({"os_type": word}, ACCEPTED) for word in ("Linux", "Windows", "", None)),
    ({"os_type": "Other"}, "IMG.0122"),
    ({"image_url": None}, "IMG.0068"),
    ({"image_url": ""}, "IMG.0068"),
    *(({"image_url": f"b12:a.{end}"}, "IMG.0072") for end in ("iso", "ova", "zvhd", "ISO.gz")),
    ({"cmk_id": KEY}, ACCEPTED),
    ({"cmk_id": "x"}, "IMG.0031"),
    ({"type": "ECS"}, "IMG.0001"),
    ({"os_version": UBUNTU}, "IMG.0001"),
]
TABLES = {"file": FILE, "iso": ISO, "quick": QUICK, "quick data": QUICK_DATA, "data": DATA}


@pytest.mark.parametrize(
    ("kind", "change", "expected"),
    [(kind, *row) for kind, table in TABLES.items() for row in table],
)
def test_a_field_is_refused_with_its_code(kind: str, change: dict[str, Any], expected: str) -> None:
    assert code(kind, change) == expected
