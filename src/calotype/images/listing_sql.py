# SPDX-License-Identifier: Apache-2.0
"""The one statement of a page of images, built once for each shape of question and kept.

A shape is a filter without the project that asks and without the one name it may ask for; those,
the place where the page begins and its length are parameters. Building a statement costs several
times what running it does (design stack 4). Each branch of the union is ordered and cut by itself,
so that an index gives it at a cost that the number of images does not change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    union_all,
)

from calotype.db.tables.images import image_members, image_properties, image_tags, images
from calotype.images import filters
from calotype.images.attributes import ATTRIBUTES, Viewer
from calotype.images.filters import Filter, Lifted
from calotype.images.model import COLUMNS, Image, from_values
from calotype.images.properties import value_key

SORT_KEYS = (
    "name",
    "status",
    "container_format",
    "disk_format",
    "size",
    "id",
    "created_at",
    "updated_at",
)
_KEPT = 256
_SOMEBODY = ""  # in a shape: a project asks, whichever


@dataclass(frozen=True, slots=True)
class Key:
    """One sort key and its direction."""

    name: str
    descending: bool = True


def fetch(
    conn: Connection,
    wanted: Filter,
    order: tuple[Key, ...],
    after: Sequence[Any] | None,
    count: int,
) -> list[Image]:
    """Return at most `count` images behind the place `after` (values of `order`, None: all)."""
    shape, values = _lift(wanted)
    if wanted.own_where is None:
        statement = _kept_statement(shape, order, after is not None)
    else:
        statement = _statement(shape, order, after is not None)
    if statement is None:
        return []
    values["count"] = count
    for number, value in enumerate(after or ()):
        values[f"after_{number}"] = value
    return [from_values(row) for row in conn.execute(statement, values).all()]


def all_ids(wanted: Filter) -> tuple[FromClause | None, dict[str, object]]:
    """Return the ids of every image of a list as a sub-query `id`, and its parameters.

    None when the list can hold nothing. Nothing is ordered or cut.
    """
    shape, values = _lift(wanted)
    viewer = None if shape.scope.project is None else _VIEWER
    common = filters.conditions(shape, viewer)
    parts = [
        _joined(branch, images.c.id).where(*branch.conditions)
        for branch in _branches(shape, viewer, common)
    ]
    if not parts:
        return None, values
    return (parts[0] if len(parts) == 1 else union_all(*parts)).subquery("listed"), values


def _lift(wanted: Filter) -> tuple[Filter, dict[str, object]]:
    """Take out what differs between questions of one shape; return the shape and the values."""
    values: dict[str, object] = {}
    scope = wanted.scope
    if scope.project is not None:
        values["viewer"] = scope.project
        scope = replace(scope, project=_SOMEBODY)
    one_of: list[tuple[str, tuple[str, ...]]] = []
    for column, found in wanted.one_of:
        if column == "name" and len(found) == 1 and found[0] and "called" not in values:
            values["called"] = found[0]
            one_of.append((column, (Lifted("called"),)))
        else:
            one_of.append((column, found))
    return replace(wanted, scope=scope, one_of=tuple(one_of)), values


def _statement(shape: Filter, order: tuple[Key, ...], seeks: bool) -> Select[Any] | None:
    viewer = None if shape.scope.project is None else _VIEWER
    common = filters.conditions(shape, viewer)
    parts = [_cut(branch, order, seeks) for branch in _branches(shape, viewer, common)]
    if not parts:
        return None
    found = (parts[0] if len(parts) == 1 else union_all(*parts)).subquery("found")
    shown = [images.c[name] for name in COLUMNS if name != "member_status"]
    return (
        select(*shown, found.c.member_status)
        .join_from(found, images, images.c.id == found.c.id)
        .order_by(*_order_by(_IMAGES, order))
        .limit(_COUNT)
    )


_kept_statement = lru_cache(_KEPT)(_statement)


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


def _branches(
    wanted: Filter, viewer: Viewer, common: list[ColumnElement[bool]]
) -> Iterator[_Branch]:
    scope = wanted.scope
    if scope.everything:
        yield _Branch(_IMAGES, common, _NO_STATUS)
        return
    foreign = images.c.owner != viewer
    if scope.own:
        source, driving = _own_source(wanted)
        own = [source.owner == viewer, *driving, *filters.own_conditions(wanted)]
        yield _Branch(source, own + common, _NO_STATUS)
    for visibility, asked in (("public", scope.public), ("community", scope.community)):
        if asked:
            mine = [images.c.visibility == visibility, foreign]
            yield _Branch(_IMAGES, mine + common, _NO_STATUS)
    for status in sorted(scope.shared_in):
        shared = [
            image_members.c.member == viewer,
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


def _cut(branch: _Branch, order: tuple[Key, ...], seeks: bool) -> Select[Any]:
    source = branch.source
    shown = (images.c.id, branch.member_status.label("member_status"))
    statement = _joined(branch, *shown).where(*branch.conditions)
    if seeks:
        statement = statement.where(_later(source, order))
    cut = statement.order_by(*_order_by(source, order)).limit(_COUNT).subquery()
    # SQLite takes ORDER BY and LIMIT inside a union only in sub-queries.
    return select(cut.c.id, cut.c.member_status)


def _joined(branch: _Branch, *columns: ColumnElement[Any]) -> Select[Any]:
    source = branch.source
    if source is _IMAGES:
        return select(*columns)
    return select(*columns).join_from(source.source, images, images.c.id == source.id)


def _order_by(source: _Source, order: tuple[Key, ...]) -> list[ColumnElement[Any]]:
    return [
        expression.desc() if key.descending else expression.asc()
        for key in order
        for expression in [_expression(source, key.name)]
    ]


def _later(source: _Source, order: tuple[Key, ...]) -> ColumnElement[bool]:
    """Return the condition of standing behind the parameters `after_…` in a total order."""
    columns = [_expression(source, key.name) for key in order]
    after = [
        bindparam(f"after_{number}", type_=_TYPES.get(key.name, String()))
        for number, key in enumerate(order)
    ]
    if len({key.descending for key in order}) == 1:
        row, values = tuple_(*columns), tuple_(*after)
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


_VIEWER = bindparam("viewer", type_=String(255))
_COUNT = bindparam("count", type_=Integer())
_TYPES = dict.fromkeys(("size", "created_at", "updated_at"), BigInteger())
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
