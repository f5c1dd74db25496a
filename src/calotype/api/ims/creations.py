# SPDX-License-Identifier: Apache-2.0
"""The tables of the creations: which field each kind has, in the order of the checks (contract
ims.md: C6, create, quickimport, create_data).

`check_form` looks at what authorization needs, before anything is looked up; `read_*` at all the
rest, after the decision. A field that belongs to another kind is type-checked, then ignored (C2).
Nothing here touches storage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from calotype.api.ims import fields, kinds, objects, rows
from calotype.api.ims.kinds import Body, Kind, Unserved
from calotype.api.ims.refusal import IMSRefusal, refuse
from calotype.api.ims.rows import Limits, Reading
from calotype.contract.catalogue import OSVersion

__all__ = [
    "Creation",
    "Limits",
    "Unserved",
    "as_object",
    "check_form",
    "check_quick_form",
    "read_create",
    "read_data",
    "read_quick",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """One image to make from one object. `min_disk` in GB, `min_ram` and `max_ram` in MB."""

    enterprise_project_id: str
    name: str
    description: str | None
    tags: tuple[tuple[str, str], ...]
    checksum: str | None
    source: objects.ObjectAddress
    env_type: str
    os: OSVersion | None  # None: a data disk
    os_type: str
    min_disk: int
    min_ram: int = 0
    max_ram: int | None = None
    firmware: str | None = None
    is_arm: bool = False
    cmk_id: str | None = None
    is_quick: bool = False
    is_iso: bool = False

    @property
    def is_data(self) -> bool:
        """Whether a data disk image is made."""
        return self.env_type == "DataImage"


@dataclass(frozen=True, slots=True)
class _Row:
    """One field: its type, and for the kinds that have it, its check."""

    name: str
    type: Callable[[str, object], object]
    kinds: frozenset[Kind] = frozenset()
    read: Callable[[Reading], None] | None = None


def as_object(body: object, known: tuple[str, ...]) -> Body:
    """Return the body as an object without unknown members (ims.md C2)."""
    if not isinstance(body, dict):
        raise refuse(fields.MALFORMED, "body", body, "it must be an object")
    for name in body:
        if name not in known:
            raise IMSRefusal(
                fields.MALFORMED, f"{name}: no such field; known: {', '.join(known)}", field=name
            )
    return body


def check_form(body: object) -> None:
    """Check the fields marked **A** of a creation."""
    if not isinstance(body, dict):
        raise refuse(fields.MALFORMED, "body", body, "it must be an object")
    fields.enterprise_project(body.get("enterprise_project_id"))


def check_quick_form(body: object) -> None:
    """Check the fields marked **A** of a quick import: the kind of disk selects the action."""
    if not isinstance(body, dict):
        raise refuse(fields.MALFORMED, "body", body, "it must be an object")
    fields.word("type", body.get("type"), rows.QUICK_TYPES, "IMG.0024")
    fields.enterprise_project(body.get("enterprise_project_id"))


def read_create(body: object, limits: Limits) -> Creation | Unserved:
    """Read `ims.create`: kinds F (disk file) and O (ISO) as a Creation, all others as Unserved.

    Raises IMSRefusal for the first wrong field. `Unserved.refusal()` is to be raised after quota
    and concurrency.
    """
    values = as_object(body, CREATE)
    kind = kinds.kind_of(values)
    reading = _read(kind, values, limits, _CREATE)
    if kind in (Kind.FILE, Kind.ISO):
        return _creation(reading)
    images = reading.disks if kind is Kind.VOLUMES else 1 + reading.disks
    return Unserved(kind, _project(values), images)


def read_quick(body: object, limits: Limits) -> Creation:
    """Read `ims.quickimport`: a raw file, kept raw. Raises IMSRefusal."""
    values = as_object(body, QUICK)
    kind = Kind.QUICK_DATA if values.get("type") == "DataImage" else Kind.QUICK_SYSTEM
    return _creation(_read(kind, values, limits, _QUICK))


def read_data(body: object, limits: Limits) -> Creation:
    """Read `ims.create_data`: a data disk image from a file. Raises IMSRefusal."""
    return _creation(_read(Kind.DATA, as_object(body, DATA), limits, _DATA))


def _read(kind: Kind, body: Body, limits: Limits, table: tuple[_Row, ...]) -> Reading:
    reading = Reading(kind, body, limits)
    for row in table:
        if row.read is not None and kind in row.kinds:
            row.read(reading)
        else:
            row.type(row.name, body.get(row.name))
    return reading


def _project(body: Body) -> str:
    return fields.enterprise_project(body.get("enterprise_project_id"))


def _creation(reading: Reading) -> Creation:
    assert reading.source is not None  # every kind that comes here has the row
    is_data = reading.kind in rows.IS_DATA
    system = None if is_data else reading.os
    return Creation(
        enterprise_project_id=_project(reading.body),
        name=reading.name,
        description=reading.description,
        tags=tuple(reading.tags),
        checksum=reading.checksum,
        source=reading.source,
        env_type="DataImage" if is_data else reading.env_type,
        os=system,
        os_type=system.os_type if system else reading.os_type or "Linux",
        min_disk=reading.min_disk,
        min_ram=reading.min_ram,
        max_ram=reading.max_ram,
        firmware=reading.firmware,
        is_arm=reading.is_arm,
        cmk_id=reading.cmk_id,
        is_quick=reading.quick or reading.kind in (Kind.QUICK_SYSTEM, Kind.QUICK_DATA),
        is_iso=reading.kind is Kind.ISO,
    )


def _of(letters: str) -> frozenset[Kind]:
    return frozenset(Kind(letter) for letter in letters)


_ALL = frozenset(Kind)
_FILES, _NOT_D, _NOT_I_D = _of("FOAS"), _of("IFOASV"), _of("FOASV")
_SYSTEM = frozenset({Kind.QUICK_SYSTEM})
_CREATE = (
    _Row("name", fields.text, _NOT_D, rows.name),
    _Row("description", fields.text, _NOT_D, rows.description),
    _Row("tags", fields.array, _NOT_D, rows.tags),
    _Row("image_tags", fields.array),
    _Row("checksum", fields.text, _FILES, rows.checksum),
    _Row("type", fields.text, _NOT_D, rows.environment),
    _Row("os_type", fields.text, _FILES, rows.os_type),
    _Row("os_version", fields.text, _NOT_D, rows.os_version),
    _Row("instance_id", fields.text, _of("I"), rows.instance_id),
    _Row("image_url", fields.text, _FILES, rows.image_url),
    _Row("volume_id", fields.text, _of("V"), rows.volume_id),
    _Row("min_disk", fields.size, _FILES, rows.min_disk),
    _Row("data_images", fields.array, _of("SD"), rows.data_images),
    _Row("is_quick_import", fields.boolean, _FILES, rows.is_quick_import),
    _Row("is_config", fields.boolean),
    _Row("architecture", fields.text, _NOT_I_D, rows.architecture),
    _Row("hw_firmware_type", fields.text, _NOT_I_D, rows.hw_firmware_type),
    _Row("min_ram", fields.size, _NOT_D, rows.min_ram),
    _Row("max_ram", fields.size, _NOT_D, rows.max_ram),
    _Row("cmk_id", fields.text, _FILES, rows.cmk_id),
    # No rows of this table, but no unknown members either: clients send them (M24).
    _Row("license_type", fields.text),
    _Row("vault_id", fields.text),
)
_COMMON = (
    _Row("name", fields.text, _ALL, rows.name),
    _Row("description", fields.text, _ALL, rows.description),
    _Row("tags", fields.array, _ALL, rows.tags),
    _Row("image_tags", fields.array),
    _Row("checksum", fields.text, _ALL, rows.checksum),
)
_QUICK = (
    _Row("type", fields.text, _ALL, rows.environment),
    *_COMMON,
    _Row("os_version", fields.text, _SYSTEM, rows.os_version),
    _Row("os_type", fields.text, _ALL, rows.os_type),
    _Row("image_url", fields.text, _ALL, rows.image_url),
    _Row("min_disk", fields.size, _ALL, rows.min_disk),
    _Row("architecture", fields.text, _SYSTEM, rows.architecture),
    _Row("hw_firmware_type", fields.text, _SYSTEM, rows.hw_firmware_type),
    _Row("license_type", fields.text, _ALL, rows.license_type),
)
_DATA = (
    *_COMMON,
    _Row("os_type", fields.text, _ALL, rows.os_type),
    _Row("image_url", fields.text, _ALL, rows.image_url),
    _Row("min_disk", fields.size, _ALL, rows.min_disk),
    _Row("cmk_id", fields.text, _ALL, rows.cmk_id),
)
CREATE, QUICK, DATA = (
    ("enterprise_project_id", *(row.name for row in table)) for table in (_CREATE, _QUICK, _DATA)
)
