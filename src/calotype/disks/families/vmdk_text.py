# SPDX-License-Identifier: Apache-2.0
"""The descriptor inside a vmdk: read line by line, refused for any line that is not understood.

Tools search it for words rather than parse it, even inside comments, so the words that name a
parent or a type are counted over the whole region, padding included (security contract, C1).
"""

from __future__ import annotations

from calotype.disks.verdict import refuse, require
from calotype.errors import Reason

SPARSE, STREAM = "monolithicsparse", "streamoptimized"
_NO_PARENT = b"ffffffff"
_ACCESS = (b"rw", b"rdonly")
_KEYS = (b"version", b"encoding", b"cid", b"parentcid", b"isnativesnapshot", b"createtype")
_SEPARATORS = b'/\\:"'
_TEXT = frozenset((9, *range(32, 127), *range(128, 256)))


class Descriptor:
    """What the descriptor says: the kind of disk and the sectors of its one extent."""

    def __init__(self) -> None:
        self.fields: dict[bytes, bytes] = {}
        self.extents = 0
        self.sectors = 0


def read(region: bytes) -> Descriptor:
    """Check a descriptor region and return what it says; the extent is this file itself."""
    text, _, padding = region.partition(b"\0")
    folded = region.lower()
    if b"parentfilenamehint" in folded or b"nativeparent" in folded:
        refuse(Reason.BACKING_FILE, "vmdk descriptor names a parent")
    if b"changetrackpath" in folded:
        refuse(Reason.EXTERNAL_DATA, "vmdk descriptor names a change tracking file")
    if b"encryption." in folded or b"keysafe" in folded:
        refuse(Reason.ENCRYPTED, "vmdk descriptor holds encryption keys")
    for word in (b"createtype", b"parentcid", b"# disk descriptorfile"):
        if folded.count(word) > 1:
            refuse(Reason.EXTERNAL_DATA, "vmdk holds a second descriptor")
    require(not padding.strip(b"\0"), "vmdk descriptor has data after its end")
    found = Descriptor()
    for part in text.split(b"\n"):
        line = part.removesuffix(b"\r")
        require(_TEXT.issuperset(line), "vmdk descriptor holds control characters")
        _line(found, line.strip())
    require(found.extents == 1, "vmdk descriptor must name one extent", Reason.EXTERNAL_DATA)
    parent = found.fields.get(b"parentcid")
    require(parent is not None, "vmdk descriptor has no parent id")
    require(parent == _NO_PARENT, "vmdk descriptor has a parent id", Reason.BACKING_FILE)
    return found


def _line(found: Descriptor, line: bytes) -> None:
    if not line or line.startswith(b"#"):
        return
    first = line.split(None, 1)[0].lower()
    if first in _ACCESS or first == b"noaccess":
        _extent(found, line)
        return
    key, equals, value = line.partition(b"=")
    key = key.strip().lower()
    require(bool(equals), "vmdk descriptor has an unknown line")
    if key.startswith(b"ddb."):
        return
    require(key in _KEYS, "vmdk descriptor has an unknown field", Reason.FORMAT_UNSUPPORTED)
    require(key not in found.fields, "vmdk descriptor repeats a field")
    found.fields[key] = value.strip().strip(b'"').lower()
    if key == b"isnativesnapshot":
        require(found.fields[key] == b"no", "vmdk is a snapshot", Reason.BACKING_FILE)


def _extent(found: Descriptor, line: bytes) -> None:
    """Check an extent line: ACCESS SECTORS SPARSE "NAME"."""
    found.extents += 1
    before, quote, rest = line.partition(b'"')
    words = before.split()
    name, closing, after = rest.partition(b'"')
    require(len(words) == 3 and bool(quote) and bool(closing), "vmdk extent line")
    require(words[0].lower() in _ACCESS, "vmdk extent access")
    require(words[2].lower() == b"sparse", "vmdk extent kind", Reason.EXTERNAL_DATA)
    require(not after.strip(), "vmdk extent line has an offset", Reason.EXTERNAL_DATA)
    unsafe = not name or name in (b".", b"..") or any(byte in _SEPARATORS for byte in name)
    require(not unsafe, "vmdk extent name is a path", Reason.EXTERNAL_DATA)
    require(words[1].isdigit() and len(words[1]) <= 19, "vmdk extent size")
    found.sectors = int(words[1])
