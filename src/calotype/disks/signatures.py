# SPDX-License-Identifier: Apache-2.0
"""Which formats a file could be taken for.

Every place where a probe of a common tool would look is looked at: the start, the end, 0x8001 and
the text of a disk descriptor. Raw is what carries no signature at any of them. A partition table
is content, not a format: an ISO or a fixed VHD with one is still an ISO or a VHD (security
contract, C1 and C4).
"""

from __future__ import annotations

from calotype.disks.reader import Reader
from calotype.disks.verdict import Format, refuse
from calotype.errors import Reason

SECTOR = 512
ISO_DESCRIPTORS = 0x8000
# Known and never stored as a disk; the words are only for texts.
LUKS = "luks"
VMDK_TEXT = "vmdk descriptor without its disk"
VMDK_OTHER = "vmdk of another kind"
PARALLELS = "parallels"
COMPRESSED = "a compressed stream"
_OTHER = "another format"

_AT_START = (
    (b"KDMV", Format.VMDK),
    (b"conectix", Format.VHD),
    (b"vhdxfile", Format.VHDX),
    (b"QED\0", Format.QED),
    (b"LUKS\xba\xbe", LUKS),
    (b"COWD", VMDK_OTHER),
    (b"\xbe\xba\xfe\xca\0\0\0\0", VMDK_OTHER),
    (b"WithoutFreeSpace", PARALLELS),
    (b"WithouFreSpacExt", PARALLELS),
    (b"OOOM", _OTHER),
    (b"MOOO", _OTHER),
    (b"Bochs Virtual HD Image", _OTHER),
    (b"#!/bin/sh\n#V2.0 Format\n", _OTHER),
    (b"PK\x03\x04", _OTHER),
    (b"7z\xbc\xaf\x27\x1c", _OTHER),
    (b"Rar!\x1a\x07", _OTHER),
    (b"\x1f\x8b\x08", COMPRESSED),
    (b"\xfd7zXZ\0", COMPRESSED),
    (b"\x28\xb5\x2f\xfd", COMPRESSED),
    (b"\x04\x22\x4d\x18", COMPRESSED),
)
_QCOW = b"QFI\xfb"
_VDI = b"\x7f\x10\xda\xbe"
_BZIP2_BLOCK = b"1AY&SY"
_PROBED = 4096


def found_in(reader: Reader) -> list[str]:
    """Return the words of all formats whose signature is present, each once; raw gives none."""
    head = reader.peek(0, _PROBED)
    tail = reader.peek(max(0, reader.size - SECTOR), SECTOR)
    found = [word for magic, word in _AT_START if head.startswith(magic)]
    if head.startswith(_QCOW):
        found.append(Format.QCOW if head[4:8] == b"\0\0\0\1" else Format.QCOW2)
    if head[:3] == b"BZh" and head[4:10] == _BZIP2_BLOCK:
        found.append(COMPRESSED)
    if head[0x40:0x44] == _VDI:
        found.append(Format.VDI)
    if head[257:262] == b"ustar":
        found.append(Format.OVA)
    if _is_descriptor(head):
        found.append(VMDK_TEXT)
    if b"conectix" in (tail[:8], tail[1:9]):
        found.append(Format.VHD)
    if tail.startswith(b"koly"):
        found.append(_OTHER)
    if reader.peek(ISO_DESCRIPTORS + 1, 5) == b"CD001":
        found.append(Format.ISO)
    return list(dict.fromkeys(found))


def _is_descriptor(head: bytes) -> bool:
    """Tell what tools take for a vmdk descriptor: comments and blanks, then `version=`."""
    if head[:21].lower() == b"# disk descriptorfile":
        return True
    position = 0
    while position < len(head):
        if head[position : position + 1] == b"#":
            position = head.find(b"\n", position) + 1
            if position == 0:
                return False
        elif head[position : position + 1] in (b" ", b"\n", b"\r", b"\t"):
            position += 1
        else:
            return head[position : position + 8].lower() == b"version="
    return False


def check_partitions(reader: Reader) -> None:
    """Refuse a protective partition table with further entries: a disk that reads in two ways."""
    first = reader.peek(0, SECTOR)
    if first[510:512] != b"\x55\xaa":
        return
    entries = [first[446 + 16 * number : 462 + 16 * number] for number in range(4)]
    if any(entry[0] not in (0, 0x80) for entry in entries):
        return  # boot code of a file system, not a table
    used = [entry for entry in entries if entry[4] != 0]
    protective = [entry for entry in used if entry[4] == 0xEE and entry[8:12] == b"\x01\0\0\0"]
    if protective and len(used) > 1:
        refuse(Reason.FORMAT_AMBIGUOUS, "the protective partition table has further entries")
