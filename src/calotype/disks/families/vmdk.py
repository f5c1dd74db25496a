# SPDX-License-Identifier: Apache-2.0
"""VMDK, the two kinds that hold their own data: monolithicSparse and streamOptimized.

Refuses every other kind, descriptors that name anything outside the file, unclean files, and
grain tables that leave the file, overlap, or differ from their redundant copy. Compressed grains
are checked by their markers; they are not unpacked here (security contract, C1 to C3).
"""

from __future__ import annotations

import struct
from array import array

from calotype.disks.extents import RangeList
from calotype.disks.families import vmdk_text
from calotype.disks.reader import Reader, is_zero
from calotype.disks.verdict import Finding, Format, check_ratio, refuse, require
from calotype.errors import Reason

SECTOR = 512
_AT_END = (1 << 64) - 1
_NEWLINES, _REDUNDANT, _ZERO_GRAINS, _COMPRESSED, _MARKERS = 1, 2, 4, 1 << 16, 1 << 17
_KNOWN_FLAGS = _NEWLINES | _REDUNDANT | _ZERO_GRAINS | _COMPRESSED | _MARKERS
_TABLE_ENTRIES = 512
_TABLE_BYTES = _TABLE_ENTRIES * 4
_MAX_DESCRIPTOR = 128
_MAX_GRAIN = 2048
_FOOTER_MARKER = 3


class Header:
    """The checked header. Sizes in sectors, except `virtual_size` in bytes."""

    def __init__(self, data: bytes) -> None:
        (
            self.version,
            self.flags,
            self.capacity,
            self.grain,
            self.descriptor_offset,
            self.descriptor_size,
            self.entries,
            self.redundant_directory,
            self.directory,
            self.overhead,
            self.unclean,
        ) = struct.unpack_from("<IIQQQQIQQQB", data, 4)
        self.newlines = data[73:77]
        (self.algorithm,) = struct.unpack_from("<H", data, 77)
        self.padding = data[79:512]
        self.virtual_size: int = self.capacity * SECTOR

    @property
    def compressed(self) -> bool:
        """Tell whether grains are compressed and carry markers."""
        return bool(self.flags & _COMPRESSED)


def header(reader: Reader) -> Header:
    """Read and check the sparse header and the descriptor."""
    data = reader.read(0, SECTOR, "vmdk header")
    found = Header(data)
    require(1 <= found.version <= 3, "vmdk version", Reason.FORMAT_UNSUPPORTED)
    require(not found.flags & ~_KNOWN_FLAGS, "vmdk flags", Reason.FORMAT_UNSUPPORTED)
    if found.capacity == 0:
        refuse(Reason.EMPTY, "vmdk header has no capacity")
    require(not found.flags & _NEWLINES or found.newlines == b"\n \r\n", "vmdk newline check")
    require(found.unclean == 0, "vmdk was not closed cleanly")
    grain = found.grain
    require(8 <= grain <= _MAX_GRAIN and grain & (grain - 1) == 0, "vmdk grain size")
    require(found.entries == _TABLE_ENTRIES, "vmdk grain table size")
    require(found.compressed == bool(found.flags & _MARKERS), "vmdk flags")
    require(found.algorithm == found.compressed, "vmdk compression", Reason.FORMAT_UNSUPPORTED)
    require(is_zero(found.padding), "vmdk header padding")
    _descriptor(reader, found)
    return found


def _descriptor(reader: Reader, found: Header) -> None:
    if found.descriptor_offset == 0 or found.descriptor_size == 0:
        refuse(Reason.EXTERNAL_DATA, "vmdk has no descriptor of its own")
    require(found.descriptor_offset == 1, "vmdk descriptor offset")
    require(found.descriptor_size <= _MAX_DESCRIPTOR, "vmdk descriptor size")
    end = 1 + found.descriptor_size
    require(end <= found.overhead, "vmdk overhead")
    reader.inside(0, found.overhead * SECTOR, "vmdk overhead")
    region = reader.read(SECTOR, found.descriptor_size * SECTOR, "vmdk descriptor")
    text = vmdk_text.read(region)
    kind = text.fields.get(b"createtype", b"").decode("ascii", "replace")
    wanted = vmdk_text.STREAM if found.compressed else vmdk_text.SPARSE
    if kind not in (vmdk_text.SPARSE, vmdk_text.STREAM):
        refuse(Reason.EXTERNAL_DATA, "vmdk kind keeps its data outside the file")
    require(kind == wanted, "vmdk kind does not fit the flags")
    require(text.sectors == found.capacity, "vmdk extent size differs from the capacity")


def check(reader: Reader, found: Header) -> Finding:
    """Check the grain directories, tables, grains and, for a stream, the footer."""
    directory = found.directory
    used = RangeList("vmdk")
    used.add(0, SECTOR)
    end = (1 + found.descriptor_size) * SECTOR
    used.add(SECTOR, end)
    if directory == _AT_END:
        directory = _footer(reader, found, used)
    grains = -(-found.capacity // found.grain)
    tables = -(-grains // _TABLE_ENTRIES)
    reader.allow(3 * tables * (4 + _TABLE_BYTES) + grains * 16)
    reader.plausible = 2 * found.virtual_size + tables * _TABLE_BYTES * 2 + (256 << 20)
    walk = _Walk(reader, found, used)
    walk.directory(directory, tables)
    if found.flags & _REDUNDANT:
        walk.redundant(found.redundant_directory, tables)
    used.check()
    return Finding(Format.VMDK, found.virtual_size, walk.mapped)


def _footer(reader: Reader, found: Header, used: RangeList) -> int:
    """Check the footer of a stream and return the directory's sector that it names."""
    require(found.compressed, "vmdk directory is at the end of a file that is no stream")
    start = reader.size - 3 * SECTOR
    require(start > SECTOR and start % SECTOR == 0, "vmdk footer", Reason.TRUNCATED)
    data = reader.read(start, 3 * SECTOR, "vmdk footer")
    size, kind = struct.unpack_from("<II", data, 8)
    require(size == 0 and kind == _FOOTER_MARKER, "vmdk footer marker", Reason.TRUNCATED)
    require(is_zero(data[16:SECTOR]) and is_zero(data[2 * SECTOR :]), "vmdk end of stream marker")
    footer = data[SECTOR : 2 * SECTOR]
    first = reader.read(0, SECTOR, "vmdk header")
    same = footer[:56] == first[:56] and footer[64:] == first[64:]
    require(same, "vmdk footer differs from the header")
    (directory,) = struct.unpack_from("<Q", footer, 56)
    require(directory != _AT_END, "vmdk footer names another footer")
    used.add(start, reader.size)
    return int(directory)


class _Walk:
    """Directories, tables and grains of one file."""

    def __init__(self, reader: Reader, found: Header, used: RangeList) -> None:
        self._reader = reader
        self._found = found
        self._used = used
        self._tables: array[int] = array("I")
        self.mapped = 0

    def _read_directory(self, sector: int, tables: int) -> array[int]:
        require(sector > 0, "vmdk grain directory offset")
        offset, length = sector * SECTOR, tables * 4
        entries = array("I")
        for window in self._reader.windows(offset, length, "vmdk grain directory"):
            entries.extend(little_endian(window))
        self._used.add(offset, -(-(offset + length) // SECTOR) * SECTOR)
        return entries

    def _read_table(self, sector: int) -> bytes:
        offset = sector * SECTOR
        data = self._reader.read(offset, _TABLE_BYTES, "vmdk grain table")
        self._used.add(offset, offset + _TABLE_BYTES)
        return data

    def directory(self, sector: int, tables: int) -> None:
        """Check the main directory, its tables and all grains."""
        self._tables = self._read_directory(sector, tables)
        position = 0
        for place in self._tables:
            if place:
                data = self._read_table(place)
                if not is_zero(data):
                    self._table(little_endian(data), position)
                    check_ratio(self.mapped, self._reader.size, "vmdk compressed grains")
                    self._reader.allow_mapped(self.mapped)
            position += _TABLE_ENTRIES

    def redundant(self, sector: int, tables: int) -> None:
        """Check that the redundant directory and its tables say the same as the main ones."""
        copies = self._read_directory(sector, tables)
        for place, copy in zip(self._tables, copies, strict=True):
            require(bool(place) == bool(copy), "vmdk redundant grain directory differs")
            if copy:
                first = self._reader.read(place * SECTOR, _TABLE_BYTES, "vmdk grain table")
                require(first == self._read_table(copy), "vmdk redundant grain table differs")

    def _table(self, entries: array[int], position: int) -> None:
        found, reader = self._found, self._reader
        grain, capacity = found.grain, found.capacity
        length = grain * SECTOR
        for number, entry in enumerate(entries):
            if entry == 0:
                continue
            guest = (position + number) * grain
            require(guest < capacity, "vmdk grain past the capacity")
            if entry == 1 and found.flags & _ZERO_GRAINS:
                continue
            start = entry * SECTOR
            self.mapped += length
            if found.compressed:
                self._compressed_grain(start, guest)
                continue
            reader.inside(start, min(grain, capacity - guest) * SECTOR, "vmdk grain")
            self._used.add(start, start + length)

    def _compressed_grain(self, start: int, guest: int) -> None:
        marker = self._reader.read(start, 12, "vmdk grain marker")
        address, size = struct.unpack("<QI", marker)
        require(address == guest, "vmdk grain marker names another grain")
        require(0 < size <= 2 * self._found.grain * SECTOR, "vmdk compressed grain size")
        self._reader.inside(start + 12, size, "vmdk compressed grain")
        self._used.add(start, -(-(start + 12 + size) // SECTOR) * SECTOR)


def little_endian(data: bytes, code: str = "I") -> array[int]:
    """Return little-endian integers of a window as an array."""
    entries: array[int] = array(code, data)
    if struct.pack("=H", 1) != b"\1\0":
        entries.byteswap()
    return entries
