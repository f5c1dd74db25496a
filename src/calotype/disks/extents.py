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

MAX_UNITS = 1 << 27
_EXCLUSIVE = 1
_BUCKET_BITS = 24
_LENGTH_BITS = 22
_LONG = (1 << _LENGTH_BITS) - 1
_MAX_START = 1 << 42
_MAX_RANGES = 16 << 20
_MAX_IN_BUCKET = 1 << 20
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

    def share(self, first: int, last: int) -> None:
        """Count one more of several small things in each unit (compressed clusters)."""
        units = self.units
        for unit in range(first, last + 1):
            used = units[unit]
            if used == _EXCLUSIVE:
                self.overlap()
            units[unit] = used + 1 if 2 <= used < 255 else used or 2

    def overlap(self) -> None:
        """Refuse the file because a unit is used twice."""
        refuse(Reason.CORRUPT, f"{self._what}: two table entries point at the same bytes")


class RangeList:
    """Byte ranges that must not overlap; 8 bytes each, neighbours that come in order are joined."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._start = self._end = 0
        self._count = 0
        self._buckets: dict[int, array[int]] = {}
        self._long: dict[int, int] = {}

    def add(self, start: int, end: int) -> None:
        """Add the range from `start` to just before `end`."""
        if start == self._end and end - self._start < _LONG:
            self._end = end
            return
        self._flush()
        self._start, self._end = start, end

    def add_loose(self, ranges: list[tuple[int, int]]) -> None:
        """Add ranges whose end is the least that is possible; they are never joined."""
        self._flush()
        key, bucket = -1, array("Q")
        for start, end in ranges:
            if start >> _BUCKET_BITS != key or len(bucket) >= _MAX_IN_BUCKET:
                key = start >> _BUCKET_BITS
                bucket = self._bucket(start)
            bucket.append(start << _LENGTH_BITS | end - start)
        self._count += len(ranges)

    def _flush(self) -> None:
        if self._end:
            self._store(self._start, self._end)
            self._start = self._end = 0

    def _store(self, start: int, end: int) -> None:
        length = end - start
        if length >= _LONG:
            if self._long.setdefault(start, end) != end:
                self._overlap()
            length = _LONG
        self._count += 1
        self._bucket(start).append(start << _LENGTH_BITS | length)

    def _bucket(self, start: int) -> array[int]:
        bucket = self._buckets.setdefault(start >> _BUCKET_BITS, array("Q"))
        full = self._count >= _MAX_RANGES or len(bucket) >= _MAX_IN_BUCKET
        if full or start >= _MAX_START:
            refuse(Reason.EXPANSION_LIMIT, f"{self._what}: in more pieces than can be checked")
        return bucket

    def check(self) -> None:
        """Refuse the file if any two ranges overlap."""
        self._flush()
        reached = 0
        for key in sorted(self._buckets):
            for packed in sorted(self._buckets[key]):
                start, length = packed >> _LENGTH_BITS, packed & _LONG
                if start < reached:
                    self._overlap()
                reached = start + length if length < _LONG else self._long[start]

    def _overlap(self) -> None:
        refuse(Reason.CORRUPT, f"{self._what}: two table entries point at the same bytes")
