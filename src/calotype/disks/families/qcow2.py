# SPDX-License-Identifier: Apache-2.0
"""qcow2 versions 2 and 3: header, extensions, and the order of the structural checks.

Refuses backing files, external data files, internal snapshots, encryption, the dirty and corrupt
marks, and every feature bit or extension it does not know (security contract, C1 and C7).
Persistent dirty bitmaps are accepted after their structure was checked: they hold no guest data.
"""

from __future__ import annotations

import struct

from calotype.disks.families import qcow2_bitmaps, qcow2_tables
from calotype.disks.reader import Reader
from calotype.disks.verdict import Finding, Format, refuse, require
from calotype.errors import Reason

MAGIC = b"QFI\xfb"
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED = 1, 2, 4, 8, 16
_AUTO_BITMAPS, _AUTO_RAW_DATA = 1, 2
_EXT_END = 0
_EXT_BACKING_FORMAT = 0xE2792ACA
_EXT_FEATURE_NAMES = 0x6803F857
_EXT_BITMAPS = 0x23852875
_EXT_ENCRYPTION = 0x0537BE77
_EXT_DATA_FILE = 0x44415441


class Header:
    """The checked header. Offsets in bytes, `bitmaps` is the extension's content or None."""

    def __init__(self, version: int, cluster_bits: int, virtual_size: int) -> None:
        self.version = version
        self.cluster_bits = cluster_bits
        self.cluster_size = 1 << cluster_bits
        self.virtual_size = virtual_size
        self.l1_offset = self.l1_size = 0
        self.refcount_offset = self.refcount_clusters = 0
        self.refcount_bits = 16
        self.extended_l2 = False
        self.bitmaps: bytes | None = None


def header(reader: Reader) -> Header:
    """Read and check the fixed header and its extensions."""
    data = reader.read(0, 72, "qcow2 header")
    version, backing_offset, backing_size, bits, size = struct.unpack_from(">IQIIQ", data, 4)
    crypt, l1_size, l1_offset, ref_offset, ref_clusters, snapshots, snapshots_offset = (
        struct.unpack_from(">IIQQIIQ", data, 32)
    )
    require(version in (2, 3), "qcow2 version", Reason.FORMAT_UNSUPPORTED)
    require(not backing_offset and not backing_size, "qcow2 backing file", Reason.BACKING_FILE)
    require(9 <= bits <= 21, "qcow2 cluster size is not allowed")
    require(crypt == 0, "qcow2 encryption method", Reason.ENCRYPTED)
    require(snapshots == 0, "qcow2 internal snapshots", Reason.SNAPSHOTS)
    found = Header(version, bits, size)
    found.l1_offset, found.l1_size = l1_offset, l1_size
    found.refcount_offset, found.refcount_clusters = ref_offset, ref_clusters
    length, auto = 72, 0
    if version == 3:
        length, auto = _version_3(reader, found)
    _extensions(reader, found, length, auto)
    # An image whose last snapshot was deleted may keep the place of the empty snapshot table.
    require(
        snapshots_offset % found.cluster_size == 0
        and snapshots_offset <= reader.size + found.cluster_size,
        "qcow2 snapshot table offset",
    )
    return found


def _version_3(reader: Reader, found: Header) -> tuple[int, int]:
    """Check the fields of version 3; return the header's length and the auto-clear bits."""
    data = reader.read(72, 32, "qcow2 header")
    incompatible, compatible, auto, order, length = struct.unpack(">QQQII", data)
    require(not incompatible & _DATA_FILE, "qcow2 external data file", Reason.EXTERNAL_DATA)
    require(not auto & _AUTO_RAW_DATA, "qcow2 external raw data", Reason.EXTERNAL_DATA)
    known = _DIRTY | _CORRUPT | _COMPRESSION | _EXTENDED
    unknown = incompatible & ~known or compatible & ~1 or auto & ~_AUTO_BITMAPS
    require(not unknown, "qcow2 has an unknown feature bit", Reason.FORMAT_UNSUPPORTED)
    require(not incompatible & _DIRTY, "qcow2 is marked dirty: it was not closed")
    require(not incompatible & _CORRUPT, "qcow2 is marked corrupt")
    require(order <= 6, "qcow2 refcount width")
    found.refcount_bits = 1 << order
    require(length >= 104 and length % 8 == 0, "qcow2 header length")
    require(length <= found.cluster_size, "qcow2 header length")
    rest = reader.read(104, length - 104, "qcow2 header")
    method = rest[0] if rest else 0
    require(method <= 1, "qcow2 compression method", Reason.FORMAT_UNSUPPORTED)
    require((method != 0) == bool(incompatible & _COMPRESSION), "qcow2 compression method")
    require(not any(rest[1:]), "qcow2 has unknown header fields", Reason.FORMAT_UNSUPPORTED)
    if incompatible & _EXTENDED:
        found.extended_l2 = True
        require(found.cluster_bits >= 14, "qcow2 cluster size with extended entries")
    return length, auto


def _extensions(reader: Reader, found: Header, offset: int, auto: int) -> None:
    """Walk the header extensions, which end within the first cluster."""
    end = min(found.cluster_size, reader.size)
    while True:
        require(end - offset >= 8, "qcow2 header extensions are not ended")
        kind, length = struct.unpack(">II", reader.read(offset, 8, "qcow2 header extension"))
        if kind == _EXT_END:
            require(length == 0, "qcow2 header extensions end")
            break
        offset += 8
        require(length <= end - offset, "qcow2 header extension length")
        _extension(reader, found, (kind, offset, length), auto)
        offset += (length + 7) & ~7
    require(bool(found.bitmaps) or not auto & _AUTO_BITMAPS, "qcow2 bitmaps extension is missing")


def _extension(reader: Reader, found: Header, place: tuple[int, int, int], auto: int) -> None:
    kind, offset, length = place
    if kind == _EXT_BACKING_FORMAT:
        refuse(Reason.BACKING_FILE, "qcow2 names the format of a backing file")
    if kind == _EXT_DATA_FILE:
        refuse(Reason.EXTERNAL_DATA, "qcow2 names an external data file")
    if kind == _EXT_ENCRYPTION:
        refuse(Reason.ENCRYPTED, "qcow2 has an encryption header")
    if kind == _EXT_FEATURE_NAMES:
        require(length % 48 == 0, "qcow2 feature name table length")
        return
    if kind != _EXT_BITMAPS:
        refuse(Reason.FORMAT_UNSUPPORTED, "qcow2 has an unknown header extension")
    require(found.bitmaps is None, "qcow2 has two bitmaps extensions")
    require(length == 24, "qcow2 bitmaps extension length")
    require(bool(auto & _AUTO_BITMAPS), "qcow2 bitmaps are marked stale")
    found.bitmaps = reader.read(offset, length, "qcow2 bitmaps extension")


def check(reader: Reader, found: Header) -> Finding:
    """Check every table, then that each cluster has one use and a reference count that covers it.

    Order matters: what is marked first is metadata, so a data entry that points into it is caught.
    """
    # Tools round a size that is not in sectors up or down, each in its own way.
    require(found.virtual_size % 512 == 0, "qcow2 size is not in sectors")
    tables = qcow2_tables.Tables(reader, found)
    tables.claim(0, found.cluster_size, "qcow2 header")
    tables.read_refcount_table()
    if found.bitmaps is not None:
        qcow2_bitmaps.check(reader, tables, found)
    tables.walk()
    tables.compare_refcounts()
    return Finding(Format.QCOW2, found.virtual_size, tables.mapped)
