# SPDX-License-Identifier: Apache-2.0
"""The abandoned calls that old clients still make: v1.1 list and delete, v1 head (native.md 23)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import quote

from sqlalchemy import Connection

from calotype import ids
from calotype.api.native import fields, filters
from calotype.api.native.images import image_of, remove
from calotype.errors import Invalid
from calotype.flows.core import Core
from calotype.gate.request import Answer, Handler, Request, reads, writes
from calotype.images import admission, listing, writing
from calotype.images.filters import Bound, Compare, Filter, Scope
from calotype.images.listing import SORT_KEYS, Key, Paging
from calotype.images.model import Image

HTML = "text/html; charset=UTF-8"
_PROPERTY = "property-"
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_NUMBER = re.compile(r"[0-9]+\Z")
_ATTRIBUTES = (
    "id", "name", "status", "container_format", "disk_format", "checksum", "owner", "size",
    "virtual_size", "min_disk", "min_ram", "is_public", "protected", "deleted", "created_at",
    "updated_at",
)  # fmt: skip


def handlers(core: Core) -> dict[str, Handler]:
    """Return the handlers of this chapter."""

    def detail(connection: Connection, request: Request) -> Answer:
        return _detail(core, connection, request)

    def delete(connection: Connection, request: Request) -> Answer:
        left = remove(connection, request)
        after = core.sweeper.collect if left else None
        return Answer(200, content=b"", content_type=HTML, after=after)

    return {
        "glance.v11_detail": reads(detail),
        "glance.v1_head": reads(_head),
        "glance.v11_delete": writes(delete),
    }


def item(image: Image, viewer: str | None) -> dict[str, object]:
    """Return an image as version 1.1 shows it."""
    properties = {
        name: value for name, value in writing.extras(image, viewer).items() if value is not None
    }
    return {
        "id": image.id,
        "name": image.name,
        "status": image.status,
        "container_format": image.container_format,
        "disk_format": image.disk_format,
        "checksum": image.md5,
        "owner": image.owner,
        "size": image.size or 0,
        "virtual_size": image.virtual_size,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "is_public": image.visibility == "public",
        "protected": image.protected,
        "deleted": False,
        "created_at": _moment(image.created_at),
        "updated_at": _moment(image.updated_at),
        "deleted_at": None,
        "properties": {**properties, **image.service_properties},
    }


def _detail(core: Core, connection: Connection, request: Request) -> Answer:
    settings = core.settings
    wanted = read_filter(request)
    paging = _paging(request, settings.page_default, settings.page_limit)
    narrowed, keep = admission.admit(wanted, request.verdict.list_filter)
    page = listing.page(connection, narrowed, paging, keep)
    found = [item(image, request.caller.project_id) for image in page.images]
    return Answer(200, json={"images": found}, listed=(None, len(found)))


def read_filter(request: Request) -> Filter:
    """Return the filter of `glance.v11_detail`. Raises Invalid."""
    last = dict(request.query)
    one_of: list[tuple[str, tuple[str, ...]]] = [
        (name, (last[name],))
        for name in ("name", "container_format", "disk_format", "status")
        if name in last
    ]
    bounds = [
        Bound("size", compare, _number(name, last[name]))
        for name, compare in (("size_min", Compare.GTE), ("size_max", Compare.LTE))
        if name in last
    ]
    equals = tuple(
        (name.removeprefix(_PROPERTY), value)
        for name, value in last.items()
        if name.startswith(_PROPERTY)
    )
    nothing = any("\0" in text for pair in (*one_of, *equals) for part in pair for text in part)
    public = _is_public(last.get("is_public"))
    if public is True:
        one_of.append(("visibility", ("public",)))
    elif public is False:
        one_of.append(("visibility", ("private", "shared", "community")))
    return Filter(
        scope=Scope(request.caller.project_id),
        one_of=() if nothing else tuple(one_of),
        bounds=tuple(bounds),
        changed_after=_changes_since(last.get("changes-since")),
        os_hidden=False,
        not_statuses=frozenset({"killed"}) - {last.get("status", "")},
        equals=() if nothing else equals,
        nothing=nothing,
    )


def _changes_since(text: str | None) -> datetime | None:
    if text is None:
        return None
    at = filters.read_time(text)
    if at is None:
        raise _wrong("changes-since", text, "an ISO 8601 time")
    return at


def _is_public(text: str | None) -> bool | None:
    if text is None or text.lower() == "none":
        return None
    if text.lower() not in ("true", "false"):
        raise _wrong("is_public", text, "True, False or None")
    return text.lower() == "true"


def _paging(request: Request, default: int, most: int) -> Paging:
    last = dict(request.query)
    limit = min(_number("limit", last["limit"]), most) if "limit" in last else default
    marker = last.get("marker")
    if marker is not None and ids.image_id(marker) is None:
        raise _wrong("marker", marker, "the id of an image that you can list")
    key, direction = last.get("sort_key", "created_at"), last.get("sort_dir", "desc")
    if key not in SORT_KEYS:
        raise _wrong("sort_key", key, f"allowed: {', '.join(SORT_KEYS)}")
    if direction not in ("asc", "desc"):
        raise _wrong("sort_dir", direction, "allowed: asc, desc")
    descending = direction == "desc"
    order = tuple(Key(name, descending) for name in (key, "created_at", "id"))
    return Paging(limit, order, None if marker is None else marker.lower())


def _number(name: str, text: str) -> int:
    if not _NUMBER.match(text):
        raise _wrong(name, text, "an integer of at least 0")
    return fields.number(text)


def _head(connection: Connection, request: Request) -> Answer:
    del connection
    image = image_of(request)
    shown = item(image, request.caller.project_id)
    headers = [
        (f"X-Image-Meta-{name.capitalize()}", _text(shown[name]))
        for name in _ATTRIBUTES
        if shown[name] is not None
    ]
    properties = shown["properties"]
    assert isinstance(properties, dict)
    for name, value in properties.items():
        safe = _plain(name)
        if _TOKEN.match(safe):
            headers.append((f"X-Image-Meta-Property-{safe}", _text(value)))
    if image.md5:
        headers.append(("ETag", image.md5))
    return Answer(200, content=b"", content_type=HTML, headers=tuple(headers))


def _text(value: object) -> str:
    return _plain(str(value))


def _plain(text: str) -> str:
    """Percent-encode what does not fit into a header, and only that."""
    if all(" " <= sign <= "~" for sign in text):
        return text
    return quote(text, safe=_PRINTABLE, errors="replace")


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def _wrong(name: str, value: str, allowed: str) -> Invalid:
    shown = value if len(value) <= 80 else f"{value[:80]}…"
    return Invalid(
        f"{name}: {shown!r} is not allowed; {allowed}", rule="query", field=name, value=shown
    )


_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F))
