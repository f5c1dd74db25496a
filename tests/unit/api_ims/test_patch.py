# SPDX-License-Identifier: Apache-2.0
"""The JSON patch of `ims.update`: what it does to an image, and the order of its checks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.api_ims.patching import ACTIVE, EP, FLAGS, code, op, run
from tests.unit.api_ims.refusals import ACCEPTED, code_of, refusal_of


def test_operations_run_in_order_on_one_copy() -> None:
    after = run(
        ACTIVE,
        op("add", "a", "1"),
        op("replace", "a", "2"),
        op("add", "a", "3"),
        op("add", "b", "x"),
        op("remove", "b"),
        op("replace", "name", "first"),
        op("replace", "name", "last"),
    )
    assert (after.name, after.properties) == ("last", {"a": "3"})
    assert ACTIVE.properties == {}
    assert replace(after, name="x", properties={}) == ACTIVE


@pytest.mark.parametrize("word", ["replace", "remove"])
@pytest.mark.parametrize(
    "name",
    ["__description", "hw_firmware_type", "__support_kvm", "os_shutdown_timeout", "a", "max_ram"],
)
def test_an_absent_attribute_can_only_be_added_but_for_max_ram(word: str, name: str) -> None:
    value = {"hw_firmware_type": "uefi", "os_shutdown_timeout": 60}.get(name, "true")
    if name == "max_ram":
        expected = ACCEPTED if word == "replace" else "IMG.0035"
        value = "5"
    else:
        expected = "IMG.0035"
    found, message = refusal_of(run, ACTIVE, op("add", "b", "1"), op(word, name, value))
    assert found == expected
    assert found == ACCEPTED or ("[1]" in message and name in message and "add" in message)


def test_a_null_property_counts_as_absent() -> None:
    before = replace(ACTIVE, properties={"kernel_id": None})
    assert code(before, op("replace", "kernel_id", "x")) == "IMG.0035"
    assert run(before, op("add", "kernel_id", "x")).properties == {"kernel_id": "x"}


def test_name_and_project_can_be_replaced_on_a_nameless_native_row() -> None:
    before = replace(ACTIVE, name=None)
    assert run(before, op("replace", "name", "x")).name == "x"
    assert run(before, op("replace", "enterprise_project_id", EP)).enterprise_project_id == EP
    assert run(before, op("replace", "min_ram", 5)).min_ram == 5


def test_the_empty_max_ram_of_a_copy_is_there() -> None:
    copy = replace(ACTIVE, max_ram="")
    assert run(copy, op("remove", "max_ram")).max_ram is None
    assert run(copy, op("replace", "max_ram", 7)).max_ram == "7"


SYSTEM = [*FLAGS, "hw_firmware_type", "os_shutdown_timeout"]
SYSTEM += ["__support_xen_gpu_type", "__support_kvm_gpu_type"]


@pytest.mark.parametrize("name", SYSTEM)
def test_a_data_disk_image_has_no_attributes_of_systems(name: str) -> None:
    value: object = {"hw_firmware_type": "uefi", "os_shutdown_timeout": 60}.get(name, "true")
    data = replace(ACTIVE, env_type="DataImage")
    found, message = refusal_of(run, data, op("replace", "a", "x"), op("remove", name))
    assert (found, "[1]" in message) == ("IMG.0168", True)
    assert code(data, op("add", name, value)) == "IMG.0168"
    assert code(ACTIVE, op("add", name, value)) == ACCEPTED


def test_a_data_disk_image_has_the_other_attributes() -> None:
    data = replace(ACTIVE, env_type="DataImage")
    body = [op("add", "max_ram", 5), op("add", "__description", "d"), op("add", "a", "b")]
    assert code(data, *body) == ACCEPTED
    assert code(data, op("replace", "__os_version", "x")) == "IMG.0035"


def test_an_arm_image_keeps_uefi() -> None:
    arm = replace(ACTIVE, is_arm=True, firmware="uefi")
    for body, expected in (
        (op("replace", "hw_firmware_type", "bios"), "IMG.0141"),
        (op("remove", "hw_firmware_type"), "IMG.0035"),
        (op("replace", "hw_firmware_type", "uefi"), ACCEPTED),
    ):
        found, message = refusal_of(run, arm, op("add", "a", "b"), body)
        assert found == expected
        assert found == ACCEPTED or "[1]" in message
    x86 = replace(ACTIVE, firmware="uefi")
    assert run(x86, op("remove", "hw_firmware_type")).firmware is None


EXCLUSIONS = [
    ("__support_xen_gpu_type", "M60_vGPU", ("__support_xen", "__support_kvm")),
    ("__support_kvm_gpu_type", "P100", ("__support_xen", "__support_kvm")),
    ("__support_xen_hana", "true", ("__support_xen", "__support_kvm")),
    ("__support_kvm_infiniband", "true", ("__support_xen",)),
]


@pytest.mark.parametrize(("name", "value", "others"), EXCLUSIONS)
def test_exclusions_are_judged_on_the_state_after_the_patch(
    name: str, value: str, others: tuple[str, ...]
) -> None:
    for other in ("__support_xen", "__support_kvm", "__support_amd"):
        both = [op("add", other, "true"), op("add", name, value)]
        expected = "IMG.0035" if other in others else ACCEPTED
        for body in (both, both[::-1]):
            assert code(ACTIVE, *body) == expected
            assert code(run(ACTIVE, body[0]), body[1]) == expected
        assert code(ACTIVE, *both, op("replace", other, "false")) == ACCEPTED
        assert code(ACTIVE, *both, op("remove", name)) == ACCEPTED
        message = refusal_of(run, ACTIVE, op("add", "a", "b"), *both)[1]
        assert expected == ACCEPTED or all(word in message for word in (name, other, "[2]"))
    if value == "true":
        off = [op("add", others[0], "true"), op("add", name, "false")]
        assert code(ACTIVE, *off) == ACCEPTED


def test_an_exclusion_that_was_stored_before_does_not_stop_other_changes() -> None:
    before = replace(
        ACTIVE, properties={"__support_xen": "true", "__support_xen_gpu_type": "M60_vGPU"}
    )
    assert code(before, op("replace", "name", "y")) == ACCEPTED
    assert code(before, op("replace", "__support_xen", "true")) == "IMG.0035"
    assert code(before, op("remove", "__support_xen")) == ACCEPTED


@pytest.mark.parametrize(
    ("before", "body", "expected"),
    [
        ((0, None), [op("add", "min_ram", 8), op("add", "max_ram", 4)], "IMG.0055"),
        ((0, None), [op("add", "max_ram", 4), op("add", "min_ram", 8)], "IMG.0055"),
        ((0, None), [op("add", "max_ram", 4), op("add", "min_ram", 4)], ACCEPTED),
        ((8, None), [op("add", "max_ram", 4)], "IMG.0055"),
        ((8, None), [op("add", "max_ram", 0)], ACCEPTED),
        ((8, None), [op("add", "max_ram", 4), op("replace", "max_ram", 9)], ACCEPTED),
        ((8, None), [op("add", "max_ram", 4), op("replace", "min_ram", 1)], ACCEPTED),
        ((8, "8"), [op("replace", "min_ram", 9)], "IMG.0055"),
        ((8, "8"), [op("replace", "min_ram", 9), op("remove", "max_ram")], ACCEPTED),
        ((8, "0"), [op("replace", "min_ram", 9)], ACCEPTED),
        ((8, ""), [op("replace", "min_ram", 9)], ACCEPTED),
        ((8, "lots"), [op("replace", "min_ram", 9)], ACCEPTED),
        ((8, "4"), [op("replace", "name", "y")], ACCEPTED),
    ],
)
def test_max_ram_is_not_below_min_ram_in_the_end(
    before: tuple[int, str | None], body: list[dict[str, Any]], expected: str
) -> None:
    assert code(replace(ACTIVE, min_ram=before[0], max_ram=before[1]), *body) == expected


def test_extension_attributes_have_a_limit_that_only_growth_meets() -> None:
    full = replace(
        ACTIVE, properties={f"p{n}": "x" for n in range(128)} | {"__support_kvm": "true"}
    )
    assert code(full, op("add", "__support_xen", "true"), op("replace", "p1", "y")) == ACCEPTED
    assert code(full, op("add", "os_shutdown_timeout", 60)) == ACCEPTED
    found, message = refusal_of(run, full, op("add", "more", "x"))
    assert (found, "129" in message, "128" in message) == ("IMG.0001", True, True)
    assert code(full, op("remove", "p1"), op("add", "more", "x")) == ACCEPTED
    assert code(full, op("add", "more", "x"), op("remove", "p1")) == ACCEPTED
    over = replace(ACTIVE, properties={f"p{n}": "x" for n in range(130)})
    assert code(over, op("replace", "p1", "y")) == ACCEPTED
    assert code(over, op("add", "more", "x")) == "IMG.0001"
    assert code_of(run, ACTIVE, op("add", "a", "1"), op("add", "b", "1"), limit=1) == "IMG.0001"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # the form of all operations comes before anything that the image decides
        ([op("replace", "absent", "x"), op("replace", "name", "")], "IMG.0013"),
        ([op("add", "os_shutdown_timeout", 60), op("add", "status", "x")], "IMG.0035"),
        ([op("add", "os_shutdown_timeout", 60), op("add", "name", "a/b")], "IMG.0003"),
        # then attributes of systems, then the run, then the state in the end
        ([op("replace", "absent", "x"), op("add", "os_shutdown_timeout", 60)], "IMG.0168"),
        ([op("add", "min_ram", 8), op("add", "max_ram", 4), op("remove", "absent")], "IMG.0035"),
    ],
)
def test_the_checks_come_in_the_order_of_the_contract(
    body: list[dict[str, Any]], expected: str
) -> None:
    assert code(replace(ACTIVE, env_type="DataImage"), *body) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        op("test", "name", "x"),
        op("add", "name", "a/b"),
        op("add", "status", "x"),
        op("replace", "absent", "x"),
        op("add", "a", None),
        op("add", "max_ram", "x"),
        op("add", "os_shutdown_timeout", 1),
        op("add", "hw_firmware_type", "x"),
        op("add", "A", "x"),
        {"op": "add", "path": "name", "value": "x"},
        op("add", "enterprise_project_id", "x"),
    ],
)
def test_an_error_names_the_index_of_its_operation(wrong: dict[str, Any]) -> None:
    assert "[1]" in refusal_of(run, ACTIVE, op("add", "ok", "x"), wrong)[1]
