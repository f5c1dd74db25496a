# SPDX-License-Identifier: Apache-2.0
"""Tags of all images that a list would hold, and the search by tags (ims.md tag_list, by_tags).

Keys and values compare exactly, by code point, on both databases; only a name is looked for
without case, which is done here because databases disagree about case.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    bindparam,
    exists,
    false,
    func,
    not_,
    or_,
    select,
)

from calotype.db.tables.images import image_tags, images
from calotype.images import tags
from calotype.images.filters import Filter
from calotype.images.listing_sql import all_ids


@dataclass(frozen=True, slots=True)
class KeyValues:
    """A key, and the values of which an image has one; no values: any."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """All conditions hold together; None is no condition.

    `all_of`: every key is there, `any_of`: one is; `not_all`, `not_any`: what those would find is
    left out. `untagged`: images without tags. `name`: contained in the image's, `""` is that of an
    image without one. `image_id`: an id in lower case, or a text that no image has.
    """

    all_of: tuple[KeyValues, ...] = ()
    any_of: tuple[KeyValues, ...] = ()
    not_all: tuple[KeyValues, ...] = ()
    not_any: tuple[KeyValues, ...] = ()
    untagged: bool = False
    name: str | None = None
    image_id: str | None = None


@dataclass(frozen=True, slots=True)
class TaggedImage:
    """One image that a search found; `tags` in their string form."""

    id: str
    name: str
    status: str
    tags: tuple[str, ...]


def strings(conn: Connection, wanted: Filter) -> tuple[str, ...]:
    """Return the distinct string forms of the tags of all images of a list, by code point."""
    listed, values = all_ids(wanted)
    if listed is None:
        return ()
    statement = (
        select(image_tags.c.tag)
        .join_from(listed, image_tags, image_tags.c.image_id == listed.c.id)
        .distinct()
    )
    return tuple(sorted(conn.execute(statement, values).scalars()))


def keys(conn: Connection, wanted: Filter) -> dict[str, tuple[str, ...]]:
    """Return every key with its distinct values, both by code point."""
    found: dict[str, set[str]] = {}
    for text in strings(conn, wanted):
        key, value = tags.split(text)
        found.setdefault(key, set()).add(value)
    return {key: tuple(sorted(found[key])) for key in sorted(found)}


def count(conn: Connection, wanted: Filter, search: Search) -> int:
    """Return how many images of a list a search finds."""
    listed, values = all_ids(wanted)
    if listed is None:
        return 0
    if search.name:
        return len(_named(conn, listed, values, search))
    statement = _found(listed, search, func.count())
    return int(conn.execute(statement, values).scalar_one())


def page(
    conn: Connection, wanted: Filter, search: Search, limit: int, offset: int
) -> tuple[int, tuple[TaggedImage, ...]]:
    """Return how many a search finds, and a page of them, newest first, then by id."""
    listed, values = all_ids(wanted)
    if listed is None:
        return 0, ()
    if search.name:
        matching = _named(conn, listed, values, search)
        chosen = matching[offset : offset + limit]
        rows = conn.execute(_BY_IDS, {"ids": chosen}) if chosen else ()
        by_id = {row[0]: _image(row) for row in rows}
        return len(matching), tuple(by_id[one] for one in chosen if one in by_id)
    total = count(conn, wanted, search)
    if offset >= total:
        return total, ()
    statement = _ordered(_found(listed, search, *_COLUMNS)).limit(limit).offset(offset)
    return total, tuple(_image(row) for row in conn.execute(statement, values))


def _named(
    conn: Connection, listed: FromClause, values: dict[str, object], search: Search
) -> list[str]:
    """Return the ids of what a search with a name finds, in order."""
    wanted = (search.name or "").casefold()
    statement = _ordered(_found(listed, search, images.c.id, images.c.name_sort))
    rows = conn.execute(statement, values)
    return [image_id for image_id, name in rows if wanted in name.casefold()]


def _found(listed: FromClause, search: Search, *columns: ColumnElement[Any]) -> Select[Any]:
    statement = select(*columns).join_from(listed, images, images.c.id == listed.c.id)
    return statement.where(*_conditions(search))


def _ordered(statement: Select[Any]) -> Select[Any]:
    return statement.order_by(images.c.created_at.desc(), images.c.id)


def _conditions(search: Search) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if search.untagged:
        found.append(not_(_has(None)))
    if search.all_of:
        found.append(_every(search.all_of))
    if search.any_of:
        found.append(_some(search.any_of))
    if search.not_all:
        found.append(not_(_every(search.not_all)))
    if search.not_any:
        found.append(not_(_some(search.not_any)))
    if search.name == "":
        found.append(images.c.name_sort == "")
    if search.image_id is not None:
        found.append(images.c.id == search.image_id)
    return found


def _every(groups: Sequence[KeyValues]) -> ColumnElement[bool]:
    return and_(*(_has(one) for one in groups))


def _some(groups: Sequence[KeyValues]) -> ColumnElement[bool]:
    return or_(*(_has(one) for one in groups))


def _has(group: KeyValues | None) -> ColumnElement[bool]:
    """Return the condition that an image has a tag of the group; None: any tag."""
    wanted = select(1).where(image_tags.c.image_id == images.c.id)
    if group is not None:
        alternatives = _alternatives(group)
        if alternatives is None:
            return false()
        wanted = wanted.where(alternatives)
    return exists(wanted.correlate(images))


def _alternatives(group: KeyValues) -> ColumnElement[bool] | None:
    """Return the condition on a tag's string form, None for what no string form can be."""
    key = group.key
    if "=" in key or "\0" in key:
        return None
    prefix = f"{key}="
    if not group.values:
        begins = func.substr(image_tags.c.tag, 1, len(prefix)) == prefix
        return or_(image_tags.c.tag == key, begins)
    forms = [f"{prefix}{value}" for value in group.values if "\0" not in value]
    if "" in group.values:
        forms.append(key)
    return image_tags.c.tag.in_(forms) if forms else None


def _image(row: Any) -> TaggedImage:
    return TaggedImage(row[0], row[1], row[2], tuple(json.loads(row[3])))


_COLUMNS = (images.c.id, images.c.name_sort, images.c.status, images.c.tags)
_BY_IDS = select(*_COLUMNS).where(images.c.id.in_(bindparam("ids", expanding=True)))
