# SPDX-License-Identifier: Apache-2.0
"""ISO 9660: the volume descriptors. The disk is the file itself; a partition table in the system
area is content and accepted.

A cut-off ISO is recognised by the volume's recorded size. Trailing bytes beyond it are accepted,
because writers pad and append boot partitions.
"""

from __future__ import annotations

import struct

from calotype.disks.reader import Reader
from calotype.disks.verdict import Finding, Format, require
from calotype.errors import Reason

SECTOR = 2048
_FIRST = 16
_MAX_DESCRIPTORS = 64
_PRIMARY, _END = 1, 255
_KINDS = (0, 1, 2, 3, 255)


class Header:
    """The primary volume. `volume_size` is the recorded size in bytes."""

    def __init__(self, virtual_size: int, volume_size: int, data: bytes) -> None:
        self.virtual_size = virtual_size
        self.volume_size = volume_size
        self.data = data


def header(reader: Reader) -> Header:
    """Read and check the primary volume descriptor, which is the first one."""
    data = reader.read(_FIRST * SECTOR, SECTOR, "iso volume descriptor")
    require(data[0] == _PRIMARY, "iso primary volume descriptor is not the first")
    require(data[6] == 1 and data[881] == 1, "iso version", Reason.FORMAT_UNSUPPORTED)
    block = _both(data, 128, 2, "iso logical block size")
    require(block == SECTOR, "iso logical block size", Reason.FORMAT_UNSUPPORTED)
    sectors = _both(data, 80, 4, "iso volume size")
    require(sectors > _FIRST, "iso volume size")
    return Header(reader.size, sectors * SECTOR, data)


def _both(data: bytes, offset: int, width: int, what: str) -> int:
    """Return a number that is recorded in both byte orders, which must agree."""
    code = {2: "H", 4: "I"}[width]
    (little,) = struct.unpack_from("<" + code, data, offset)
    (big,) = struct.unpack_from(">" + code, data, offset + width)
    require(little == big, f"{what} differs between its byte orders")
    return int(little)


def check(reader: Reader, found: Header) -> Finding:
    """Check the list of descriptors, the path table and the root directory."""
    reader.plausible = 2 * found.volume_size
    reader.inside(0, found.volume_size, "iso volume")
    for number in range(_FIRST + 1, _FIRST + _MAX_DESCRIPTORS):
        data = reader.read(number * SECTOR, 7, "iso volume descriptor")
        require(data[1:6] == b"CD001", "iso volume descriptor signature")
        require(data[0] in _KINDS, "iso volume descriptor kind", Reason.FORMAT_UNSUPPORTED)
        if data[0] == _END:
            break
    else:
        require(False, "iso volume descriptors have no end")
    data = found.data
    root = data[156:190]
    require(root[0] == 34 and root[25] & 2 == 2, "iso root directory record")
    extent = _both(root, 2, 4, "iso root directory place")
    length = _both(root, 10, 4, "iso root directory size")
    require(extent > _FIRST, "iso root directory place")
    reader.inside(extent * SECTOR, length, "iso root directory")
    table = _both(data, 132, 4, "iso path table size")
    (place,) = struct.unpack_from("<I", data, 140)
    require(place > _FIRST, "iso path table place")
    reader.inside(place * SECTOR, table, "iso path table")
    return Finding(Format.ISO, reader.size, reader.size)
