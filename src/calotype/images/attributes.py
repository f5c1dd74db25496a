# SPDX-License-Identifier: Apache-2.0
"""Attributes of the IMS view that are no free properties: value and condition of each.

Many have a column or follow from columns; some depend on who looks (values.md 6, 8). `read` gives
the value as a string or None where the attribute is absent; `where` is the same question in SQL,
for filters. Tests hold both against each other. All other names live in `properties`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, and_, false, or_, true

from calotype import clock
from calotype.db.tables.images import images
from calotype.images.model import Image, to_microseconds
from calotype.images.properties import has_property

GOLD, PRIVATE, SHARED, MARKET = "gold", "private", "shared", "market"
IMAGE_TYPES = (GOLD, PRIVATE, SHARED, MARKET)
_BIGGEST = 2**63 - 1

Viewer = ColumnElement[str] | str | None
"""The project that asks, in SQL: its id, or the parameter that will have it."""

Reader = Callable[[Image, "str | None"], "str | None"]
Condition = Callable[[str, Viewer], ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its value for a viewer (a project id), and the condition of equality."""

    read: Reader
    where: Condition


def read(image: Image, name: str, viewer: str | None) -> str | None:
    """Return the value of any attribute or property as `viewer` sees it, None when absent."""
    attribute = ATTRIBUTES.get(name)
    return attribute.read(image, viewer) if attribute else image.properties.get(name)


def where(name: str, value: str, viewer: Viewer) -> ColumnElement[bool]:
    """Return the condition that `read` gives `value`."""
    attribute = ATTRIBUTES.get(name)
    return attribute.where(value, viewer) if attribute else has_property(name, value)


def image_type(image: Image, viewer: str | None) -> str:
    """Return `gold`, `shared` or `private` as `viewer` sees the image (values.md 8)."""
    if image.visibility == "public":
        return GOLD
    if image.visibility == "shared" and (image.owner != viewer or image.member_count > 0):
        return SHARED
    return PRIVATE


def where_image_type(word: str, viewer: Viewer) -> ColumnElement[bool]:
    """Return the condition that `image_type` gives `word`."""
    public = images.c.visibility == "public"
    shared = and_(images.c.visibility == "shared", or_(_foreign(viewer), images.c.member_count > 0))
    if word == GOLD:
        return public
    if word == SHARED:
        return shared
    if word == PRIVATE:
        return ~or_(public, shared)
    return false()


def shown_enterprise_project(image: Image, viewer: str | None) -> str:
    """Return the enterprise project, `0` for a foreign image: no id of another account leaks."""
    return image.enterprise_project_id if image.owner == viewer else "0"


def stored_size(image: Image) -> int:
    """Return the bytes of the stored file, 0 while there is none."""
    return image.size or 0 if image.blob_id is not None else 0


def _foreign(viewer: Viewer) -> ColumnElement[bool]:
    return images.c.owner != viewer if viewer is not None else true()


def _column(name: str) -> Attribute:
    def value(image: Image, viewer: str | None) -> str | None:
        del viewer
        found: str | None = getattr(image, name)
        return found

    def condition(wanted: str, viewer: Viewer) -> ColumnElement[bool]:
        del viewer
        return images.c[name] == wanted

    return Attribute(value, condition)


def _flag(name: str) -> Attribute:
    def value(image: Image, viewer: str | None) -> str | None:
        del viewer
        return "true" if getattr(image, name) else None

    def condition(wanted: str, viewer: Viewer) -> ColumnElement[bool]:
        del viewer
        return images.c[name].is_(True) if wanted == "true" else false()

    return Attribute(value, condition)


def _constant(text: str) -> Attribute:
    return Attribute(
        lambda image, viewer: text, lambda wanted, viewer: true() if wanted == text else false()
    )


def _enterprise_project() -> Attribute:
    def condition(wanted: str, viewer: Viewer) -> ColumnElement[bool]:
        own = and_(~_foreign(viewer), images.c.enterprise_project_id == wanted)
        return or_(own, _foreign(viewer)) if wanted == "0" else own

    return Attribute(shown_enterprise_project, condition)


def _size_condition(wanted: str, viewer: Viewer) -> ColumnElement[bool]:
    del viewer
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) <= 19):
        return false()
    number = int(wanted)
    if str(number) != wanted or number > _BIGGEST:
        return false()
    with_bytes = and_(images.c.blob_id.is_not(None), images.c.size == number)
    if number:
        return with_bytes
    return or_(images.c.blob_id.is_(None), images.c.size.is_(None), images.c.size == 0)


def _active_at(image: Image, viewer: str | None) -> str | None:
    del viewer
    return clock.to_seconds(image.active_at) if image.active_at else None


def _active_at_condition(wanted: str, viewer: Viewer) -> ColumnElement[bool]:
    del viewer
    second = _second(wanted)
    if second is None:
        return false()
    return and_(images.c.active_at >= second, images.c.active_at < second + 1_000_000)


def _second(text: str) -> int | None:
    """Return the stored form of `YYYY-MM-DDThh:mm:ssZ`, or None when it is no such text."""
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return to_microseconds(moment) if clock.to_seconds(moment) == text else None


def _root_origin(image: Image, viewer: str | None) -> str | None:
    del viewer
    if image.origin == "native":
        return "file" if image.blob_id is not None else None
    return image.properties.get("__root_origin")


def _root_origin_condition(wanted: str, viewer: Viewer) -> ColumnElement[bool]:
    del viewer
    native = and_(images.c.origin == "native", images.c.blob_id.is_not(None))
    stored = and_(images.c.origin != "native", has_property("__root_origin", wanted))
    return or_(native, stored) if wanted == "file" else stored


def _data_origin(image: Image, viewer: str | None) -> str | None:
    """Return where the bytes came from; only the owner is told, and nobody of a public image."""
    if image.owner != viewer or image.visibility == "public":
        return None
    return image.properties.get("__data_origin")


def _data_origin_condition(wanted: str, viewer: Viewer) -> ColumnElement[bool]:
    shown = and_(~_foreign(viewer), images.c.visibility != "public")
    return and_(shown, has_property("__data_origin", wanted))


ATTRIBUTES: dict[str, Attribute] = {
    "__imagetype": Attribute(image_type, where_image_type),
    "__isregistered": _constant("true"),
    "__image_source_type": _constant("uds"),
    "__image_size": Attribute(lambda image, viewer: str(stored_size(image)), _size_condition),
    "__os_type": _column("os_type"),
    "__os_version": _column("os_version"),
    "__platform": _column("platform"),
    "__os_bit": _column("os_bit"),
    "__system__cmkid": _column("cmk_id"),
    "__support_arm": _flag("is_arm"),
    "__whole_image": _flag("is_whole"),
    "__data_origin": Attribute(_data_origin, _data_origin_condition),
    "__root_origin": Attribute(_root_origin, _root_origin_condition),
    "virtual_env_type": _column("env_type"),
    "hw_firmware_type": _column("firmware"),
    "max_ram": _column("max_ram"),
    "active_at": Attribute(_active_at, _active_at_condition),
    "enterprise_project_id": _enterprise_project(),
    "_sys_enterprise_project_id": _enterprise_project(),
}
