# SPDX-License-Identifier: Apache-2.0
"""Files that could be taken for two formats, and files that are not what is claimed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

from tests.corpus import build, hostile_qcow2, hostile_vhd, hostile_vmdk
from tests.corpus.hostile_other import converted
from tests.corpus.image import AMBIGUOUS, MISMATCH, Hostile, Image, save

_WORDS = ("raw", "qcow2", "qcow", "vmdk", "vhd", "vhdx", "vdi", "qed", "iso", "ova")
_OPAQUE = ("ami", "aki", "ari", "ploop")
_TEXT = b'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="custom"\n'
# A stamp that ends the text of a descriptor, or that takes the place of the footer.
_COVERED = (("text", "vdi"), ("text", "ova"), ("vhd-fixed", "dmg"))
_EXTENT = b'RW 8 FLAT "/etc/passwd" 0\n'


def bases(directory: Path) -> dict[str, bytes]:
    """Return one honest file of each format."""
    return {
        "qcow2": hostile_qcow2.base(directory).bytes(),
        "qcow": converted(directory, "qcow").bytes(),
        "vmdk": hostile_vmdk.base(directory).bytes(),
        "vhd": hostile_vhd.vhd(directory, "force_size=on").bytes(),
        "vhd-fixed": hostile_vhd.vhd(directory, "subformat=fixed,force_size=on").bytes(),
        "vhdx": hostile_vhd.vhdx(directory).bytes(),
        "vdi": converted(directory, "vdi").bytes(),
        "qed": converted(directory, "qed").bytes(),
        "iso": build.iso(),
    }


def _stamp_vdi(data: bytes) -> bytes:
    return data[:0x40] + b"\x7f\x10\xda\xbe" + data[0x44:]


def _stamp_iso(data: bytes) -> bytes:
    volume = build.iso()
    longer = data.ljust(len(volume), b"\0")
    return longer[:0x8000] + volume[0x8000:0x9000] + longer[0x9000:]


def _stamp_vhd(data: bytes) -> bytes:
    size = -(-len(data) // 512) * 512
    footer = Image(bytes(512)).put(0, b"conectix").set(8, ">IIQ", 2, 0x10000, (1 << 64) - 1)
    footer.set(40, ">QQ", size, size).set(60, ">I", 2)
    footer.set(64, ">I", ~sum(footer.data) & 0xFFFFFFFF)
    return data.ljust(size, b"\0") + bytes(footer.data)


def _stamp_tar(data: bytes) -> bytes:
    return data[:257] + b"ustar\0" + b"00" + data[265:]


def _stamp_dmg(data: bytes) -> bytes:
    return data + b"koly".ljust(512, b"\0")


_STAMPS: dict[str, Callable[[bytes], bytes]] = {
    "vdi": _stamp_vdi,
    "iso": _stamp_iso,
    "vhd": _stamp_vhd,
    "ova": _stamp_tar,
    "dmg": _stamp_dmg,
}


def files(directory: Path) -> Iterator[Hostile]:
    """Yield polyglots of every pair that can lie in one file, and false claims of every kind."""
    images = bases(directory)
    yield from _pairs(directory, images)
    yield from _nested(directory, images)
    yield from _claims(directory, images)


def _pairs(directory: Path, images: dict[str, bytes]) -> Iterator[Hostile]:
    starts = {
        **images,
        "luks": b"LUKS\xba\xbe\0\1" + bytes(5000),
        "gzip": b"\x1f\x8b\x08\0" + bytes(5000),
        "parallels": b"WithoutFreeSpace" + bytes(5000),
        "text": _TEXT + _EXTENT + bytes(5000),
    }
    for first, data in starts.items():
        for second, stamp in _STAMPS.items():
            if first.split("-")[0] == second or (first, second) in _COVERED:
                continue
            mixed = stamp(data)
            for claim in (first.split("-")[0], second, "raw", None, "ami"):
                if claim is None or claim in (*_WORDS, *_OPAQUE):
                    label = f"both-{first}-and-{second}-as-{claim}"
                    yield label, save(directory / label, mixed), claim, AMBIGUOUS
    for (first, one), (second, other) in combinations(_STAMPS.items(), 2):
        if {first, second} != {"vhd", "dmg"}:  # each ends the file, one of them last
            label = f"both-{first}-and-{second}-on-nothing"
            mixed = other(one(bytes(100_000)))
            yield label, save(directory / label, mixed), None, AMBIGUOUS


def _nested(directory: Path, images: dict[str, bytes]) -> Iterator[Hostile]:
    """A whole image in the system area of an ISO, and inside a fixed VHD."""
    header = Image(bytes(32768)).put(0, images["qcow2"][:112])
    header.set(8, ">QI", 1024, 11).put(1024, b"/etc/passwd")
    areas = {
        "qcow2": bytes(header.data),
        "vmdk-text": _TEXT + _EXTENT,
        "vmdk-text-later": b"#\n#\n\n" + _TEXT[22:] + _EXTENT,
        "vmdk": images["vmdk"][:32768],
        "qed": images["qed"][:4096],
        "vdi": images["vdi"][:1024],
        "vhdx": images["vhdx"][:1024],
    }
    for name, area in areas.items():
        label = f"iso-over-{name}"
        yield label, save(directory / label, build.iso(system_area=area)), "iso", AMBIGUOUS
    for name in ("qcow2", "vmdk", "vhdx", "vdi", "qed", "iso"):
        label = f"vhd-over-{name}"
        yield label, save(directory / label, _stamp_vhd(images[name])), "vhd", AMBIGUOUS


def _claims(directory: Path, images: dict[str, bytes]) -> Iterator[Hostile]:
    images = {**images, "raw": build.master_boot_record() + bytes(5000)}
    for name, data in images.items():
        own = name.split("-")[0]
        foreign = _WORDS + (() if own == "raw" else _OPAQUE)
        for claim in foreign:
            if claim != own:
                label = f"{name}-claimed-as-{claim}"
                yield label, save(directory / label, data), claim, MISMATCH
