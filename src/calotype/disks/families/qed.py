# SPDX-License-Identifier: Apache-2.0
"""QED: header and the two levels of tables.

Refuses a backing file (by feature bit, offset or length), the mark of an image that was not
closed, unknown feature bits, and clusters that leave the file or are used twice.
"""

from __future__ import annotations

import struct
from array import array

from calotype.disks.extents import UnitMap
from calotype.disks.families.vmdk import little_endian
from calotype.disks.reader import Reader, is_zero
from calotype.disks.verdict import Finding, Format, refuse, require
from calotype.errors import Reason

_BACKING, _NEED_CHECK, _BACKING_RAW = 1, 2, 4
_MIN_CLUSTER, _MAX_CLUSTER = 4 << 10, 64 << 20
_MAX_TABLE_CLUSTERS = 16
_ZERO_CLUSTER = 1


class Header:
    """The checked header. Sizes in bytes."""

    def __init__(self, data: bytes) -> None:
        self.cluster, self.table_clusters, self.header_clusters = struct.unpack_from(
            "<III", data, 4
        )
        self.features, self.compatible, self.auto, self.l1_offset, self.virtual_size = (
            struct.unpack_from("<5Q", data, 16)
        )
        self.backing_offset, self.backing_size = struct.unpack_from("<II", data, 56)


def header(reader: Reader) -> Header:
    """Read and check the header."""
    found = Header(reader.read(0, 64, "qed header"))
    backing = found.features & (_BACKING | _BACKING_RAW)
    if backing or found.backing_offset or found.backing_size:
        refuse(Reason.BACKING_FILE, "qed backing file")
    unknown = found.features & ~_NEED_CHECK or found.compatible or found.auto
    require(not unknown, "qed has an unknown feature bit", Reason.FORMAT_UNSUPPORTED)
    require(not found.features & _NEED_CHECK, "qed is marked for a check: it was not closed")
    size, clusters = found.cluster, found.table_clusters
    in_range = _MIN_CLUSTER <= size <= _MAX_CLUSTER and size & (size - 1) == 0
    require(in_range, "qed cluster size")
    in_range = 1 <= clusters <= _MAX_TABLE_CLUSTERS and clusters & (clusters - 1) == 0
    require(in_range, "qed table size")
    require(found.header_clusters == 1, "qed header size")
    return found


def check(reader: Reader, found: Header) -> Finding:
    """Check the L1 table, every L2 table and the place of every cluster."""
    require(found.virtual_size % 512 == 0, "qed image size is not in sectors")
    walk = _Walk(reader, found)
    walk.top()
    return Finding(Format.QED, found.virtual_size, walk.mapped)


class _Walk:
    """Tables of one image and the clusters they use."""

    def __init__(self, reader: Reader, found: Header) -> None:
        self._reader = reader
        self._found = found
        self._size = found.cluster
        self._table = found.table_clusters * found.cluster
        self._per_table = self._table // 8
        self._map = UnitMap(-(-reader.size // self._size), "qed")
        self.mapped = 0
        clusters = -(-found.virtual_size // self._size)
        tables = -(-clusters // self._per_table)
        require(tables <= self._per_table, "qed image size is larger than its tables can map")
        reader.allow((tables + 1) * self._table)
        reader.plausible = 2 * (found.virtual_size + (tables + 1) * self._table) + (256 << 20)
        self._claim(0, self._size, "qed header")

    def _claim(self, offset: int, length: int, what: str) -> None:
        require(offset % self._size == 0, f"{what} is not aligned to clusters")
        self._reader.inside(offset, length, what)
        self._map.exclusive(offset // self._size, -(-length // self._size))

    def top(self) -> None:
        """Walk the L1 table."""
        offset = self._found.l1_offset
        self._claim(offset, self._table, "qed L1 table")
        guest, covered = 0, self._per_table * self._size
        for window in self._reader.windows(offset, self._table, "qed L1 table"):
            if is_zero(window):
                guest += covered * (len(window) // 8)
                continue
            for entry in little_endian(window, "Q"):
                if entry:
                    past = guest >= self._found.virtual_size
                    require(not past, "qed L1 entry past the image size")
                    self._claim(entry, self._table, "qed L2 table")
                    self._second(entry, guest)
                guest += covered

    def _second(self, offset: int, guest: int) -> None:
        for window in self._reader.windows(offset, self._table, "qed L2 table"):
            if not is_zero(window):
                self._entries(little_endian(window, "Q"), guest)
            guest += self._size * (len(window) // 8)
        self._reader.allow_mapped(self.mapped)

    def _entries(self, entries: array[int], guest: int) -> None:
        size, end = self._size, self._found.virtual_size
        for entry in entries:
            if entry:
                require(guest < end, "qed L2 entry past the image size")
                if entry != _ZERO_CLUSTER:
                    require(entry % size == 0, "qed L2 table entry")
                    self._reader.inside(entry, min(size, end - guest), "qed data cluster")
                    self._map.exclusive(entry // size)
                    self.mapped += size
            guest += size
