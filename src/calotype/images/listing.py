# SPDX-License-Identifier: Apache-2.0
"""One page of images in one statement, at a cost that the number of images does not change.

The list is a union of branches (own, public, community, shared in with each status), each ordered
and cut by itself so that an index gives it, and then cut again. Pages are sought by the values of
the last image (keyset), null as empty or 0. Sources: native.md 6, ims.md ims.list, iam.md 4.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    String,
    and_,
    cast,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    union_all,
)

from calotype.db.tables.images import image_members, image_properties, image_tags, images
from calotype.errors import Invalid, Unavailable
from calotype.images import filters
from calotype.images.attributes import ATTRIBUTES
from calotype.images.filters import Filter, Scope
from calotype.images.model import Image, from_row, to_microseconds
from calotype.images.properties import value_key
from calotype.images.visibility_sql import visible_to

SCAN_LIMIT = 5000
_STEP = 200

Keep = Callable[[Image], bool]


@dataclass(frozen=True, slots=True)
class Key:
    """One sort key and its direction."""

    name: str
    descending: bool = True


NEWEST_FIRST = (Key("created_at"), Key("id"))


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page: at most `limit` images after `marker`. `order` may leave out the last `id`."""

    limit: int
    order: tuple[Key, ...] = NEWEST_FIRST
    marker: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Images in order; `more` tells whether a further one exists (or the scan ended early)."""

    images: tuple[Image, ...]
    more: bool


def page(conn: Connection, wanted: Filter, paging: Paging, keep: Keep | None = None) -> Page:
    """Return one page, in one statement, plus one when a marker is given.

    `keep` judges images that SQL cannot: at most 5,000 rows are looked at (iam.md 4.5).
    Raises Invalid (`marker`) when the marker names no image that the caller may list, Unavailable
    (`scan_limit`) when the scan ends without having found one.
    """
    order = complete(paging.order)
    after = None if paging.marker is None else _marker(conn, wanted, paging.marker, keep, order)
    if paging.limit <= 0:
        return Page((), False)
    if keep is None:
        rows = _fetch(conn, wanted, order, after, paging.limit + 1)
        return Page(tuple(rows[: paging.limit]), len(rows) > paging.limit)
    return _scan(conn, wanted, paging.limit, (order, after), keep)


def complete(order: Iterable[Key]) -> tuple[Key, ...]:
    """Return an order without repeated keys that ends in `id`, so that it is total."""
    keys: dict[str, Key] = {}
    for key in order:
        keys.setdefault(key.name, key)
        if key.name == "id":
            return tuple(keys.values())
    last = next(reversed(keys.values()), Key("created_at"))
    keys["id"] = Key("id", last.descending)
    return tuple(keys.values())


def position(image: Image, order: Sequence[Key]) -> tuple[Any, ...]:
    """Return the values by which `image` is sorted, null as empty or 0."""
    return tuple(_VALUES[key.name](image) for key in order)


def _scan(
    conn: Connection,
    wanted: Filter,
    limit: int,
    start: tuple[tuple[Key, ...], tuple[Any, ...] | None],
    keep: Keep,
) -> Page:
    order, after = start
    found: list[Image] = []
    seen = 0
    while seen < SCAN_LIMIT:
        step = min(max(limit + 1, _STEP), SCAN_LIMIT - seen)
        rows = _fetch(conn, wanted, order, after, step)
        seen += len(rows)
        for image in rows:
            if keep(image):
                if len(found) == limit:
                    return Page(tuple(found), True)
                found.append(image)
        if len(rows) < step:
            return Page(tuple(found), False)
        after = position(rows[-1], order)
    if not found:
        raise Unavailable(
            f"no image was found among the first {SCAN_LIMIT}", rule="scan_limit", retry_after=1
        )
    return Page(tuple(found), True)


def _fetch(
    conn: Connection,
    wanted: Filter,
    order: tuple[Key, ...],
    after: tuple[Any, ...] | None,
    count: int,
) -> list[Image]:
    parts = [
        _cut(branch, order, after, count)
        for branch in _branches(wanted.scope, wanted, filters.conditions(wanted))
    ]
    if not parts:
        return []
    found = (parts[0] if len(parts) == 1 else union_all(*parts)).subquery("found")
    statement = (
        select(images, found.c.member_status)
        .join_from(found, images, images.c.id == found.c.id)
        .order_by(*_order_by(_IMAGES, order))
        .limit(count)
    )
    return [from_row(row) for row in conn.execute(statement).mappings()]


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a branch finds its images: the table whose index gives them in order."""

    source: FromClause
    owner: ColumnElement[Any]
    created_at: ColumnElement[Any]
    id: ColumnElement[Any]


@dataclass(frozen=True, slots=True)
class _Branch:
    """One of the disjoint parts of a list."""

    source: _Source
    conditions: list[ColumnElement[bool]]
    member_status: ColumnElement[Any]


def _branches(scope: Scope, wanted: Filter, common: list[ColumnElement[bool]]) -> Iterator[_Branch]:
    if scope.everything:
        yield _Branch(_IMAGES, common, _NO_STATUS)
        return
    foreign = images.c.owner != scope.project
    if scope.own:
        source, driving = _own_source(wanted)
        own = [source.owner == scope.project, *driving, *filters.own_conditions(wanted)]
        yield _Branch(source, own + common, _NO_STATUS)
    for visibility, asked in (("public", scope.public), ("community", scope.community)):
        if asked:
            mine = [images.c.visibility == visibility, foreign]
            yield _Branch(_IMAGES, mine + common, _NO_STATUS)
    for status in sorted(scope.shared_in):
        shared = [
            image_members.c.member == scope.project,
            image_members.c.status == status,
            images.c.visibility == "shared",
            foreign,
        ]
        yield _Branch(_MEMBERS, shared + common, image_members.c.status)


def _own_source(wanted: Filter) -> tuple[_Source, list[ColumnElement[bool]]]:
    """Begin at a tag or property that is asked for: its index holds the images in order."""
    for group in wanted.tags:
        if len(group) == 1:
            return _TAGS, [image_tags.c.tag == group[0]]
    for name, value in wanted.equals:
        if name not in ATTRIBUTES:
            return _PROPERTIES, [
                image_properties.c.name == name,
                image_properties.c.value_key == value_key(value),
            ]
    return _IMAGES, []


def _cut(
    branch: _Branch, order: tuple[Key, ...], after: tuple[Any, ...] | None, count: int
) -> Select[Any]:
    source = branch.source
    statement = select(images.c.id, branch.member_status.label("member_status"))
    if source is not _IMAGES:
        statement = statement.join_from(source.source, images, images.c.id == source.id)
    statement = statement.where(*branch.conditions)
    if after is not None:
        statement = statement.where(_later(source, order, after))
    cut = statement.order_by(*_order_by(source, order)).limit(count).subquery()
    # SQLite takes ORDER BY and LIMIT inside a union only in sub-queries.
    return select(cut.c.id, cut.c.member_status)


def _order_by(source: _Source, order: tuple[Key, ...]) -> list[ColumnElement[Any]]:
    return [
        expression.desc() if key.descending else expression.asc()
        for key in order
        for expression in [_expression(source, key.name)]
    ]


def _later(source: _Source, order: tuple[Key, ...], after: tuple[Any, ...]) -> ColumnElement[bool]:
    """Return the condition of standing behind `after` in a total order."""
    columns = [_expression(source, key.name) for key in order]
    if len({key.descending for key in order}) == 1:
        values = tuple_(*(literal(value) for value in after))
        row = tuple_(*columns)
        return row < values if order[0].descending else row > values
    steps = []
    for index, key in enumerate(order):
        beyond = columns[index] < after[index] if key.descending else columns[index] > after[index]
        equal = [columns[place] == after[place] for place in range(index)]
        steps.append(and_(*equal, beyond))
    first, edge = columns[0], after[0]
    return and_(first <= edge if order[0].descending else first >= edge, or_(*steps))


def _expression(source: _Source, name: str) -> ColumnElement[Any]:
    if name == "created_at":
        return source.created_at
    if name == "id":
        return source.id
    return _EXPRESSIONS[name]


def _marker(
    conn: Connection, wanted: Filter, marker: str, keep: Keep | None, order: tuple[Key, ...]
) -> tuple[Any, ...]:
    """Return the place of the marker, which must be visible but need not match the filters."""
    project = wanted.scope.project
    statement = select(images).where(images.c.id == marker)
    if not wanted.scope.everything:
        passing = filters.own_conditions(wanted)
        statement = statement.where(visible_to(project))
        if passing:
            statement = statement.where(or_(images.c.owner != project, and_(*passing)))
    row = conn.execute(statement).mappings().first()
    image = None if row is None else from_row(row)
    if image is None or (keep is not None and not keep(image)):
        raise Invalid(
            f"marker: {marker} is no image that you can list",
            rule="marker",
            field="marker",
            value=marker,
        )
    return position(image, order)


_VALUES: dict[str, Callable[[Image], Any]] = {
    "name": lambda image: image.name or "",
    "status": lambda image: image.status,
    "container_format": lambda image: image.container_format or "",
    "disk_format": lambda image: image.disk_format or "",
    "size": lambda image: image.size or 0,
    "id": lambda image: image.id,
    "created_at": lambda image: to_microseconds(image.created_at),
    "updated_at": lambda image: to_microseconds(image.updated_at),
}
SORT_KEYS = tuple(_VALUES)
_EXPRESSIONS: dict[str, ColumnElement[Any]] = {
    "name": images.c.name_sort,
    "status": images.c.status,
    "container_format": func.coalesce(images.c.container_format, literal_column("''")),
    "disk_format": func.coalesce(images.c.disk_format, literal_column("''")),
    "size": func.coalesce(images.c.size, literal_column("0")),
    "updated_at": images.c.updated_at,
}
_NO_STATUS = cast(null(), String(16))
_IMAGES = _Source(images, images.c.owner, images.c.created_at, images.c.id)
_MEMBERS, _TAGS, _PROPERTIES = (
    _Source(table, table.c.get("owner", images.c.owner), table.c.image_created_at, table.c.image_id)
    for table in (image_members, image_tags, image_properties)
)
