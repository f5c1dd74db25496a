# SPDX-License-Identifier: Apache-2.0
"""Reads the query of `ims.list` into the core's filter and page (contract ims.md, ims.list).

A parameter that is not listed is ignored, an empty value counts as absent, a single-valued one that
repeats is IMG.0017. Contradictory filters are no error but find nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from calotype import ids
from calotype.api.ims.refusal import IMSRefusal, refuse
from calotype.contract import catalogue
from calotype.images.filters import Bound, Compare, Filter, Moment, Scope
from calotype.images.listing import Key, Paging

QUERY = "IMG.0017"
REPEATABLE = frozenset({"tag", "created_at", "updated_at"})
SORT_KEYS = "name container_format disk_format status id size created_at updated_at".split()
STATUSES = {
    "queued": ("queued",),
    "saving": ("saving", "uploading", "importing"),
    "active": ("active",),
    "killed": ("killed",),
    "deactivated": ("deactivated",),
    "deleted": (),
}
FLAGS = (
    "__support_kvm __support_xen __support_largememory __support_diskintensive"
    " __support_highperformance __support_xen_hana __support_kvm_infiniband __support_amd"
    " __support_fc_inject __support_kvm_hi1822_hisriov __support_kvm_hi1822_hivirtionet"
    " __support_arm".split()
)
MEMBER_STATUSES = ("accepted", "pending", "rejected")
PAGE_DEFAULT = 500
PAGE_LIMIT = 1000
INTEGER_LIMIT = 2**63 - 1
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d)Z|[ +](\d\d:\d\d:\d\d))\Z")

Query = Sequence[tuple[str, str]]


@dataclass(slots=True)
class _Reading:
    """Conditions as they are collected."""

    values: dict[str, str]
    lists: dict[str, list[str]]
    one_of: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)
    equals: list[tuple[str, str]] = field(default_factory=list)
    types: set[str] | None = None
    nothing: bool = False

    def word(self, name: str, allowed: Sequence[str], code: str) -> str | None:
        """Return a value out of `allowed`, or None."""
        value = self.values.get(name)
        if value is not None and value not in allowed:
            raise refuse(code, name, value, f"allowed: {', '.join(allowed)}")
        return value

    def flag(self, name: str) -> bool | None:
        """Return a boolean of any case, or None."""
        value = self.values.get(name)
        if value is None:
            return None
        if value.lower() not in ("true", "false"):
            raise refuse(QUERY, name, value, "true or false")
        return value.lower() == "true"

    def integer(self, name: str, code: str, low: int, high: int) -> int | None:
        """Return an integer between `low` and `high`, or None."""
        value = self.values.get(name)
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,19}", value) or not low <= int(value) <= high:
            raise refuse(code, name, value, f"an integer from {low} to {high}")
        return int(value)

    def narrow(self, kinds: set[str]) -> None:
        """Keep only these image types, beside what was asked before."""
        self.types = kinds if self.types is None else self.types & kinds


def read_filter(query: Query, project_id: str) -> Filter:
    """Return the filter of a list for the viewer `project_id`. Raises IMSRefusal."""
    reading = _read(query)
    if reading.word("__isregistered", ("true", "false"), QUERY) == "false":
        reading.nothing = True
    _types(reading)
    _identity(reading)
    _numbers(reading)
    _system(reading)
    firmware = reading.word("hw_firmware_type", ("bios", "uefi"), QUERY)
    architecture = reading.word("architecture", ("x86", "arm"), "IMG.0212")
    if "flavor_id" in reading.values:
        raise refuse("IMG.0192", "flavor_id", reading.values["flavor_id"], "a configured flavor")
    return Filter(
        scope=_scope(reading, project_id),
        one_of=tuple(reading.one_of),
        bounds=tuple(reading.bounds),
        moments=tuple(
            _moment(name, text)
            for name in ("created_at", "updated_at")
            for text in reading.lists[name]
        ),
        image_types=None if reading.types is None else frozenset(reading.types),
        protected=reading.flag("protected"),
        is_whole=reading.flag("__whole_image"),
        is_arm=None if architecture is None else architecture == "arm",
        os_version_like=reading.values.get("__os_version"),
        firmware_or_bios=firmware,
        tags=tuple((tag, tag.replace(".", "=", 1)) for tag in reading.lists["tag"]),
        equals=tuple(reading.equals),
        flags=tuple(
            (name, value) for name in FLAGS for value in [reading.flag(name)] if value is not None
        ),
        nothing=reading.nothing,
    )


def read_paging(query: Query) -> Paging:
    """Return the page and order of a list. Raises IMSRefusal."""
    reading = _read(query)
    limit = reading.integer("limit", QUERY, 1, PAGE_LIMIT)
    key = reading.word("sort_key", SORT_KEYS, QUERY) or "created_at"
    descending = (reading.word("sort_dir", ("desc", "asc"), QUERY) or "desc") == "desc"
    marker = reading.values.get("marker")
    if marker is not None and ids.image_id(marker) is None:
        raise refuse(QUERY, "marker", marker, "the id of an image that you can list")
    return Paging(
        limit=PAGE_DEFAULT if limit is None else limit,
        order=(Key(key, descending), Key("id", descending)),
        marker=None if marker is None else marker.lower(),
    )


def _read(query: Query) -> _Reading:
    values: dict[str, str] = {}
    lists: dict[str, list[str]] = {name: [] for name in REPEATABLE}
    for name, value in query:
        if name in REPEATABLE:
            if value:
                lists[name].append(value)
        elif name in values and name in _KNOWN:
            raise IMSRefusal(QUERY, f"{name} is given more than once", field=name)
        else:
            values[name] = value
    return _Reading({name: value for name, value in values.items() if value}, lists)


def _types(reading: _Reading) -> None:
    kind = reading.word("__imagetype", ("gold", "private", "shared", "market"), "IMG.0024")
    if kind is not None:
        reading.narrow({kind} - {"market"})
    visibility = reading.word("visibility", ("public", "private", "shared"), QUERY)
    if visibility is not None:
        reading.narrow({"gold" if visibility == "public" else visibility})
    status = reading.word("status", tuple(STATUSES), QUERY)
    if status is not None:
        reading.one_of.append(("status", STATUSES[status]))
        reading.nothing |= not STATUSES[status]
    env_type = reading.word(
        "virtual_env_type", ("FusionCompute", "Ironic", "DataImage", "IsoImage"), "IMG.0024"
    )
    if env_type is not None:
        reading.one_of.append(("env_type", (env_type,)))


def _identity(reading: _Reading) -> None:
    values = reading.values
    if "id" in values:
        image_id = ids.image_id(values["id"])
        reading.nothing |= image_id is None
        reading.one_of.append(("id", (image_id or "",)))
    if "owner" in values:
        reading.one_of.append(("owner", (ids.project_id(values["owner"]) or values["owner"],)))
    for name in ("name", "container_format", "disk_format"):
        if name in values:
            reading.one_of.append((name, (values[name],)))
    for name in ("__system__cmkid", "__support_xen_gpu_type", "__support_kvm_gpu_type"):
        if name in values:
            reading.equals.append((name, values[name]))


def _numbers(reading: _Reading) -> None:
    for name in ("min_ram", "min_disk"):
        value = reading.integer(name, "IMG.0055", 0, INTEGER_LIMIT)
        if value is not None:
            reading.bounds.append(Bound(name, Compare.EQ, value))
    for name, compare in (("size_min", Compare.GTE), ("size_max", Compare.LTE)):
        value = reading.integer(name, QUERY, 0, INTEGER_LIMIT)
        if value is not None:
            reading.bounds.append(Bound("size", compare, value, null_is_zero=True))


def _system(reading: _Reading) -> None:
    os_type = reading.word("__os_type", ("Linux", "Windows", "Other"), "IMG.0122")
    if os_type is not None:
        reading.one_of.append(("os_type", (os_type,)))
    if "__os_bit" in reading.values:
        reading.one_of.append(("os_bit", (reading.values["__os_bit"],)))
    if "__platform" in reading.values:
        wanted = catalogue.fold(reading.values["__platform"])
        words = {row.platform for row in catalogue.rows()}
        found = tuple(word for word in sorted(words) if catalogue.fold(word) == wanted)
        reading.nothing |= not found
        reading.one_of.append(("platform", found))


def _scope(reading: _Reading, project_id: str) -> Scope:
    """Which images the list is about: `member_status` and `shared` together leave out own ones."""
    status = reading.word("member_status", (*MEMBER_STATUSES, "all"), QUERY)
    asks_shared = "shared" in (
        reading.values.get("__imagetype"),
        reading.values.get("visibility"),
    )
    if status is None:
        statuses = frozenset({"accepted"})
    else:
        statuses = frozenset(MEMBER_STATUSES if status == "all" else (status,))
    only_shared_in = asks_shared and status is not None
    one_project = reading.values.get("enterprise_project_id") not in (None, "all_granted_eps")
    return Scope(
        project=project_id,
        own=not only_shared_in,
        public=not (only_shared_in or one_project),
        shared_in=frozenset() if one_project else statuses,
    )


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


_KNOWN: frozenset[str] = frozenset(
    "enterprise_project_id __imagetype __isregistered __whole_image __system__cmkid protected"
    " visibility owner id status name container_format disk_format min_ram min_disk __os_bit"
    " __os_type __platform __os_version marker limit sort_key sort_dir member_status"
    " __support_xen_gpu_type __support_kvm_gpu_type virtual_env_type size_min size_max"
    " hw_firmware_type architecture flavor_id".split()
) | frozenset(FLAGS)
