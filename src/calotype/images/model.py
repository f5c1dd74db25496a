# SPDX-License-Identifier: Apache-2.0
"""The image as a value, and how it becomes a row and back (contract values.md 6, native.md 3).

An `Image` is complete: every stored attribute parsed, and the status that the asking project has
as a member. It is frozen; a change is `dataclasses.replace` and `store.update(before, after)`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import RowMapping

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_dump = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
_decode = json.JSONDecoder().raw_decode
_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image. Sizes in bytes, `min_disk` in GiB, `min_ram` in MiB, moments aware in UTC."""

    id: str
    owner: str
    account_id: str
    created_at: datetime
    updated_at: datetime
    enterprise_project_id: str = "0"
    origin: str = "native"  # native, ims: the dialect whose operation made the row
    name: str | None = None
    status: str = "queued"
    visibility: str = "private"
    turned_shared: bool = False
    os_hidden: bool = False
    protected: bool = False
    container_format: str | None = None
    disk_format: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    max_ram: str | None = None
    size: int | None = None
    virtual_size: int | None = None
    md5: str | None = None
    sha512: str | None = None
    env_type: str = "FusionCompute"
    os_type: str = "Linux"
    os_version: str | None = None
    platform: str = "Other"
    os_bit: str | None = None
    is_arm: bool = False
    is_whole: bool = False
    firmware: str | None = None
    cmk_id: str | None = None
    member_count: int = 0
    tags: tuple[str, ...] = ()  # string forms, sorted by code point
    properties: Mapping[str, str | None] = field(default_factory=lambda: _EMPTY)
    native_names: frozenset[str] = frozenset()  # system names that were written natively
    service_properties: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    blob_id: str | None = None
    stores: tuple[str, ...] = ()
    job_id: str | None = None  # 32 hex of a job, or an upload token
    broken_upload: bool = False
    active_at: datetime | None = None
    ended_at: datetime | None = None
    member_status: str | None = None  # of the asking project; no column


def to_microseconds(moment: datetime) -> int:
    """Return the stored form of a moment: microseconds since 1970 in UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    """Return the moment of a stored value."""
    return _EPOCH + value * _MICROSECOND


def to_row(image: Image) -> dict[str, object]:
    """Return the columns of `image`."""
    row: dict[str, object] = {name: getattr(image, name) for name in _PLAIN}
    row["name_sort"] = image.name or ""
    row["tags"] = _dump(image.tags)
    row["properties"] = _dump(dict(sorted(image.properties.items())))
    row["service_properties"] = _dump(dict(sorted(image.service_properties.items())))
    row["native_names"] = _dump(sorted(image.native_names))
    row["stores"] = ",".join(image.stores)
    for name in _MOMENTS:
        moment = getattr(image, name)
        row[name] = None if moment is None else to_microseconds(moment)
    return row


def from_row(row: RowMapping) -> Image:
    """Return the image of a row of `images`, with `member_status` where the row has one."""
    return from_values([*(row[name] for name in COLUMNS[:-1]), row.get("member_status")])


def from_values(row: Sequence[Any]) -> Image:
    """Return the image of a row that has what `COLUMNS` names, in that order."""
    values = dict(zip(COLUMNS, row, strict=True))
    values["tags"] = tuple(_parsed(values["tags"]))
    values["properties"] = _parsed(values["properties"])
    values["service_properties"] = _parsed(values["service_properties"])
    values["native_names"] = frozenset(_parsed(values["native_names"]))
    values["stores"] = tuple(filter(None, values["stores"].split(",")))
    for name in _MOMENTS:
        moment = values[name]
        if moment is not None:
            values[name] = _EPOCH + moment * _MICROSECOND
    return Image(**values)


def _parsed(text: str) -> Any:
    """Decode a column; most of them are empty."""
    if text == "{}":
        return _EMPTY
    return () if text == "[]" else _decode(text)[0]


_MOMENTS = ("created_at", "updated_at", "active_at", "ended_at")
_PARSED = {"tags", "properties", "service_properties", "native_names", "stores", "member_status"}
_PLAIN = tuple(
    name for name in Image.__dataclass_fields__ if name not in _PARSED and name not in _MOMENTS
)
COLUMNS = tuple(Image.__dataclass_fields__)
"""What an image is made of, in order: columns of `images`, and last the member status."""
