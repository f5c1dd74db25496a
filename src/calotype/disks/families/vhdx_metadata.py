# SPDX-License-Identifier: Apache-2.0
"""VHDX metadata region: block size, disk size, sector sizes; and the checksum VHDX uses.

Exactly the five items of a disk without a parent are accepted, each once, none overlapping.
"""

from __future__ import annotations

import struct

from calotype.disks.extents import RangeList
from calotype.disks.reader import Reader, is_zero
from calotype.disks.verdict import refuse, require
from calotype.errors import Reason

ALIGN = 1 << 20
_TABLE_BYTES = 64 << 10
_MAX_ITEMS = 2047
_FILE_PARAMETERS = bytes.fromhex("3767a1ca36fa434db3b633f0aa44e76b")
_DISK_SIZE = bytes.fromhex("2442a52f1bcd7648b2115dbed83bf4b8")
_DISK_ID = bytes.fromhex("ab12cabee6b2234593efc309e000c746")
_LOGICAL_SECTOR = bytes.fromhex("1dbf41816fa90947ba47f233a8faab5f")
_PHYSICAL_SECTOR = bytes.fromhex("c748a3cd5d4471449cc9e9885251c556")
_PARENT_LOCATOR = bytes.fromhex("2d5fd3a80bb34d45abf7d3d84834ab0c")
_LENGTHS = {
    _FILE_PARAMETERS: 8,
    _DISK_SIZE: 8,
    _DISK_ID: 16,
    _LOGICAL_SECTOR: 4,
    _PHYSICAL_SECTOR: 4,
}
_KNOWN_FLAGS = 7


class Metadata:
    """What the metadata says, in bytes."""

    def __init__(self, block: int, virtual_size: int, sector: int) -> None:
        self.block = block
        self.virtual_size = virtual_size
        self.sector = sector


def metadata(reader: Reader, region: tuple[int, int]) -> Metadata:
    """Read and check the metadata region."""
    offset, length = region
    table = reader.read(offset, _TABLE_BYTES, "vhdx metadata table")
    require(table[:8] == b"metadata", "vhdx metadata signature")
    (count,) = struct.unpack_from("<H", table, 10)
    require(0 < count <= _MAX_ITEMS, "vhdx number of metadata items")
    items: dict[bytes, bytes] = {}
    used = RangeList("vhdx metadata")
    for number in range(count):
        name, place, size, flags, _ = struct.unpack_from("<16sIIII", table, 32 + 32 * number)
        if name == _PARENT_LOCATOR:
            refuse(Reason.BACKING_FILE, "vhdx has a parent locator")
        known = name in _LENGTHS and not flags & ~_KNOWN_FLAGS
        require(known, "vhdx has an unknown metadata item", Reason.FORMAT_UNSUPPORTED)
        require(name not in items, "vhdx has a metadata item twice")
        require(size == _LENGTHS[name], "vhdx metadata item length")
        require(place >= _TABLE_BYTES and place + size <= length, "vhdx metadata item place")
        used.add(place, place + size)
        items[name] = reader.read(offset + place, size, "vhdx metadata item")
    used.check()
    require(items.keys() == _LENGTHS.keys(), "vhdx lacks a metadata item")
    return _values(items)


def _values(items: dict[bytes, bytes]) -> Metadata:
    block, flags = struct.unpack("<II", items[_FILE_PARAMETERS])
    require(not flags & 2, "vhdx has a parent", Reason.BACKING_FILE)
    require(not flags & ~1, "vhdx file parameters", Reason.FORMAT_UNSUPPORTED)
    power = block & (block - 1) == 0
    require(ALIGN <= block <= 256 * ALIGN and power, "vhdx block size")
    (virtual_size,) = struct.unpack("<Q", items[_DISK_SIZE])
    (sector,) = struct.unpack("<I", items[_LOGICAL_SECTOR])
    (physical,) = struct.unpack("<I", items[_PHYSICAL_SECTOR])
    require(sector in (512, 4096) and physical in (512, 4096), "vhdx sector size")
    require(not is_zero(items[_DISK_ID]), "vhdx disk id is empty")
    return Metadata(block, int(virtual_size), sector)


def crc32c(data: bytes) -> int:
    """Return the Castagnoli checksum; a tenth of a millisecond a kilobyte is quick enough here."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ 0x82F63B78 if value & 1 else value >> 1  # noqa: PLW2901 shift register
        table.append(value)
    state = 0xFFFFFFFF
    for byte in data:
        state = table[(state ^ byte) & 255] ^ (state >> 8)
    return state ^ 0xFFFFFFFF
