# SPDX-License-Identifier: Apache-2.0
"""The query of `glance.list` (native.md 6)."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype import ids
from calotype.api.native import filters
from calotype.errors import Invalid
from calotype.images.filters import Bound, Compare, Filter, Moment, Scope
from calotype.images.listing import Key
from tests.unit.images.making import ALICE

NEVER = frozenset({"killed"})


def read(*query: tuple[str, str]) -> Filter:
    return filters.read_filter(query, ALICE)


def order(*query: tuple[str, str]) -> tuple[Key, ...]:
    return filters.read_paging(query, 25, 1000).order


def test_without_parameters_the_usual_images_are_listed() -> None:
    assert read() == Filter(scope=Scope(ALICE), os_hidden=False, not_statuses=NEVER)


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ("web", ("web",)),
        ("eq:in:x", ("in:x",)),
        ("eq:", ("",)),
        ("app:1.2", ("app:1.2",)),
        ("IN:a", ("IN:a",)),
        ("in:a", ("a",)),
        ("in:a,b", ("a", "b")),
        ("in:a,,b,", ("a", "", "b")),
        ("in:", ("",)),
        ('in:"a,b",c', ("a,b", "c")),
        (r'in:"say \"hi\"","back\\slash"', ('say "hi"', r"back\slash")),
        (r'in:"odd\x"', (r"odd\x",)),
        ('in:""', ("",)),
        ("in:a,a", ("a",)),
    ],
)
def test_a_text_filter_is_a_value_or_a_list(value: str, items: tuple[str, ...]) -> None:
    assert read(("name", value)).one_of == (("name", items),)


@pytest.mark.parametrize(
    "value",
    ['in:"a', 'in:a"b"', 'in:"a"b', 'in:a,b"', "neq:x", "gt:x", "gte:x", "lt:x", "lte:x",
     "in:" + "," * 1000],
)  # fmt: skip
def test_a_wrong_text_filter_is_invalid_and_named(value: str) -> None:
    with pytest.raises(Invalid, match=r"^name: "):
        read(("name", value))


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=20))
def test_quoted_items_come_back_as_they_were(items: list[str]) -> None:
    quoted = (item.replace("\\", "\\\\").replace('"', '\\"') for item in items)
    assert filters.split_items(",".join(f'"{item}"' for item in quoted), "name") == items


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_list_splits_or_is_invalid(text: str) -> None:
    try:
        items = filters.split_items(text, "name")
    except Invalid:
        return
    assert len(items) <= text.count(",") + 1


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-24T05:00:00Z", datetime(2026, 11, 24, 5, tzinfo=UTC)),
        ("2026-11-24T05:00:00", datetime(2026, 11, 24, 5, tzinfo=UTC)),
        ("2026-11-24 05:00:00", datetime(2026, 11, 24, 5, tzinfo=UTC)),
        ("2026-11-24T07:00:00+02:00", datetime(2026, 11, 24, 5, tzinfo=UTC)),
        ("2026-11-24T00:00:00-0500", datetime(2026, 11, 24, 5, tzinfo=UTC)),
        ("2026-11-24T05:00:00.999Z", datetime(2026, 11, 24, 5, 0, 0, 999000, tzinfo=UTC)),
        ("2026-11-24T05:00:00.1234567+00:00", datetime(2026, 11, 24, 5, 0, 0, 123456, tzinfo=UTC)),
        ("2026-13-24T05:00:00Z", None),
        ("0001-01-01T00:00:00+10:00", None),
        ("yesterday", None),
        ("2026-11-24", None),
    ],
)
def test_times_are_iso_8601(text: str, at: datetime | None) -> None:
    assert filters.read_time(text) == at


def test_numbers_times_and_flags_are_read() -> None:
    found = read(
        ("size_min", "1"), ("size_max", "9"), ("min_ram", "-3"),
        ("created_at", "gt:2026-11-24T05:00:00Z"),
        ("protected", "true"), ("os_hidden", "TRUE"), ("checksum", "abc"), ("os_hash_algo", "md5"),
        ("os_hash_value", "f"), ("owner", "0123456789ABCDEF0123456789ABCDEF"),
    )  # fmt: skip
    assert found.bounds == (
        Bound("size", Compare.GTE, 1),
        Bound("size", Compare.LTE, 9),
        Bound("min_ram", Compare.EQ, -3),
    )
    assert found.moments == (
        Moment("created_at", Compare.GT, datetime(2026, 11, 24, 5, tzinfo=UTC)),
    )
    assert (found.protected, found.os_hidden, found.nothing) == (True, True, True)
    assert found.one_of == (
        ("md5", ("abc",)), ("sha512", ("f",)), ("owner", ("0123456789abcdef0123456789abcdef",)),
    )  # fmt: skip


@pytest.mark.parametrize(
    "pair",
    [
        ("size_min", "big"), ("min_disk", "1.0"), ("size", ""), ("protected", "True"),
        ("os_hidden", "1"), ("visibility", "none"), ("member_status", ""), ("member_status", "x"),
        ("changes-since", "2026-11-24T05:00:00Z"), ("created_at", "soon"), ("updated_at", "in:x"),
    ],
)  # fmt: skip
def test_wrong_values_are_invalid(pair: tuple[str, str]) -> None:
    with pytest.raises(Invalid):
        read(pair)


def test_of_a_repeated_parameter_the_last_counts_and_tags_add_up() -> None:
    found = read(
        ("name", "a"), ("tag", " x86 "), ("name", "b"), ("tag", "lts"), ("x", "1"), ("x", "2")
    )
    assert found.one_of == (("name", ("b",)),)
    assert found.tags == (("x86",), ("lts",))
    assert found.equals == (("x", "2"),)


def test_killed_images_are_listed_when_asked_for() -> None:
    assert read(("status", "killed")).not_statuses == frozenset()
    assert read(("status", "in:active,killed")).not_statuses == frozenset()
    assert read(("status", "active")).not_statuses == NEVER


@pytest.mark.parametrize(
    ("word", "scope"),
    [
        ("", Scope(ALICE)),
        ("private", Scope(ALICE, public=False, shared_in=frozenset())),
        ("shared", Scope(ALICE, public=False)),
        ("community", Scope(ALICE, public=False, community=True, shared_in=frozenset())),
        ("public", Scope(ALICE, shared_in=frozenset())),
        ("all", Scope(ALICE, community=True)),
    ],
)
def test_visibility_chooses_whose_images_are_listed(word: str, scope: Scope) -> None:
    assert read(("visibility", word)).scope == scope


def test_member_status_concerns_shared_images() -> None:
    every = frozenset({"accepted", "pending", "rejected"})
    assert read(("member_status", "all")).scope.shared_in == every
    assert read(("member_status", "pending")).scope.shared_in == {"pending"}


def test_a_nul_finds_nothing_instead_of_reaching_the_database() -> None:
    assert read(("owner", "a\0")).one_of == (("owner", ()),)
    assert read(("name", "a\0")).one_of == (("name", ()),)
    for pair in (("tag", "\0"), ("a\0", "b"), ("__os_type", "\0")):
        assert read(pair).nothing
    assert read(("free", "a\0b")).equals == (("free", "a\0b"),)


CREATED, ID = Key("created_at"), Key("id")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ((), (CREATED, CREATED, ID)),
        ((("sort", "name:asc"),), (Key("name", False), Key("created_at", False), Key("id", False))),
        ((("sort", "name"),), (Key("name"), CREATED, ID)),
        ((("sort", "name:asc,size:desc"),), (Key("name", False), Key("size"), CREATED, ID)),
        ((("sort_dir", "asc"),), (Key("created_at", False),) * 2 + (Key("id", False),)),
        (
            (("sort_key", "name"), ("sort_key", "size"), ("sort_dir", "asc")),
            (Key("name", False), Key("size", False), Key("created_at", False), Key("id", False)),
        ),
        (
            (("sort_key", "name"), ("sort_key", "size"), ("sort_dir", "asc"), ("sort_dir", "desc")),
            (Key("name", False), Key("size"), CREATED, ID),
        ),
    ],
)
def test_orders_end_in_the_tie_breakers(
    query: tuple[tuple[str, str], ...], expected: tuple[Key, ...]
) -> None:
    assert order(*query) == expected


@pytest.mark.parametrize(
    "query",
    [
        (("sort", "name"), ("sort_key", "name")), (("sort", "name"), ("sort_dir", "asc")),
        (("sort", ""),), (("sort", "owner"),), (("sort", "name:up"),), (("sort", "name:"),),
        (("sort_key", "x"),), (("sort_dir", "x"),),
        (("sort_key", "name"), ("sort_dir", "asc"), ("sort_dir", "asc")),
    ],
)  # fmt: skip
def test_wrong_orders_are_invalid_and_named_as_they_were_given(
    query: tuple[tuple[str, str], ...],
) -> None:
    with pytest.raises(Invalid, match=f"^{query[-1][0] if query[0][0] != 'sort' else 'sort'}: "):
        order(*query)


def test_the_limit_has_a_default_and_is_lowered_silently() -> None:
    assert filters.read_paging((), 25, 1000).limit == 25
    assert filters.read_paging((("limit", "0"),), 25, 1000).limit == 0
    for more in ("1001", "9" * 20, "9" * 5000):
        assert filters.read_paging((("limit", more),), 25, 1000).limit == 1000
    assert filters.read_paging((("limit", "0" * 5000 + "7"),), 25, 1000).limit == 7
    for wrong in ("-1", "x", "", "1.0", "٣"):
        with pytest.raises(Invalid):
            filters.read_paging((("limit", wrong),), 25, 1000)
    with pytest.raises(Invalid):
        filters.read_paging((("marker", "x"),), 25, 1000)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["limit", "tag", "name", "marker", "ä&="]),
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        )
    )
)
def test_links_carry_all_parameters_and_the_new_marker(query: list[tuple[str, str]]) -> None:
    marker = ids.new_uuid()
    kept = [pair for pair in query if pair[0] != "marker"]
    for link, extra in (
        (filters.first_link(query), []),
        (filters.next_link(query, marker), [("marker", marker)]),
    ):
        parts = urlsplit(link)
        assert parts.path == "/v2/images"
        assert parse_qsl(parts.query, keep_blank_values=True) == kept + extra


def test_links_look_like_the_example_of_the_contract() -> None:
    query = (("limit", "1"), ("tag", "x86"), ("tag", "lts"), ("sort", "name:asc"))
    assert filters.first_link(query) == "/v2/images?limit=1&tag=x86&tag=lts&sort=name%3Aasc"
    assert filters.first_link(()) == "/v2/images"
    assert quote(":", safe="") in filters.next_link(query, "m")
