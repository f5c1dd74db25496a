# SPDX-License-Identifier: Apache-2.0
"""Honest images: every format and option that qemu-img writes, edited as real images are."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.corpus import build

MIB = 1 << 20
Honest = tuple[str, Path, str | None, int]
_GRUB = Path("/usr/lib/grub-rescue")

# name, format, create options, further convert arguments
_WRITTEN = (
    ("qcow2", "qcow2", "", ""),
    ("qcow2-v2", "qcow2", "compat=0.10", ""),
    ("qcow2-v2-compressed", "qcow2", "compat=0.10", "-c"),
    ("qcow2-zlib", "qcow2", "", "-c"),
    ("qcow2-zstd", "qcow2", "compression_type=zstd", "-c"),
    ("qcow2-zlib-out-of-order", "qcow2", "", "-c -m 8 -W"),
    ("qcow2-zlib-512", "qcow2", "cluster_size=512", "-c"),
    ("qcow2-zlib-2M", "qcow2", "cluster_size=2M", "-c"),
    ("qcow2-zlib-refcount-1", "qcow2", "refcount_bits=1", "-c"),
    ("qcow2-512", "qcow2", "cluster_size=512", ""),
    ("qcow2-4k", "qcow2", "cluster_size=4k", ""),
    ("qcow2-2M", "qcow2", "cluster_size=2M", ""),
    ("qcow2-extended", "qcow2", "extended_l2=on", ""),
    ("qcow2-extended-zlib", "qcow2", "extended_l2=on,cluster_size=128k", "-c"),
    ("qcow2-lazy", "qcow2", "lazy_refcounts=on", ""),
    ("qcow2-refcount-1", "qcow2", "refcount_bits=1", ""),
    ("qcow2-refcount-2", "qcow2", "refcount_bits=2", ""),
    ("qcow2-refcount-8", "qcow2", "refcount_bits=8", ""),
    ("qcow2-refcount-32", "qcow2", "refcount_bits=32", ""),
    ("qcow2-refcount-64", "qcow2", "refcount_bits=64", "-c"),
    ("qcow2-metadata", "qcow2", "preallocation=metadata", ""),
    ("qcow2-full", "qcow2", "preallocation=full", ""),
    ("qcow2-no-holes", "qcow2", "", "-S 0"),
    ("vmdk-sparse", "vmdk", "", ""),
    ("vmdk-zeroed-grain", "vmdk", "zeroed_grain=on", ""),
    ("vmdk-lsilogic", "vmdk", "adapter_type=lsilogic,compat6=on", ""),
    ("vmdk-stream", "vmdk", "subformat=streamOptimized", ""),
    ("vhd-dynamic", "vpc", "", ""),
    ("vhd-dynamic-exact", "vpc", "force_size=on", ""),
    ("vhd-fixed", "vpc", "subformat=fixed", ""),
    ("vhd-fixed-exact", "vpc", "subformat=fixed,force_size=on", ""),
    ("vhdx-dynamic", "vhdx", "", ""),
    ("vhdx-fixed", "vhdx", "subformat=fixed", ""),
    ("vhdx-1M", "vhdx", "block_size=1M", ""),
    ("vhdx-256M", "vhdx", "block_size=256M,block_state_zero=off", ""),
    ("vdi-dynamic", "vdi", "", ""),
    ("vdi-static", "vdi", "static=on", ""),
    ("qed", "qed", "", ""),
    ("qed-4k", "qed", "cluster_size=4k", ""),
    ("qcow", "qcow", "", ""),
)
_WORDS = {"vpc": "vhd"}


def tool(*arguments: object, program: str = "qemu-img", accept: tuple[int, ...] = (0,)) -> str:
    """Run qemu-img or qemu-io on files of this corpus."""
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode in accept, (arguments, done.stderr)
    return done.stdout


def guest_size(path: Path, driver: str) -> int:
    """Return the virtual size as qemu-img sees it, asked with an explicit driver."""
    text = tool("info", "-f", driver, path)
    return int(text.split("virtual size:")[1].split("(")[1].split()[0])


def content(path: Path, size: int, *, seed: int = 1, partitioned: bool = False) -> Path:
    """Write a raw disk with random parts, text, holes, and optionally a partition table."""
    chance = random.Random(seed)
    with path.open("wb") as disk:
        disk.truncate(size)
        for _ in range(12):
            disk.seek(chance.randrange(0, max(1, size - 70_000)) & ~511)
            disk.write(chance.randbytes(chance.randrange(1, min(size, 65_000))))
        disk.truncate(size)
        for _ in range(6):
            disk.seek(chance.randrange(0, max(1, size - 400_000)) & ~4095)
            disk.write(b"the quick brown fox " * chance.randrange(1, min(size // 20, 20_000)))
        disk.truncate(size)
        disk.seek(0)
        disk.write(build.master_boot_record() if partitioned else bytes(512))
    return path


def written_files(directory: Path) -> Iterator[Honest]:
    """Yield files that qemu-img wrote, and raw and ISO files."""
    directory.mkdir(parents=True, exist_ok=True)
    yield from _raw(directory)
    yield from _iso(directory)
    source = content(directory / "source", 7 * MIB + 1536, partitioned=True)
    for name, driver, options, arguments in _WRITTEN:
        path = directory / name
        chosen = ["-o", options] if options else []
        tool("convert", "-f", "raw", *arguments.split(), "-O", driver, *chosen, source, path)
        yield name, path, _WORDS.get(driver, driver), guest_size(path, driver)
    whole = content(directory / "whole", 7 * MIB)
    packed = directory / "qcow-zlib"
    # This writer ends with code 1 and no message after it has written everything.
    tool("convert", "-f", "raw", "-c", "-O", "qcow", whole, packed, accept=(0, 1))
    tool("compare", "-f", "raw", "-F", "qcow", whole, packed)
    yield packed.name, packed, "qcow", 7 * MIB
    yield from _odd_sizes(directory)
    yield from _edited(directory)
    yield from _huge(directory)


def _raw(directory: Path) -> Iterator[Honest]:
    files = {
        "raw-zeros": bytes(MIB),
        "raw-text": b"just some text, nothing more\n" * 100,
        "raw-one-byte": b"x",
        "raw-mbr": build.master_boot_record() + bytes(MIB),
        "raw-gpt": build.gpt_disk(2 * MIB),
        "raw-stale-gpt": build.master_boot_record() + build.gpt_disk(2 * MIB)[512:],
        "raw-fat": build.fat_boot_sector() + bytes(MIB),
        "raw-random": random.Random(5).randbytes(300_001),
    }
    for name, data in files.items():
        path = directory / name
        path.write_bytes(data)
        yield name, path, "raw", len(data)
    for claim in ("ami", "ari", "aki", "ploop"):
        path = directory / f"raw-as-{claim}"
        path.write_bytes(files["raw-random"])
        yield path.name, path, claim, len(files["raw-random"])
    for claim in ("ari", "aki"):
        path = directory / f"gzip-as-{claim}"
        path.write_bytes(b"\x1f\x8b\x08\0" + files["raw-random"])
        yield path.name, path, claim, path.stat().st_size
    path = directory / "unclaimed"
    path.write_bytes(files["raw-mbr"])
    yield path.name, path, None, len(files["raw-mbr"])


def _iso(directory: Path) -> Iterator[Honest]:
    files = {
        "iso": build.iso(),
        "iso-mbr": build.iso(system_area=build.master_boot_record()),
        "iso-hybrid": build.iso(system_area=build.master_boot_record(protective=True, more=True)),
        "iso-padded": build.iso() + bytes(300 * 1024),
    }
    for name, data in files.items():
        path = directory / name
        path.write_bytes(data)
        yield name, path, "iso", len(data)
    for known in sorted(_GRUB.glob("grub-rescue-*")):
        path = directory / known.name
        path.write_bytes(known.read_bytes())
        yield path.name, path, "iso", path.stat().st_size


def _odd_sizes(directory: Path) -> Iterator[Honest]:
    for size in (512, 1000, 70_144, MIB - 512, 2 * MIB + 512):
        source = content(directory / f"source-{size}", size, seed=size)
        for driver in ("qcow2", "vmdk", "vpc", "vhdx", "vdi", "qed", "qcow"):
            path = directory / f"{driver}-of-{size}-bytes"
            tool("convert", "-f", "raw", "-O", driver, source, path)
            yield path.name, path, _WORDS.get(driver, driver), guest_size(path, driver)


def _edited(directory: Path) -> Iterator[Honest]:
    """Images with a history: scattered writes, resizes, discards, deleted snapshots."""
    for driver in ("qcow2", "vmdk", "vpc", "vdi", "qed", "qcow", "vhdx"):
        path = directory / f"{driver}-scattered"
        tool("create", "-q", "-f", driver, path, "40M")
        writes(path, driver, seed=3)
        yield path.name, path, _WORDS.get(driver, driver), guest_size(path, driver)
    for name, options in (("v2", "compat=0.10"), ("v3", ""), ("ext", "extended_l2=on")):
        path = directory / f"qcow2-history-{name}"
        chosen = ["-o", options] if options else []
        tool("create", "-q", "-f", "qcow2", *chosen, path, "40M")
        writes(path, "qcow2", seed=4)
        if name != "ext":
            tool("snapshot", "-c", "one", path)
            writes(path, "qcow2", seed=5)
            tool("snapshot", "-d", "one", path)
        tool("resize", "-q", "--shrink", path, "30M")
        tool("resize", "-q", path, "50M")
        writes(path, "qcow2", seed=6, discard=True)
        yield path.name, path, "qcow2", 50 * MIB
    path = directory / "qcow2-bitmap"
    tool("create", "-q", "-f", "qcow2", path, "40M")
    tool("bitmap", "--add", path, "changes")
    tool("bitmap", "--add", "-g", "4k", path, "fine")
    writes(path, "qcow2", seed=7)
    yield path.name, path, "qcow2", 40 * MIB
    base, path = directory / "base", directory / "qcow2-rebased"
    tool("create", "-q", "-f", "qcow2", base, "8M")
    tool("create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", path)
    writes(path, "qcow2", seed=8, limit=8 * MIB)
    tool("rebase", "-b", "", path)
    yield path.name, path, "qcow2", 8 * MIB


def writes(
    path: Path, driver: str, *, seed: int, discard: bool = False, limit: int = 28 * MIB
) -> None:
    """Write, zero and perhaps discard at random places through qemu-io."""
    chance = random.Random(seed)
    commands: list[str] = []
    for _ in range(40):
        place, length = chance.randrange(0, limit - MIB) & ~511, chance.randrange(512, 200_000)
        length &= ~511
        verb = chance.choice(["write -P 7", "write -P 9", "write -z"])
        if discard and chance.random() < 0.4:
            verb = "discard"
        if driver in ("qcow", "vpc", "vhdx") and verb == "write -z":
            verb = "write -P 3"
        commands += ["-c", f"{verb} {place} {length}"]
    tool("-f", driver, "-d", "unmap", *commands, path, program="qemu-io")


def _huge(directory: Path) -> Iterator[Honest]:
    for driver in ("qcow2", "vmdk", "vhdx", "vdi", "qed", "qcow"):
        path = directory / f"{driver}-2T"
        tool("create", "-q", "-f", driver, path, "2T")
        yield path.name, path, driver, 2048 << 30
    path = directory / "vhd-1T"
    tool("create", "-q", "-f", "vpc", "-o", "force_size=on", path, "1T")
    yield path.name, path, "vhd", 1024 << 30
