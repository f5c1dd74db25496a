# SPDX-License-Identifier: Apache-2.0
"""VHDX: headers, region tables, metadata and block allocation table, all with their checksums.

Refuses disks with a parent, a log that is not empty (nothing is ever replayed into an image),
unknown regions and items, and block entries that leave the file or overlap. Several released tools
read outside the allocation table when the block count overflows: such sizes do not pass here
(security contract, C1, C2 and C7).
"""

from __future__ import annotations

import struct

from calotype.disks.extents import RangeList
from calotype.disks.families.vhdx_metadata import ALIGN, Metadata, crc32c, metadata
from calotype.disks.families.vmdk import little_endian
from calotype.disks.reader import Reader, is_zero
from calotype.disks.verdict import Finding, Format, refuse, require
from calotype.errors import Reason

_HEADERS = (64 << 10, 128 << 10)
_TABLES = (192 << 10, 256 << 10)
_HEADER_BYTES, _TABLE_BYTES = 4096, 64 << 10
_MAX_REGIONS = 2047
_BAT = bytes.fromhex("6677c22d23f600429d64115e9bfd4a08")
_METADATA = bytes.fromhex("06a27c8b90479a4bb8fe575f050f886e")
_NOT_PRESENT, _UNDEFINED, _ZERO, _UNMAPPED, _PRESENT, _PARTIAL = 0, 1, 2, 3, 6, 7
_ENTRY_RESERVED = 0xFFFF8


class Header:
    """Where the regions lie and what the metadata says. Sizes and offsets in bytes."""

    def __init__(self, regions: list[tuple[int, int]], bat: tuple[int, int], facts: Metadata):
        self.regions = regions
        self.bat = bat
        self.facts = facts
        self.virtual_size = facts.virtual_size


def header(reader: Reader) -> Header:
    """Read and check the headers, region tables and metadata."""
    log = _headers(reader)
    table = reader.read(_TABLES[0], _TABLE_BYTES, "vhdx region table")
    copy = reader.read(_TABLES[1], _TABLE_BYTES, "vhdx region table copy")
    require(table[:4] == b"regi", "vhdx region table signature")
    require(table == copy, "vhdx region tables differ")
    (checksum,) = struct.unpack_from("<I", table, 4)
    require(crc32c(table[:4] + bytes(4) + table[8:]) == checksum, "vhdx region table checksum")
    regions = _regions(reader, table)
    for name in (_BAT, _METADATA):
        require(name in regions, "vhdx has no region of a needed kind")
    facts = metadata(reader, regions[_METADATA])
    return Header([log, *regions.values()], regions[_BAT], facts)


def _headers(reader: Reader) -> tuple[int, int]:
    """Check both headers and that the active one has an empty log; return the log's place."""
    seen = []
    for offset in _HEADERS:
        data = reader.read(offset, _HEADER_BYTES, "vhdx header")
        require(data[:4] == b"head", "vhdx header signature")
        (checksum,) = struct.unpack_from("<I", data, 4)
        require(crc32c(data[:4] + bytes(4) + data[8:]) == checksum, "vhdx header checksum")
        seen.append((struct.unpack_from("<Q", data, 8)[0], data))
    first, second = seen
    require(first[0] != second[0] or first[1] == second[1], "vhdx headers have the same number")
    active = max(seen, key=lambda item: item[0])[1]
    log_version, version, log_length, log_offset = struct.unpack_from("<HHIQ", active, 64)
    require(version == 1, "vhdx version", Reason.FORMAT_UNSUPPORTED)
    require(log_version == 0, "vhdx log version", Reason.FORMAT_UNSUPPORTED)
    require(is_zero(active[48:64]), "vhdx log is not empty: the disk was not closed")
    aligned = log_length % ALIGN == 0 and log_offset % ALIGN == 0 and log_offset > 0
    require(aligned and log_length > 0, "vhdx log place")
    reader.inside(log_offset, log_length, "vhdx log")
    return log_offset, log_length


def _regions(reader: Reader, table: bytes) -> dict[bytes, tuple[int, int]]:
    (count,) = struct.unpack_from("<I", table, 8)
    require(0 < count <= _MAX_REGIONS, "vhdx number of regions")
    found: dict[bytes, tuple[int, int]] = {}
    for number in range(count):
        name, offset, length, required = struct.unpack_from("<16sQII", table, 16 + 32 * number)
        known = name in (_BAT, _METADATA)
        require(known, "vhdx has an unknown region", Reason.FORMAT_UNSUPPORTED)
        require(name not in found and required <= 1, "vhdx region table entry")
        aligned = offset % ALIGN == 0 and length % ALIGN == 0 and offset > 0 and length > 0
        require(aligned, "vhdx region place")
        reader.inside(offset, length, "vhdx region")
        found[name] = (offset, length)
    return found


def check(reader: Reader, found: Header) -> Finding:
    """Check that regions do not overlap and every entry of the block allocation table."""
    facts = found.facts
    require(facts.virtual_size % facts.sector == 0, "vhdx disk size is not in sectors")
    used = RangeList("vhdx")
    used.add(0, ALIGN)
    for offset, length in found.regions:
        used.add(offset, offset + length)
    blocks = -(-facts.virtual_size // facts.block)
    require(blocks < 1 << 32, "vhdx number of blocks")
    ratio = (1 << 23) * facts.sector // facts.block
    total = blocks + (blocks - 1) // ratio
    offset, length = found.bat
    require(total * 8 <= length, "vhdx allocation table is too small for the size")
    reader.allow(total * 8)
    reader.plausible = 2 * facts.virtual_size + (256 << 20)
    walk = _Walk(reader, used, facts, ratio)
    for window in reader.windows(offset, total * 8, "vhdx allocation table"):
        walk.entries(window)
    used.check()
    return Finding(Format.VHDX, facts.virtual_size, walk.mapped)


class _Walk:
    """The allocation table: `ratio` payload blocks, then one entry for a sector bitmap."""

    def __init__(self, reader: Reader, used: RangeList, facts: Metadata, ratio: int) -> None:
        self._reader = reader
        self._used = used
        self._block = facts.block
        self._period = ratio + 1
        self._ratio = ratio
        self._index = 0
        self.mapped = 0

    def entries(self, window: bytes) -> None:
        """Check the entries of one window."""
        first = self._index
        self._index += len(window) >> 3
        if is_zero(window):
            return
        for index, entry in enumerate(little_endian(window, "Q"), first):
            if entry == 0:
                continue
            require(not entry & _ENTRY_RESERVED, "vhdx block entry reserved bits")
            state, start = entry & 7, (entry >> 20) << 20
            if index % self._period == self._ratio:
                refuse(Reason.BACKING_FILE, "vhdx has sector bitmaps, which only a child needs")
            if state == _PARTIAL:
                refuse(Reason.BACKING_FILE, "vhdx block is partly in a parent")
            states = (_NOT_PRESENT, _UNDEFINED, _ZERO, _UNMAPPED, _PRESENT)
            require(state in states, "vhdx block state")
            if state == _PRESENT or start:
                self._reader.inside(start, self._block, "vhdx block")
                self._used.add(start, start + self._block)
            if state == _PRESENT:
                self.mapped += self._block
