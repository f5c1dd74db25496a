# SPDX-License-Identifier: Apache-2.0
"""What a list of images asks for, as a value, and its conditions in SQL.

`Filter` speaks core names; faces translate their query words into it. Conditions hold on rows of
`images` whatever branch they stand in. Sizes in bytes; moments compare at whole seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    String,
    and_,
    bindparam,
    false,
    func,
    literal,
    or_,
)

from calotype.db.tables.images import images
from calotype.images import attributes
from calotype.images.attributes import Viewer
from calotype.images.model import to_microseconds
from calotype.images.properties import has_tag

_SECOND = 1_000_000
_LIMIT = 2**63 - 1
_FOLDED = str.maketrans(
    {**{chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)}, " ": None, "_": None}
)


class Lifted(str):
    """In the place of a text: the name of the parameter that will have it."""

    __slots__ = ()


class Compare(StrEnum):
    """How a value is compared."""

    EQ = "eq"
    NEQ = "neq"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"


@dataclass(frozen=True, slots=True)
class Bound:
    """A comparison of a number column: size, virtual_size, min_disk or min_ram.

    A null compares as nothing, with `null_is_zero` as 0.
    """

    column: str
    compare: Compare
    value: int
    null_is_zero: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """A comparison of created_at or updated_at at whole seconds."""

    column: str
    compare: Compare
    at: datetime


@dataclass(frozen=True, slots=True)
class Scope:
    """Which images a list is about: `shared_in` names the member statuses that count.

    `everything`: all owners' images, whatever the rest says (the operator on native paths).
    """

    project: str | None
    own: bool = True
    public: bool = True
    community: bool = False
    shared_in: frozenset[str] = frozenset({"accepted"})
    everything: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """All conditions hold together; None and empty mean no condition.

    `one_of` maps a text column to its allowed values; `equals` any attribute or property name to
    its value as the viewer sees it; `flags` a support flag to whether it must be "true";
    `tags` groups of which each needs one string on the image. `own_eps` and `own_where` limit the
    caller's own images only.
    """

    scope: Scope
    one_of: tuple[tuple[str, tuple[str, ...]], ...] = ()
    not_statuses: frozenset[str] = frozenset()
    bounds: tuple[Bound, ...] = ()
    moments: tuple[Moment, ...] = ()
    image_types: frozenset[str] | None = None
    os_hidden: bool | None = None
    protected: bool | None = None
    is_whole: bool | None = None
    is_arm: bool | None = None
    hashed: bool | None = None
    os_version_like: str | None = None
    firmware_or_bios: str | None = None
    protected_or_public: bool | None = None
    changed_after: datetime | None = None  # to the microsecond
    tags: tuple[tuple[str, ...], ...] = ()
    equals: tuple[tuple[str, str], ...] = ()
    flags: tuple[tuple[str, bool], ...] = ()
    own_eps: frozenset[str] | None = None
    own_where: Callable[[], ColumnElement[bool]] | None = None
    nothing: bool = False  # a value that no image can have was asked for


def fold(text: str) -> str:
    """Return the form in which OS versions compare: ASCII lower case, no spaces, no `_`."""
    return text.translate(_FOLDED)


def conditions(wanted: Filter, viewer: Viewer) -> list[ColumnElement[bool]]:
    """Return the conditions of a filter, without its scope; `viewer` is the project that asks."""
    found: list[ColumnElement[bool]] = [false()] if wanted.nothing else []
    found += [_one_of(column, values) for column, values in wanted.one_of]
    # No IN list: SQLAlchemy writes those anew at each execution.
    found += [images.c.status != status for status in sorted(wanted.not_statuses)]
    found += [_bound(bound) for bound in wanted.bounds]
    found += [_moment(moment) for moment in wanted.moments]
    if wanted.changed_after is not None:
        found.append(images.c.updated_at > to_microseconds(wanted.changed_after))
    if wanted.image_types is not None:
        words = sorted(wanted.image_types)
        found.append(or_(false(), *(attributes.where_image_type(word, viewer) for word in words)))
    for column in ("os_hidden", "protected", "is_whole", "is_arm"):
        flag = getattr(wanted, column)
        if flag is not None:
            found.append(images.c[column].is_(flag))
    if wanted.hashed is not None:
        found.append(images.c.sha512.is_not(None) if wanted.hashed else images.c.sha512.is_(None))
    if wanted.os_version_like is not None:
        plain = func.replace(func.replace(images.c.os_version, " ", ""), "_", "")
        found.append(func.lower(plain) == fold(wanted.os_version_like))
    if wanted.firmware_or_bios is not None:
        found.append(func.coalesce(images.c.firmware, "bios") == wanted.firmware_or_bios)
    if wanted.protected_or_public is not None:
        either = or_(images.c.protected.is_(True), images.c.visibility == "public")
        found.append(either if wanted.protected_or_public else ~either)
    found += [has_tag(group) for group in wanted.tags]
    found += [attributes.where(name, value, viewer) for name, value in wanted.equals]
    found += [_flag(name, on, viewer) for name, on in wanted.flags]
    return found


def own_conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    """Return what limits the caller's own images: the enterprise projects he may list."""
    found: list[ColumnElement[bool]] = []
    if wanted.own_eps is not None:
        found.append(_among(images.c.enterprise_project_id, sorted(wanted.own_eps)))
    if wanted.own_where is not None:
        found.append(wanted.own_where())
    return found


def _one_of(column: str, values: Iterable[str]) -> ColumnElement[bool]:
    wanted = tuple(values)
    if column == "name":
        # The index is on `name_sort`, which cannot tell null from empty.
        named = images.c.name_sort.in_(wanted) if len(wanted) > 1 else _same_name(wanted)
        return and_(images.c.name.is_not(None), named) if "" in wanted else named
    if "" in wanted and column in ("container_format", "disk_format"):
        # Only the IMS view asks for it: there a null format is shown as a word.
        return or_(images.c[column].is_(None), images.c[column].in_(wanted))
    return _among(images.c[column], wanted)


def _among(column: ColumnElement[str], wanted: Sequence[str]) -> ColumnElement[bool]:
    return column == wanted[0] if len(wanted) == 1 else column.in_(wanted)


def _same_name(wanted: tuple[str, ...]) -> ColumnElement[bool]:
    if not wanted:
        return false()
    name = wanted[0]
    if isinstance(name, Lifted):
        return images.c.name_sort == bindparam(str(name), type_=String(255))
    return images.c.name_sort == name


def _flag(name: str, on: bool, viewer: Viewer) -> ColumnElement[bool]:
    is_true = attributes.where(name, "true", viewer)
    return is_true if on else ~is_true


def _bound(bound: Bound) -> ColumnElement[bool]:
    column: ColumnElement[int] = images.c[bound.column]
    if bound.null_is_zero:
        column = func.coalesce(column, 0)
    fitting = max(-_LIMIT, min(_LIMIT, bound.value))
    value = literal(fitting, BigInteger)
    table: dict[Compare, ColumnElement[bool]] = {
        Compare.EQ: column == value if fitting == bound.value else false(),
        Compare.NEQ: column != value,
        Compare.GT: column > value,
        Compare.GTE: column >= value,
        Compare.LT: column < value,
        Compare.LTE: column <= value,
    }
    return table[bound.compare]


def _moment(moment: Moment) -> ColumnElement[bool]:
    column = images.c[moment.column]
    start = to_microseconds(moment.at) // _SECOND * _SECOND
    end = start + _SECOND
    within = and_(column >= start, column < end)
    table: dict[Compare, ColumnElement[bool]] = {
        Compare.EQ: within,
        Compare.NEQ: ~within,
        Compare.GT: column >= end,
        Compare.GTE: column >= start,
        Compare.LT: column < start,
        Compare.LTE: column < end,
    }
    return table[moment.compare]
