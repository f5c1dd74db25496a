# SPDX-License-Identifier: Apache-2.0
"""Lists: SQL and Python agree on every condition, and pages put together are the whole list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event, select

from calotype.db.session import Database
from calotype.db.tables.images import images
from calotype.errors import Invalid, Unavailable
from calotype.images import admission, attributes, listing, store
from calotype.images.filters import Bound, Compare, Filter, Moment, Scope
from calotype.images.listing import Key, Paging
from calotype.images.model import Image, from_row
from calotype.images.target import facts
from calotype.images.visibility import Clause, EpRule, ListFilter, visible
from calotype.images.visibility_sql import visible_to
from tests.unit.images.making import (
    ALICE,
    BOB,
    CAROL,
    PROJECTS,
    START,
    clear,
    image,
    random_images,
    random_shares,
    save,
    share,
)

FEW = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
STATUSES = ("pending", "accepted", "rejected")


class Undo(Exception):
    """Ends a transaction that must leave nothing."""


def fresh(database: Database, work: Callable[[Connection], None]) -> None:
    """Run `work` in a transaction over no images, and undo it."""

    def run(conn: Connection) -> None:
        clear(conn)
        work(conn)
        raise Undo

    with pytest.raises(Undo):
        database.write(run)


def stored(conn: Connection, viewer: str) -> list[Image]:
    """Return every image as `viewer` reads it one by one."""
    found = [store.get(conn, row[0], viewer) for row in conn.execute(select(images.c.id))]
    return [one for one in found if one is not None]


def fill(conn: Connection, made: list[Image], shares: list[tuple[int, str, str]]) -> None:
    save(conn, *made)
    for index, member, status in shares:
        if index < len(made) and made[index].owner != member:
            share(conn, made[index], member, status)


@FEW
@given(data=st.data())
def test_one_read_and_a_list_agree_on_who_sees_an_image(database: Database, data: Any) -> None:
    made = data.draw(random_images())
    shares = data.draw(random_shares(made))

    def work(conn: Connection) -> None:
        fill(conn, made, shares)
        for viewer in PROJECTS:
            expected = {one.id for one in stored(conn, viewer) if visible(facts(one), viewer)}
            found = conn.execute(select(images.c.id).where(visible_to(viewer)))
            assert set(found.scalars()) == expected

    fresh(database, work)


ASKED = st.tuples(
    st.sampled_from([*attributes.ATTRIBUTES, "os_distro", "__support_kvm", "long"]),
    st.sampled_from(
        [
            "gold", "private", "shared", "market", "true", "false", "uds", "0", "1", "10", "010",
            "1" * 36, "Linux", "Other", "64", "k", "file", "x" * 4000, "", "a\0b", "2048", "uefi",
            "2026-11-24T05:00:00Z", "2026-11-24 05:00:00", "FusionCompute", str(2**40),
            "Other_Linux",
        ]
    ),
)  # fmt: skip


@FEW
@given(data=st.data())
def test_the_value_of_an_attribute_and_its_filter_agree(database: Database, data: Any) -> None:
    made = data.draw(random_images())
    shares = data.draw(random_shares(made))
    questions = data.draw(st.lists(ASKED, min_size=1, max_size=12))

    def work(conn: Connection) -> None:
        fill(conn, made, shares)
        for viewer in (ALICE, BOB):
            everything = stored(conn, viewer)
            for name, value in questions:
                if "\0" in value and name in attributes.ATTRIBUTES:
                    continue  # faces refuse NUL in columns
                expected = {
                    one.id for one in everything if attributes.read(one, name, viewer) == value
                }
                found = conn.execute(
                    select(images.c.id).where(attributes.where(name, value, viewer))
                )
                assert set(found.scalars()) == expected, (name, value)

    fresh(database, work)


def in_scope(one: Image, scope: Scope) -> bool:
    """Say in Python which images a scope is about."""
    if one.owner == scope.project:
        return scope.own
    if one.visibility in ("public", "community"):
        return scope.public if one.visibility == "public" else scope.community
    return one.visibility == "shared" and one.member_status in scope.shared_in


RARELY = st.sampled_from([False, False, False, True])
scopes = st.builds(
    Scope,
    project=st.sampled_from(PROJECTS),
    own=st.booleans(),
    public=st.booleans(),
    community=st.booleans(),
    shared_in=st.sets(st.sampled_from(STATUSES)).map(frozenset),
)
orders = st.lists(
    st.builds(Key, st.sampled_from(listing.SORT_KEYS), st.booleans()), max_size=4
).map(tuple)


@FEW
@given(data=st.data(), scope=scopes, order=orders, limit=st.integers(1, 5), everything=RARELY)
def test_pages_put_together_are_the_sorted_list(
    database: Database,
    data: Any,
    scope: Scope,
    order: tuple[Key, ...],
    limit: int,
    everything: bool,
) -> None:
    made = data.draw(random_images(20))
    shares = data.draw(random_shares(made))

    def work(conn: Connection) -> None:
        fill(conn, made, shares)
        wanted = Filter(scope=replace(scope, everything=everything))
        viewer = scope.project or ""
        expected = [one for one in stored(conn, viewer) if everything or in_scope(one, scope)]
        for key in reversed(listing.complete(order)):
            expected.sort(
                key=lambda one, key=key: listing.position(one, (key,)),  # type: ignore[misc]
                reverse=key.descending,
            )
        found: list[Image] = []
        marker = None
        while True:
            page = listing.page(conn, wanted, Paging(limit, order, marker))
            found += page.images
            if not page.more:
                break
            assert len(page.images) == limit
            marker = page.images[-1].id
        assert [one.id for one in found] == [one.id for one in expected]

    fresh(database, work)


def matches(one: Image, wanted: Filter, allowed: ListFilter | None) -> bool:
    """Say in Python what a filter asks for, written without looking at the SQL."""
    viewer = wanted.scope.project
    if allowed is not None and one.owner == viewer and not allowed.admits(facts(one)):
        return False
    return (
        all(getattr(one, column) in values for column, values in wanted.one_of)
        and one.status not in wanted.not_statuses
        and all(set(group) & set(one.tags) for group in wanted.tags)
        and all(attributes.read(one, name, viewer) == value for name, value in wanted.equals)
        and all((attributes.read(one, name, viewer) == "true") == on for name, on in wanted.flags)
        and matches_columns(one, wanted)
    )


def matches_columns(one: Image, wanted: Filter) -> bool:
    for bound in wanted.bounds:
        value = getattr(one, bound.column)
        if value is None and bound.null_is_zero:
            value = 0
        if value is None or not compare(bound.compare, value, bound.value):
            return False
    for moment in wanted.moments:
        at = getattr(one, moment.column).replace(microsecond=0)
        if not compare(moment.compare, at, moment.at.replace(microsecond=0)):
            return False
    for name in ("os_hidden", "protected", "is_whole", "is_arm"):
        asked = getattr(wanted, name)
        if asked is not None and asked != getattr(one, name):
            return False
    kind = attributes.image_type(one, wanted.scope.project)
    if wanted.image_types is not None and kind not in wanted.image_types:
        return False
    if wanted.changed_after is not None and one.updated_at <= wanted.changed_after:
        return False
    guarded = one.protected or one.visibility == "public"
    if wanted.protected_or_public not in (None, guarded):
        return False
    if wanted.firmware_or_bios and (one.firmware or "bios") != wanted.firmware_or_bios:
        return False
    return wanted.os_version_like is None or plain(one.os_version) == plain(wanted.os_version_like)


def plain(text: str | None) -> str:
    return (text or "-").lower().replace(" ", "").replace("_", "")


def compare(how: Compare, left: Any, right: Any) -> bool:
    table: dict[Compare, bool] = {
        Compare.EQ: left == right, Compare.NEQ: left != right,
        Compare.GT: left > right, Compare.GTE: left >= right,
        Compare.LT: left < right, Compare.LTE: left <= right,
    }  # fmt: skip
    return table[how]


clauses = st.builds(
    Clause,
    ids=st.none(),
    tags=st.lists(
        st.sampled_from([("k", frozenset({"v", "x"})), ("lts", frozenset({""}))]), max_size=2
    ).map(tuple),
    exact=st.booleans(),
)
rules = st.builds(
    EpRule,
    ep=st.sampled_from(["0", "1" * 36]),
    always=st.booleans(),
    allow=st.lists(clauses, max_size=2).map(tuple),
    deny=st.lists(clauses, max_size=2).map(tuple),
    exact=st.booleans(),
)
list_filters = st.builds(
    ListFilter,
    project_id=st.just(ALICE),
    only_ep=st.sampled_from([None, None, "0"]),
    open_eps=st.sampled_from([None, frozenset(), frozenset({"0"})]),
    rules=st.lists(rules, max_size=2, unique_by=lambda rule: rule.ep).map(tuple),
    judge=st.sampled_from([None, lambda target: target.id < "8"]),
)
compares = st.sampled_from(list(Compare))
one_of = st.one_of(
    st.tuples(st.just("name"), st.lists(st.sampled_from(["a", "b", "", "Äpfel"]), max_size=3)),
    st.tuples(st.just("status"), st.lists(st.sampled_from(["queued", "active"]), max_size=2)),
    st.tuples(st.just("disk_format"), st.lists(st.sampled_from(["raw", "iso"]), max_size=2)),
    st.tuples(st.just("owner"), st.lists(st.sampled_from(PROJECTS), max_size=2)),
).map(lambda item: (item[0], tuple(item[1])))
wanted_filters = st.builds(
    Filter,
    scope=st.just(Scope(ALICE, community=True, shared_in=frozenset(STATUSES))),
    one_of=st.lists(one_of, max_size=2).map(tuple),
    not_statuses=st.sets(st.sampled_from(["killed", "queued"])).map(frozenset),
    bounds=st.lists(
        st.builds(
            Bound,
            st.sampled_from(["size", "min_disk"]),
            compares,
            st.sampled_from([0, 1, 10, 2**70]),
            st.booleans(),
        ),
        max_size=2,
    ).map(tuple),
    moments=st.lists(
        st.builds(
            Moment,
            st.sampled_from(["created_at", "updated_at"]),
            compares,
            st.sampled_from([START, START + timedelta(seconds=1, microseconds=5)]),
        ),
        max_size=2,
    ).map(tuple),
    image_types=st.one_of(
        st.none(), st.sets(st.sampled_from(attributes.IMAGE_TYPES)).map(frozenset)
    ),
    os_hidden=st.sampled_from([None, None, True, False]),
    protected=st.sampled_from([None, None, True, False]),
    is_whole=st.sampled_from([None, None, True, False]),
    is_arm=st.sampled_from([None, None, True, False]),
    os_version_like=st.sampled_from([None, None, "UBUNTU_18.04 server64bit", "other linux"]),
    firmware_or_bios=st.sampled_from([None, None, "bios", "uefi"]),
    protected_or_public=st.sampled_from([None, None, True, False]),
    changed_after=st.sampled_from([None, None, START, START + timedelta(microseconds=4)]),
    tags=st.lists(st.sampled_from([("lts",), ("k=v", "k=w")]), max_size=2).map(tuple),
    equals=st.lists(ASKED.filter(lambda item: "\0" not in item[1]), max_size=1).map(tuple),
    flags=st.lists(
        st.tuples(st.sampled_from(["__support_kvm", "__support_arm"]), st.booleans()), max_size=1
    ).map(tuple),
)


@settings(FEW, max_examples=40)
@given(data=st.data(), wanted=wanted_filters, allowed=st.one_of(st.none(), list_filters))
def test_a_list_holds_exactly_what_its_filter_asks_for(
    database: Database, data: Any, wanted: Filter, allowed: ListFilter | None
) -> None:
    made = data.draw(random_images())
    shares = data.draw(random_shares(made))

    def work(conn: Connection) -> None:
        fill(conn, made, shares)
        seen = [one for one in stored(conn, ALICE) if in_scope(one, wanted.scope)]
        expected = {one.id for one in seen if matches(one, wanted, allowed)}
        narrowed, keep = admission.admit(wanted, allowed)
        found = listing.page(conn, narrowed, Paging(100), keep)
        assert {one.id for one in found.images} == expected
        assert len(found.images) == len(expected)

    fresh(database, work)


def count_statements(database: Database, work: Callable[[], Any]) -> int:
    """Return how many statements `work` sends."""
    seen: list[str] = []

    def note(*args: Any) -> None:
        seen.append(args[2])

    for engine in database.engines:
        event.listen(engine, "before_cursor_execute", note)
    work()
    for engine in database.engines:
        event.remove(engine, "before_cursor_execute", note)
    return len(seen)


def test_a_page_is_one_statement_and_with_a_marker_two(database: Database) -> None:
    made = [image(created_at=START + timedelta(seconds=index)) for index in range(5)]
    database.write(lambda conn: save(conn, *made))
    wanted = Filter(scope=Scope(ALICE))
    first = count_statements(
        database, lambda: database.read(lambda conn: listing.page(conn, wanted, Paging(2)))
    )
    paging = Paging(2, marker=made[0].id)
    second = count_statements(
        database, lambda: database.read(lambda conn: listing.page(conn, wanted, paging))
    )
    assert (first, second) == (1, 2)


def test_a_marker_must_be_visible_and_need_not_match(database: Database) -> None:
    own, foreign, deleted = image(name="own"), image(owner=BOB), image()
    database.write(lambda conn: save(conn, own, foreign))
    wanted = Filter(scope=Scope(ALICE), one_of=(("name", ("other",)),))
    page = database.read(lambda conn: listing.page(conn, wanted, Paging(5, marker=own.id)))
    assert page.images == ()
    for marker in (foreign.id, deleted.id):
        with pytest.raises(Invalid) as refusal:
            database.read(
                lambda conn, marker=marker: listing.page(conn, wanted, Paging(5, marker=marker))
            )
        assert refusal.value.rule == "marker"
    everyone = Filter(scope=Scope(ALICE, everything=True))
    after = database.read(lambda conn: listing.page(conn, everyone, Paging(5, marker=foreign.id)))
    assert len(after.images) <= 1


def test_a_marker_of_a_project_that_may_not_be_listed_is_refused(database: Database) -> None:
    made = image(enterprise_project_id="1" * 36)
    database.write(lambda conn: save(conn, made))
    wanted = Filter(scope=Scope(ALICE), own_eps=frozenset({"0"}))
    with pytest.raises(Invalid):
        database.read(lambda conn: listing.page(conn, wanted, Paging(5, marker=made.id)))


def test_own_images_only_are_limited_to_the_enterprise_projects(database: Database) -> None:
    other = "1" * 36
    made = [image(enterprise_project_id=other), image()]
    public = image(owner=BOB, visibility="public", enterprise_project_id=other)
    database.write(lambda conn: save(conn, *made, public))
    wanted = Filter(scope=Scope(ALICE), own_eps=frozenset({"0"}))
    page = database.read(lambda conn: listing.page(conn, wanted, Paging(5)))
    assert {one.id for one in page.images} == {made[1].id, public.id}


def test_a_judged_list_pages_without_gaps(database: Database) -> None:
    made = [image(created_at=START + timedelta(seconds=index)) for index in range(30)]
    database.write(lambda conn: save(conn, *made))
    good = {one.id for one in made[::3]}
    wanted = Filter(scope=Scope(ALICE))

    def pages(conn: Connection) -> list[str]:
        found: list[str] = []
        marker = None
        while True:
            page = listing.page(conn, wanted, Paging(4, marker=marker), lambda one: one.id in good)
            found += [one.id for one in page.images]
            if not page.more:
                return found
            marker = found[-1]

    assert database.read(pages) == [one.id for one in reversed(made) if one.id in good]


def test_a_judged_list_looks_at_5000_rows_at_most(database: Database) -> None:
    made = [image(created_at=START + timedelta(seconds=index)) for index in range(3)]
    database.write(lambda conn: save(conn, *made))

    def many(conn: Connection) -> None:
        row = dict(conn.execute(select(images).where(images.c.id == made[0].id)).mappings().one())
        conn.execute(
            images.insert(),
            [row | {"id": f"{index:036}", "created_at": index} for index in range(5100)],
        )

    database.write(many)
    wanted = Filter(scope=Scope(ALICE))
    newest = made[-1].id
    page = database.read(
        lambda conn: listing.page(conn, wanted, Paging(2), lambda one: one.id == newest)
    )
    assert ([one.id for one in page.images], page.more) == ([newest], True)
    with pytest.raises(Unavailable) as refusal:
        database.read(lambda conn: listing.page(conn, wanted, Paging(2), lambda one: False))
    assert refusal.value.rule == "scan_limit"


def test_an_empty_page_asks_the_database_nothing(database: Database) -> None:
    wanted = Filter(scope=Scope(CAROL))
    sent = count_statements(
        database, lambda: database.read(lambda conn: listing.page(conn, wanted, Paging(0)))
    )
    assert sent == 0


def test_rows_keep_their_member_status_in_lists(database: Database) -> None:
    made = image(owner=BOB, visibility="shared")
    database.write(lambda conn: (save(conn, made), share(conn, made, ALICE, "pending")))
    wanted = Filter(scope=Scope(ALICE, shared_in=frozenset({"pending"})))
    page = database.read(lambda conn: listing.page(conn, wanted, Paging(5)))
    assert [one.member_status for one in page.images] == ["pending"]
    row = database.read(lambda conn: conn.execute(select(images)).mappings().one())
    assert page.images[0] == replace(from_row(row), member_status="pending")
