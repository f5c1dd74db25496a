# SPDX-License-Identifier: Apache-2.0
"""qcow version 1: header, two levels of tables, plain and compressed clusters.

Refuses backing files, encryption, and clusters that leave the file or overlap. The format has no
reference counts, so overlap is decided by the byte ranges themselves.
"""

from __future__ import annotations

import struct
from array import array

from calotype.disks.extents import RangeList
from calotype.disks.families.qcow2_tables import big_endian
from calotype.disks.reader import Reader, is_zero
from calotype.disks.verdict import Finding, Format, check_ratio, require
from calotype.errors import Reason

HEADER_BYTES = 48
_COMPRESSED = 1 << 63
_MAX_L1_BYTES = 32 << 20


class Header:
    """The checked header. Sizes in bytes."""

    def __init__(self, data: bytes) -> None:
        self.backing_offset, self.backing_size, _, self.virtual_size = struct.unpack_from(
            ">QIIQ", data, 8
        )
        self.cluster_bits, self.l2_bits, self.padding, self.encryption, self.l1_offset = (
            struct.unpack_from(">BBHIQ", data, 32)
        )


def header(reader: Reader) -> Header:
    """Read and check the header."""
    found = Header(reader.read(0, HEADER_BYTES, "qcow header"))
    backing = found.backing_offset or found.backing_size
    require(not backing, "qcow backing file", Reason.BACKING_FILE)
    require(found.encryption == 0, "qcow encryption method", Reason.ENCRYPTED)
    require(9 <= found.cluster_bits <= 16, "qcow cluster size")
    require(6 <= found.l2_bits <= 13, "qcow L2 table size")
    require(found.padding == 0, "qcow header padding")
    return found


def check(reader: Reader, found: Header) -> Finding:
    """Check the L1 table, every L2 table and the place of every cluster."""
    require(found.virtual_size % 512 == 0, "qcow size is not in sectors")
    walk = _Walk(reader, found)
    walk.top()
    return Finding(Format.QCOW, found.virtual_size, walk.mapped)


class _Walk:
    """Tables of one image and the byte ranges they use."""

    def __init__(self, reader: Reader, found: Header) -> None:
        self._reader = reader
        self._found = found
        self._size = 1 << found.cluster_bits
        self._table = 8 << found.l2_bits
        self._used = RangeList("qcow")
        self._compressed = 0
        self.mapped = 0
        covered = self._size << found.l2_bits
        self._covered = covered
        self._tables = -(-found.virtual_size // covered)
        require(self._tables * 8 <= _MAX_L1_BYTES, "qcow L1 table size")
        legal = self._tables * (8 + self._table)
        reader.allow(legal)
        reader.plausible = 2 * (found.virtual_size + legal) + (256 << 20)

    def _claim(self, offset: int, length: int, what: str) -> None:
        self._reader.inside(offset, length, what)
        self._used.add(offset, offset + length)

    def top(self) -> None:
        """Walk the L1 table."""
        offset, length = self._found.l1_offset, self._tables * 8
        require(offset % 8 == 0 and offset >= HEADER_BYTES, "qcow L1 table offset")
        self._used.add(0, HEADER_BYTES)
        self._claim(offset, length, "qcow L1 table")
        guest = 0
        for window in self._reader.windows(offset, length, "qcow L1 table"):
            if is_zero(window):
                guest += self._covered * (len(window) // 8)
                continue
            for entry in big_endian(window):
                if entry:
                    require(entry % self._size == 0, "qcow L1 table entry")
                    self._claim(entry, self._table, "qcow L2 table")
                    self._second(entry, guest)
                guest += self._covered
        self._used.check()

    def _second(self, offset: int, guest: int) -> None:
        for window in self._reader.windows(offset, self._table, "qcow L2 table"):
            if not is_zero(window):
                self._entries(big_endian(window), guest)
            guest += self._size * (len(window) // 8)
        check_ratio(self.mapped, self._reader.size, "qcow compressed clusters")
        self._reader.allow_mapped(self.mapped)

    def _entries(self, entries: array[int], guest: int) -> None:
        size, end = self._size, self._found.virtual_size
        shift = 63 - self._found.cluster_bits
        for entry in entries:
            if entry:
                require(guest < end, "qcow L2 entry past the size")
                self.mapped += size
                if entry & _COMPRESSED:
                    start = entry & ((1 << shift) - 1)
                    length = (entry & (_COMPRESSED - 1)) >> shift
                    require(length > 0, "qcow compressed cluster length")
                    self._reader.inside(start, length, "qcow compressed cluster")
                    self._used.add(start, start + length)
                else:
                    require(entry % size == 0, "qcow L2 table entry")
                    self._reader.inside(entry, min(size, end - guest), "qcow data cluster")
                    self._used.add(entry, entry + size)
            guest += size
