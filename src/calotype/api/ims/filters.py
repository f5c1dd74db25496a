# SPDX-License-Identifier: Apache-2.0
"""Reads the query of `ims.list` into the core's filter and page (contract ims.md, ims.list).

A parameter that is not listed is ignored, an empty value counts as absent, a single-valued one that
repeats is IMG.0017. Parameters are read in the order of the table. Contradictory filters are no
error but find nothing. A null format is asked for by the word that is shown for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from calotype import ids
from calotype.api.ims import fields
from calotype.api.ims.flavors import Flavors
from calotype.api.ims.query import QUERY, Query, Values, read_values
from calotype.api.ims.refusal import refuse
from calotype.contract import catalogue
from calotype.images.filters import Bound, Compare, Filter, Moment, Scope
from calotype.images.listing import Key, Paging

REPEATABLE = frozenset({"tag", "created_at", "updated_at"})
SORT_KEYS = "name container_format disk_format status id size created_at updated_at".split()
TYPES = ("gold", "private", "shared", "market")
ENVIRONMENTS = ("FusionCompute", "Ironic", "DataImage", "IsoImage")
STATUSES = {
    "queued": ("queued",),
    "saving": ("saving", "uploading", "importing"),
    "active": ("active",),
    "killed": ("killed",),
    "deactivated": ("deactivated",),
    "deleted": (),
}
GPU_TYPES = ("__support_xen_gpu_type", "__support_kvm_gpu_type")
MEMBER_STATUSES = ("accepted", "pending", "rejected")
SHOWN_FOR_NULL = {"container_format": "bare", "disk_format": "qcow2"}
PAGE_DEFAULT = 500
PAGE_LIMIT = 1000
_CLOCK = "[0-9]{2}:[0-9]{2}:[0-9]{2}"
_TIME = re.compile(rf"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})(?:T({_CLOCK})Z|[ +]({_CLOCK}))\Z")


@dataclass(slots=True)
class _Reading(Values):
    """The query, and the conditions as they are collected."""

    one_of: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)
    equals: list[tuple[str, str]] = field(default_factory=list)
    flags: list[tuple[str, bool]] = field(default_factory=list)
    types: set[str] | None = None
    firmware: set[str] = field(default_factory=lambda: set(fields.FIRMWARE))
    architectures: set[str] = field(default_factory=lambda: set(fields.ARCHITECTURES))
    nothing: bool = False

    def any(self, name: str) -> str | None:
        """Return a value of any form, or None; one that nothing stored can have finds nothing."""
        value = self.single.get(name)
        if value is not None and "\0" in value:
            self.nothing = True
            return None
        return value

    def narrow(self, kinds: set[str]) -> None:
        """Keep only these image types, beside what was asked before."""
        self.types = kinds if self.types is None else self.types & kinds


def read_filter(
    query: Query, project_id: str, *, flavors: Flavors | None = None, paged: bool = True
) -> Filter:
    """Return the filter of a list for the viewer `project_id`. Raises IMSRefusal.

    `flavors` is the deployment's table. With `paged` the parameters of the page are checked too,
    at their place in the table; a list that has none of them ignores them.
    """
    reading = _read(query, paged=paged)
    _types(reading, "__imagetype", TYPES, "IMG.0024")
    if reading.word("__isregistered", ("true", "false"), QUERY) == "false":
        reading.nothing = True
    whole = reading.boolean("__whole_image")
    _equal(reading, "__system__cmkid")
    protected = reading.boolean("protected")
    _types(reading, "visibility", ("public", "private", "shared"), QUERY)
    _identity(reading)
    _minima(reading)
    _system(reading)
    if paged:
        _paging(reading)
    tags = _tags(reading)
    scope = _scope(reading, project_id)
    _support(reading)
    _environment(reading)
    _sizes(reading)
    _machine(reading, flavors or {})
    is_arm, firmware = _only(reading, reading.architectures, "arm"), _only_firmware(reading)
    os_version = reading.any("__os_version")
    moments = [
        _moment(name, text)
        for name in ("created_at", "updated_at")
        for text in reading.repeated[name]
    ]
    return Filter(
        scope=scope,
        one_of=tuple(reading.one_of),
        bounds=tuple(reading.bounds),
        moments=tuple(moments),
        image_types=None if reading.types is None else frozenset(reading.types),
        protected_or_public=protected,
        is_whole=whole,
        is_arm=is_arm,
        os_version_like=os_version,
        firmware_or_bios=firmware,
        tags=tags,
        equals=tuple(reading.equals),
        flags=tuple(reading.flags),
        nothing=reading.nothing,
    )


def read_paging(query: Query) -> Paging:
    """Return the page and order of a list. Raises IMSRefusal."""
    return _paging(_read(query, paged=True))


def _read(query: Query, *, paged: bool) -> _Reading:
    values = read_values(query, _FILTERS | _PAGING if paged else _FILTERS, REPEATABLE)
    return _Reading(values.single, values.repeated)


def _paging(reading: _Reading) -> Paging:
    marker = reading.single.get("marker")
    marker_id = None if marker is None else ids.image_id(marker)
    if marker is not None and marker_id is None:
        raise refuse(QUERY, "marker", marker, "the id of an image that you can list")
    limit = reading.integer("limit", QUERY)
    if limit is not None and not 1 <= limit <= PAGE_LIMIT:
        raise refuse(QUERY, "limit", reading.single["limit"], f"an integer from 1 to {PAGE_LIMIT}")
    key = reading.word("sort_key", SORT_KEYS, QUERY) or "created_at"
    descending = reading.word("sort_dir", ("desc", "asc"), QUERY) != "asc"
    return Paging(
        limit=PAGE_DEFAULT if limit is None else limit,
        order=(Key(key, descending), Key("id", descending)),
        marker=marker_id,
    )


def _types(reading: _Reading, name: str, allowed: Sequence[str], code: str) -> None:
    word = reading.word(name, allowed, code)
    if word is not None:
        reading.narrow({"gold" if word == "public" else word} - {"market"})


def _equal(reading: _Reading, name: str) -> None:
    value = reading.any(name)
    if value is not None:
        reading.equals.append((name, value))


def _identity(reading: _Reading) -> None:
    owner, image = reading.single.get("owner"), reading.single.get("id")
    for name, text, normal in (
        ("owner", owner, ids.project_id(owner or "")),
        ("id", image, ids.image_id(image or "")),
    ):
        if normal is not None:
            reading.one_of.append((name, (normal,)))
        reading.nothing |= text is not None and normal is None
    status = reading.word("status", tuple(STATUSES), QUERY)
    if status is not None:
        reading.one_of.append(("status", STATUSES[status]))
        reading.nothing |= not STATUSES[status]
    for name in ("name", *SHOWN_FOR_NULL):
        value = reading.any(name)
        if value is not None:
            # An empty word among those of a nullable column stands for null.
            null = ("",) if SHOWN_FOR_NULL.get(name) == value else ()
            reading.one_of.append((name, (value, *null)))


def _minima(reading: _Reading) -> None:
    for name in ("min_ram", "min_disk"):
        value = reading.integer(name, "IMG.0055")
        if value is not None:
            reading.bounds.append(Bound(name, Compare.EQ, value))


def _system(reading: _Reading) -> None:
    bit = reading.any("__os_bit")
    if bit is not None:
        reading.one_of.append(("os_bit", (bit,)))
    os_type = reading.word("__os_type", fields.OS_TYPES, "IMG.0122")
    if os_type is not None:
        reading.one_of.append(("os_type", (os_type,)))
    platform = reading.single.get("__platform")
    if platform is not None:
        found = catalogue.platforms(platform)
        reading.nothing |= not found
        reading.one_of.append(("platform", found))


def _tags(reading: _Reading) -> tuple[tuple[str, ...], ...]:
    asked = reading.repeated["tag"]
    reading.nothing |= any("\0" in tag for tag in asked)
    return tuple(
        tuple(dict.fromkeys((tag, tag.replace(".", "=", 1)))) for tag in asked if "\0" not in tag
    )


def _scope(reading: _Reading, project_id: str) -> Scope:
    """Which images the list is about: `member_status` and `shared` together leave out own ones."""
    status = reading.word("member_status", (*MEMBER_STATUSES, "all"), QUERY)
    asks_shared = "shared" in (
        reading.single.get("__imagetype"),
        reading.single.get("visibility"),
    )
    if status is None:
        statuses = frozenset({"accepted"})
    else:
        statuses = frozenset(MEMBER_STATUSES if status == "all" else (status,))
    only_shared_in = asks_shared and status is not None
    one_project = reading.single.get("enterprise_project_id") not in (None, "all_granted_eps")
    if one_project:  # a public image lies in no enterprise project, its owner's neither
        reading.narrow({"private", "shared"})
    return Scope(
        project=project_id,
        own=not only_shared_in,
        public=not (only_shared_in or one_project),
        shared_in=frozenset() if one_project else statuses,
    )


def _support(reading: _Reading) -> None:
    for name in fields.SUPPORT_FLAGS:
        word = reading.word(name, ("true", "false"), QUERY)
        if word is not None:
            reading.flags.append((name, word == "true"))
    for name in GPU_TYPES:
        _equal(reading, name)


def _environment(reading: _Reading) -> None:
    word = reading.word("virtual_env_type", ENVIRONMENTS, "IMG.0024")
    if word is not None:
        reading.one_of.append(("env_type", (word,)))


def _sizes(reading: _Reading) -> None:
    for name, compare in (("size_min", Compare.GTE), ("size_max", Compare.LTE)):
        value = reading.integer(name, QUERY)
        if value is not None:
            reading.bounds.append(Bound("size", compare, value, null_is_zero=True))


def _machine(reading: _Reading, flavors: Flavors) -> None:
    firmware = reading.word("hw_firmware_type", fields.FIRMWARE, QUERY)
    if firmware is not None:
        reading.firmware &= {firmware}
    architecture = reading.word("architecture", fields.ARCHITECTURES, "IMG.0212")
    if architecture is not None:
        reading.architectures &= {architecture}
    name = reading.single.get("flavor_id")
    if name is None:
        return
    flavor = flavors.get(name)
    if flavor is None:
        raise refuse("IMG.0192", "flavor_id", name, "an id of the deployment's flavor table")
    reading.narrow({"gold"})
    reading.firmware &= flavor.firmware
    reading.architectures &= {"arm" if flavor.is_arm else "x86"}
    reading.flags += [(flag, True) for flag in flavor.supports]


def _only(reading: _Reading, left: set[str], word: str) -> bool | None:
    """Return whether `word` is the one that is left, None when both are."""
    reading.nothing |= not left
    return None if len(left) != 1 else word in left


def _only_firmware(reading: _Reading) -> str | None:
    uefi = _only(reading, reading.firmware, "uefi")
    return None if uefi is None else "uefi" if uefi else "bios"


def _moment(name: str, text: str) -> Moment:
    operator, colon, time = text.partition(":")
    match = _TIME.match(time)
    if not colon or operator not in list(Compare) or match is None:
        raise refuse(QUERY, name, text, "gt gte lt lte eq neq, ':' and YYYY-MM-DDThh:mm:ssZ")
    try:
        moment = datetime.fromisoformat(f"{match[1]}T{match[2] or match[3]}")
    except ValueError:
        raise refuse(QUERY, name, text, "an existing moment") from None
    return Moment(name, Compare(operator), moment.replace(tzinfo=UTC))


_PAGING = frozenset("marker limit sort_key sort_dir".split())
_FILTERS = (
    frozenset(
        "enterprise_project_id __imagetype __isregistered __whole_image __system__cmkid protected"
        " visibility owner id status name container_format disk_format min_ram min_disk __os_bit"
        " __os_type __platform __os_version member_status virtual_env_type size_min size_max"
        " hw_firmware_type architecture flavor_id".split()
    )
    | frozenset(fields.SUPPORT_FLAGS)
    | frozenset(GPU_TYPES)
)
