# SPDX-License-Identifier: Apache-2.0
"""qcow2 persistent dirty bitmaps: a directory, a table per bitmap, and the bitmaps' clusters.

They record which parts of a disk changed and hold no guest data, so they are accepted, but a tool
reads them when it opens the image: each offset and length is checked, and their clusters count as
used like any other.
"""

from __future__ import annotations

import struct
from array import array

from calotype.disks.families.qcow2_tables import Tables, big_endian
from calotype.disks.reader import Reader
from calotype.disks.verdict import require
from calotype.errors import Reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from calotype.disks.families.qcow2 import Header

_MAX_BITMAPS = 65535
_MAX_DIRECTORY = 1 << 20
_MAX_TABLE_ENTRIES = 1 << 20
_TABLE_RESERVED = 0xFF000000000001FE
_OFFSET = 0x00FFFFFFFFFFFE00


def check(reader: Reader, tables: Tables, found: Header) -> None:
    """Check the bitmap directory and all it points to, and claim the clusters."""
    assert found.bitmaps is not None
    count, reserved, size, offset = struct.unpack(">IIQQ", found.bitmaps)
    require(reserved == 0, "qcow2 bitmaps extension reserved field")
    require(0 < count <= _MAX_BITMAPS, "qcow2 number of bitmaps")
    require(0 < size <= _MAX_DIRECTORY, "qcow2 bitmap directory size")
    require(offset % found.cluster_size == 0, "qcow2 bitmap directory offset")
    tables.claim(offset, size, "qcow2 bitmap directory")
    directory = reader.read(offset, size, "qcow2 bitmap directory")
    position = 0
    for _ in range(count):
        position = _entry(reader, tables, found, (directory, position))
    require(position == size, "qcow2 bitmap directory size")


def _entry(reader: Reader, tables: Tables, found: Header, place: tuple[bytes, int]) -> int:
    """Check one directory entry; return where the next one begins."""
    directory, position = place
    require(len(directory) - position >= 24, "qcow2 bitmap directory size")
    offset, entries, flags, kind, granularity, name, extra = struct.unpack_from(
        ">QIIBBHI", directory, position
    )
    require(flags & ~7 == 0 and kind == 1, "qcow2 bitmap kind", Reason.FORMAT_UNSUPPORTED)
    require(extra == 0, "qcow2 bitmap extra data", Reason.FORMAT_UNSUPPORTED)
    require(9 <= granularity <= 31, "qcow2 bitmap granularity")
    require(0 < name <= 1023, "qcow2 bitmap name length")
    bits = -(-found.virtual_size // (1 << granularity))
    needed = -(-bits // (8 * found.cluster_size))
    require(entries <= _MAX_TABLE_ENTRIES and entries == needed, "qcow2 bitmap table size")
    require(offset % found.cluster_size == 0 and offset > 0, "qcow2 bitmap table offset")
    tables.claim(offset, entries * 8, "qcow2 bitmap table")
    reader.allow(entries * 8)
    for window in reader.windows(offset, entries * 8, "qcow2 bitmap table"):
        _table(tables, found, big_endian(window))
    return position + ((24 + int(name) + 7) & ~7)


def _table(tables: Tables, found: Header, entries: array[int]) -> None:
    for entry in entries:
        require(entry & _TABLE_RESERVED == 0, "qcow2 bitmap table entry")
        place = entry & _OFFSET
        if place:
            require(entry & 1 == 0 and place % found.cluster_size == 0, "qcow2 bitmap table entry")
            tables.claim(place, found.cluster_size, "qcow2 bitmap data")
