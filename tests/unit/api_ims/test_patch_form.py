# SPDX-License-Identifier: Apache-2.0
"""The JSON patch of `ims.update`: its form, the names it may write, and the values of each."""

from __future__ import annotations

from typing import Any

import pytest

from calotype.api.ims import patch
from tests.unit.api_ims.patching import ACTIVE, EP, FLAGS, code, op, run
from tests.unit.api_ims.refusals import ACCEPTED, code_of, refusal_of


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([], ACCEPTED),
        ([op("add", "a", "1")] * 100, ACCEPTED),
        ([op("add", "a", "1")] * 101, "IMG.0001"),
        (None, "IMG.0001"),
        ({}, "IMG.0001"),
        ("x", "IMG.0001"),
        ([5], "IMG.0001"),
        ([None], "IMG.0001"),
        ([{}], "IMG.0001"),
        ([{"op": "add", "value": "x"}], "IMG.0001"),
        *(
            ([{"op": "add", "path": path, "value": "x"}], "IMG.0001")
            for path in (
                None,
                5,
                "",
                "/",
                "name",
                "//",
                "/a/b",
                "/a/",
                "/~",
                "/~2",
                "/a~",
                "/a\ud800",
            )
        ),
        ([{"op": "add", "path": "/~0~1~0", "value": "x"}], ACCEPTED),
        ([op("replace", "enterprise_project_id", "nope")], "IMG.0155"),
        ([op("add", "enterprise_project_id", "all_granted_eps")], "IMG.0155"),
        ([op("add", "enterprise_project_id", 5)], "IMG.0001"),
        ([op("add", "enterprise_project_id", None)], "IMG.0001"),
        ([op("add", "enterprise_project_id", ["0"])], "IMG.0001"),
        ([op("remove", "enterprise_project_id")], ACCEPTED),
        ([op("replace", "enterprise_project_id", "")], ACCEPTED),
        # not looked at before the decision
        ([op("move", "name", 5)], ACCEPTED),
        ([op("add", "status", "x")], ACCEPTED),
    ],
)
def test_the_first_look_is_at_paths_and_the_target_project(body: object, expected: str) -> None:
    assert code_of(patch.check_form, body) == expected


def test_an_escaped_tilde_is_not_the_begin_of_another_escape() -> None:
    message = refusal_of(run, ACTIVE, op("add", "~01", "x"))[1]
    assert '"~1"' in message


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"op": "test", "path": "/name", "value": "x"}, "IMG.0001"),
        ({"op": "ADD", "path": "/name", "value": "x"}, "IMG.0001"),
        ({"op": ["add"], "path": "/name", "value": "x"}, "IMG.0001"),
        ({"path": "/name", "value": "x"}, "IMG.0001"),
        ({"op": "add", "path": "/name", "value": "x", "from": "/a"}, "IMG.0001"),
        ({"op": "add", "path": "/name"}, "IMG.0001"),
        ({"op": "replace", "path": "/a", "value": None}, "IMG.0001"),
        ({"op": "add", "path": "/a", "value": {}}, "IMG.0001"),
        ({"op": "add", "path": "/a", "value": []}, "IMG.0001"),
        ({"op": "add", "path": "/__description", "value": {}}, "IMG.0001"),
    ],
)
def test_the_form_of_an_operation(body: dict[str, Any], expected: str) -> None:
    assert code(ACTIVE, body) == expected


READ_ONLY = (
    "id status visibility protected owner container_format disk_format min_disk size virtual_size"
    " checksum tags created_at updated_at active_at file self schema virtual_env_type"
    " __imagetype __isregistered __image_source_type __image_size __os_type __os_version __platform"
    " __os_bit __data_origin __root_origin __originalimagename __backup_id __whole_image"
    " __system__cmkid __support_arm __lazyloading __sequence_num __os_feature_list __account_code"
    " __image_location __anything __support_new _sys_x _sys_enterprise_project_id os_glance_x"
    " locations direct_url location os_hidden os_hash_algo os_hash_value deleted deleted_at"
    " stores metadata".split()
)


@pytest.mark.parametrize("name", READ_ONLY)
@pytest.mark.parametrize("word", patch.OPERATIONS)
def test_every_other_name_is_read_only(name: str, word: str) -> None:
    assert code(ACTIVE, op(word, name, "x")) == "IMG.0035"


@pytest.mark.parametrize("name", ["name", "min_ram", "enterprise_project_id"])
def test_what_every_image_has_cannot_be_removed(name: str) -> None:
    assert code(ACTIVE, op("remove", name)) == "IMG.0035"


VALUES: list[tuple[str, object, str]] = [
    ("name", "a b", ACCEPTED),
    ("name", "", "IMG.0013"),
    ("name", 5, "IMG.0001"),
    ("name", "x" * 129, "IMG.0002"),
    ("name", "a/b", "IMG.0003"),
    ("__description", "", ACCEPTED),
    ("__description", "x" * 1025, "IMG.0004"),
    ("__description", "<", "IMG.0054"),
    ("__description", True, "IMG.0001"),
    ("enterprise_project_id", EP, ACCEPTED),
    ("enterprise_project_id", "x", "IMG.0155"),
    *(
        (name, value, expected)
        for name in ("min_ram", "max_ram")
        for value, expected in (
            (0, ACCEPTED),
            ("0", ACCEPTED),
            ("0512", ACCEPTED),
            (2147483647, ACCEPTED),
            (2147483648, "IMG.0055"),
            (-1, "IMG.0055"),
            ("-1", "IMG.0055"),
            ("+1", "IMG.0055"),
            (" 1", "IMG.0055"),
            ("1\n", "IMG.0055"),
            ("٣", "IMG.0055"),
            ("", "IMG.0055"),
            ("x", "IMG.0055"),
            (1.0, "IMG.0055"),
            (True, "IMG.0055"),
        )
    ),
    ("hw_firmware_type", "bios", ACCEPTED),
    ("hw_firmware_type", "uefi", ACCEPTED),
    ("hw_firmware_type", "UEFI", "IMG.0141"),
    ("hw_firmware_type", "", "IMG.0141"),
    ("hw_firmware_type", True, "IMG.0141"),
    ("os_shutdown_timeout", 60, ACCEPTED),
    ("os_shutdown_timeout", "300", ACCEPTED),
    *(("os_shutdown_timeout", value, "IMG.0001") for value in (59, 301, "59", "x", 60.5, True)),
    *((name, value, ACCEPTED) for name in FLAGS for value in ("true", "false", True, False)),
    *((name, value, "IMG.0001") for name in FLAGS for value in ("True", "yes", "", 1, 0, 1.0)),
    *(
        (name, value, expected)
        for name in ("__support_xen_gpu_type", "__support_kvm_gpu_type")
        for value, expected in (
            ("M60_vGPU", ACCEPTED),
            ("x" * 64, ACCEPTED),
            ("x" * 65, "IMG.0001"),
            ("", "IMG.0001"),
            ("M60 vGPU", "IMG.0001"),
            (True, "IMG.0001"),
            (60, "IMG.0001"),
        )
    ),
    ("a", "", ACCEPTED),
    ("_x:9.-", "é", ACCEPTED),
    ("x" * 255, "v", ACCEPTED),
    ("x" * 256, "v", "IMG.0001"),
    ("A", "v", "IMG.0001"),
    ("-a", "v", "IMG.0001"),
    (".a", "v", "IMG.0001"),
    ("a b", "v", "IMG.0001"),
    ("a~1b", "v", "IMG.0001"),
    ("a~0b", "v", "IMG.0001"),
    ("é", "v", "IMG.0001"),
    ("a", "x" * 65535, ACCEPTED),
    ("a", "x" * 65536, "IMG.0001"),
    ("a", "é" * 32768, "IMG.0001"),
    ("a", "\ud800", "IMG.0001"),
    ("a", float("inf"), "IMG.0001"),
]


@pytest.mark.parametrize(("name", "value", "expected"), VALUES)
def test_a_value_is_checked_by_its_attribute(name: str, value: object, expected: str) -> None:
    assert code(ACTIVE, op("add", name, value)) == expected


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("min_ram", "0512", 512),
        ("max_ram", 4096, "4096"),
        ("max_ram", 0, "0"),
        ("hw_firmware_type", "uefi", "uefi"),
        ("enterprise_project_id", EP.upper(), EP),
        ("enterprise_project_id", "", "0"),
        ("name", "new", "new"),
    ],
)
def test_values_of_columns_are_stored_in_their_form(
    name: str, value: object, stored: object
) -> None:
    after = run(ACTIVE, op("add", name, value))
    assert getattr(after, patch.COLUMNS[name]) == stored


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("__support_kvm", True, "true"),
        ("__support_kvm", "false", "false"),
        ("os_shutdown_timeout", 60, "60"),
        ("__description", "", ""),
        ("a", 5, "5"),
        ("a", 1.5, "1.5"),
        ("a", True, "true"),
        ("a", "True", "True"),
    ],
)
def test_other_values_are_stored_as_strings(name: str, value: object, stored: str) -> None:
    assert run(ACTIVE, op("add", name, value)).properties == {name: stored}
