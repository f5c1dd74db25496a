# SPDX-License-Identifier: Apache-2.0
"""Hostile VHD and VHDX files; checksums are mended, so that the field itself must be judged."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from calotype.disks.families.vhdx_metadata import crc32c
from tests.corpus.honest import content, tool
from tests.corpus.image import (
    ANY_SIZE,
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

_MIB = 1 << 20
_UNCLEAN = STRUCTURE


def _sum(data: bytes | bytearray) -> int:
    return ~sum(data) & 0xFFFFFFFF


def mend_vhd(data: bytearray) -> None:
    """Renew the checksums of the footer, its copy and the dynamic header."""
    end = len(data) - 512
    places = [(end, 512, 64)]
    if data[end + 60 : end + 64] != b"\0\0\0\2":
        data[0:512] = data[end:]
        places.append((0, 512, 64))
        offset = int.from_bytes(data[16:24], "big")
        if data[offset : offset + 8] == b"cxsparse":
            places.append((offset, 1024, 36))
    for start, length, place in places:
        data[start + place : start + place + 4] = bytes(4)
        struct.pack_into(">I", data, start + place, _sum(data[start : start + length]))


def vhd(directory: Path, options: str) -> Image:
    """Return an honest VHD."""
    source = content(directory / "vhd-source", 3 * _MIB, seed=31)
    path = directory / "vhd-base"
    tool("convert", "-f", "raw", "-O", "vpc", "-o", options, source, path)
    data = path.read_bytes()
    source.unlink()
    path.unlink()
    return Image(data, mend_vhd)


def files(directory: Path) -> Iterator[Hostile]:
    """Yield all hostile VHD and VHDX files."""
    dynamic = vhd(directory, "force_size=on")
    fixed = vhd(directory, "subformat=fixed,force_size=on")
    for name, image in (("vhd", dynamic), ("vhd-fixed", fixed)):
        yield from _footer(directory, name, image)
        yield from truncations(directory, name, "vhd", image)
    yield from _dynamic(directory, dynamic)
    yield from _copies(directory, dynamic, fixed)
    yield from _vhdx(directory)


def _footer(directory: Path, name: str, image: Image) -> Iterator[Hostile]:
    end = len(image.data) - 512
    dynamic = name == "vhd"
    # A shorter dynamic disk is only refused where blocks lie past its end.
    sizes = (len(image.data),) if dynamic else ()
    rows = (
        Field("features", end + 8, ">I", UNKNOWN, harmless=(0, 1, 3), more=(4,)),
        Field("version", end + 12, ">I", UNKNOWN),
        Field("data-offset", end + 16, ">Q", STRUCTURE, more=(1024, 1536)),
        Field("size", end + 48, ">Q", ANY_SIZE, harmless=sizes, more=(1 << 41, (1 << 41) + 512)),
        Field(
            "geometry",
            end + 56,
            ">I",
            STRUCTURE,
            harmless=(0, 1, *range(len(image.data), len(image.data) + 2)),
            more=(0xFFFF1000 | 254,),
        ),
        Field("type", end + 60, ">I", UNKNOWN | PARENT, more=(4, 5, 6)),
        Field("saved", end + 84, ">B", STRUCTURE),
        Field("reserved", end + 200, ">I", UNKNOWN),
    )
    yield from field_variants(directory, name, "vhd", image, rows)
    for part, offset in (("checksum", end + 64), ("body", end + 30)):
        broken = Image(image.bytes()).set(offset, ">I", image.get(offset, ">I") ^ 1)
        if dynamic:
            broken.put(0, bytes(broken.data[end:]))
        label = f"{name}-broken-{part}"
        yield label, broken.save(directory / label), "vhd", STRUCTURE


def _dynamic(directory: Path, image: Image) -> Iterator[Hostile]:
    rows = (
        Field("next", 512 + 8, ">Q", STRUCTURE),
        Field("table", 512 + 16, ">Q", STRUCTURE, more=(512, 1024, 1 << 40, len(image.data) - 512)),
        Field("header-version", 512 + 24, ">I", UNKNOWN),
        Field("entries", 512 + 28, ">I", STRUCTURE, more=(1 << 24,)),
        Field("block", 512 + 32, ">I", STRUCTURE, more=(3, 256, 1 << 20, 3 << 20, 1 << 29)),
        Field("parent-id", 512 + 40, ">I", PARENT),
        Field("parent-time", 512 + 56, ">I", PARENT),
        Field("parent-name", 512 + 64, ">I", PARENT),
        Field("locator", 512 + 576, ">I", PARENT),
        Field("dynamic-cookie", 512, ">I", STRUCTURE),
    )
    yield from field_variants(directory, "vhd", "vhd", image, rows)
    broken = Image(image.bytes()).set(512 + 36, ">I", 1)
    label = "vhd-broken-dynamic-checksum"
    yield label, broken.save(directory / label), "vhd", STRUCTURE
    table = image.get(512 + 16, ">Q")
    first = next(p for p in range(table, table + 8, 4) if image.get(p, ">I") != 0xFFFFFFFF)
    place = image.get(first, ">I")
    past = len(image.data) // 512
    for value in (0, 1, 2, table // 512, past, past - 10, 0xFFFFFFFE, place + 1):
        label = f"vhd-entry-{value:x}"
        changed = image.copy().set(first, ">I", value)
        yield label, changed.save(directory / label), "vhd", STRUCTURE
    shared = image.copy().set(table, ">I", place).set(table + 4, ">I", place)
    yield "vhd-shared-block", shared.save(directory / "vhd-shared-block"), "vhd", STRUCTURE


def _copies(directory: Path, dynamic: Image, fixed: Image) -> Iterator[Hostile]:
    """Footers that disagree, are missing, or belong to another kind of disk."""
    other = Image(dynamic.bytes()).set(24, ">I", 1)
    struct.pack_into(">I", other.data, 64, 0)
    struct.pack_into(">I", other.data, 64, _sum(bytes(other.data[:512])))
    yield "vhd-copies-differ", other.save(directory / "vhd-copies-differ"), "vhd", STRUCTURE
    label = "vhd-no-end"
    cut = Image(dynamic.bytes()[:-512])
    yield label, cut.save(directory / label), "vhd", STRUCTURE
    label = "vhd-start-only"
    wrong = Image(dynamic.bytes()).put(len(dynamic.data) - 512, bytes(512))
    yield label, wrong.save(directory / label), "vhd", STRUCTURE
    label = "vhd-end-only"
    wrong = Image(dynamic.bytes()).put(0, bytes(512))
    yield label, wrong.save(directory / label), "vhd", STRUCTURE
    label = "vhd-fixed-with-start"
    wrong = Image(fixed.bytes()).put(0, fixed.bytes()[-512:])
    yield label, wrong.save(directory / label), "vhd", STRUCTURE
    label = "vhd-fixed-longer"
    wrong = Image(bytes(4096) + fixed.bytes())
    yield label, wrong.save(directory / label), "vhd", STRUCTURE
    label = "vhd-old-footer"
    wrong = Image(fixed.bytes()[:-1])
    yield label, wrong.save(directory / label), "vhd", STRUCTURE
    for claim in ("raw", "ami"):
        label = f"vhd-fixed-as-{claim}"
        yield label, fixed.save(directory / label), claim, MISMATCH


@lru_cache(maxsize=64)
def _checksum(body: bytes) -> int:
    return crc32c(body)


def mend_vhdx(data: bytearray) -> None:
    """Renew the checksums of both headers and both region tables."""
    for start, length in ((1 << 16, 4096), (2 << 16, 4096), (3 << 16, 1 << 16), (4 << 16, 1 << 16)):
        data[start + 4 : start + 8] = bytes(4)
        body = bytes(data[start : start + length])
        struct.pack_into("<I", data, start + 4, _checksum(body))


def vhdx(directory: Path, options: str = "block_size=1M") -> Image:
    """Return an honest VHDX."""
    source = content(directory / "vhdx-source", 3 * _MIB, seed=32)
    path = directory / "vhdx-base"
    tool("convert", "-f", "raw", "-O", "vhdx", "-o", options, source, path)
    data = path.read_bytes()
    source.unlink()
    path.unlink()
    return Image(data, mend_vhdx)


_BAT = bytes.fromhex("6677c22d23f600429d64115e9bfd4a08")
_PARENT_LOCATOR = bytes.fromhex("2d5fd3a80bb34d45abf7d3d84834ab0c")


def _vhdx(directory: Path) -> Iterator[Hostile]:
    image = vhdx(directory)
    yield from truncations(directory, "vhdx", "vhdx", image)
    first, second = image.get((1 << 16) + 8, "<Q"), image.get((2 << 16) + 8, "<Q")
    head = (1 << 16) if first > second else (2 << 16)
    rows = (
        Field("signature", head, "<I", STRUCTURE),
        Field("sequence", head + 8, "<Q", STRUCTURE, harmless=range(1 << 20), more=()),
        Field("log-id", head + 48, "<I", _UNCLEAN),
        Field("log-version", head + 64, "<H", UNKNOWN),
        Field("version", head + 66, "<H", UNKNOWN),
        Field("log-length", head + 68, "<I", STRUCTURE, more=(4096, 1 << 31)),
        Field("log-offset", head + 72, "<Q", STRUCTURE, more=(4096, 1 << 50, 1 << 62)),
    )
    for name, changed_path, claim, reasons in field_variants(
        directory, "vhdx", "vhdx", image, rows
    ):
        if not name.startswith("vhdx-sequence"):
            yield name, changed_path, claim, reasons
    label = "vhdx-same-sequence"
    same = image.copy().set((1 << 16) + 8, "<Q", 9).set((2 << 16) + 8, "<Q", 9)
    yield label, same.save(directory / label), "vhdx", STRUCTURE
    for number, place in enumerate(((1 << 16) + 4, (2 << 16) + 4, (3 << 16) + 4, (4 << 16) + 4)):
        label = f"vhdx-broken-checksum-{number}"
        broken = Image(image.bytes()).set(place, "<I", image.get(place, "<I") ^ 1)
        yield label, broken.save(directory / label), "vhdx", STRUCTURE
    yield from _regions(directory, image)
    yield from _metadata(directory, image)
    yield from _blocks(directory, image)


def _both_tables(image: Image, offset: int, code: str, value: int | bytes) -> Image:
    """Set a field in both region tables of a copy."""
    changed = image.copy()
    for table in (3 << 16, 4 << 16):
        changed.set(table + offset, code, value)
    return changed


def _regions(directory: Path, image: Image) -> Iterator[Hostile]:
    table, past = 3 << 16, len(image.data)
    rows = {
        "signature": (0, "<I", (0, 1)),
        "count": (8, "<I", (0, 1, 3, 2047, 2048, 0xFFFFFFFF)),
        "first-kind": (16, "<I", (0, 1)),
        "first-offset": (32, "<Q", (0, 1, past, 1 << 20, 1 << 50, (1 << 64) - 1, (1 << 64) - _MIB)),
        "first-length": (40, "<I", (0, 1, 4096, 0xFFFFFFFF, 0xFFF00000)),
        "second-offset": (64, "<Q", (0, 1, past, 1 << 20, 1 << 50)),
        "second-length": (72, "<I", (0, 1, 0xFFF00000)),
        "required": (44, "<I", (2, 0xFFFFFFFF)),
    }
    for name, (offset, code, values) in rows.items():
        for value in values:
            label = f"vhdx-region-{name}-{value:x}"
            changed = _both_tables(image, offset, code, value)
            yield label, changed.save(directory / label), "vhdx", UNKNOWN
    other = bytes(image.data[table + 16 : table + 32])
    label = "vhdx-region-twice"
    changed = _both_tables(image, 48, "16s", other)
    yield label, changed.save(directory / label), "vhdx", UNKNOWN
    label = "vhdx-regions-differ"
    changed = image.copy().set((4 << 16) + 44, "<I", 1 - image.get((4 << 16) + 44, "<I"))
    yield label, changed.save(directory / label), "vhdx", STRUCTURE


def _places(image: Image) -> tuple[int, int]:
    """Return where the allocation table and the metadata region lie."""
    table = 3 << 16
    found = {
        bytes(image.data[place : place + 16]): image.get(place + 16, "<Q")
        for place in (table + 16, table + 48)
    }
    bat = found.pop(_BAT)
    return bat, next(iter(found.values()))


def _metadata(directory: Path, image: Image) -> Iterator[Hostile]:
    _, region = _places(image)
    past = len(image.data)
    rows = [
        Field("metadata-signature", region, "<I", STRUCTURE),
        Field("metadata-count", region + 10, "<H", UNKNOWN, more=(4, 6, 2047, 2048)),
    ]
    values = {
        b"\x37\x67": ("parameters", ("<I", "<I"), ANY_SIZE | UNKNOWN | PARENT),
        b"\x24\x42": ("disk-size", ("<Q",), ANY_SIZE | UNKNOWN),
        b"\x1d\xbf": ("logical", ("<I",), STRUCTURE),
        b"\xc7\x48": ("physical", ("<I",), STRUCTURE),
    }
    for number in range(5):
        entry = region + 32 + 32 * number
        rows += [
            Field(f"item-{number}-kind", entry, "<I", UNKNOWN),
            Field(f"item-{number}-offset", entry + 16, "<I", STRUCTURE, more=(65536 + 4, 1 << 20)),
            Field(f"item-{number}-length", entry + 20, "<I", STRUCTURE),
            Field(f"item-{number}-flags", entry + 24, "<I", UNKNOWN, harmless=(0, 1)),
        ]
        known = values.get(bytes(image.data[entry : entry + 2]))
        if known:
            name, codes, reasons = known
            place = region + image.get(entry + 16, "<I")
            for position, code in enumerate(codes):
                label = f"{name}-{position}"
                # The file's length as the disk's size is a larger, honest disk.
                harmless = (0, 1) if label == "parameters-1" else (past,)
                more = (2, 3, 4, 3 << 20, 1 << 41, (1 << 41) + 512, 1 << 46, 1 << 62)
                rows.append(Field(label, place + 4 * position, code, reasons,
                                  harmless=harmless, more=more))  # fmt: skip
    yield from field_variants(directory, "vhdx", "vhdx", image, rows)
    entry = region + 32 + 32 * 5
    linked = image.copy().set(region + 10, "<H", 6)
    linked.put(entry, _PARENT_LOCATOR + struct.pack("<IIII", 65536 + 4096, 64, 4, 0))
    yield "vhdx-parent", linked.save(directory / "vhdx-parent"), "vhdx", PARENT
    label = "vhdx-item-twice"
    twice = image.copy().set(region + 10, "<H", 6)
    twice.put(entry, bytes(image.data[region + 32 : region + 64]))
    yield label, twice.save(directory / label), "vhdx", STRUCTURE


def _blocks(directory: Path, image: Image) -> Iterator[Hostile]:
    bat, _ = _places(image)
    used = next(p for p in range(bat, bat + 24, 8) if image.get(p, "<Q") & 7 == 6)
    entry = image.get(used, "<Q")
    past = -(-len(image.data) // _MIB)
    rows = {
        "partial": (entry & ~7 | 7, PARENT | STRUCTURE),
        "state-4": (entry & ~7 | 4, STRUCTURE),
        "state-5": (entry & ~7 | 5, STRUCTURE),
        "reserved": (entry | 8, STRUCTURE),
        "at-0": (6, STRUCTURE),
        "in-log": (1 << 20 | 6, STRUCTURE),
        "in-table": (bat // _MIB << 20 | 6, STRUCTURE),
        "past": (past << 20 | 6, STRUCTURE),
        "far": (1 << 62 | 6, STRUCTURE),
        "max": ((1 << 64) - 1, STRUCTURE | PARENT),
        "unmapped-past": (past << 20 | 3, STRUCTURE),
    }
    for name, (value, reasons) in rows.items():
        label = f"vhdx-block-{name}"
        changed = image.copy().set(used, "<Q", value)
        yield label, changed.save(directory / label), "vhdx", reasons
    shared = image.copy()
    for place in range(bat, bat + 24, 8):
        shared.set(place, "<Q", entry)
    yield "vhdx-shared-block", shared.save(directory / "vhdx-shared-block"), "vhdx", STRUCTURE
    # 2^23 * 512 / 2^20 = 4096 blocks to a sector bitmap entry; a disk of 5 GiB reaches the first.
    path = directory / "vhdx-large"
    tool("create", "-q", "-f", "vhdx", "-o", "block_size=1M", path, "5G")
    large = Image(path.read_bytes(), mend_vhdx)
    path.unlink()
    bat, _ = _places(large)
    label = "vhdx-sector-bitmap"
    large.set(bat + 8 * 4096, "<Q", 6 << 20 | 6)
    yield label, large.save(directory / label), "vhdx", PARENT | STRUCTURE
