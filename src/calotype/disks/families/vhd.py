# SPDX-License-Identifier: Apache-2.0
"""VHD (Virtual PC): fixed and dynamic disks; differencing disks are refused.

The size is the footer's current size. Geometry, which some tools use instead, may say less but
never more. Checksums, the two footers, the allocation table and the place of every block are
checked (security contract, C1 and C4).
"""

from __future__ import annotations

import struct
from array import array

from calotype.disks.extents import RangeList
from calotype.disks.families.qcow2_tables import big_endian
from calotype.disks.reader import Reader, is_zero
from calotype.disks.verdict import Finding, Format, refuse, require
from calotype.errors import Reason

SECTOR = 512
_COOKIE, _DYNAMIC_COOKIE = b"conectix", b"cxsparse"
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_NONE = (1 << 64) - 1
_VERSION = 0x00010000
_UNUSED = 0xFFFFFFFF
_DYNAMIC_BYTES = 1024
_MAX_BLOCK = 256 << 20
_MAX_SPARE_ENTRIES = 1 << 20
# What tools write when the disk is larger than a geometry can say, or not to be cut to one.
_WHOLE_GEOMETRY = (65535, 16, 255)


class Header:
    """The checked footer and, for a dynamic disk, its header. Sizes in bytes."""

    def __init__(self, kind: int, virtual_size: int) -> None:
        self.kind = kind
        self.virtual_size = virtual_size
        self.dynamic_offset = 0
        self.table_offset = 0
        self.entries = 0
        self.block = 0


def header(reader: Reader) -> Header:
    """Read and check the footer at the end and what hangs on it."""
    require(reader.size >= SECTOR, "vhd footer", Reason.TRUNCATED)
    start = reader.size - SECTOR
    data = reader.read(start, SECTOR, "vhd footer")
    first = reader.peek(0, SECTOR)
    if not data.startswith(_COOKIE):
        # The copy at the start promises a footer at the end.
        text = "vhd footer is missing at the end"
        refuse(Reason.TRUNCATED if first.startswith(_COOKIE) else Reason.CORRUPT, text)
    found = _footer(data)
    if found.kind == _FIXED:
        require(not first.startswith(_COOKIE), "vhd fixed disk has a footer at its start")
        require(reader.size > SECTOR, "vhd has no data", Reason.EMPTY)
        if start < found.virtual_size:
            refuse(Reason.TRUNCATED, "vhd fixed disk is shorter than its size")
        require(start == found.virtual_size, "vhd fixed disk is longer than its size")
        return found
    require(first == data, "vhd footer and its copy at the start differ")
    _dynamic(reader, found)
    return found


def _footer(data: bytes) -> Header:
    features, version, offset = struct.unpack_from(">IIQ", data, 8)
    _, size, cylinders, heads, sectors, kind, checksum = struct.unpack_from(">QQHBBII", data, 40)
    require(_checksum(data, 64) == checksum, "vhd footer checksum")
    require(version == _VERSION, "vhd version", Reason.FORMAT_UNSUPPORTED)
    require(features & ~3 == 0, "vhd features", Reason.FORMAT_UNSUPPORTED)
    require(kind != _DIFFERENCING, "vhd is a differencing disk", Reason.BACKING_FILE)
    require(kind in (_FIXED, _DYNAMIC), "vhd disk type", Reason.FORMAT_UNSUPPORTED)
    require(data[84] == 0, "vhd belongs to a saved machine state")
    require(is_zero(data[85:]), "vhd footer reserved bytes")
    if (cylinders, heads, sectors) != _WHOLE_GEOMETRY:
        require(
            cylinders * heads * sectors * SECTOR <= size, "vhd geometry is larger than the size"
        )
    if kind == _FIXED:
        require(offset == _NONE, "vhd data offset of a fixed disk")
    found = Header(kind, size)
    found.dynamic_offset = offset
    return found


def _dynamic(reader: Reader, found: Header) -> None:
    offset = found.dynamic_offset
    require(offset >= SECTOR and offset % SECTOR == 0, "vhd dynamic header offset")
    data = reader.read(offset, _DYNAMIC_BYTES, "vhd dynamic header")
    require(data.startswith(_DYNAMIC_COOKIE), "vhd dynamic header signature")
    next_offset, table, version, entries, block, checksum = struct.unpack_from(">QQIIII", data, 8)
    require(_checksum(data, 36) == checksum, "vhd dynamic header checksum")
    require(version == _VERSION, "vhd dynamic header version", Reason.FORMAT_UNSUPPORTED)
    require(next_offset == _NONE, "vhd dynamic header data offset")
    # Parent's id, time, name and locators: a disk without a parent has none of them.
    require(is_zero(data[40:]), "vhd dynamic header names a parent", Reason.BACKING_FILE)
    require(SECTOR <= block <= _MAX_BLOCK and block & (block - 1) == 0, "vhd block size")
    require(table % SECTOR == 0, "vhd allocation table offset")
    found.table_offset, found.entries, found.block = table, entries, block


def _checksum(data: bytes, place: int) -> int:
    """Return the one's complement of the sum of all bytes but those of the checksum itself."""
    total = sum(data) - sum(data[place : place + 4])
    return ~total & 0xFFFFFFFF


def check(reader: Reader, found: Header) -> Finding:
    """Check the allocation table and the place of every block."""
    size = found.virtual_size
    require(size % SECTOR == 0, "vhd size is not in sectors")
    if found.kind == _FIXED:
        return Finding(Format.VHD, size, size)
    block = found.block
    needed = -(-size // block)
    require(found.entries >= needed, "vhd allocation table is too small for the size")
    require(found.entries <= needed + _MAX_SPARE_ENTRIES, "vhd allocation table size")
    length = found.entries * 4
    reader.plausible = 2 * size + length + (256 << 20)
    reader.inside(found.table_offset, length, "vhd allocation table")
    reader.allow(2 * length)
    used = RangeList("vhd")
    used.add(0, SECTOR)
    used.add(reader.size - SECTOR, reader.size)
    dynamic = found.dynamic_offset
    used.add(dynamic, dynamic + _DYNAMIC_BYTES)
    used.add(found.table_offset, -(-(found.table_offset + length) // SECTOR) * SECTOR)
    bitmap = -(-block // SECTOR // 8 // SECTOR) * SECTOR
    mapped = index = 0
    for window in reader.windows(found.table_offset, length, "vhd allocation table"):
        mapped += _blocks(reader, big_endian(window, "I"), (index, needed), used, bitmap + block)
        index += len(window) >> 2
    used.check()
    return Finding(Format.VHD, size, mapped * block)


def _blocks(
    reader: Reader, entries: array[int], place: tuple[int, int], used: RangeList, length: int
) -> int:
    """Check the blocks of one window of the table; return how many there are."""
    index, needed = place
    count = 0
    for number, entry in enumerate(entries, index):
        if entry == _UNUSED:
            continue
        require(number < needed, "vhd block past the size")
        start = entry * SECTOR
        reader.inside(start, length, "vhd block")
        used.add(start, start + length)
        count += 1
    return count
