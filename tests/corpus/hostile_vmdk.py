# SPDX-License-Identifier: Apache-2.0
"""Hostile vmdk files: header and grain table fields, descriptors that name other files, footers."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from calotype.errors import Reason
from tests.corpus.honest import content, tool
from tests.corpus.image import (
    ANY_SIZE,
    EXTERNAL,
    MISMATCH,
    PARENT,
    STRUCTURE,
    UNKNOWN,
    Field,
    Hostile,
    Image,
    field_variants,
    save,
    truncations,
)

SECTOR = 512
_AT_END = (1 << 64) - 1
_OUTSIDE = EXTERNAL | UNKNOWN
_LINK = PARENT | EXTERNAL


def base(directory: Path, options: str = "") -> Image:
    """Return an honest image with some content."""
    source = content(directory / "vmdk-source", 3 << 20, seed=21)
    path = directory / "vmdk-base.vmdk"
    chosen = ["-o", options] if options else []
    tool("convert", "-f", "raw", "-O", "vmdk", *chosen, source, path)
    data = path.read_bytes()
    source.unlink()
    path.unlink()
    return Image(data)


def with_descriptor(image: Image, text: bytes) -> Image:
    """Return a copy with another descriptor text in the same place."""
    return image.copy().put(SECTOR, text.ljust(20 * SECTOR, b"\0")[: 20 * SECTOR])


def descriptor(image: Image) -> bytes:
    """Return the descriptor text."""
    return bytes(image.data[SECTOR : 21 * SECTOR]).rstrip(b"\0")


def files(directory: Path) -> Iterator[Hostile]:
    """Yield all hostile vmdk files."""
    sparse = base(directory)
    stream = base(directory, "subformat=streamOptimized")
    for name, image in (("vmdk", sparse), ("vmdk-stream", stream)):
        yield from _fields(directory, name, image)
        yield from _tables(directory, name, image)
        yield from truncations(directory, name, "vmdk", image)
    yield from _descriptors(directory, sparse)
    yield from _other_kinds(directory)
    yield from _markers(directory, stream)
    yield from _footers(directory, stream)


def _fields(directory: Path, name: str, image: Image) -> Iterator[Hostile]:
    overhead = (len(image.data) // SECTOR,) if len(image.data) % SECTOR == 0 else ()
    rows = (
        Field("version", 4, "<I", UNKNOWN, harmless=(1, 2, 3), more=(4,)),
        Field(
            "flags", 8, "<I", UNKNOWN, harmless=(0, 1, 3 << 16), more=(8, 1 << 16, 1 << 17, 1 << 18)
        ),
        Field("capacity", 12, "<Q", ANY_SIZE, unit=512, more=(1 << 33, 1 << 55)),
        Field("grain", 20, "<Q", STRUCTURE, unit=512, more=(4, 127, 256, 1 << 40)),
        Field("descriptor-offset", 28, "<Q", _OUTSIDE, unit=512, more=(2, 21)),
        Field("descriptor-size", 36, "<Q", _OUTSIDE, unit=512, harmless=(1,), more=(64, 1 << 55)),
        Field("entries", 44, "<I", STRUCTURE, more=(256, 1024)),
        Field("redundant-directory", 48, "<Q", STRUCTURE, unit=512, more=(20, 1 << 55)),
        Field("directory", 56, "<Q", STRUCTURE, unit=512, more=(20, 1 << 55, _AT_END - 1)),
        Field("overhead", 64, "<Q", STRUCTURE, unit=512, harmless=overhead, more=(20,)),
        Field("unclean", 72, "<B", STRUCTURE),
        Field("newline", 73, "<B", STRUCTURE),
        Field("algorithm", 77, "<H", UNKNOWN, more=(2,)),
        Field("padding", 200, "<I", UNKNOWN),
    )
    yield from field_variants(directory, name, "vmdk", image, rows)
    label = f"{name}-capacity-0-and-outside"
    text = b"# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n"
    text += b'createType="monolithicFlat"\nRW 8 FLAT "/etc/passwd" 0\n'
    changed = with_descriptor(image, text).set(12, "<Q", 0)
    yield label, changed.save(directory / label), None, _LINK | {Reason.EMPTY}


def _tables(directory: Path, name: str, image: Image) -> Iterator[Hostile]:
    directory_at = image.get(56, "<Q") * SECTOR
    table = image.get(directory_at, "<I") * SECTOR
    grain = next(p for p in range(table, table + 2048, 4) if image.get(p, "<I"))
    past = -(-len(image.data) // SECTOR)
    for value in (1, 21, past, 0xFFFFFFFF, image.get(table, "<I")):
        label = f"{name}-table-place-{value:x}"
        changed = image.copy().set(directory_at, "<I", value)
        yield label, changed.save(directory / label), "vmdk", STRUCTURE
    first = image.get(grain, "<I")
    for value in (1, 2, 21, table // SECTOR, past, past - 1, 0xFFFFFFFF):
        label = f"{name}-grain-place-{value:x}"
        changed = without_copy(image).set(grain, "<I", value)
        yield label, changed.save(directory / label), "vmdk", STRUCTURE
    label = f"{name}-shared-grain"
    changed = without_copy(image)
    for place in range(table, table + 4 * 40, 4):
        changed.set(place, "<I", first)
    yield label, changed.save(directory / label), "vmdk", STRUCTURE | {Reason.EXPANSION_LIMIT}
    label = f"{name}-copy-differs"
    changed = image.copy().set(grain, "<I", 0)
    yield label, changed.save(directory / label), "vmdk", STRUCTURE
    label = f"{name}-grain-past-the-capacity"
    changed = without_copy(image).set(table + 4 * 100, "<I", past - 128)
    yield label, changed.save(directory / label), "vmdk", STRUCTURE


def without_copy(image: Image) -> Image:
    """Return a copy whose flags no longer promise a redundant directory."""
    return image.copy().set(8, "<I", image.get(8, "<I") & ~2)


def _descriptors(directory: Path, image: Image) -> Iterator[Hostile]:
    text = descriptor(image)
    sectors = image.get(12, "<Q")
    line = next(part for part in text.split(b"\n") if part.startswith(b"RW "))
    canary = str(directory / "canary").encode()

    def extent(new: bytes) -> bytes:
        return text.replace(line, new)

    def kind(new: bytes) -> bytes:
        return text.replace(b"monolithicSparse", new)

    size = b"%d" % sectors
    rows = {
        "flat": (extent(b'RW ' + size + b' FLAT "a" 0'), EXTERNAL),
        "path": (extent(b'RW ' + size + b' SPARSE "/etc/passwd"'), EXTERNAL),
        "canary": (extent(b'RW ' + size + b' SPARSE "' + canary + b'"'), EXTERNAL),
        "up": (extent(b'RW ' + size + b' SPARSE ".."'), EXTERNAL),
        "backslash": (extent(b'RW ' + size + b' SPARSE "a\\\\b"'), EXTERNAL),
        "protocol": (extent(b'RW ' + size + b' SPARSE "nbd:127.0.0.1"'), EXTERNAL),
        "two-extents": (extent(line + b"\n" + line), EXTERNAL),
        "two-names": (extent(line + b' "b"'), _OUTSIDE),
        "no-extent": (extent(b""), EXTERNAL),
        "vmfs": (extent(b'RW ' + size + b' VMFS "a"'), EXTERNAL),
        "raw-device": (extent(b'RW ' + size + b' VMFSRDM "a"'), EXTERNAL),
        "zero": (extent(b"RW " + size + b" ZERO"), _OUTSIDE),
        "offset": (extent(line + b" 128"), EXTERNAL),
        "no-access": (extent(line.replace(b"RW", b"NOACCESS")), _OUTSIDE),
        "less": (extent(b'RW 8 SPARSE "a"'), STRUCTURE),
        "more": (extent(b'RW 99999999999999999999 SPARSE "a"'), STRUCTURE),
        "negative": (extent(b'RW -8 SPARSE "a"'), STRUCTURE),
        "kind-flat": (kind(b"monolithicFlat"), EXTERNAL),
        "kind-split": (kind(b"twoGbMaxExtentSparse"), EXTERNAL),
        "kind-device": (kind(b"fullDevice"), EXTERNAL),
        "kind-custom": (kind(b"custom"), EXTERNAL),
        "kind-stream": (kind(b"streamOptimized"), STRUCTURE),
        "kind-empty": (kind(b""), _OUTSIDE),
        "parent-id": (text.replace(b"parentCID=ffffffff", b"parentCID=12345678"), PARENT),
        "no-parent-id": (text.replace(b"parentCID=ffffffff\n", b""), STRUCTURE),
        "hint": (text + b'\nparentFileNameHint="' + canary + b'"\n', PARENT),
        "hint-in-comment": (text + b'\n#parentFileNameHint="/etc/passwd"\n', PARENT),
        "hint-in-upper-case": (text + b'\nPARENTFILENAMEHINT="x"\n', PARENT),
        "hint-after-the-end": (text + b'\0parentFileNameHint="x"\n', PARENT),
        "data-after-the-end": (text + b"\0more", UNKNOWN),
        "native-parent": (text + b'\nddb.nativeParentHint = "x"\n', PARENT),
        "native-snapshot": (text + b'\nisNativeSnapshot="yes"\n', PARENT),
        "change-track": (text + b'\nchangeTrackPath="/etc/passwd"\n', EXTERNAL),
        "second": (text + b"\n" + text, EXTERNAL),
        "second-after-the-end": (text + b"\0\0" + text, EXTERNAL),
        "second-kind": (text + b'\ncreateType="monolithicFlat"\n', EXTERNAL),
        "second-parent-id": (text + b"\nparentCID=12345678\n", EXTERNAL | PARENT),
        "unknown-line": (text + b"\nsomething else\n", UNKNOWN),
        "unknown-field": (text + b"\nbacking=/etc/passwd\n", UNKNOWN),
        "extent-behind-a-comment": (text + b'\n#\rRW 8 FLAT "/etc/passwd" 0\n', UNKNOWN),
        "control": (text + b"\n#\x1b[2J\n", UNKNOWN),
        "encryption": (text + b'\nencryption.keySafe = "x"\n', frozenset({Reason.ENCRYPTED})),
        "empty": (b"", _OUTSIDE),
    }  # fmt: skip
    for name, (new, reasons) in rows.items():
        label = f"vmdk-descriptor-{name}"
        yield label, with_descriptor(image, new).save(directory / label), "vmdk", reasons


def _other_kinds(directory: Path) -> Iterator[Hostile]:
    """Kinds that the real tool writes and that keep data elsewhere, and descriptors alone."""
    source = content(directory / "kinds-source", 1 << 20, seed=22)
    for kind in ("monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"):
        path = directory / f"vmdk-{kind}"
        tool("convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={kind}", source, path)
        yield path.name, path, "vmdk", EXTERNAL
    parent = directory / "vmdk-parent"
    tool("convert", "-f", "raw", "-O", "vmdk", source, parent)
    path = directory / "vmdk-child"
    tool("create", "-q", "-f", "vmdk", "-b", parent, "-F", "vmdk", path)
    yield path.name, path, "vmdk", PARENT
    text = b'version=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 8 FLAT "%s" 0\n'
    text %= str(directory / "canary").encode()
    starts = {
        "plain": b"# Disk DescriptorFile\n",
        "upper": b"# DISK DESCRIPTORFILE\n",
        "comments": b"#\n# hello\n\n   \n",
        "bare": b"",
        "long-comment": b"#" + b"x" * 3000 + b"\n",
    }
    for name, start in starts.items():
        for claim in ("vmdk", "raw", None):
            label = f"vmdk-text-{name}-as-{claim}"
            path = save(directory / label, start + text + bytes(1000))
            yield label, path, claim, MISMATCH if claim == "raw" else EXTERNAL
    for name, magic in (("cowd", b"COWD"), ("sesparse", b"\xbe\xba\xfe\xca\0\0\0\0")):
        for claim in ("vmdk", "raw"):
            label = f"vmdk-{name}-as-{claim}"
            path = save(directory / label, magic + bytes(100_000))
            yield label, path, claim, MISMATCH if claim == "raw" else UNKNOWN


def _markers(directory: Path, image: Image) -> Iterator[Hostile]:
    table = image.get(image.get(56, "<Q") * SECTOR, "<I") * SECTOR
    grain = next(p for p in range(table, table + 2048, 4) if image.get(p, "<I"))
    start = image.get(grain, "<I") * SECTOR
    rows = (
        Field("address", start, "<Q", STRUCTURE, unit=512),
        Field("length", start + 8, "<I", STRUCTURE, harmless=(1,), more=(128 * SECTOR * 2 + 1,)),
    )
    yield from field_variants(directory, "vmdk-marker", "vmdk", image, rows)
    bomb = image.copy()
    for number, place in enumerate(range(table, table + 2048, 4)):
        if number * 128 < image.get(12, "<Q"):
            bomb.set(place, "<I", start // SECTOR)
    label = "vmdk-stream-bomb"
    reasons = STRUCTURE | {Reason.EXPANSION_LIMIT}
    yield label, without_copy(bomb).save(directory / label), "vmdk", reasons


def footed(image: Image, directory_at: int | None = None) -> Image:
    """Return a stream whose directory is named by a footer, as other tools write it."""
    place = image.get(56, "<Q") if directory_at is None else directory_at
    changed = without_copy(image).set(56, "<Q", _AT_END)
    changed.data += bytes(-len(changed.data) % SECTOR)
    header = bytes(changed.data[:SECTOR])
    footer = header[:56] + struct.pack("<Q", place) + header[64:]
    marker = struct.pack("<QII", 1, 0, 3).ljust(SECTOR, b"\0")
    changed.data += marker + footer + bytes(SECTOR)
    return changed


def _footers(directory: Path, image: Image) -> Iterator[Hostile]:
    good = footed(image)
    start = len(good.data) - 3 * SECTOR
    rows = (
        Field("marker-size", start + 8, "<I", STRUCTURE),
        Field("marker-kind", start + 12, "<I", STRUCTURE),
        Field("marker-rest", start + 100, "<I", STRUCTURE),
        Field("magic", start + 512, "<I", STRUCTURE),
        Field("capacity", start + 524, "<Q", ANY_SIZE),
        Field("descriptor", start + 540, "<Q", STRUCTURE),
        Field("directory", start + 568, "<Q", STRUCTURE, unit=512),
        Field("end", start + 1024, "<Q", STRUCTURE),
        Field("end-kind", start + 1036, "<I", STRUCTURE),
    )
    yield from field_variants(directory, "vmdk-footer", "vmdk", good, rows)
    missing = without_copy(image).set(56, "<Q", _AT_END)
    yield "vmdk-no-footer", missing.save(directory / "vmdk-no-footer"), "vmdk", STRUCTURE
