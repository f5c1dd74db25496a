# SPDX-License-Identifier: Apache-2.0
"""Reads the query of `glance.list` into the core's filter and page (native.md 6).

Of a repeated single-valued parameter the last counts; a name that is no filter of its own is the
name of a property. Wrong values are Invalid; values that match nothing give an empty list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

from calotype import ids
from calotype.api.native import fields
from calotype.errors import Invalid
from calotype.images.attributes import ATTRIBUTES
from calotype.images.filters import Bound, Compare, Filter, Moment, Scope
from calotype.images.listing import SORT_KEYS, Key, Paging

TEXT_COLUMNS = ("name", "id", "status", "container_format", "disk_format")
NUMBERS = ("size", "virtual_size", "min_disk", "min_ram")
RANGED = {
    f"{column}_{end}": (column, Compare.GTE if end == "min" else Compare.LTE)
    for column in NUMBERS
    for end in ("min", "max")
}
MOMENTS = ("created_at", "updated_at")
VISIBILITIES = ("private", "shared", "community", "public", "all")
MEMBER_STATUSES = ("accepted", "pending", "rejected")
PAGING = frozenset({"limit", "marker", "sort", "sort_key", "sort_dir"})
IN_LIMIT = 1000
HASH = "sha512"
_NATIVE_HIDDEN = frozenset({"killed"})
_PREFIX = re.compile(r"(in|eq|neq|gte?|lte?):", re.DOTALL)
_INTEGER = re.compile(r"-?[0-9]{1,30}\Z")
_LIMIT = re.compile(r"[0-9]+\Z")
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?\Z"
)

Query = Sequence[tuple[str, str]]


@dataclass(slots=True)
class _Reading:
    """Conditions as they are collected."""

    one_of: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    equals: list[tuple[str, str]] = field(default_factory=list)
    tags: list[tuple[str, ...]] = field(default_factory=list)
    flags: dict[str, bool] = field(default_factory=dict)
    visibility: str | None = None
    member_status: str = "accepted"
    hashed: bool | None = None
    nothing: bool = False


def read_filter(query: Query, project_id: str | None) -> Filter:
    """Return the filter of a list for the viewer `project_id`. Raises Invalid."""
    reading = _Reading(flags={"os_hidden": False})
    reading.tags = [(value.strip(),) for name, value in query if name == "tag"]
    reading.nothing = any("\0" in tag for (tag,) in reading.tags)
    single = {name: value for name, value in query if name != "tag" and name not in PAGING}
    for name, value in single.items():
        _read_one(reading, name, value)
    statuses = next((values for column, values in reading.one_of if column == "status"), ())
    return Filter(
        scope=scope_of(project_id, reading.visibility, reading.member_status),
        one_of=tuple(reading.one_of) + _visibility(reading.visibility),
        not_statuses=_NATIVE_HIDDEN - set(statuses),
        bounds=tuple(reading.bounds),
        moments=tuple(reading.moments),
        os_hidden=reading.flags["os_hidden"],
        protected=reading.flags.get("protected"),
        hashed=reading.hashed,
        tags=() if reading.nothing else tuple(reading.tags),
        equals=tuple(reading.equals),
        nothing=reading.nothing,
    )


def scope_of(project_id: str | None, visibility: str | None, member_status: str) -> Scope:
    """Return whose images a list is about (native.md 5, 6)."""
    statuses = MEMBER_STATUSES if member_status == "all" else (member_status,)
    shared = visibility in (None, "all", "shared")
    return Scope(
        project_id,
        public=visibility in (None, "all", "public"),
        community=visibility in ("all", "community"),
        shared_in=frozenset(statuses) if shared else frozenset(),
    )


def read_paging(query: Query, default: int, most: int) -> Paging:
    """Return page and order. `default`, `most`: settings of the page. Raises Invalid."""
    last = dict(query)
    limit = default
    if "limit" in last:
        if not _LIMIT.match(last["limit"]):
            raise _wrong("limit", last["limit"], "an integer of at least 0", rule="limit")
        limit = min(fields.number(last["limit"]), most)
    marker = last.get("marker")
    if marker is not None:
        normal = ids.image_id(marker)
        if normal is None:
            raise _wrong("marker", marker, "the id of an image that you can list", rule="marker")
        marker = normal
    return Paging(limit, _order(query), marker)


def first_link(query: Query) -> str:
    """Return the address of the first page with the same parameters."""
    return _link([(name, value) for name, value in query if name != "marker"])


def next_link(query: Query, marker: str) -> str:
    """Return the address of the page behind `marker`."""
    return _link(
        [*((name, value) for name, value in query if name != "marker"), ("marker", marker)]
    )


def split_items(text: str, name: str) -> list[str]:
    """Split the items of the `in:` filter `name` at commas outside quotes. Raises Invalid."""
    items: list[str] = []
    position = 0
    while True:
        if text[position : position + 1] == '"':
            item, position = _quoted(text, position + 1, name)
        else:
            end = text.find(",", position)
            end = len(text) if end < 0 else end
            item, position = text[position:end], end
            if '"' in item:
                raise _wrong(name, text, "a comma must stand before an opening quote")
        items.append(item)
        if position == len(text):
            break
        if text[position] != ",":
            raise _wrong(name, text, "a comma must stand after a closing quote")
        position += 1
    if len(items) > IN_LIMIT:
        raise _wrong(name, text, f"{len(items)} items are more than {IN_LIMIT}")
    return items


def _quoted(text: str, position: int, name: str) -> tuple[str, int]:
    """Return a quoted item and the place behind its closing quote."""
    item: list[str] = []
    while position < len(text):
        sign = text[position]
        if sign == '"':
            return "".join(item), position + 1
        if sign == "\\" and text[position + 1 : position + 2] in ('"', "\\"):
            position += 1
            sign = text[position]
        item.append(sign)
        position += 1
    raise _wrong(name, text, "a quote is not closed")


def _read_one(reading: _Reading, name: str, value: str) -> None:
    reader = _READERS.get(name)
    if reader is not None:
        reader(reading, name, value)
    else:
        _property(reading, name, value)


def _text(reading: _Reading, name: str, value: str) -> None:
    found = _PREFIX.match(value)
    verb = found.group(1) if found else "eq"
    rest = value[found.end() :] if found else value
    if verb not in ("in", "eq"):
        raise _wrong(name, value, f"{name} compares with in: and eq: only")
    items = split_items(rest, name) if verb == "in" else [rest]
    items = [item for item in items if "\0" not in item]
    if name == "id":
        items = [item.lower() for item in items]
    reading.one_of.append((name, tuple(dict.fromkeys(items))))


def _moment(reading: _Reading, name: str, value: str) -> None:
    found = _PREFIX.match(value)
    verb = found.group(1) if found else "eq"
    rest = value[found.end() :] if found else value
    at = read_time(rest)
    if verb == "in" or at is None:
        raise _wrong(
            name, value, "gt: gte: lt: lte: eq: or neq: and an ISO 8601 time", rule="time_filter"
        )
    reading.moments.append(Moment(name, Compare(verb), at))


def _bound(reading: _Reading, name: str, value: str) -> None:
    column, compare = RANGED.get(name, (name, Compare.EQ))
    if not _INTEGER.match(value):
        raise _wrong(name, value, "an integer")
    reading.bounds.append(Bound(column, compare, int(value)))


def _protected(reading: _Reading, name: str, value: str) -> None:
    if value not in ("true", "false"):
        raise _wrong(name, value, "true or false")
    reading.flags[name] = value == "true"


def _hidden(reading: _Reading, name: str, value: str) -> None:
    if value.lower() not in ("true", "false"):
        raise _wrong(name, value, "true or false")
    reading.flags[name] = value.lower() == "true"


def _owner(reading: _Reading, name: str, value: str) -> None:
    del name
    _equal(reading, "owner", ids.project_id(value) or value)


def _checksum(reading: _Reading, name: str, value: str) -> None:
    del name
    _equal(reading, "md5", value)


def _hash_value(reading: _Reading, name: str, value: str) -> None:
    del name
    _equal(reading, "sha512", value)


def _hash_algorithm(reading: _Reading, name: str, value: str) -> None:
    del name
    reading.hashed = True
    reading.nothing |= value != HASH


def _equal(reading: _Reading, column: str, value: str) -> None:
    reading.one_of.append((column, () if "\0" in value else (value,)))


def _read_visibility(reading: _Reading, name: str, value: str) -> None:
    if value and value not in VISIBILITIES:
        raise _wrong(name, value, f"allowed: {', '.join(VISIBILITIES)}")
    reading.visibility = value or None


def _member_status(reading: _Reading, name: str, value: str) -> None:
    if value not in (*MEMBER_STATUSES, "all"):
        raise _wrong(name, value, f"allowed: {', '.join(MEMBER_STATUSES)}, all")
    reading.member_status = value


def _changes_since(reading: _Reading, name: str, value: str) -> None:
    del reading
    raise _wrong(name, value, "use updated_at=gte:…")


def _property(reading: _Reading, name: str, value: str) -> None:
    # No column holds a NUL; a free property may, and is found by its hash.
    if "\0" in name or ("\0" in value and name in ATTRIBUTES):
        reading.nothing = True
        return
    reading.equals.append((name, value))


def _visibility(word: str | None) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return () if word in (None, "all") else (("visibility", (word or "",)),)


def read_time(text: str) -> datetime | None:
    """Return an ISO 8601 time (no zone: UTC; a space for the T is accepted), or None."""
    found = _TIME.match(text)
    if found is None:
        return None
    plain = f"{text[:10]}T{found[4]}:{found[5]}:{found[6] or '00'}{(found[7] or '')[:7]}"
    zone = found[8] or "Z"
    if zone != "Z" and ":" not in zone:
        zone = f"{zone[:3]}:{zone[3:]}"
    try:
        return datetime.fromisoformat(plain + zone.replace("Z", "+00:00")).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _order(query: Query) -> tuple[Key, ...]:
    sorts = [value for name, value in query if name == "sort"]
    keys = [value for name, value in query if name == "sort_key"]
    directions = [value for name, value in query if name == "sort_dir"]
    key_name, direction_name = ("sort", "sort") if sorts else ("sort_key", "sort_dir")
    if sorts:
        if keys or directions:
            raise _wrong("sort", sorts[-1], "not together with sort_key or sort_dir", rule="sort")
        parts = [part.partition(":") for part in sorts[-1].split(",")]
        keys = [key for key, _, _ in parts]
        directions = [direction for _, colon, direction in parts if colon]
        words = [direction if colon else "desc" for _, colon, direction in parts]
    else:
        keys = keys or ["created_at"]
        if len(directions) not in (0, 1, len(keys)):
            raise _wrong("sort_dir", str(len(directions)), "one, or one for each key", rule="sort")
        words = (directions or ["desc"]) * (1 if len(directions) > 1 else len(keys))
    for key in keys:
        if key not in SORT_KEYS:
            raise _wrong(key_name, key, f"allowed: {', '.join(SORT_KEYS)}", rule="sort")
    for word in words:
        if word not in ("asc", "desc"):
            raise _wrong(direction_name, word, "allowed: asc, desc", rule="sort")
    last = words[0] == "desc" if len(directions) == 1 else True
    order = [Key(key, word == "desc") for key, word in zip(keys, words, strict=True)]
    return (*order, Key("created_at", last), Key("id", last))


def _link(query: list[tuple[str, str]]) -> str:
    pairs = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
    return f"/v2/images?{pairs}" if pairs else "/v2/images"


def _wrong(name: str, value: str, allowed: str, rule: str = "query") -> Invalid:
    shown = value if len(value) <= 80 else f"{value[:80]}…"
    return Invalid(
        f"{name}: {shown!r} is not allowed; {allowed}", rule=rule, field=name, value=shown
    )


_Reader = Callable[[_Reading, str, str], None]
_READERS: dict[str, _Reader] = {
    **dict.fromkeys(TEXT_COLUMNS, _text),
    **dict.fromkeys(MOMENTS, _moment),
    **dict.fromkeys(NUMBERS, _bound),
    **dict.fromkeys(RANGED, _bound),
    "protected": _protected,
    "os_hidden": _hidden,
    "owner": _owner,
    "checksum": _checksum,
    "os_hash_algo": _hash_algorithm,
    "os_hash_value": _hash_value,
    "visibility": _read_visibility,
    "member_status": _member_status,
    "changes-since": _changes_since,
}
