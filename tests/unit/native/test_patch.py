# SPDX-License-Identifier: Apache-2.0
"""The JSON patch of the native dialect, in both forms (native.md 7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.api.native import patch
from calotype.api.native.patch import V20, V21, Limits
from calotype.errors import (
    CalotypeError,
    Conflict,
    Invalid,
    NotAllowed,
    QuotaExceeded,
    ReadOnly,
    WrongState,
)
from calotype.images.model import Image
from tests.unit.images.making import ALICE, image

LIMITS = Limits(properties=3, tags=2, community=True)


def run(one: Image, *operations: object, form: str = V21, limits: Limits = LIMITS) -> Image:
    return patch.apply(one, patch.read(form, list(operations)), limits, ALICE)


def op(verb: str, path: str, *value: object) -> dict[str, object]:
    return {"op": verb, "path": path} | ({"value": value[0]} if value else {})


@pytest.mark.parametrize(
    "operation",
    [
        {"path": "/name", "value": "x"},
        {"op": "move", "path": "/name", "value": "x"},
        {"op": 1, "path": "/name", "value": "x"},
        {"op": "add", "value": "x"},
        {"op": "add", "path": "name", "value": "x"},
        {"op": "add", "path": "/", "value": "x"},
        {"op": "add", "path": "//x", "value": "x"},
        {"op": "add", "path": "/x/", "value": "x"},
        {"op": "add", "path": "/ ", "value": "x"},
        {"op": "add", "path": "/x~2", "value": "x"},
        {"op": "add", "path": "/x~", "value": "x"},
        {"op": "add", "path": "/tags/-", "value": "x"},
        {"op": "replace", "path": "/name/x", "value": "x"},
        {"op": "add", "path": "/x"},
        {"op": "add", "path": "/metadata", "value": "x"},
        {"op": "add", "path": "/x", "value": 1},
        {"op": "add", "path": "/x", "value": None},
        {"op": "add", "path": "/x", "value": "\ud800"},
        {"op": "add", "path": "/x", "value": "y" * 65536},
        {"op": "add", "path": f"/{'x' * 256}", "value": "y"},
        {"op": "replace", "path": "/name", "value": "x" * 256},
        {"op": "replace", "path": "/name", "value": "a\u202eb"},
        {"op": "replace", "path": "/min_disk", "value": -1},
        {"op": "replace", "path": "/min_disk", "value": True},
        {"op": "replace", "path": "/min_ram", "value": 2**31},
        {"op": "replace", "path": "/visibility", "value": "secret"},
        {"op": "replace", "path": "/disk_format", "value": "zvhd2"},
        {"op": "replace", "path": "/tags", "value": "x"},
        {"op": "replace", "path": "/tags", "value": [""]},
        {"op": "replace", "path": "/protected", "value": "true"},
        {"op": "add", "path": "/kernel_id", "value": "x"},
        {"op": "add", "path": "/hw_firmware_type", "value": "efi"},
        {"op": "add", "path": "/__description", "value": "a\nb"},
        {"op": "add", "path": "/__support_kvm", "value": "yes"},
        "text",
    ],
)
def test_a_wrong_operation_is_invalid(operation: object) -> None:
    with pytest.raises(Invalid):
        run(image(), operation)


@pytest.mark.parametrize("body", [{}, "x", None, [op("add", "/x", "y")] * 101])
def test_a_document_is_an_array_of_at_most_100_operations(body: object) -> None:
    with pytest.raises(Invalid):
        patch.read(V21, body)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/id", "x"), ("/status", "active"), ("/size", 1), ("/checksum", "x"), ("/file", "x"),
        ("/stores", "x"), ("/locations", []), ("/locations/-", {}), ("/location", "x"),
        ("/deleted", True), ("/os_glance_x", "y"), ("/__unknown", "x"), ("/_sys_x", "y"),
        ("/__support_unknown", "x"), ("/__imagetype", "gold"), ("/__support_arm", "true"),
        ("/__os_feature_list", "{}"), ("/virtual_env_type", "Ironic"),
    ],
)  # fmt: skip
def test_names_of_the_service_are_refused(path: str, value: object) -> None:
    for verb in ("add", "replace", "remove"):
        with pytest.raises(ReadOnly):
            run(image(), op(verb, path, value))


def test_base_attributes_cannot_be_removed() -> None:
    for name in ("name", "tags", "visibility", "min_disk", "owner"):
        with pytest.raises(ReadOnly):
            run(image(), op("remove", f"/{name}"))


def test_add_and_replace_of_a_base_attribute_set_it_also_from_null() -> None:
    for verb in ("add", "replace"):
        assert run(image(), op(verb, "/name", "web")).name == "web"
        assert run(image(name="x"), op(verb, "/name", None)).name is None
        assert run(image(), op(verb, "/min_disk", None)).min_disk == 0
        assert run(image(tags=("a",)), op(verb, "/tags", ["b", "a", "b"])).tags == ("a", "b")


def test_a_custom_property_is_added_replaced_and_removed() -> None:
    one = run(image(), op("add", "/hw~1disk", "scsi"), op("add", "/a~0b", ""))
    assert one.properties == {"hw/disk": "scsi", "a~b": ""}
    one = run(one, op("replace", "/hw~1disk", "ide"), op("remove", "/a~0b"))
    assert one.properties == {"hw/disk": "ide"}
    assert run(one, op("add", "/hw~1disk", "x")).properties == {"hw/disk": "x"}
    for verb in ("replace", "remove"):
        with pytest.raises(Conflict) as refusal:
            run(one, op(verb, "/absent", "x"))
        assert refusal.value.rule == "attribute_absent"


def test_the_old_form_refuses_to_add_what_exists() -> None:
    one = image(properties={"x": "1"})
    assert run(one, {"replace": "/x", "value": "2"}, form=V20).properties == {"x": "2"}
    assert run(one, {"add": "/y", "value": "2"}, form=V20).properties == {"x": "1", "y": "2"}
    assert run(one, {"remove": "/x"}, form=V20).properties == {}
    for path in ("/x", "/name"):
        with pytest.raises(Conflict) as refusal:
            run(one, {"add": path, "value": "2"}, form=V20)
        assert refusal.value.rule == "attribute_exists"
    for bad in ({"add": "/y", "replace": "/y", "value": "1"}, {"value": "1"}, {"op": "add"}):
        with pytest.raises(Invalid):
            run(one, bad, form=V20)


def test_nothing_is_applied_when_one_operation_fails() -> None:
    with pytest.raises(CalotypeError):
        run(image(), op("replace", "/name", "new"), op("remove", "/absent"))


def test_formats_change_while_queued_only() -> None:
    assert run(image(), op("replace", "/disk_format", "raw")).disk_format == "raw"
    active = image(status="active", disk_format="raw")
    assert run(active, op("replace", "/disk_format", "raw")) == active
    with pytest.raises(WrongState) as refusal:
        run(active, op("replace", "/disk_format", "qcow2"))
    assert refusal.value.rule == "state_forbidden"
    with pytest.raises(WrongState) as held:
        run(image(job_id="f" * 32), op("replace", "/disk_format", "qcow2"))
    assert held.value.rule == "image_busy"


def test_choosing_a_visibility_ends_that_it_was_turned_by_sharing() -> None:
    turned = image(visibility="shared", turned_shared=True)
    assert run(turned, op("replace", "/visibility", "shared")) == turned
    private = run(turned, op("replace", "/visibility", "private"))
    assert (private.visibility, private.turned_shared) == ("private", False)


def test_community_can_be_switched_off() -> None:
    off = Limits(properties=3, tags=2, community=False)
    with pytest.raises(NotAllowed):
        run(image(), op("replace", "/visibility", "community"), limits=off)
    old = image(visibility="community")
    assert run(old, op("replace", "/name", "x"), limits=off).name == "x"


def test_quota_is_about_growth() -> None:
    many = image(properties={str(index): "" for index in range(5)}, tags=("a", "b", "c"))
    assert run(many, op("remove", "/0"), op("replace", "/tags", ["x", "y", "z"]))
    with pytest.raises(QuotaExceeded):
        run(many, op("add", "/more", ""))
    with pytest.raises(QuotaExceeded):
        run(image(), op("replace", "/tags", ["x", "y", "z"]))


def test_system_attributes_that_were_written_natively_are_remembered() -> None:
    one = run(
        image(),
        op("add", "/hw_firmware_type", "uefi"),
        op("add", "/max_ram", "a lot"),
        op("add", "/__support_kvm", "True"),
        op("add", "/__os_version", "ubuntu 18.04 server 64bit"),
    )
    assert one.firmware == "uefi"
    assert one.max_ram is None  # no number: only the native dialect shows it
    assert one.properties == {"max_ram": "a lot", "__support_kvm": "true"}
    assert (one.platform, one.os_bit) == ("Ubuntu", "64")
    assert one.native_names == {"hw_firmware_type", "max_ram", "__support_kvm", "__os_version"}
    gone = run(one, op("remove", "/hw_firmware_type"), op("remove", "/__os_version"))
    assert (gone.firmware, gone.os_version) == (None, "Other Linux(64 bit)")
    assert gone.native_names == {"max_ram", "__support_kvm"}


def test_the_operating_system_changes_while_queued_only() -> None:
    active = run(image(), op("add", "/__os_version", "Debian GNU/Linux 12.0.0 64bit"))
    active = replace(active, status="active")
    same = run(active, op("replace", "/__os_version", "Debian GNU/Linux 12.0.0 64bit"))
    assert same == active
    with pytest.raises(WrongState):
        run(active, op("replace", "/__os_version", "Other"))


def test_a_read_only_attribute_may_come_back_unchanged() -> None:
    ims = image(origin="ims", platform="Debian", os_type="Linux", properties={"__x": "1"})
    assert run(ims, op("replace", "/__platform", "Debian")) == ims
    with pytest.raises(ReadOnly):
        run(ims, op("replace", "/__platform", "Ubuntu"))
    with pytest.raises(ReadOnly):
        run(ims, op("remove", "/__platform"))


def test_flags_that_exclude_each_other_are_judged_on_the_result() -> None:
    hana = image(properties={"__support_xen_hana": "true"}, native_names=frozenset())
    with pytest.raises(Invalid) as refusal:
        run(hana, op("add", "/__support_kvm", "true"))
    assert refusal.value.rule == "attribute_conflict"
    assert run(hana, op("add", "/__support_kvm", "false"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
PATHS = st.sampled_from(
    ["/name", "/tags", "/x", "/x/y", "x", "/", "/id", "/locations", "/__description", "/owner"]
)
OPERATIONS = st.fixed_dictionaries(
    {}, optional={"op": st.sampled_from(["add", "replace", "remove", "x"]), "add": PATHS,
                  "replace": PATHS, "path": PATHS | JSON, "value": JSON},
)  # fmt: skip


@settings(deadline=None)
@given(body=st.lists(OPERATIONS | JSON, max_size=4) | JSON, form=st.sampled_from([V20, V21]))
def test_any_document_gives_an_image_or_a_refusal(body: Any, form: str) -> None:
    before = image(properties={"x": "1"})
    try:
        after = patch.apply(before, patch.read(form, body), LIMITS, ALICE)
    except CalotypeError:
        return
    assert after.id == before.id
    assert all(isinstance(value, str) for value in after.properties.values())
