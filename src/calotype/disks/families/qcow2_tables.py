# SPDX-License-Identifier: Apache-2.0
"""qcow2 mapping and reference count tables.

Every entry is checked against the file, the virtual size and the format's reserved bits. Without
snapshots no cluster may be used twice, so two entries for one cluster are refused whatever their
reference count says (the shared-table bomb), and each used cluster needs a count that covers it.
"""

from __future__ import annotations

import sys
from array import array

from calotype.disks.extents import USES, RangeList, UnitMap
from calotype.disks.reader import Reader, is_zero
from calotype.disks.verdict import check_ratio, refuse, require
from calotype.errors import Reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from calotype.disks.families.qcow2 import Header

_MAX_L1_BYTES = 32 << 20
_MAX_REFCOUNT_TABLE = 8 << 20
_COPIED, _COMPRESSED, _ZERO = 1 << 63, 1 << 62, 1
_OFFSET = 0x00FFFFFFFFFFFE00
_L1_RESERVED = 0x7F000000000001FF
_L2_RESERVED = 0x3F000000000001FE
_REFCOUNT_RESERVED = 0x1FF
_SATURATED = bytes([0, *([255] * 255)])


def big_endian(data: bytes, code: str = "Q") -> array[int]:
    """Return big-endian integers of a window as an array."""
    entries: array[int] = array(code, data)
    if sys.byteorder == "little":
        entries.byteswap()
    return entries


class Tables:
    """The tables of one image; `mapped` counts the guest bytes that have a place in the file."""

    def __init__(self, reader: Reader, found: Header) -> None:
        self._reader = reader
        self._found = found
        self._bits = found.cluster_bits
        self._size = found.cluster_size
        self.mapped = 0
        self._compressed = 0
        units = -(-reader.size // self._size)
        self._map = UnitMap(units, "qcow2")
        self._ranges = RangeList("qcow2")
        self._blocks: array[int] = array("Q")
        entry = 16 if found.extended_l2 else 8
        self._per_l2 = self._size // entry
        clusters = -(-found.virtual_size // self._size)
        legal = clusters * entry + (clusters + units) * (found.refcount_bits + 7) // 8
        reader.allow(2 * legal + _MAX_L1_BYTES + _MAX_REFCOUNT_TABLE)
        reader.plausible = 2 * (found.virtual_size + legal) + (256 << 20)

    def claim(self, offset: int, length: int, what: str) -> None:
        """Mark a range of metadata that starts on a cluster as used by `what` alone."""
        require(offset % self._size == 0, f"{what} is not aligned to clusters")
        self._reader.inside(offset, length, what)
        self._map.exclusive(offset >> self._bits, -(-length // self._size))

    def read_refcount_table(self) -> None:
        """Read the top table of reference counts and claim it and its blocks."""
        found = self._found
        length = found.refcount_clusters * self._size
        require(0 < length <= _MAX_REFCOUNT_TABLE, "qcow2 refcount table size")
        self.claim(found.refcount_offset, length, "qcow2 refcount table")
        for window in self._reader.windows(found.refcount_offset, length, "qcow2 refcount table"):
            self._blocks.extend(big_endian(window))
        for entry in self._blocks:
            if entry:
                require(entry & _REFCOUNT_RESERVED == 0, "qcow2 refcount table entry")
                self.claim(entry, self._size, "qcow2 refcount block")

    def walk(self) -> None:
        """Check the L1 table and every L2 table it points to."""
        found, reader = self._found, self._reader
        covered = self._per_l2 * self._size
        needed = -(-found.virtual_size // covered)
        length = found.l1_size * 8
        require(length <= _MAX_L1_BYTES, "qcow2 L1 table size")
        require(found.l1_size >= needed, "qcow2 L1 table is too small for the virtual size")
        require(found.l1_offset > 0, "qcow2 L1 table offset")
        self.claim(found.l1_offset, length, "qcow2 L1 table")
        index = 0
        for window in reader.windows(found.l1_offset, length, "qcow2 L1 table"):
            if is_zero(window):
                index += len(window) >> 3
                continue
            for entry in big_endian(window):
                if entry:
                    require(entry & _L1_RESERVED == 0, "qcow2 L1 table entry")
                    require(index < needed, "qcow2 L1 table entry past the virtual size")
                    self._l2(entry & _OFFSET, index * covered)
                index += 1
        self._ranges.check()

    def _l2(self, offset: int, guest: int) -> None:
        require(offset != 0, "qcow2 L1 table entry")
        self.claim(offset, self._size, "qcow2 L2 table")
        for window in self._reader.windows(offset, self._size, "qcow2 L2 table"):
            if is_zero(window):
                guest += len(window) * self._size // (16 if self._found.extended_l2 else 8)
            elif self._found.extended_l2:
                guest = self._extended(big_endian(window), guest)
            else:
                guest = self._standard(big_endian(window), guest)
        check_ratio(self.mapped, self._reader.size, "qcow2 compressed clusters")
        self._reader.allow_mapped(self.mapped)

    def _standard(self, entries: array[int], guest: int) -> int:
        """Check standard L2 entries from guest offset `guest`; return the offset after them."""
        size, bits, units = self._size, self._bits, self._map.units
        end, stored = self._found.virtual_size, self._reader.size
        reserved = _L2_RESERVED | (0 if self._found.version == 3 else _ZERO)
        low = size - 1
        mapped = 0
        compressed: list[int] = []
        # The inner loop of the whole inspection: plain tests, no calls for the common entry.
        for entry in entries:
            if entry == 0:
                guest += size
                continue
            if guest >= end:
                refuse(Reason.CORRUPT, "qcow2 L2 entry past the virtual size")
            if entry & _COMPRESSED:
                compressed.append(entry)
                mapped += size
                guest += size
                continue
            place = entry & _OFFSET
            if entry & reserved or place & low:
                refuse(Reason.CORRUPT, "qcow2 L2 table entry")
            if place:
                if place + size > stored:
                    self._reader.inside(place, min(size, end - guest), "qcow2 data cluster")
                unit = place >> bits
                if units[unit]:
                    self._map.overlap()
                units[unit] = 1
                if not entry & _ZERO:
                    mapped += size
            elif not entry & _ZERO or entry & _COPIED:
                refuse(Reason.CORRUPT, "qcow2 L2 table entry")
            guest += size
        self._compressed_clusters(compressed)
        self.mapped += mapped
        return guest

    def _extended(self, entries: array[int], guest: int) -> int:
        """Check extended L2 entries, each followed by the bitmaps of its 32 subclusters."""
        size, end = self._size, self._found.virtual_size
        part = size >> 5
        compressed: list[int] = []
        for position in range(0, len(entries), 2):
            entry, bitmap = entries[position], entries[position + 1]
            allocated, zero = bitmap & 0xFFFFFFFF, bitmap >> 32
            if entry or bitmap:
                require(guest < end, "qcow2 L2 entry past the virtual size")
                require(not allocated & zero, "qcow2 subcluster is both data and zero")
            place = entry & _OFFSET
            if entry & _COMPRESSED:
                require(bitmap == 0, "qcow2 compressed cluster with subclusters")
                compressed.append(entry)
                self.mapped += size
            elif place:
                bad = entry & (_L2_RESERVED | _ZERO) or place & (size - 1)
                require(not bad, "qcow2 L2 table entry")
                length = min(allocated.bit_length() * part, end - guest)
                self._reader.inside(place, max(length, 1), "qcow2 data cluster")
                self._map.exclusive(place >> self._bits)
                self.mapped += allocated.bit_count() * part
            else:
                require(entry == 0 and allocated == 0, "qcow2 L2 table entry")
            guest += size
        self._compressed_clusters(compressed)
        return guest

    def _compressed_clusters(self, entries: list[int]) -> None:
        """Check compressed clusters: anywhere in the file, length counted in sectors."""
        self._compressed += len(entries)
        unpacked = self._compressed << self._bits
        check_ratio(unpacked, self._reader.size, "qcow2 compressed clusters")
        bits, stored = self._bits, self._reader.size
        split = 62 - (bits - 8)
        place_mask, count_mask = (1 << split) - 1, (1 << (bits - 8)) - 1
        ranges = []
        for entry in entries:
            if entry & _COPIED:
                refuse(Reason.CORRUPT, "qcow2 compressed cluster entry")
            place = entry & place_mask
            high_end = (place | 511) + 1 + (((entry >> split) & count_mask) << 9)
            # The last sector is used in part: one byte of it at least.
            low_end = high_end - 511 if high_end - 511 > place else place + 1
            if low_end > stored:
                self._reader.inside(place, low_end - place, "qcow2 compressed cluster")
            ranges.append((place, low_end))
            self._map.share(place >> bits, (high_end - 1) >> bits)
        self._ranges.add_loose(ranges)

    def compare_refcounts(self) -> None:
        """Refuse a cluster that has more uses than its reference count says."""
        units = self._map.units
        covered = self._size * 8 // self._found.refcount_bits
        text = "qcow2 cluster has more uses than its reference count"
        for number, first in enumerate(range(0, len(units), covered)):
            used = units[first : first + covered]
            if not used.strip(b"\0"):
                continue
            place = self._blocks[number] if number < len(self._blocks) else 0
            require(place != 0, text)
            position = 0
            for window in self._reader.windows(place, self._size, "qcow2 refcount block"):
                counts = saturated_counts(window, self._found.refcount_bits)
                needed = used[position : position + len(counts)].translate(USES)
                require(all(map(int.__ge__, counts, needed)), text)
                position += len(counts)
                if position >= len(used):
                    break


def saturated_counts(block: bytes, bits: int) -> bytes:
    """Return the reference counts of a block, one byte each, larger ones as 255."""
    if bits == 8:
        return block
    if bits > 8:
        width = bits >> 3
        low = block[width - 1 :: width]
        for column in range(width - 1):
            high = block[column::width]
            if high.strip(b"\0"):
                low = bytes(map(max, low, high.translate(_SATURATED)))
        return low
    mask = (1 << bits) - 1
    unpacked = [
        bytes((value >> shift) & mask for shift in range(0, 8, bits)) for value in range(256)
    ]
    return b"".join([unpacked[value] for value in block])
