# SPDX-License-Identifier: Apache-2.0
"""One page of images in one statement, at a cost that the number of images does not change.

The list is a union of branches (own, public, community, shared in with each status); its statement
is made in `listing_sql`. Pages are sought by the values of the last image (keyset), null as empty
or 0. Sources: native.md 6, ims.md ims.list, iam.md 4.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from calotype.db.tables.images import images
from calotype.errors import Invalid, Unavailable
from calotype.images import filters
from calotype.images.filters import Filter
from calotype.images.listing_sql import SORT_KEYS, Key, fetch
from calotype.images.model import Image, from_row, to_microseconds
from calotype.images.visibility_sql import visible_to

__all__ = ["SORT_KEYS", "Key", "Page", "Paging", "complete", "page", "position"]

SCAN_LIMIT = 5000
# No image has more tags or properties, and a statement grows with each condition.
CONDITIONS_LIMIT = 128
_STEP = 200

Keep = Callable[[Image], bool]


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
    Raises Invalid (`marker`) when the marker names no image that the caller may list, or (`query`)
    for too many conditions, Unavailable (`scan_limit`) when the scan ends without having found one.
    """
    _check_size(wanted)
    order = complete(paging.order)
    after = None if paging.marker is None else _marker(conn, wanted, paging.marker, keep, order)
    if paging.limit <= 0:
        return Page((), False)
    if keep is None:
        rows = fetch(conn, wanted, order, after, paging.limit + 1)
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


def _check_size(wanted: Filter) -> None:
    parts = (wanted.tags, wanted.equals, wanted.moments, wanted.bounds, wanted.flags, wanted.one_of)
    count = sum(len(part) for part in parts)
    if count > CONDITIONS_LIMIT:
        raise Invalid(
            f"{count} filters in one query; at most {CONDITIONS_LIMIT} are allowed", rule="query"
        )


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
        rows = fetch(conn, wanted, order, after, step)
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
