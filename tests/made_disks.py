# SPDX-License-Identifier: Apache-2.0
"""Disks for the tests, made by the real qemu-img from seeded content, and their comparison.

Content is a mixture of random and zero blocks, so that sparse handling shows; the same seed gives
the same disk.
"""

from __future__ import annotations

import hashlib
import json
import random
import struct
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MIB = 2**20
BLOCK = 64 * 1024
ISO = Path("/usr/lib/grub-rescue/grub-rescue-cdrom.iso")

QEMU_NAMES = {"vhd": "vpc", "iso": "raw"}
FORMATS = ("qcow2", "raw", "vmdk", "vhd", "vhdx", "vdi", "qed", "iso")


@dataclass(frozen=True)
class Disk:
    """A disk file. `raw` has the same guest content; `virtual_size` in bytes."""

    path: Path
    format: str
    raw: Path

    @property
    def virtual_size(self) -> int:
        return self.raw.stat().st_size


def make_disk(
    directory: Path,
    format: str,
    size: int = 16 * MIB,
    *,
    seed: int = 1,
    name: str = "disk",
    dense: float = 0.15,
) -> Disk:
    """Write `<name>.<format>` with `size` virtual bytes, of which the share `dense` is random."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.{format}"
    if format == "iso":
        path.write_bytes(ISO.read_bytes())
        return Disk(path, format, path)
    raw = directory / f"{name}.raw"
    if not raw.exists():
        write_content(raw, size, seed, dense)
    if format != "raw":
        convert(raw, "raw", path, format)
    return Disk(path, format, raw)


def write_content(path: Path, size: int, seed: int, dense: float = 0.15) -> None:
    """Write a raw disk: random blocks between holes, and never a signature at its start."""
    source = random.Random(seed)
    with path.open("wb") as file:
        for offset in range(0, size, BLOCK):
            if source.random() < dense and offset:
                file.seek(offset)
                file.write(source.randbytes(min(BLOCK, size - offset)))
        file.truncate(size)


@cache
def raw_bytes(size: int = MIB, seed: int = 7) -> bytes:
    """Return the bytes of a small raw disk."""
    half = random.Random(seed).randbytes(size // 2)
    return bytes(BLOCK) + half[: size // 2 - BLOCK] + bytes(size - size // 2)


def break_qcow2(path: Path) -> None:
    """Let the first used entry of a qcow2's first L2 table point far past the end of the file."""
    with path.open("r+b") as file:
        header = file.read(72)
        (l1_offset,) = struct.unpack_from(">Q", header, 40)
        file.seek(l1_offset)
        (l1_entry,) = struct.unpack(">Q", file.read(8))
        l2_offset = l1_entry & 0x00FFFFFFFFFFFE00
        file.seek(l2_offset)
        entries = struct.unpack(">8192Q", file.read(65536))
        used = next(index for index, entry in enumerate(entries) if entry)
        file.seek(l2_offset + 8 * used)
        file.write(struct.pack(">Q", 1 << 63 | 1 << 40))


def convert(source: Path, source_format: str, target: Path, target_format: str) -> None:
    """Convert with explicit formats on both sides."""
    formats = [QEMU_NAMES.get(name, name) for name in (source_format, target_format)]
    command = ["qemu-img", "convert", "-f", formats[0], "-O", formats[1], str(source), str(target)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def same_content(first: Path, first_format: str, second: Path, second_format: str) -> bool:
    """Ask qemu-img whether a guest would read the same bytes; a longer tail must be zeros."""
    formats = [QEMU_NAMES.get(name, name) for name in (first_format, second_format)]
    command = ["qemu-img", "compare", "-f", formats[0], "-F", formats[1], str(first), str(second)]
    done = subprocess.run(command, check=False, capture_output=True, timeout=120)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


def real_format(path: Path) -> str:
    """Return what qemu-img itself finds the file to be, in our words."""
    done = subprocess.run(
        ["qemu-img", "info", "--output=json", str(path)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    word = str(json.loads(done.stdout)["format"])
    return {"vpc": "vhd"}.get(word, word)


def sha512(path: Path) -> str:
    """Return the SHA-512 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512").hexdigest()
