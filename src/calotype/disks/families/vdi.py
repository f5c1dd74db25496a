# SPDX-License-Identifier: Apache-2.0
"""VDI (VirtualBox): dynamic and static disks; undo and differencing disks are refused.

The block map is an array of block numbers: each must lie within the allocated blocks, be used
once, and there must be as many as the header says (security contract, C1).
"""

from __future__ import annotations

import struct
from array import array

from calotype.disks.extents import UnitMap
from calotype.disks.families.vmdk import little_endian
from calotype.disks.reader import Reader, is_zero
from calotype.disks.verdict import Finding, Format, refuse, require
from calotype.errors import Reason

SECTOR = 512
_VERSION = 0x00010001
_DYNAMIC, _STATIC, _UNDO, _DIFFERENCING = 1, 2, 3, 4
_BLOCK = 1 << 20
_UNALLOCATED, _DISCARDED = 0xFFFFFFFF, 0xFFFFFFFE
_HEADER_SIZES = (384, 400)


class Header:
    """The checked header. Offsets and sizes in bytes."""

    def __init__(self, data: bytes) -> None:
        self.version, self.header_size, self.kind, self.flags = struct.unpack_from("<4I", data, 68)
        self.map_offset, self.data_offset = struct.unpack_from("<II", data, 340)
        (self.sector,) = struct.unpack_from("<I", data, 360)
        self.virtual_size, self.block, self.extra, self.blocks, self.allocated = struct.unpack_from(
            "<QIIII", data, 368
        )
        self.parents = data[424:456]


def header(reader: Reader) -> Header:
    """Read and check the header."""
    found = Header(reader.read(0, SECTOR, "vdi header"))
    require(found.version == _VERSION, "vdi version", Reason.FORMAT_UNSUPPORTED)
    require(found.header_size in _HEADER_SIZES, "vdi header size")
    if found.kind in (_UNDO, _DIFFERENCING) or not is_zero(found.parents):
        refuse(Reason.BACKING_FILE, "vdi depends on a parent")
    require(found.kind in (_DYNAMIC, _STATIC), "vdi image type", Reason.FORMAT_UNSUPPORTED)
    require(found.sector == SECTOR, "vdi sector size", Reason.FORMAT_UNSUPPORTED)
    require(found.block == _BLOCK, "vdi block size", Reason.FORMAT_UNSUPPORTED)
    require(found.extra == 0, "vdi extra bytes in blocks", Reason.FORMAT_UNSUPPORTED)
    return found


def check(reader: Reader, found: Header) -> Finding:
    """Check the block map and that the file holds all allocated blocks."""
    size = found.virtual_size
    require(size % SECTOR == 0, "vdi disk size is not in sectors")
    needed = -(-size // _BLOCK)
    require(found.blocks == needed, "vdi number of blocks does not fit the disk size")
    require(found.allocated <= found.blocks, "vdi number of allocated blocks")
    length = found.blocks * 4
    aligned = found.map_offset % SECTOR == 0 and found.data_offset % SECTOR == 0
    require(aligned and found.map_offset >= SECTOR, "vdi block map offset")
    require(found.map_offset + length <= found.data_offset, "vdi data offset")
    reader.allow(length)
    reader.plausible = 2 * size + length + (256 << 20)
    reader.inside(found.map_offset, length, "vdi block map")
    _holds(reader, found)
    used = UnitMap(found.allocated, "vdi")
    count = 0
    for window in reader.windows(found.map_offset, length, "vdi block map"):
        count += _entries(used, little_endian(window))
    require(count == found.allocated, "vdi number of allocated blocks does not fit the map")
    require(found.kind != _STATIC or count == needed, "vdi static disk has holes")
    return Finding(Format.VDI, size, count * _BLOCK)


def _holds(reader: Reader, found: Header) -> None:
    """Check that the file reaches the end of the last block, which the disk may cut short."""
    if found.allocated:
        rest = found.virtual_size % _BLOCK or _BLOCK
        length = (found.allocated - 1) * _BLOCK + rest
        reader.inside(found.data_offset, length, "vdi data blocks")


def _entries(used: UnitMap, entries: array[int]) -> int:
    """Mark the blocks of one window of the map; return how many there are."""
    count, known = 0, len(used.units)
    for entry in entries:
        if entry in (_UNALLOCATED, _DISCARDED):
            continue
        require(entry < known, "vdi block map entry")
        used.exclusive(entry)
        count += 1
    return count
