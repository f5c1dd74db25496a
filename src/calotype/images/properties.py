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
)

from calotype.db.tables.images import image_properties, image_tags, images

_PLAIN_LIMIT = 100
Properties = Mapping[str, str | None]


def value_key(value: str) -> str:
    """Return the indexed form of a value; no two values share one (up to SHA-256)."""
    if len(value) <= _PLAIN_LIMIT and "\0" not in value:
        return f"={value}"
    return f"#{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()}"


def has_property(name: str, value: str) -> ColumnElement[bool]:
    """Return the condition that an image has a stored property with exactly this value."""
    return exists(
        select(1).where(
            image_properties.c.image_id == images.c.id,
            image_properties.c.name == name,
            image_properties.c.value_key == value_key(value),
        )
    )


def has_tag(alternatives: Iterable[str]) -> ColumnElement[bool]:
    """Return the condition that an image has at least one of these strings as a tag."""
    return exists(
        select(1).where(
            image_tags.c.image_id == images.c.id, image_tags.c.tag.in_(tuple(alternatives))
        )
    )


def sync_properties(conn: Connection, image_id: str, before: Properties, after: Properties) -> None:
    """Make the side rows of `before` those of `after`; no statement when nothing differs."""
    old = {name: value_key(value) for name, value in before.items() if value is not None}
    new = {name: value_key(value) for name, value in after.items() if value is not None}
    gone = [name for name in old if new.get(name) != old[name]]
    come = [name for name in new if new[name] != old.get(name)]
    if gone:
        conn.execute(_DROP_PROPERTY, [{"image": image_id, "key": name} for name in gone])
    if come:
        conn.execute(
            _ADD_PROPERTY,
            [{"image_id": image_id, "name": name, "value_key": new[name]} for name in come],
        )


def sync_tags(conn: Connection, image_id: str, before: Iterable[str], after: Iterable[str]) -> None:
    """Make the tag rows of `before` those of `after`; no statement when nothing differs."""
    old, new = set(before), set(after)
    if old - new:
        conn.execute(_DROP_TAG, [{"image": image_id, "key": tag} for tag in sorted(old - new)])
    if new - old:
        conn.execute(_ADD_TAG, [{"image_id": image_id, "tag": tag} for tag in sorted(new - old)])


_ADD_PROPERTY = insert(image_properties)
_DROP_PROPERTY = delete(image_properties).where(
    image_properties.c.image_id == bindparam("image"),
    image_properties.c.name == bindparam("key"),
)
_ADD_TAG = insert(image_tags)
_DROP_TAG = delete(image_tags).where(
    image_tags.c.image_id == bindparam("image"), image_tags.c.tag == bindparam("key")
)
