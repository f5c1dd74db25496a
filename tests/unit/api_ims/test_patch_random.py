# SPDX-License-Identifier: Apache-2.0
"""Random patches of random images: what is accepted leaves no state that the contract forbids, and
does what a plain reading of RFC 6902 would do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.api.ims import patch
from calotype.api.ims.refusal import IMSRefusal
from calotype.images.model import Image
from tests.unit.images.making import image

EXCLUDES = {
    "__support_xen_gpu_type": {"__support_xen", "__support_kvm"},
    "__support_kvm_gpu_type": {"__support_xen", "__support_kvm"},
    "__support_xen_hana": {"__support_xen", "__support_kvm"},
    "__support_kvm_infiniband": {"__support_xen"},
}
FLAG = st.sampled_from(["true", "false", True, False])
MEMORY = st.sampled_from([0, 0, 1, 5, 9])
RAM = MEMORY | MEMORY.map(str)
GOOD_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["a", "b c"]),
    "__description": st.sampled_from(["", "d"]),
    "min_ram": RAM,
    "max_ram": RAM,
    "hw_firmware_type": st.sampled_from(["bios", "uefi"]),
    "os_shutdown_timeout": st.integers(60, 300),
    "enterprise_project_id": st.sampled_from(["0", "9b27efab-4a17-4c06-bfa2-3e0cf021d3c3"]),
    "__support_xen_gpu_type": st.sampled_from(["M60_vGPU"]),
    "__support_kvm_gpu_type": st.sampled_from(["P100", "V100"]),
    **{
        name: FLAG
        for name in (
            *("__support_kvm", "__support_xen", "__support_xen_hana", "__support_kvm_infiniband"),
            *("__support_amd", "__is_config_init"),
        )
    },
    "free": st.text(max_size=3) | st.integers() | st.booleans(),
    "other": st.just("x"),
}
OPERATION = st.sampled_from(sorted(GOOD_VALUES)).flatmap(
    lambda name: st.fixed_dictionaries(
        {
            "op": st.sampled_from(["add"] * 6 + ["replace", "remove"]),
            "path": st.just(f"/{name}"),
            "value": GOOD_VALUES[name],
        }
    )
)
IMAGES = st.builds(
    lambda is_arm, env_type, memory: image(
        name="x",
        status="active",
        is_arm=is_arm,
        firmware="uefi" if is_arm else None,
        env_type=env_type,
        min_ram=memory,
        max_ram=None if memory % 2 else str(memory),
    ),
    st.booleans(),
    st.sampled_from(["FusionCompute", "Ironic", "IsoImage", "DataImage"]),
    st.integers(0, 9),
)
NONSENSE: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def attributes(one: Image) -> dict[str, Any]:
    columns = {name: getattr(one, column) for name, column in patch.COLUMNS.items()}
    return {**one.properties, **{name: v for name, v in columns.items() if v is not None}}


def run(before: Image, body: list[dict[str, Any]]) -> Image | None:
    try:
        patch.check_form(body)
        return patch.apply(before, patch.read(body))
    except IMSRefusal:
        return None


@settings(deadline=None)
@given(IMAGES, st.lists(OPERATION, max_size=8))
def test_no_accepted_patch_leaves_a_forbidden_state(
    before: Image, body: list[dict[str, Any]]
) -> None:
    after = run(before, body)
    if after is None:
        return
    have = attributes(after)
    for name, others in EXCLUDES.items():
        if have.get(name) not in (None, "false"):
            assert not [other for other in others if have.get(other) == "true"]
    limit = int(after.max_ram or 0)
    assert limit == 0 or limit >= after.min_ram
    assert not after.is_arm or after.firmware == "uefi"
    if after.env_type == "DataImage":
        assert not [name for name in have if name.startswith("__support")]
        assert after.firmware == before.firmware
    assert all(isinstance(value, str) for value in after.properties.values())
    assert isinstance(after.min_ram, int)
    assert after.max_ram is None or after.max_ram.isdigit()
    back = replace(
        after,
        name=before.name,
        min_ram=before.min_ram,
        max_ram=before.max_ram,
        firmware=before.firmware,
        enterprise_project_id=before.enterprise_project_id,
        properties=before.properties,
    )
    assert back == before, "something that no operation can name was changed"


@settings(deadline=None)
@given(IMAGES, st.lists(OPERATION, max_size=8))
def test_what_is_accepted_is_what_the_operations_say(
    before: Image, body: list[dict[str, Any]]
) -> None:
    after = run(before, body)
    if after is None:
        return
    expected = attributes(before)
    for operation in body:
        name = operation["path"][1:]
        if operation["op"] == "remove":
            del expected[name]
        else:
            assert operation["op"] == "add" or name in expected or name == "max_ram"
            value = operation["value"]
            as_json = (
                {True: "true", False: "false"}.get(value, value)
                if isinstance(value, bool)
                else value
            )
            expected[name] = int(as_json) if name == "min_ram" else str(as_json)
    assert attributes(after) == expected


@settings(deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(["op", "path", "value", "x"]), NONSENSE), max_size=3)
)
def test_nonsense_is_refused_and_nothing_else_happens(body: list[dict[str, Any]]) -> None:
    run(image(status="active"), body)


@settings(deadline=None)
@given(NONSENSE)
def test_a_body_of_any_type_is_read_or_refused(body: object) -> None:
    try:
        patch.check_form(body)
    except IMSRefusal:
        return
    assert isinstance(body, list)
