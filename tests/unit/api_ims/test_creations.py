# SPDX-License-Identifier: Apache-2.0
"""Bodies of `ims.create` from a file, `ims.quickimport`, `ims.create_data`: every field rule with
its code, the order of the tables, and what is read.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.api.ims import creations
from calotype.api.ims.creations import Creation, Limits
from calotype.api.ims.objects import ObjectAddress
from tests.unit.api_ims.refusals import ACCEPTED, code_of, refusal_of

LIMITS = Limits(tags=10, strict_os_versions=True)
LAX = Limits(tags=10, strict_os_versions=False)
UBUNTU = "Ubuntu 22.04 server 64bit"
WINDOWS = "Windows Server 2019 Standard 64bit"
EP = "9b27efab-4a17-4c06-bfa2-3e0cf021d3c3"
KEY = "c5df0d52-7a0e-4d4b-9d0e-2f8f1c6b7a90"

GOOD: dict[str, dict[str, Any]] = {
    "file": {"name": "x", "image_url": "disks:a.qcow2", "min_disk": 40},
    "iso": {"name": "x", "image_url": "disks:a.iso", "min_disk": 40, "os_version": UBUNTU},
    "quick": {"name": "x", "image_url": "disks:a.raw", "min_disk": 40, "os_version": UBUNTU},
    "quick data": {"name": "x", "image_url": "disks:a.raw", "min_disk": 40, "type": "DataImage"},
    "data": {"name": "x", "image_url": "disks:a.vmdk", "min_disk": 40},
}
READERS = {
    "file": creations.read_create,
    "iso": creations.read_create,
    "quick": creations.read_quick,
    "quick data": creations.read_quick,
    "data": creations.read_data,
}


def read(kind: str, limits: Limits = LIMITS, /, **change: Any) -> Creation:
    found = READERS[kind](GOOD[kind] | change, limits)
    assert isinstance(found, Creation)
    return found


def code(kind: str, change: dict[str, Any], limits: Limits = LIMITS) -> str:
    return code_of(READERS[kind], GOOD[kind] | change, limits)


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


# One wrong value a row, in the order of the tables; each pair must give the code of the earlier.
WRONG_COMMON: list[tuple[dict[str, Any], str]] = [
    ({"colour": "blue"}, "IMG.0001"),
    ({"name": "a/b"}, "IMG.0003"),
    ({"description": "a<b"}, "IMG.0054"),
    ({"tags": ["!"]}, "IMG.0115"),
    ({"image_tags": [{"key": "!" * 37, "value": ""}]}, "IMG.0115"),
    ({"checksum": "x"}, "IMG.0001"),
]
WRONG: dict[str, list[tuple[dict[str, Any], str]]] = {
    "file": [
        *WRONG_COMMON,
        ({"type": "x"}, "IMG.0024"),
        ({"os_type": "x"}, "IMG.0122"),
        ({"os_version": "x"}, "IMG.0056"),
        ({"image_url": "B:x"}, "IMG.0109"),
        ({"min_disk": 0}, "IMG.0055"),
        ({"is_quick_import": 0}, "IMG.0001"),
        ({"is_config": 0}, "IMG.0001"),
        ({"architecture": "x"}, "IMG.0212"),
        ({"hw_firmware_type": "x"}, "IMG.0141"),
        ({"min_ram": -1}, "IMG.0055"),
        ({"max_ram": -1}, "IMG.0055"),
        ({"cmk_id": "x"}, "IMG.0031"),
        ({"vault_id": 5}, "IMG.0001"),
    ],
    "iso": [
        ({"type": "BMS"}, "IMG.0024"),
        ({"os_type": "x"}, "IMG.0122"),
        ({"os_version": ""}, "IMG.0166"),
        ({"min_disk": 0}, "IMG.0055"),
        ({"is_quick_import": True}, "IMG.0072"),
        ({"architecture": "x"}, "IMG.0212"),
        ({"cmk_id": KEY}, "IMG.0167"),
    ],
    "quick": [
        ({"colour": "blue"}, "IMG.0001"),
        ({"type": "x"}, "IMG.0024"),
        *WRONG_COMMON[1:],
        ({"os_version": "x"}, "IMG.0056"),
        ({"os_type": "x"}, "IMG.0122"),
        ({"image_url": "B:x"}, "IMG.0109"),
        ({"min_disk": 0}, "IMG.0055"),
        ({"architecture": "x"}, "IMG.0212"),
        ({"hw_firmware_type": "x"}, "IMG.0141"),
        ({"license_type": "x"}, "IMG.0001"),
    ],
    "data": [
        *WRONG_COMMON,
        ({"os_type": "x"}, "IMG.0122"),
        ({"image_url": "B:x"}, "IMG.0109"),
        ({"min_disk": 0}, "IMG.0055"),
        ({"cmk_id": "x"}, "IMG.0031"),
    ],
}


@pytest.mark.parametrize("kind", WRONG)
def test_of_two_wrong_fields_the_earlier_of_the_table_answers(kind: str) -> None:
    for (one, first), (other, _) in combinations(WRONG[kind], 2):
        found = refusal_of(READERS[kind], GOOD[kind] | other | one, LIMITS)
        assert found[0] == first, (one, other, found)
        assert next(iter(one)) in found[1], (one, other, found)


@pytest.mark.parametrize("kind", GOOD)
def test_null_is_the_same_as_absence(kind: str) -> None:
    known = {
        "file": creations.CREATE,
        "iso": creations.CREATE,
        "quick": creations.QUICK,
        "quick data": creations.QUICK,
        "data": creations.DATA,
    }[kind]
    absent = dict.fromkeys(known)
    assert READERS[kind](absent | GOOD[kind], LIMITS) == READERS[kind](GOOD[kind], LIMITS)


def test_the_smallest_file_body_has_the_defaults_of_the_table() -> None:
    found = read("file")
    assert found == Creation(
        enterprise_project_id="0",
        name="x",
        description=None,
        tags=(),
        checksum=None,
        source=ObjectAddress("disks", "a.qcow2", "qcow2", None),
        env_type="FusionCompute",
        os=found.os,
        os_type="Linux",
        min_disk=40,
    )
    assert found.os is not None
    assert found.os.os_version == "Other Linux(64 bit)"


def test_everything_a_file_body_says_is_read() -> None:
    found = read(
        "file",
        description="",
        enterprise_project_id=EP.upper(),
        image_tags=[{"key": "env ", "value": "prod"}, {"key": "bare", "value": ""}],
        checksum=f"sha256:{'AB' * 32}",
        type="BMS",
        os_version="windows_server 2019 STANDARD 64bit",
        os_type="Windows",
        architecture="arm",
        min_ram=1024,
        max_ram=4096,
        is_config=True,
    )
    assert (found.description, found.enterprise_project_id) == ("", EP)
    assert found.tags == (("env", "prod"), ("bare", ""))
    assert found.checksum == f"sha256:{'ab' * 32}"
    assert (found.env_type, found.os_type) == ("Ironic", "Windows")
    assert found.os is not None
    assert found.os.os_version == WINDOWS
    assert (found.is_arm, found.firmware) == (True, "uefi")
    assert (found.min_ram, found.max_ram) == (1024, 4096)
    assert (found.is_quick, found.is_iso, found.is_data) == (False, False, False)


@pytest.mark.parametrize(
    ("kind", "change", "expected"),
    [
        ("file", {"os_type": "Windows"}, ("FusionCompute", "Other Windows(64 bit)", "Windows")),
        ("file", {"os_type": "Other"}, ("FusionCompute", "Other(64 bit)", "Other")),
        ("file", {"type": "Ironic"}, ("Ironic", "Other Linux(64 bit)", "Linux")),
        ("iso", {}, ("IsoImage", UBUNTU, "Linux")),
        ("iso", {"type": "IsoImage"}, ("IsoImage", UBUNTU, "Linux")),
        ("quick", {"type": "BMS"}, ("Ironic", UBUNTU, "Linux")),
        ("quick data", {"os_version": UBUNTU}, ("DataImage", None, "Linux")),
        ("quick data", {"os_type": "Windows"}, ("DataImage", None, "Windows")),
        ("data", {}, ("DataImage", None, "Linux")),
        ("data", {"os_type": "Windows"}, ("DataImage", None, "Windows")),
    ],
)
def test_environment_and_system_follow_from_kind_and_words(
    kind: str, change: dict[str, Any], expected: tuple[str, str | None, str]
) -> None:
    found = read(kind, **change)
    version = None if found.os is None else found.os.os_version
    assert (found.env_type, version, found.os_type) == expected
    assert found.is_data is (expected[0] == "DataImage")
    assert found.is_iso is (kind == "iso")
    assert found.is_quick is kind.startswith("quick")


def test_hardware_of_a_quick_data_disk_is_ignored() -> None:
    found = read("quick data", architecture="arm", hw_firmware_type="uefi")
    assert (found.is_arm, found.firmware) == (False, None)


def test_an_unlisted_version_is_kept_as_given_where_versions_are_not_strict() -> None:
    for kind in ("file", "quick"):
        found = read(kind, LAX, os_version="Plan 9", os_type="Other")
        assert found.os is not None
        assert (found.os.os_version, found.os.platform) == ("Plan 9", "Other")
        assert (found.os_type, found.os.bits) == ("Other", 64)
    assert code("file", {"os_version": UBUNTU, "os_type": "Other"}, LAX) == "IMG.0122"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ACCEPTED),
        ({"enterprise_project_id": None}, ACCEPTED),
        ({"enterprise_project_id": "nope", "type": "x"}, "IMG.0155"),
        ({"enterprise_project_id": 5}, "IMG.0001"),
        ({"name": 5, "colour": 1}, ACCEPTED),
    ],
)
def test_the_first_look_is_at_the_enterprise_project_only(
    body: dict[str, Any], expected: str
) -> None:
    assert code_of(creations.check_form, body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ACCEPTED),
        ({"type": ""}, ACCEPTED),
        ({"type": "DataImage", "enterprise_project_id": EP}, ACCEPTED),
        ({"type": "Moon", "enterprise_project_id": "nope"}, "IMG.0024"),
        ({"type": "BMS", "enterprise_project_id": "nope"}, "IMG.0155"),
        ({"type": 5}, "IMG.0001"),
    ],
)
def test_the_first_look_at_a_quick_import_begins_with_its_type(
    body: dict[str, Any], expected: str
) -> None:
    assert code_of(creations.check_quick_form, body) == expected


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@pytest.mark.parametrize("kind", GOOD)
@settings(deadline=None)
@given(data=st.data())
def test_any_body_is_read_or_refused(kind: str, data: st.DataObject) -> None:
    names = st.sampled_from([*creations.CREATE, "colour"])
    values = ANYTHING | st.sampled_from(["ECS", "disks:a.iso", "disks:a.ova", UBUNTU, KEY, "arm"])
    change = data.draw(st.dictionaries(names, values, max_size=4))
    code(kind, change)
