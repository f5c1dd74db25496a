# SPDX-License-Identifier: Apache-2.0
"""The query of `ims.list`: each parameter with its code, and what it is read as."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.api.ims import filters
from calotype.images.filters import Bound, Compare, Filter, Moment, Scope
from calotype.images.listing import Key, Paging
from tests.unit.api_ims.refusals import ACCEPTED, code_of, refusal_of

ME = "a" * 32
ID = "8a1c0d52-7a0e-4d4b-9d0e-2f8f1c6b7a90"
EP = "9b27efab-4a17-4c06-bfa2-3e0cf021d3c3"
FLAGS = (
    "__support_kvm __support_xen __support_largememory __support_diskintensive"
    " __support_highperformance __support_xen_hana __support_kvm_infiniband __support_amd"
    " __support_fc_inject __support_kvm_hi1822_hisriov __support_kvm_hi1822_hivirtionet"
    " __support_arm".split()
)


def read(*query: tuple[str, str], **named: str) -> Filter:
    return filters.read_filter([*query, *named.items()], ME)


def code(*query: tuple[str, str]) -> str:
    return code_of(filters.read_filter, query, ME)


PARAMETERS: list[tuple[str, list[str], list[str], str]] = [
    # name, good values, wrong values, code
    ("__imagetype", ["gold", "private", "shared", "market"], ["Gold", "public"], "IMG.0024"),
    ("__isregistered", ["true", "false"], ["yes", "TRUE"], "IMG.0017"),
    ("__whole_image", ["true", "False", "TRUE"], ["yes", "1"], "IMG.0017"),
    ("__system__cmkid", ["x", ID], [], ""),
    ("protected", ["true", "False"], ["yes", "0"], "IMG.0017"),
    ("visibility", ["public", "private", "shared"], ["community", "all"], "IMG.0017"),
    ("owner", [ME, ID, "nobody", "\0"], [], ""),
    ("id", [ID, ID.upper(), "nothing", "\0"], [], ""),
    (
        "status",
        ["queued", "saving", "active", "killed", "deactivated", "deleted"],
        ["ACTIVE", "importing", "uploading"],
        "IMG.0017",
    ),
    ("name", ["x", "a\0b", "é"], [], ""),
    ("container_format", ["bare", "nonsense"], [], ""),
    ("disk_format", ["qcow2", "nonsense"], [], ""),
    ("min_ram", ["0", "007", "9" * 30], ["-1", "1.0", "x", "+1", " 1", "٣"], "IMG.0055"),
    ("min_disk", ["0", "9" * 5000], ["-1", "1.0", "x", "0x1"], "IMG.0055"),
    ("__os_bit", ["32", "64", "16"], [], ""),
    ("__os_type", ["Linux", "Windows", "Other"], ["linux", "x"], "IMG.0122"),
    ("__platform", ["Ubuntu", "red hat", "BeOS"], [], ""),
    ("__os_version", ["x", "\0"], [], ""),
    ("marker", [ID], ["x", "", ME][::2], "IMG.0017"),
    ("limit", ["1", "1000", "0500"], ["0", "1001", "-1", "x", "1.0", "9" * 30], "IMG.0017"),
    (
        "sort_key",
        "name container_format disk_format status id size created_at updated_at".split(),
        ["min_disk", "Name", "created_at:asc"],
        "IMG.0017",
    ),
    ("sort_dir", ["asc", "desc"], ["up", "ASC"], "IMG.0017"),
    ("tag", ["a", "a=b", "a.b", "=", "\0"], [], ""),
    ("member_status", ["accepted", "pending", "rejected", "all"], ["x", "ALL"], "IMG.0017"),
    *((flag, ["true", "false"], ["yes", "True"], "IMG.0017") for flag in FLAGS),
    ("__support_xen_gpu_type", ["M60_vGPU", "x"], [], ""),
    ("__support_kvm_gpu_type", ["V100", "x"], [], ""),
    (
        "virtual_env_type",
        ["FusionCompute", "Ironic", "DataImage", "IsoImage"],
        ["ECS", "ironic"],
        "IMG.0024",
    ),
    ("size_min", ["0", "9" * 30], ["-1", "x"], "IMG.0017"),
    ("size_max", ["0", "9" * 30], ["-1", "x"], "IMG.0017"),
    ("hw_firmware_type", ["bios", "uefi"], ["UEFI", "x"], "IMG.0017"),
    ("architecture", ["x86", "arm"], ["ARM", "x86_64"], "IMG.0212"),
    ("flavor_id", [], ["x"], "IMG.0192"),
]
TIMES: list[tuple[str, str]] = [
    ("gt:2026-11-24T05:00:00Z", ACCEPTED),
    ("gte:2026-11-24 05:00:00", ACCEPTED),
    ("lt:2026-11-24+05:00:00", ACCEPTED),
    ("neq:2024-02-29T23:59:59Z", ACCEPTED),
    ("2026-11-24T05:00:00Z", "IMG.0017"),
    ("GT:2026-11-24T05:00:00Z", "IMG.0017"),
    ("in:2026-11-24T05:00:00Z", "IMG.0017"),
    ("gt:2026-11-24T05:00:00", "IMG.0017"),
    ("gt:2026-11-24 05:00:00Z", "IMG.0017"),
    ("gt:2026-11-24T05:00:00.5Z", "IMG.0017"),
    ("gt:2026-11-24T05:00:00+00:00", "IMG.0017"),
    ("gt:2026-11-24", "IMG.0017"),
    ("gt:2026-02-29T00:00:00Z", "IMG.0017"),
    ("gt:0000-01-01T00:00:00Z", "IMG.0017"),
    ("gt:2026-11-24T24:00:00Z", "IMG.0017"),
    ("gt:2026-11-24T05:00:60Z", "IMG.0017"),
    ("gt:٢٠٢٦-11-24T05:00:00Z", "IMG.0017"),
    ("gt:2026-11-24T05:00:00Z\n", "IMG.0017"),
]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (name, value, expected)
        for name, good, wrong, refusal in PARAMETERS
        for value, expected in (*((v, ACCEPTED) for v in good), *((v, refusal) for v in wrong))
    ]
    + [(name, *row) for name in ("created_at", "updated_at") for row in TIMES],
)
def test_a_parameter_takes_its_values_and_refuses_others_with_its_code(
    name: str, value: str, expected: str
) -> None:
    found, message = refusal_of(filters.read_filter, [(name, value)], ME)
    assert found == expected
    assert found == ACCEPTED or name in message


SINGLE = [name for name, *_ in PARAMETERS if name != "tag"]


@pytest.mark.parametrize("name", [*SINGLE, "enterprise_project_id"])
def test_a_single_valued_parameter_may_not_repeat(name: str) -> None:
    assert code((name, ""), (name, "")) == "IMG.0017"
    assert code((name, "")) == ACCEPTED


@pytest.mark.parametrize("name", [*SINGLE, "tag", "created_at", "enterprise_project_id"])
def test_an_empty_value_counts_as_absent(name: str) -> None:
    assert read((name, "")) == read()
    assert filters.read_paging([(name, "")]) == filters.read_paging([])


def test_other_parameters_are_ignored_however_often_they_come() -> None:
    query = [("tags", "x"), ("tags", "y"), ("LIMIT", "x"), ("Name", "\0"), ("offset", "-1")]
    assert read(*query) == read()
    assert filters.read_paging(query) == filters.read_paging([])


def test_of_two_wrong_parameters_the_earlier_of_the_table_answers() -> None:
    wrong = [(name, values[0], refusal) for name, _, values, refusal in PARAMETERS if values]
    wrong.append(("created_at", "x", "IMG.0017"))
    for (one, value, expected), (other, second, _) in combinations(wrong, 2):
        found, message = refusal_of(filters.read_filter, [(other, second), (one, value)], ME)
        assert (found, one in message) == (expected, True), (one, other)


def test_a_list_without_pages_ignores_the_parameters_of_pages() -> None:
    query = [("limit", "x"), ("marker", "x"), ("sort_key", "x"), ("sort_dir", "x"), ("limit", "y")]
    assert code_of(filters.read_filter, query, ME, paged=False) == ACCEPTED
    assert code(*query[:1]) == "IMG.0017"
    for number in range(4):
        assert code_of(filters.read_paging, query[number : number + 1]) == "IMG.0017"


def test_a_page_has_the_defaults_of_the_table() -> None:
    assert filters.read_paging([]) == Paging(500, (Key("created_at"), Key("id")), None)
    query = [("limit", "3"), ("sort_key", "size"), ("sort_dir", "asc"), ("marker", ID.upper())]
    expected = Paging(3, (Key("size", False), Key("id", False)), ID)
    assert filters.read_paging(query) == expected


@pytest.mark.parametrize(
    ("query", "changes"),
    [
        ({}, {}),
        ({"__isregistered": "true"}, {}),
        ({"__isregistered": "false"}, {"nothing": True}),
        ({"__imagetype": "gold"}, {"image_types": {"gold"}}),
        ({"__imagetype": "market"}, {"image_types": set()}),
        ({"visibility": "public"}, {"image_types": {"gold"}}),
        ({"__imagetype": "gold", "visibility": "public"}, {"image_types": {"gold"}}),
        ({"__imagetype": "gold", "visibility": "private"}, {"image_types": set()}),
        ({"protected": "TRUE"}, {"protected_or_public": True}),
        ({"__whole_image": "false"}, {"is_whole": False}),
        ({"architecture": "arm"}, {"is_arm": True}),
        ({"architecture": "x86"}, {"is_arm": False}),
        ({"hw_firmware_type": "bios"}, {"firmware_or_bios": "bios"}),
        ({"__os_version": "Ubuntu_18.04"}, {"os_version_like": "Ubuntu_18.04"}),
        ({"__support_kvm": "true"}, {"flags": (("__support_kvm", True),)}),
        ({"__support_arm": "false"}, {"flags": (("__support_arm", False),)}),
        ({"__system__cmkid": "k"}, {"equals": (("__system__cmkid", "k"),)}),
        ({"__support_kvm_gpu_type": "V100"}, {"equals": (("__support_kvm_gpu_type", "V100"),)}),
        ({"owner": ID}, {"one_of": (("owner", (ID.replace("-", ""),)),)}),
        ({"owner": "x"}, {"nothing": True}),
        ({"id": ID.upper()}, {"one_of": (("id", (ID,)),)}),
        ({"id": ID.replace("-", "")}, {"nothing": True}),
        ({"status": "active"}, {"one_of": (("status", ("active",)),)}),
        (
            {"status": "saving"},
            {"one_of": (("status", ("saving", "uploading", "importing")),)},
        ),
        ({"status": "deleted"}, {"one_of": (("status", ()),), "nothing": True}),
        ({"name": "a b"}, {"one_of": (("name", ("a b",)),)}),
        ({"name": "a\0b"}, {"nothing": True}),
        ({"__os_version": "\0"}, {"nothing": True}),
        # a format that is stored as null is asked for by the word it is shown as
        ({"disk_format": "qcow2"}, {"one_of": (("disk_format", ("qcow2", "")),)}),
        ({"disk_format": "raw"}, {"one_of": (("disk_format", ("raw",)),)}),
        ({"container_format": "bare"}, {"one_of": (("container_format", ("bare", "")),)}),
        ({"container_format": "ova"}, {"one_of": (("container_format", ("ova",)),)}),
        ({"min_ram": "008"}, {"bounds": (Bound("min_ram", Compare.EQ, 8),)}),
        ({"min_disk": "9" * 30}, {"bounds": (Bound("min_disk", Compare.EQ, 2**63),)}),
        ({"size_min": "5"}, {"bounds": (Bound("size", Compare.GTE, 5, null_is_zero=True),)}),
        ({"size_max": "5"}, {"bounds": (Bound("size", Compare.LTE, 5, null_is_zero=True),)}),
        ({"__os_bit": "16"}, {"one_of": (("os_bit", ("16",)),)}),
        ({"__os_type": "Other"}, {"one_of": (("os_type", ("Other",)),)}),
        ({"__platform": "Red_hat"}, {"one_of": (("platform", ("RedHat",)),)}),
        ({"__platform": "BeOS"}, {"one_of": (("platform", ()),), "nothing": True}),
        ({"virtual_env_type": "Ironic"}, {"one_of": (("env_type", ("Ironic",)),)}),
        ({"tag": "a"}, {"tags": (("a",),)}),
        ({"tag": "a=b.c"}, {"tags": (("a=b.c", "a=b=c"),)}),
        ({"tag": "a.b.c"}, {"tags": (("a.b.c", "a=b.c"),)}),
        ({"tag": "\0"}, {"nothing": True}),
    ],
)
def test_what_a_query_is_read_as(query: dict[str, str], changes: dict[str, Any]) -> None:
    expected = {"scope": Scope(ME)} | changes
    if "image_types" in expected:
        expected["image_types"] = frozenset(expected["image_types"])
    assert read(**query) == Filter(**expected)


def test_tags_and_times_repeat_and_all_hold() -> None:
    query = [("tag", "a"), ("tag", "b.c"), ("created_at", "gte:2026-11-24+05:00:00")]
    query += [("created_at", "lt:2026-11-25T00:00:00Z"), ("updated_at", "neq:2026-11-24 00:00:00")]
    found = read(*query)
    assert found.tags == (("a",), ("b.c", "b=c"))
    assert found.moments == (
        Moment("created_at", Compare.GTE, datetime(2026, 11, 24, 5, tzinfo=UTC)),
        Moment("created_at", Compare.LT, datetime(2026, 11, 25, tzinfo=UTC)),
        Moment("updated_at", Compare.NEQ, datetime(2026, 11, 24, tzinfo=UTC)),
    )


ALL = frozenset({"accepted", "pending", "rejected"})
ACCEPTED_ONLY = frozenset({"accepted"})


@pytest.mark.parametrize(
    ("query", "own", "public", "shared_in"),
    [
        ({}, True, True, ACCEPTED_ONLY),
        ({"member_status": "pending"}, True, True, frozenset({"pending"})),
        ({"member_status": "all"}, True, True, ALL),
        ({"__imagetype": "shared"}, True, True, ACCEPTED_ONLY),
        ({"visibility": "shared"}, True, True, ACCEPTED_ONLY),
        ({"__imagetype": "shared", "member_status": "rejected"}, False, False, {"rejected"}),
        ({"visibility": "shared", "member_status": "all"}, False, False, ALL),
        ({"__imagetype": "private", "member_status": "all"}, True, True, ALL),
        ({"enterprise_project_id": "all_granted_eps"}, True, True, ACCEPTED_ONLY),
        ({"enterprise_project_id": "0"}, True, False, frozenset()),
        ({"enterprise_project_id": EP, "member_status": "all"}, True, False, frozenset()),
        (
            {"enterprise_project_id": "0", "visibility": "shared", "member_status": "all"},
            False,
            False,
            frozenset(),
        ),
    ],
)
def test_which_images_a_list_is_about(
    query: dict[str, str], own: bool, public: bool, shared_in: frozenset[str]
) -> None:
    expected = Scope(ME, own=own, public=public, shared_in=frozenset(shared_in))
    assert read(**query).scope == expected


NAMES = st.sampled_from(
    [name for name, *_ in PARAMETERS]
    + ["enterprise_project_id", "created_at", "updated_at", "unknown", ""]
)
WORDS = st.sampled_from(
    [value for _, good, wrong, _ in PARAMETERS for value in (*good, *wrong)]
    + [value for value, _ in TIMES]
    + ["0", EP, "all_granted_eps"]
)


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, WORDS | st.text(max_size=30)), max_size=5))
def test_any_query_is_read_or_refused(query: list[tuple[str, str]]) -> None:
    for call in (
        lambda: filters.read_filter(query, ME),
        lambda: filters.read_filter(query, ME, paged=False),
        lambda: filters.read_paging(query),
    ):
        assert code_of(call) in {
            *(ACCEPTED, "IMG.0017", "IMG.0024", "IMG.0055", "IMG.0122", "IMG.0192", "IMG.0212"),
        }
