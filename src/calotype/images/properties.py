# SPDX-License-Identifier: Apache-2.0
"""The side table of properties and tags: what an index can find (architecture, section 7).

The row of an image holds its properties as JSON, which is what is shown. The side tables hold the
same again for filters: a short value as it is, a long one as its hash. `sync` keeps them equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    exists,
    insert,
    select,
    update,
)

from calotype.db.tables.images import image_properties, image_tags, images
from calotype.images.model import Image, to_microseconds

_PLAIN_LIMIT = 100


def value_key(value: str) -> str:
    """Return the indexed form of a value; no two values share one (up to SHA-256)."""
    if len(value) <= _PLAIN_LIMIT and "\0" not in value:
        return f"={value}"
    return f"#{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()}"


def has_property(name: str, value: str) -> ColumnElement[bool]:
    """Return the condition that an image has a stored property with exactly this value."""
    return exists(
        select(1)
        .where(
            image_properties.c.image_id == images.c.id,
            image_properties.c.name == name,
            image_properties.c.value_key == value_key(value),
        )
        .correlate(images)
    )


def has_tag(alternatives: Iterable[str]) -> ColumnElement[bool]:
    """Return the condition that an image has at least one of these strings as a tag."""
    return exists(
        select(1)
        .where(image_tags.c.image_id == images.c.id, image_tags.c.tag.in_(tuple(alternatives)))
        .correlate(images)
    )


def sync(conn: Connection, before: Image | None, after: Image) -> None:
    """Make the side rows of an image those of `after`; `before` is None for a new image.

    No statement is sent for what does not differ.
    """
    if before is not None and before.owner != after.owner:
        for statement in _MOVE:
            conn.execute(statement, {"image": after.id, "new_owner": after.owner})
    owned = {
        "image_id": after.id,
        "owner": after.owner,
        "image_created_at": to_microseconds(after.created_at),
    }
    _sync_tags(conn, set(before.tags) if before else set(), set(after.tags), owned)
    _sync_properties(conn, _keys(before), _keys(after), owned)


def _sync_tags(conn: Connection, old: set[str], new: set[str], owned: Mapping[str, object]) -> None:
    if old - new:
        gone = [{"image": owned["image_id"], "key": tag} for tag in sorted(old - new)]
        conn.execute(_DROP_TAG, gone)
    if new - old:
        conn.execute(_ADD_TAG, [{**owned, "tag": tag} for tag in sorted(new - old)])


def _sync_properties(
    conn: Connection, old: Mapping[str, str], new: Mapping[str, str], owned: Mapping[str, object]
) -> None:
    gone = [name for name in old if new.get(name) != old[name]]
    come = [name for name in new if new[name] != old.get(name)]
    if gone:
        conn.execute(_DROP_PROPERTY, [{"image": owned["image_id"], "key": name} for name in gone])
    if come:
        rows = [{**owned, "name": name, "value_key": new[name]} for name in come]
        conn.execute(_ADD_PROPERTY, rows)


def _keys(image: Image | None) -> dict[str, str]:
    if image is None:
        return {}
    return {name: value_key(value) for name, value in image.properties.items() if value is not None}


_ADD_PROPERTY = insert(image_properties)
_DROP_PROPERTY = delete(image_properties).where(
    image_properties.c.image_id == bindparam("image"),
    image_properties.c.name == bindparam("key"),
)
_ADD_TAG = insert(image_tags)
_DROP_TAG = delete(image_tags).where(
    image_tags.c.image_id == bindparam("image"), image_tags.c.tag == bindparam("key")
)
_MOVE = tuple(
    update(table).where(table.c.image_id == bindparam("image")).values(owner=bindparam("new_owner"))
    for table in (image_tags, image_properties)
)
