# SPDX-License-Identifier: Apache-2.0
"""One page of images in one statement, at a cost that the number of images does not change.

The list is a union of branches (own, public, community, shared in with each status), each ordered
and cut by itself so that an index gives it, and then cut again. Pages are sought by the values of
the last image (keyset), null as empty or 0. Sources: native.md 6, ims.md ims.list, iam.md 4.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    String,
    and_,
    func,
    literal,
    null,
    or_,
    select,
    tuple_,
    type_coerce,
    union_all,
)

from calotype.db.tables.images import image_members, images
from calotype.errors import Invalid, Unavailable
from calotype.images import filters
from calotype.images.filters import Filter, Scope
from calotype.images.model import Image, from_row, to_microseconds
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
    branches = [
        _cut(statement, order, after, count, dated)
        for statement, dated in _branches(wanted.scope, wanted)
    ]
    if not branches:
        return []
    statement: Select[Any] = branches[0]
    if len(branches) > 1:
        # SQLite takes ORDER BY and LIMIT inside a union only in sub-queries.
        parts = [select(branch.subquery()) for branch in branches]
        merged = union_all(*parts).subquery("merged")
        statement = select(merged).order_by(*_order_by(merged, order)).limit(count)
    return [from_row(row) for row in conn.execute(statement).mappings()]


def _branches(scope: Scope, wanted: Filter) -> list[tuple[Select[Any], FromClause | None]]:
    """Return disjoint selections; the second value is where an indexed `created_at` lies."""
    common = filters.conditions(wanted)
    if scope.everything:
        return [(_plain().where(*common), None)]
    foreign = images.c.owner != scope.project
    found: list[tuple[Select[Any], FromClause | None]] = []
    if scope.own:
        own = [images.c.owner == scope.project, *filters.own_conditions(wanted)]
        found.append((_plain().where(*own, *common), None))
    for visibility, asked in (("public", scope.public), ("community", scope.community)):
        if asked:
            found.append(
                (_plain().where(images.c.visibility == visibility, foreign, *common), None)
            )
    for status in sorted(scope.shared_in):
        shared = (
            select(images, image_members.c.status.label("member_status"))
            .join_from(image_members, images, images.c.id == image_members.c.image_id)
            .where(
                image_members.c.member == scope.project,
                image_members.c.status == status,
                images.c.visibility == "shared",
                foreign,
                *common,
            )
        )
        found.append((shared, image_members))
    return found


def _plain() -> Select[Any]:
    return select(images, type_coerce(null(), String(16)).label("member_status"))


def _cut(
    statement: Select[Any],
    order: tuple[Key, ...],
    after: tuple[Any, ...] | None,
    count: int,
    dated: FromClause | None,
) -> Select[Any]:
    if after is not None:
        statement = statement.where(_later(order, after, dated))
    return statement.order_by(*_order_by(images, order, dated)).limit(count)


def _order_by(
    source: FromClause, order: tuple[Key, ...], dated: FromClause | None = None
) -> list[ColumnElement[Any]]:
    return [
        expression.desc() if key.descending else expression.asc()
        for key in order
        for expression in [_expression(source, key.name, dated)]
    ]


def _later(
    order: tuple[Key, ...], after: tuple[Any, ...], dated: FromClause | None
) -> ColumnElement[bool]:
    """Return the condition of standing behind `after` in a total order."""
    columns = [_expression(images, key.name, dated) for key in order]
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


def _expression(source: FromClause, name: str, dated: FromClause | None) -> ColumnElement[Any]:
    if dated is not None and name == "created_at":
        return image_members.c.image_created_at
    if dated is not None and name == "id":
        return image_members.c.image_id
    if name == "name":
        return source.c.name_sort
    if name == "size":
        return func.coalesce(source.c.size, 0)
    if name in ("container_format", "disk_format"):
        return func.coalesce(source.c[name], "")
    return source.c[name]


def _marker(
    conn: Connection, wanted: Filter, marker: str, keep: Keep | None, order: tuple[Key, ...]
) -> tuple[Any, ...]:
    """Return the place of the marker, which must be visible but need not match the filters."""
    scope = wanted.scope
    statement = select(images).where(images.c.id == marker)
    if not scope.everything:
        own = filters.own_conditions(wanted)
        statement = statement.where(visible_to(scope.project))
        if own:
            statement = statement.where(or_(images.c.owner != scope.project, and_(*own)))
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
