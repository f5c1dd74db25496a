# SPDX-License-Identifier: Apache-2.0
"""Who uses which bytes of a file: no byte may serve two purposes.

A table that points twice at the same bytes is how a small file reads as a huge disk, and how one
parser is shown other bytes than the next. `UnitMap` serves formats with aligned clusters of one
size, `RangeList` those with free or variable positions; both stay small however hostile the file.
"""

from __future__ import annotations

from array import array

from calotype.disks.verdict import refuse
from calotype.errors import Reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_UNITS = 1 << 27
_EXCLUSIVE = 1
_BUCKET_BITS = 24
_MAX_RUNS = 6 << 20
_MAX_RUNS_IN_BUCKET = 1 << 19
# Map value to uses: 0 none, 1 one exclusive use, 2 and more: value - 1 shared uses.
USES = bytes([0, 1, *range(1, 255)])


class UnitMap:
    """Uses of each of `count` equal units of a file, one byte each (only touched pages cost)."""

    def __init__(self, count: int, what: str) -> None:
        if count > MAX_UNITS:
            refuse(Reason.FORMAT_UNSUPPORTED, f"{what}: clusters too small for a file this large")
        self.units = bytearray(count)
        self._what = what

    def exclusive(self, first: int, count: int = 1) -> None:
        """Mark units as used by one thing alone; the caller has checked that they exist."""
        units = self.units
        if count == 1:
            if units[first]:
                self.overlap()
            units[first] = _EXCLUSIVE
            return
        if units.count(0, first, first + count) != count:
            self.overlap()
        units[first : first + count] = b"\1" * count

    def shared(self, unit: int) -> None:
        """Count one more of several small things in a unit (compressed clusters)."""
        used = self.units[unit]
        if used == _EXCLUSIVE:
            self.overlap()
        self.units[unit] = 2 if used == 0 else min(used + 1, 255)

    def overlap(self) -> None:
        """Refuse the file because a unit is used twice."""
        refuse(Reason.CORRUPT, f"{self._what}: two table entries point at the same bytes")


class RangeList:
    """Byte ranges that must not overlap. Neighbours are joined, so sequential files cost nothing.

    The end of a range may be known only as an interval (qcow2 counts compressed bytes in sectors):
    the next range may begin anywhere between the two.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._start = self._low = self._high = 0
        self._runs = 0
        self._buckets: dict[int, tuple[array[int], array[int]]] = {}

    def add(self, start: int, low_end: int, high_end: int) -> None:
        """Add a range that ends at `low_end` at least and at `high_end` at most."""
        if self._low <= start <= self._high and self._high:
            self._low, self._high = low_end, high_end
            return
        self._flush()
        self._start, self._low, self._high = start, low_end, high_end

    def _flush(self) -> None:
        if not self._high:
            return
        bucket = self._buckets.get(self._start >> _BUCKET_BITS)
        if bucket is None:
            bucket = (array("Q"), array("Q"))
            self._buckets[self._start >> _BUCKET_BITS] = bucket
        bucket[0].append(self._start)
        bucket[1].append(self._low)
        self._runs += 1
        if self._runs > _MAX_RUNS or len(bucket[0]) > _MAX_RUNS_IN_BUCKET:
            refuse(Reason.EXPANSION_LIMIT, f"{self._what}: in more pieces than can be checked")

    def _sorted(self) -> Iterator[tuple[int, int]]:
        for key in sorted(self._buckets):
            starts, ends = self._buckets[key]
            yield from sorted(zip(starts, ends, strict=True))

    def check(self) -> None:
        """Refuse the file if any two ranges overlap."""
        self._flush()
        self._high = 0
        reached = 0
        for start, end in self._sorted():
            if start < reached:
                refuse(Reason.CORRUPT, f"{self._what}: two table entries point at the same bytes")
            reached = end
