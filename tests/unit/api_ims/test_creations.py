# SPDX-License-Identifier: Apache-2.0
"""Bodies of creations: the order of the tables, and what is read out of a good body."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.api.ims import creations
from calotype.api.ims.creations import Creation
from calotype.api.ims.objects import ObjectAddress
from tests.unit.api_ims.creating import (
    EP,
    GOOD,
    KEY,
    LAX,
    LIMITS,
    READERS,
    UBUNTU,
    WINDOWS,
    code,
    read,
)
from tests.unit.api_ims.refusals import ACCEPTED, code_of, refusal_of

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
