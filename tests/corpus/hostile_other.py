# SPDX-License-Identifier: Apache-2.0
"""Hostile VDI, QED, qcow (version 1), ISO and raw files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from calotype.errors import Reason
from tests.corpus import build
from tests.corpus.honest import content, tool
from tests.corpus.image import (
    AMBIGUOUS,
    ANY_SIZE,
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

_BOMB = STRUCTURE | {Reason.EXPANSION_LIMIT}


def converted(directory: Path, driver: str, *arguments: str) -> Image:
    """Return an honest image of a format."""
    source = content(directory / "other-source", 3 << 20, seed=41)
    path = directory / "other-base"
    # The version 1 writer ends with code 1 after it has written a compressed image completely.
    tool("convert", "-f", "raw", *arguments, "-O", driver, source, path, accept=(0, 1))
    data = path.read_bytes()
    source.unlink()
    path.unlink()
    return Image(data)


def files(directory: Path) -> Iterator[Hostile]:
    """Yield the hostile files of these formats."""
    yield from _vdi(directory)
    yield from _qed(directory)
    yield from _qcow(directory)
    yield from _iso(directory)
    yield from _raw(directory)


def _vdi(directory: Path) -> Iterator[Hostile]:
    image = converted(directory, "vdi")
    yield from truncations(directory, "vdi", "vdi", image)
    last = len(image.data)
    rows = (
        Field("version", 68, "<I", UNKNOWN),
        Field("header-size", 72, "<I", UNKNOWN),
        Field("type", 76, "<I", UNKNOWN | PARENT, harmless=(2,), more=(3, 4, 5)),
        Field("map-offset", 340, "<I", STRUCTURE, more=(511, 1 << 20)),
        Field("data-offset", 344, "<I", STRUCTURE, more=(512, 1025, last)),
        Field("sector", 360, "<I", UNKNOWN, more=(4096,)),
        Field("size", 368, "<Q", ANY_SIZE, harmless=(last,), more=(1 << 41, (1 << 41) + 512)),
        Field("block", 376, "<I", UNKNOWN, more=(1 << 16, 1 << 21)),
        Field("extra", 380, "<I", UNKNOWN),
        Field("blocks", 384, "<I", STRUCTURE, more=(2, 4, 1 << 29)),
        Field("allocated", 388, "<I", STRUCTURE, more=(2,)),
        Field("link", 424, "<I", PARENT),
        Field("parent", 440, "<I", PARENT),
    )
    yield from field_variants(directory, "vdi", "vdi", image, rows)
    table = image.get(340, "<I")
    for value in (3, 100, 0xFFFFFFFD, 0x7FFFFFFF, 0xFFFFFFFF, 1):
        label = f"vdi-entry-{value:x}"
        changed = image.copy().set(table, "<I", value)
        yield label, changed.save(directory / label), "vdi", STRUCTURE
    static = converted(directory, "vdi", "-o", "static=on").set(table, "<I", 0xFFFFFFFF)
    yield "vdi-static-hole", static.save(directory / "vdi-static-hole"), "vdi", STRUCTURE


def _qed(directory: Path) -> Iterator[Hostile]:
    image = converted(directory, "qed")
    yield from truncations(directory, "qed", "qed", image)
    last = len(image.data)
    rows = (
        Field("cluster", 4, "<I", STRUCTURE, more=(2048, 65537, 1 << 27)),
        Field("table", 8, "<I", STRUCTURE, harmless=(1,), more=(3, 8, 16, 32)),
        Field("header", 12, "<I", STRUCTURE, more=(2,)),
        Field("features", 16, "<Q", UNKNOWN | PARENT, more=(2, 4, 8, 1 << 63)),
        Field("compatible", 24, "<Q", UNKNOWN),
        Field("auto", 32, "<Q", UNKNOWN),
        Field("l1", 40, "<Q", STRUCTURE, more=(512, 1 << 63, last & -65536)),
        Field("size", 48, "<Q", ANY_SIZE, unit=512, more=((1 << 41) + 512, 1 << 50)),
        Field("backing-offset", 56, "<I", PARENT),
        Field("backing-size", 60, "<I", PARENT),
    )
    for row in field_variants(directory, "qed", "qed", image, rows):
        # A disk a few sectors longer or shorter within the same cluster is another honest disk.
        if row[0] not in (f"qed-size-{last // 512:x}", f"qed-size-{last // 512 + 1:x}"):
            yield row
    l1 = image.get(40, "<Q")
    l2 = image.get(l1, "<Q")
    data = next(p for p in range(l2, l2 + 8 * 48, 8) if image.get(p, "<Q") > 1)
    for name, place in (("l1", l1), ("l2", data)):
        for value in (2, 512, 65536 * 10_000, l1, l2, (1 << 64) - 1, (1 << 64) - 65536):
            label = f"qed-{name}-entry-{value:x}"
            if value != image.get(place, "<Q"):
                changed = image.copy().set(place, "<Q", value)
                yield label, changed.save(directory / label), "qed", STRUCTURE
    shared = image.copy()
    for place in range(l2, l2 + 8 * 48, 8):
        shared.set(place, "<Q", image.get(data, "<Q"))
    yield "qed-shared", shared.save(directory / "qed-shared"), "qed", _BOMB
    past = image.copy().set(l2 + 8 * 48, "<Q", last & -65536)
    yield "qed-past", past.save(directory / "qed-past"), "qed", STRUCTURE
    second = image.copy().set(l1 + 8, "<Q", l2)
    yield "qed-l1-past", second.save(directory / "qed-l1-past"), "qed", STRUCTURE
    for name, backing in (
        ("named", ("-b", "canary", "-F", "qed")),
        ("raw", ("-b", "c", "-F", "raw")),
    ):
        path = directory / f"qed-child-{name}"
        tool("create", "-q", "-f", "qed", "-u", *backing, path, "4M")
        yield path.name, path, "qed", PARENT


def _qcow(directory: Path) -> Iterator[Hostile]:
    image = converted(directory, "qcow")
    yield from truncations(directory, "qcow", "qcow", image)
    last = len(image.data)
    rows = (
        Field("version", 4, ">I", UNKNOWN | MISMATCH, more=(2, 3)),
        Field("backing-offset", 8, ">Q", PARENT),
        Field("backing-size", 16, ">I", PARENT),
        Field("size", 24, ">Q", ANY_SIZE, unit=512, more=(1 << 41, (1 << 41) + 512, 1 << 50)),
        Field("cluster-bits", 32, ">B", STRUCTURE, more=(8, 16, 17)),
        Field("l2-bits", 33, ">B", STRUCTURE, more=(5, 14)),
        Field("padding", 34, ">H", STRUCTURE),
        Field("encryption", 36, ">I", {Reason.ENCRYPTED}),
        Field("l1", 40, ">Q", STRUCTURE, more=(1 << 63,)),
    )
    short = (f"qcow-size-{last // 512:x}", f"qcow-size-{last // 512 + 1:x}")
    for row in field_variants(directory, "qcow", "qcow", image, rows):
        if row[0] not in short:
            yield row
    l1 = image.get(40, ">Q")
    place = next(p for p in range(l1, l1 + 16, 8) if image.get(p, ">Q"))
    l2 = image.get(place, ">Q")
    data = next(p for p in range(l2, l2 + 4096, 8) if image.get(p, ">Q"))
    for name, where in (("l1", place), ("l2", data)):
        for value in (1, 48, last + 4096, l2, 1 << 62, (1 << 64) - 1, 1 << 63 | 48, 1 << 63):
            if value != image.get(where, ">Q"):
                label = f"qcow-{name}-entry-{value:x}"
                changed = image.copy().set(where, ">Q", value)
                yield label, changed.save(directory / label), "qcow", STRUCTURE
    packed = converted(directory, "qcow", "-c")
    l1 = packed.get(40, ">Q")
    l2 = next(e for e in (packed.get(p, ">Q") for p in range(l1, l1 + 16, 8)) if e)
    first = next(p for p in range(l2, l2 + 4096, 8) if packed.get(p, ">Q") >> 63)
    for number, step in enumerate((0, 1)):
        label = f"qcow-compressed-{('same', 'overlapping')[number]}"
        bomb = packed.copy()
        for count, where in enumerate(range(l2, l2 + 4096, 8)):
            bomb.set(where, ">Q", packed.get(first, ">Q") + count * step)
        yield label, bomb.save(directory / label), "qcow", _BOMB
    path = directory / "qcow-child"
    tool("create", "-q", "-f", "qcow", "-u", "-b", "canary", "-F", "raw", path, "4M")
    yield path.name, path, "qcow", PARENT
    path = directory / "qcow-encrypted"
    secret = ("--object", "secret,id=s,data=passphrase")
    options = "encrypt.format=aes,encrypt.key-secret=s"
    tool("create", "-q", *secret, "-f", "qcow", "-o", options, path, "4M")
    yield path.name, path, "qcow", frozenset({Reason.ENCRYPTED})


def _iso(directory: Path) -> Iterator[Hostile]:
    image = Image(build.iso())
    first = 16 * 2048
    rows = (
        Field("kind", first, "<B", UNKNOWN, more=(2, 255)),
        Field("version", first + 6, "<B", UNKNOWN),
        Field("size-little", first + 80, "<I", STRUCTURE, unit=2048),
        Field("size-big", first + 84, ">I", STRUCTURE, unit=2048),
        Field("block-little", first + 128, "<H", UNKNOWN),
        Field("root-length", first + 156, "<B", STRUCTURE),
        Field("root-place", first + 158, "<I", STRUCTURE, unit=2048),
        Field("root-flags", first + 181, "<B", STRUCTURE, harmless=(255, 127)),
        Field("path-size", first + 132, "<I", STRUCTURE),
        Field("path-place", first + 140, "<I", STRUCTURE, unit=2048),
        Field("structure", first + 881, "<B", UNKNOWN),
        Field("end-kind", first + 2048, "<B", UNKNOWN, harmless=()),
        Field("end-signature", first + 2049, "<B", UNKNOWN),
    )
    yield from field_variants(directory, "iso", "iso", image, rows)
    for value in (0, 17, 41, 0xFFFFFFFF):
        label = f"iso-size-{value:x}"
        changed = image.copy().set(first + 80, "<I", value).set(first + 84, ">I", value)
        if value != 17:
            yield label, changed.save(directory / label), "iso", STRUCTURE
    for number, size in enumerate((33_000, 34_816, 50_000, 80_000)):
        label = f"iso-cut-{number}"
        path = save(directory / label, image.bytes()[:size])
        yield label, path, "iso", STRUCTURE


def _raw(directory: Path) -> Iterator[Hostile]:
    empty = frozenset({Reason.EMPTY})
    for claim in (None, "raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "qed", "qcow", "iso", "ami"):
        label = f"empty-as-{claim}"
        yield label, save(directory / label, b""), claim, empty
    hybrid = build.gpt_disk(1 << 20, hybrid=True)
    yield "raw-hybrid-gpt", save(directory / "raw-hybrid-gpt", hybrid), "raw", AMBIGUOUS
    large = directory / "raw-too-large"
    yield (
        large.name,
        save(large, b"x", size=(2048 << 30) + 512),
        "raw",
        frozenset({Reason.SIZE_LIMIT}),
    )
    streams = {
        "gzip": b"\x1f\x8b\x08\0",
        "xz": b"\xfd7zXZ\0",
        "zstd": b"\x28\xb5\x2f\xfd",
        "bzip2": b"BZh91AY&SY",
        "zip": b"PK\x03\x04",
        "7z": b"7z\xbc\xaf\x27\x1c",
        "bochs": b"Bochs Virtual HD Image",
        "cloop": b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660",
        "cow": b"OOOM\0\0\0\2/etc/passwd",
        "parallels": b"WithoutFreeSpace",
        "parallels-2": b"WithouFreSpacExt",
    }
    for name, magic in streams.items():
        for claim in (None, "raw", "qcow2"):
            label = f"{name}-as-{claim}"
            path = save(directory / label, magic + bytes(4096))
            yield label, path, claim, MISMATCH | UNKNOWN
    label = "dmg-as-raw"
    yield label, save(directory / label, bytes(4096) + b"koly" + bytes(508)), "raw", MISMATCH
