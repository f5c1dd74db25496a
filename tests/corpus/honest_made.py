# SPDX-License-Identifier: Apache-2.0
"""Honest files of other writers, made by hand: what real tools leave and qemu-img does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.corpus import build, hostile_qcow2, hostile_vhd, hostile_vmdk
from tests.corpus.honest import MIB, Honest, tool, written_files
from tests.corpus.image import Image, save


def honest_files(directory: Path) -> Iterator[Honest]:
    """Yield honest files of all formats; each is closed and may be moved or removed."""
    yield from written_files(directory)
    yield from _vmdk(directory)
    yield from _vhd(directory)
    inner = build.master_boot_record().ljust(MIB, b"\0") + hostile_qcow2.base(directory).bytes()
    path = save(directory / "raw-with-a-qcow2-inside", inner)
    yield path.name, path, "raw", len(inner)


def _vmdk(directory: Path) -> Iterator[Honest]:
    stream = hostile_vmdk.base(directory, "subformat=streamOptimized")
    footed = hostile_vmdk.footed(stream)
    path = footed.save(directory / "vmdk-stream-with-footer")
    tool("check", "-f", "vmdk", path)
    yield path.name, path, "vmdk", 3 * MIB
    sparse = hostile_vmdk.base(directory)
    text = hostile_vmdk.descriptor(sparse)
    line = next(part for part in text.split(b"\n") if part.startswith(b"RW "))
    other = text.replace(b"version=1", b'version=1\nencoding="windows-1252"')
    other = other.replace(b"createType", b'isNativeSnapshot="no"\ncreateType')
    other = other.replace(line, b"RDONLY" + line[2:].split(b'"')[0] + b'"disk 1 \xe9.vmdk"')
    other += b'\nddb.uuid.image="0f3c"\nddb.longContentID = "4f1d"\nddb.thinProvisioned = "1"\n'
    changed = hostile_vmdk.with_descriptor(sparse, other.replace(b"\n", b"\r\n"))
    path = changed.save(directory / "vmdk-of-another-writer")
    yield path.name, path, "vmdk", 3 * MIB
    path = hostile_vmdk.without_copy(sparse).save(directory / "vmdk-without-copy")
    yield path.name, path, "vmdk", 3 * MIB


def _vhd(directory: Path) -> Iterator[Honest]:
    fixed = hostile_vhd.vhd(directory, "subformat=fixed,force_size=on")
    for name, table in (
        ("mbr", build.master_boot_record()),
        ("gpt", build.gpt_disk(3 * MIB)),
        ("hybrid", build.gpt_disk(3 * MIB, hybrid=True)),
    ):
        path = fixed.copy().put(0, table).save(directory / f"vhd-fixed-with-{name}")
        yield path.name, path, "vhd", 3 * MIB
    for creator in (b"vpc ", b"vs  ", b"vbox", b"win ", b"wa\0\0"):
        for image in (fixed, hostile_vhd.vhd(directory, "force_size=on")):
            yield _creator(directory, image, creator)


def _creator(directory: Path, image: Image, creator: bytes) -> Honest:
    """Return a disk of another creator: its geometry says less than its size."""
    end = len(image.data) - 512
    kind = image.get(end + 60, ">I")
    changed = image.copy().put(end + 28, creator).set(end + 56, ">HBB", 90, 4, 17)
    path = changed.save(directory / f"vhd-of-{creator.strip(bytes(1)).decode().strip()}-{kind}")
    return path.name, path, "vhd", 3 * MIB
