# SPDX-License-Identifier: Apache-2.0
"""Hostile qcow2 files: every field, names of other files, bombs, snapshots, encryption, marks."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from calotype.errors import Reason
from tests.corpus.honest import content, tool, writes
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
    truncations,
)

CLUSTER = 65536
OFFSET = 0x00FFFFFFFFFFFE00
COPIED = 1 << 63
COMPRESSED = 1 << 62
_BOMB = frozenset({Reason.CORRUPT, Reason.EXPANSION_LIMIT})
_ENCRYPTED = frozenset({Reason.ENCRYPTED})
_SNAPSHOTS = frozenset({Reason.SNAPSHOTS})
# Names that a careless opener would follow; {canary} is a file beside the image.
NAMES = (
    "{canary}",
    "/etc/passwd",
    "../canary",
    "file:{canary}",
    'json:{{"driver":"raw","file":{{"driver":"file","filename":"{canary}"}}}}',
    "nbd://127.0.0.1:9/x",
    "http://127.0.0.1:9/x",
    "fat:/etc",
    "/dev/zero",
    "a",
)


def base(directory: Path, options: str = "", *arguments: str, size: int = 1 << 20) -> Image:
    """Return an honest image with some content."""
    source = content(directory / "base-source", size, seed=11)
    path = directory / "base-image"
    chosen = ["-o", options] if options else []
    tool("convert", "-f", "raw", *arguments, "-O", "qcow2", *chosen, source, path)
    data = path.read_bytes()
    source.unlink()
    path.unlink()
    return Image(data)


def tables(image: Image) -> tuple[int, int, int, int]:
    """Return the offsets of the L1 table, first L2 table, refcount table and first block."""
    l1, top = image.get(40, ">Q"), image.get(48, ">Q")
    return l1, image.get(l1, ">Q") & OFFSET, top, image.get(top, ">Q")


def used_entry(image: Image, table: int, *, compressed: bool = False) -> int:
    """Return the offset of the first L2 entry that maps something."""
    for place in range(table, table + CLUSTER, 8):
        entry = image.get(place, ">Q")
        if entry and bool(entry & COMPRESSED) == compressed:
            return place
    raise AssertionError("the image maps nothing")


def files(directory: Path) -> Iterator[Hostile]:
    """Yield all hostile qcow2 files."""
    image = base(directory)
    yield from _fields(directory, image)
    yield from _entries(directory, image)
    yield from _sharing(directory, image)
    yield from _compressed(directory)
    yield from _names(directory, image)
    yield from _extensions(directory, image)
    yield from _tools(directory)
    yield from _bitmaps(directory)
    yield from truncations(directory, "qcow2", "qcow2", image)


def _fields(directory: Path, image: Image) -> Iterator[Hostile]:
    corrupt = UNKNOWN
    rows = (
        Field("version", 4, ">I", UNKNOWN | MISMATCH, more=(4,)),
        Field("backing-offset", 8, ">Q", PARENT),
        Field("backing-size", 16, ">I", PARENT),
        Field("cluster-bits", 20, ">I", STRUCTURE, more=(8, 9, 12, 15, 17, 21, 22, 63)),
        Field(
            "size",
            24,
            ">Q",
            ANY_SIZE,
            harmless=(len(image.data),),
            more=(1 << 30, 1 << 41, (1 << 41) + 1, 1 << 63),
        ),
        Field("crypt", 32, ">I", _ENCRYPTED, more=(2,)),
        Field("l1-size", 36, ">I", STRUCTURE, more=(1 << 22, (1 << 22) + 1)),
        Field("l1-offset", 40, ">Q", STRUCTURE, unit=512, more=(512, 65537, 1 << 62)),
        Field("refcount-offset", 48, ">Q", STRUCTURE, more=(512, 1 << 62)),
        Field("refcount-clusters", 56, ">I", STRUCTURE, more=(2, 1 << 20)),
        Field("snapshots", 60, ">I", _SNAPSHOTS),
        Field("snapshots-offset", 64, ">Q", STRUCTURE, harmless=(len(image.data),)),
        Field("incompatible", 72, ">Q", UNKNOWN | EXTERNAL, more=[1 << b for b in range(1, 64)]),
        Field("compatible", 80, ">Q", corrupt, harmless=(1,), more=(2, 1 << 63)),
        Field("auto", 88, ">Q", UNKNOWN | EXTERNAL, more=(2, 3, 4, 1 << 63)),
        Field("refcount-order", 96, ">I", STRUCTURE, more=(2, 3, 5, 6, 7)),
        Field("header-length", 100, ">I", UNKNOWN, more=(72, 103, 108, 120, 65536, 65544)),
        Field("compression", 104, ">B", UNKNOWN),
        Field("header-rest", 108, ">I", UNKNOWN),
    )
    yield from field_variants(directory, "qcow2", "qcow2", image, rows)
    old = base(directory, "compat=0.10")
    early = [row for row in rows if row.offset < 64 and row.name != "version"]
    yield from field_variants(directory, "qcow2-v2", "qcow2", old, early)


def _entries(directory: Path, image: Image) -> Iterator[Hostile]:
    l1, l2, top, block = tables(image)
    data = used_entry(image, l2)
    past = len(image.data)
    places = {
        "l1": (l1, (1, COPIED, COPIED | 512, past | COPIED, (1 << 64) - 1, 1 << 56 | l2, l2 + 512)),
        "l2": (data, (2, COPIED, past | COPIED, (1 << 64) - 1, 1 << 57 | 5 * CLUSTER, 1 << 55,
                      5 * CLUSTER + 512, COPIED | 1)),
        "top": (top, (0, 1, past, (1 << 64) - 1, block + 512, block | 1)),
    }  # fmt: skip
    for name, (offset, values) in places.items():
        for value in values:
            label = f"qcow2-{name}-entry-{value:x}"
            changed = image.copy().set(offset, ">Q", value)
            yield label, changed.save(directory / label), "qcow2", UNKNOWN
    for name, cluster in (("data", image.get(data, ">Q") & OFFSET), ("l2", l2), ("header", 0)):
        label = f"qcow2-refcount-of-{name}-is-0"
        changed = image.copy().set(block + 2 * (cluster // CLUSTER), ">H", 0)
        yield label, changed.save(directory / label), "qcow2", STRUCTURE
    changed = image.copy().set(36, ">I", 2).set(l1 + 8, ">Q", COPIED | l2)
    name = "qcow2-l1-entry-past-the-size"
    yield name, changed.save(directory / name), "qcow2", STRUCTURE
    old = base(directory, "compat=0.10")
    l2 = tables(old)[1]
    changed = old.copy().set(used_entry(old, l2), ">Q", old.get(used_entry(old, l2), ">Q") | 1)
    name = "qcow2-v2-zero-flag"
    yield name, changed.save(directory / name), "qcow2", STRUCTURE
    past_end = l2 + 8 * (-(-old.get(24, ">Q") // CLUSTER))
    changed = old.copy().set(past_end, ">Q", COPIED | len(old.data) - CLUSTER)
    name = "qcow2-entry-past-the-size"
    yield name, changed.save(directory / name), "qcow2", STRUCTURE


def _sharing(directory: Path, image: Image) -> Iterator[Hostile]:
    """Entries that point twice at the same bytes, with reference counts that agree."""
    l1, l2, top, block = tables(image)
    data = used_entry(image, l2)
    for name, target in (("l1", l1), ("l2", l2), ("top", top), ("block", block), ("header", 0)):
        if target:
            label = f"qcow2-data-is-{name}"
            changed = image.copy().set(data, ">Q", target)
            changed.set(block + 2 * (target // CLUSTER), ">H", 2)
            yield label, changed.save(directory / label), "qcow2", STRUCTURE
    cluster = image.get(data, ">Q") & OFFSET
    changed = image.copy()
    for place in range(l2, l2 + 16 * 8, 8):
        changed.set(place, ">Q", cluster)
    changed.set(block + 2 * (cluster // CLUSTER), ">H", 16)
    yield "qcow2-shared-data", changed.save(directory / "qcow2-shared-data"), "qcow2", _BOMB
    for count, counted in ((1024, 1), (1024, 1024)):
        # 512 KiB that read as 512 GiB: every L1 entry points at the one full L2 table.
        name = f"qcow2-shared-l2-{counted}"
        bomb = image.copy().set(24, ">Q", 512 << 30).set(36, ">I", count)
        for number in range(count):
            bomb.set(l1 + 8 * number, ">Q", l2 | (COPIED if counted == 1 else 0))
        for place in range(l2, l2 + CLUSTER, 8):
            bomb.set(place, ">Q", cluster)
        bomb.set(block + 2 * (l2 // CLUSTER), ">H", counted)
        bomb.set(block + 2 * (cluster // CLUSTER), ">H", counted)
        yield name, bomb.save(directory / name), "qcow2", _BOMB


def _compressed(directory: Path) -> Iterator[Hostile]:
    image = base(directory, "", "-c", size=2 << 20)
    l1, l2, _, block = tables(image)
    data = used_entry(image, l2, compressed=True)
    entry = image.get(data, ">Q")
    last = len(image.data)
    values = {
        "past": COMPRESSED | last,
        "far": COMPRESSED | (1 << 53),
        "max": (1 << 63) - 1,
        "copied": entry | COPIED,
        "in-header": COMPRESSED | 512,
        "in-l2": COMPRESSED | l2,
        "no-place": COMPRESSED,
    }
    for name, value in values.items():
        label = f"qcow2-compressed-{name}"
        changed = image.copy().set(data, ">Q", value)
        yield label, changed.save(directory / label), "qcow2", STRUCTURE
    for name, step in (("same", 0), ("overlapping", 1)):
        label = f"qcow2-compressed-{name}"
        bomb = image.copy()
        for number, place in enumerate(range(l2, l2 + 32 * 8, 8)):
            bomb.set(place, ">Q", entry + number * step)
        bomb.put(block, struct.pack(">H", 255) * (last // CLUSTER + 1))
        yield label, bomb.save(directory / label), "qcow2", _BOMB
    label = "qcow2-compressed-bomb"
    bomb = image.copy().set(24, ">Q", 512 << 30).set(36, ">I", 1024)
    for place in range(l2, l2 + CLUSTER, 8):
        bomb.set(place, ">Q", entry)
    for number in range(1024):
        bomb.set(l1 + 8 * number, ">Q", l2)
    bomb.put(block, struct.pack(">H", 65535) * (last // CLUSTER + 1))
    yield label, bomb.save(directory / label), "qcow2", _BOMB
    mixed = image.copy()
    mixed.set(data + 8, ">Q", (entry & 0x3FFFFFFFFFFF) // CLUSTER * CLUSTER | COPIED)
    label = "qcow2-plain-over-compressed"
    yield label, mixed.save(directory / label), "qcow2", STRUCTURE


def _names(directory: Path, image: Image) -> Iterator[Hostile]:
    """Backing and data files whose names lead to a canary, a network address or a device."""
    canary = directory / "canary"
    for number, pattern in enumerate(NAMES):
        name = pattern.format(canary=canary).encode()
        label = f"qcow2-backing-{number}"
        changed = image.copy().put(1024, name).set(8, ">QI", 1024, len(name))
        yield label, changed.save(directory / label), None, PARENT
        label = f"qcow2-data-file-{number}"
        changed = image.copy().set(72, ">Q", 4)
        changed.put(112, struct.pack(">II", 0x44415441, len(name)) + name.ljust(256, b"\0"))
        yield label, changed.save(directory / label), None, EXTERNAL
    label = "qcow2-backing-past-the-file"
    changed = image.copy().set(8, ">QI", len(image.data) + 512, 20)
    yield label, changed.save(directory / label), "qcow2", PARENT


def _extensions(directory: Path, image: Image) -> Iterator[Hostile]:
    def extension(kind: int, content: bytes, length: int | None = None) -> bytes:
        size = len(content) if length is None else length
        return struct.pack(">II", kind, size) + content + bytes(-len(content) % 8) + bytes(8)

    rows = {
        "backing-format": (extension(0xE2792ACA, b"raw"), PARENT),
        "data-file-without-bit": (extension(0x44415441, b"/etc/passwd"), EXTERNAL),
        "encryption": (extension(0x0537BE77, bytes(16)), _ENCRYPTED),
        "unknown": (extension(0x12345678, b"12345678"), UNKNOWN),
        "bitmaps-stale": (extension(0x23852875, bytes(24)), UNKNOWN),
        "features-odd": (extension(0x6803F857, b"12345678"), STRUCTURE),
        "length-max": (extension(0x6803F857, b"", 0xFFFFFFFF), STRUCTURE),
        "length-past": (extension(0x6803F857, b"", CLUSTER), STRUCTURE),
        "end-with-length": (extension(0, b"", 8), STRUCTURE),
    }
    for name, (added, reasons) in rows.items():
        label = f"qcow2-extension-{name}"
        changed = image.copy().put(112, added)
        yield label, changed.save(directory / label), "qcow2", reasons
    endless = image.copy().put(112, struct.pack(">II", 0x6803F857, 0) * ((CLUSTER - 112) // 8))
    label = "qcow2-extension-endless"
    yield label, endless.save(directory / label), "qcow2", STRUCTURE


def _tools(directory: Path) -> Iterator[Hostile]:
    """Files as the real tool makes them: snapshots, encryption, backing and data files."""
    path = directory / "qcow2-snapshot"
    tool("create", "-q", "-f", "qcow2", path, "4M")
    writes(path, "qcow2", seed=1, limit=4 << 20)
    tool("snapshot", "-c", "secret", path)
    yield path.name, path, "qcow2", _SNAPSHOTS
    secret = ("--object", "secret,id=s,data=passphrase")
    path = directory / "qcow2-aes"
    options = "encrypt.format=aes,encrypt.key-secret=s"
    tool("create", "-q", *secret, "-f", "qcow2", "-o", options, path, "4M")
    yield path.name, path, "qcow2", _ENCRYPTED
    for version, claim in ((1, None), (2, "raw"), (2, "qcow2")):
        path = directory / f"luks-{version}-as-{claim}"
        volume = Image(b"LUKS\xba\xbe" + struct.pack(">H", version) + bytes(1 << 20))
        yield path.name, volume.save(path), claim, _ENCRYPTED | MISMATCH
    canary = directory / "canary-disk"
    tool("create", "-q", "-f", "raw", canary, "4M")
    for backing in ("raw", "qcow2"):
        path = directory / f"qcow2-child-of-{backing}"
        tool("create", "-q", "-f", "qcow2", "-u", "-b", canary, "-F", backing, path, "4M")
        yield path.name, path, "qcow2", PARENT
    for raw in ("on", "off"):
        path = directory / f"qcow2-external-{raw}"
        options = f"data_file={canary},data_file_raw={raw}"
        tool("create", "-q", "-f", "qcow2", "-o", options, path, "4M")
        yield path.name, path, "qcow2", EXTERNAL
    for mark in (1, 2):
        path = directory / f"qcow2-mark-{mark}"
        changed = base(directory).set(72, ">Q", mark)
        yield path.name, changed.save(path), "qcow2", STRUCTURE
    extended = base(directory, "extended_l2=on")
    l2 = tables(extended)[1]
    for name, value in (("both", (1 << 64) - 1), ("zero-and-data", 1 << 32 | 0xFFFFFFFF)):
        path = directory / f"qcow2-subclusters-{name}"
        place = next(p for p in range(l2, l2 + CLUSTER, 16) if extended.get(p, ">Q"))
        changed = extended.copy().set(place + 8, ">Q", value)
        yield path.name, changed.save(path), "qcow2", STRUCTURE
    path = directory / "qcow2-subclusters-of-nothing"
    place = next(p for p in range(l2, l2 + CLUSTER, 16) if not extended.get(p, ">Q"))
    changed = extended.copy().set(place + 8, ">Q", 1)
    yield path.name, changed.save(path), "qcow2", STRUCTURE


def _bitmaps(directory: Path) -> Iterator[Hostile]:
    path = directory / "bitmaps"
    tool("create", "-q", "-f", "qcow2", path, "64M")
    tool("bitmap", "--add", path, "one")
    image = Image(path.read_bytes())
    path.unlink()
    place = image.data.index(struct.pack(">II", 0x23852875, 24)) + 8
    directory_at = image.get(place + 16, ">Q")
    rows = (
        Field("count", place, ">I", UNKNOWN),
        Field("reserved", place + 4, ">I", UNKNOWN),
        Field("directory-size", place + 8, ">Q", UNKNOWN),
        Field("directory-offset", place + 16, ">Q", UNKNOWN),
        Field("table-offset", directory_at, ">Q", UNKNOWN, more=(CLUSTER, directory_at)),
        Field("table-size", directory_at + 8, ">I", UNKNOWN),
        Field("flags", directory_at + 12, ">I", UNKNOWN, harmless=(0, 1), more=(8,)),
        Field("kind", directory_at + 16, ">B", UNKNOWN),
        Field("granularity", directory_at + 17, ">B", UNKNOWN, more=(8, 32)),
        Field("name-size", directory_at + 18, ">H", UNKNOWN, harmless=(1,)),
        Field("extra-size", directory_at + 20, ">I", UNKNOWN),
    )
    yield from field_variants(directory, "qcow2-bitmap", "qcow2", image, rows)
    table = image.get(directory_at, ">Q")
    for value in (2, 512, CLUSTER, len(image.data) + CLUSTER, (1 << 64) - 1):
        label = f"qcow2-bitmap-entry-{value:x}"
        changed = image.copy().set(table, ">Q", value)
        yield label, changed.save(directory / label), "qcow2", UNKNOWN
    changed = image.copy().set(88, ">Q", 0)
    yield "qcow2-bitmap-stale", changed.save(directory / "qcow2-bitmap-stale"), "qcow2", UNKNOWN
