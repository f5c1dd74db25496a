# SPDX-License-Identifier: Apache-2.0
"""Streamed qcow2 files beside the real tools: the same content, a clean check, holes left out."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from calotype.disks.formats import Format
from calotype.disks.inspect import inspect_file
from calotype.disks.mapping import map_file
from calotype.errors import BadImage, Cancelled, Reason, Unavailable
from calotype.flows import streaming
from calotype.flows.proving import Differs, prove
from calotype.flows.streaming import stream
from calotype.flows.workspace import Workspace
from tests.made_disks import MIB, convert, make_disk, same_content, sha512

pytestmark = pytest.mark.heavy
PLAIN = ["raw", "vmdk", "vhd", "vdi", "qed"]
NO_LIMIT = 1 << 50


class Attempt:
    """An attempt that is asked to end after so many questions."""

    def __init__(self, questions: int = 1 << 30) -> None:
        self.left = questions
        self.told: list[float] = []

    def stopping(self) -> bool:
        self.left -= 1
        return self.left < 0

    def check(self) -> None:
        if self.stopping():
            raise Cancelled("enough")

    def progress(self, fraction: float) -> None:
        self.told.append(fraction)


class Space:
    """A workspace whose disk has room for so many questions."""

    def __init__(self, attempt: Attempt | None = None, room: int = 1 << 30) -> None:
        self.attempt = attempt or Attempt()
        self.room = room

    def check_room(self, wanted: int) -> None:
        self.room -= 1
        if self.room < 0:
            raise Unavailable("full", rule="store_full")

    def guarded(self, work: Callable[[Callable[[], bool]], object]) -> object:
        return work(self.attempt.stopping)


def run(source: Path, found: str, target: Path, space: Space | None = None) -> bool:
    """Stream a file; tell whether it was possible."""
    inspected = inspect_file(source, claim=Format(found))
    digest = stream(
        source,
        Format(found),
        target,
        (inspected.virtual_size, NO_LIMIT),
        cast(Workspace, space or Space()),
    )
    if digest is not None:
        assert (digest.sha512, digest.size) == (sha512(target), target.stat().st_size)
    return digest is not None


def checked(target: Path) -> dict[str, Any]:
    """Return what the tool's own check and info say; the check must find nothing."""
    subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", str(target)], check=True, timeout=60)
    done = subprocess.run(
        ["qemu-img", "info", "-f", "qcow2", "--output=json", str(target)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return cast(dict[str, Any], json.loads(done.stdout))


@pytest.mark.parametrize("word", PLAIN)
def test_a_file_with_a_plain_map_is_streamed_to_the_same_disk(tmp_path: Path, word: str) -> None:
    disk = make_disk(tmp_path, word, size=48 * MIB)
    target = tmp_path / "out.qcow2"
    assert run(disk.path, word, target)
    assert same_content(disk.path, word, target, "qcow2")
    info = checked(target)
    assert info["virtual-size"] >= disk.virtual_size
    assert "backing-filename" not in info and not info["dirty-flag"]


@pytest.mark.parametrize("word", PLAIN)
def test_a_streamed_file_is_not_larger_than_a_converted_one(tmp_path: Path, word: str) -> None:
    disk = make_disk(tmp_path, word, size=48 * MIB)
    streamed, converted = tmp_path / "streamed", tmp_path / "converted"
    assert run(disk.path, word, streamed)
    convert(disk.path, word, converted, "qcow2")
    assert streamed.stat().st_size <= converted.stat().st_size + 256 * 1024


def packed_vmdk(tmp_path: Path, size: int = 48 * MIB) -> Path:
    """Write a compressed VMDK, part of which compresses well."""
    disk = make_disk(tmp_path, "raw", size=size, dense=0.5)
    with disk.path.open("r+b") as file:
        file.write(b"compressible " * 100_000)
    packed = tmp_path / "packed.vmdk"
    command = ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized"]
    subprocess.run([*command, str(disk.path), str(packed)], check=True, timeout=60)
    return packed


def test_compressed_content_is_decoded_and_followed(tmp_path: Path) -> None:
    packed = packed_vmdk(tmp_path)
    target = tmp_path / "out.qcow2"
    assert run(packed, "vmdk", target)
    assert same_content(packed, "vmdk", target, "qcow2")
    checked(target)
    converted = tmp_path / "converted"
    convert(packed, "vmdk", converted, "qcow2")
    assert target.stat().st_size <= converted.stat().st_size + 256 * 1024
    assert {path.name for path in tmp_path.iterdir()} == {
        "disk.raw",
        "packed.vmdk",
        "out.qcow2",
        "converted",
    }


@pytest.mark.long  # a race by its nature: on a busy machine the decoder may win it
def test_a_follower_that_is_too_fast_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = packed_vmdk(tmp_path, 256 * MIB)
    monkeypatch.setattr("calotype.flows.decoding._MARGIN", -(1 << 40))
    target = tmp_path / "out.qcow2"
    with pytest.raises(Differs):
        run(packed, "vmdk", target)
    assert not target.exists() and not (tmp_path / "plain").exists()


def test_broken_compressed_content_is_refused(tmp_path: Path) -> None:
    packed = packed_vmdk(tmp_path)
    with packed.open("r+b") as file:
        for at in range(2 * MIB, 4 * MIB, 4096):
            file.seek(at)
            file.write(b"\xff" * 64)
    target = tmp_path / "out.qcow2"
    limits = (48 * MIB, NO_LIMIT)
    with pytest.raises(BadImage) as caught:
        stream(packed, Format.VMDK, target, limits, cast(Workspace, Space()))
    assert caught.value.reason == Reason.CORRUPT
    assert not target.exists() and not (tmp_path / "plain").exists()


@pytest.mark.parametrize("questions", [0, 3, 12, 40])
def test_a_cancelled_decoding_leaves_nothing(tmp_path: Path, questions: int) -> None:
    packed = packed_vmdk(tmp_path, 128 * MIB)
    target = tmp_path / "out.qcow2"
    limits = (128 * MIB, NO_LIMIT)
    with pytest.raises(Cancelled):
        stream(packed, Format.VMDK, target, limits, cast(Workspace, Space(Attempt(questions))))
    assert not target.exists() and not (tmp_path / "plain").exists()


def test_a_format_whose_map_does_not_tell_is_left_to_the_converter(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, "vhdx")
    target = tmp_path / "out.qcow2"
    assert not run(disk.path, "vhdx", target)
    assert not target.exists()


def test_zeros_that_a_file_holds_are_left_out(tmp_path: Path) -> None:
    """A raw file without holes becomes as small as its content."""
    disk = make_disk(tmp_path, "raw", size=32 * MIB)
    dense = tmp_path / "dense.raw"
    dense.write_bytes(disk.path.read_bytes())
    target = tmp_path / "out.qcow2"
    assert run(dense, "raw", target)
    assert same_content(disk.path, "raw", target, "qcow2")
    assert target.stat().st_size < 12 * MIB


@pytest.mark.parametrize("size", [512, 65536 - 512, 65536 + 512, 3 * MIB + 512, 700 * MIB + 1024])
def test_disks_of_odd_sizes_keep_their_last_bytes(tmp_path: Path, size: int) -> None:
    source = tmp_path / "disk.raw"
    with source.open("wb") as file:
        file.truncate(size)
        file.seek(size - 3)
        file.write(b"end")
        file.seek(size // 2)
        file.write(b"middle")
    target = tmp_path / "out.qcow2"
    assert run(source, "raw", target)
    assert checked(target)["virtual-size"] == size
    assert same_content(source, "raw", target, "qcow2")


def test_an_empty_disk_is_tables_only(tmp_path: Path) -> None:
    source = tmp_path / "disk.raw"
    with source.open("wb") as file:
        file.truncate(5 << 30)
    target = tmp_path / "out.qcow2"
    assert run(source, "raw", target)
    assert checked(target)["virtual-size"] == 5 << 30
    assert target.stat().st_size <= 4 * 65536


@pytest.mark.parametrize("seed", range(6))
def test_pieces_anywhere_are_found_again(tmp_path: Path, seed: int) -> None:
    """Writes of any length at any place, so that clusters are put together of several pieces."""
    source = random.Random(seed)
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
        for _ in range(60):
            file.seek(source.randrange(64 * MIB - 200_000))
            file.write(source.randbytes(source.choice((1, 511, 4096, 70_000, 199_999))))
    for word in ("raw", "vhd", "vdi"):
        disk = tmp_path / f"disk.{word}"
        if word != "raw":
            convert(path, "raw", disk, word)
        target = tmp_path / f"{word}.qcow2"
        assert run(disk, word, target)
        assert same_content(disk, word, target, "qcow2")
        checked(target)


def test_a_result_that_is_not_its_source_is_noticed(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, "vmdk", size=24 * MIB)
    target = tmp_path / "out.qcow2"
    assert run(disk.path, "vmdk", target)
    found = map_file(disk.path, Format.VMDK)
    assert found is not None and found.extents is not None
    extents = found.extents
    reading = os.open(disk.path, os.O_RDONLY)
    good = target.read_bytes()
    try:
        prove(reading, extents, target, disk.virtual_size, lambda: False)
        for change in (b"\1" + good[-100:-99], None):
            if change is None:
                # A table that no longer names a cluster: the guest would read zeros there.
                at = good.index(b"\x80\0\0\0", 4 * 65536)
                target.write_bytes(good[:at] + bytes(8) + good[at + 8 :])
            else:
                flipped = bytes([good[-100] ^ 1])
                target.write_bytes(good[:-100] + flipped + good[-99:])
            with pytest.raises(Differs):
                prove(reading, extents, target, disk.virtual_size, lambda: False)
    finally:
        os.close(reading)


def test_limits_cancelling_and_a_full_disk_leave_nothing(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, "vmdk", size=64 * MIB, dense=0.9)
    target = tmp_path / "out.qcow2"

    def attempt(limit: int, space: Space) -> None:
        limits = (disk.virtual_size, limit)
        stream(disk.path, Format.VMDK, target, limits, cast(Workspace, space))

    with pytest.raises(BadImage) as caught:
        attempt(4 * MIB, Space())
    assert caught.value.reason == Reason.EXPANSION_LIMIT
    for questions in (0, 5, 30, 60):
        with pytest.raises(Cancelled):
            attempt(NO_LIMIT, Space(Attempt(questions)))
        assert not target.exists()
    with pytest.raises(Unavailable):
        attempt(NO_LIMIT, Space(room=0))
    assert not target.exists()
    space = Space()
    attempt(NO_LIMIT, space)
    assert space.attempt.told == sorted(space.attempt.told)
    assert streaming._WRITTEN * 0.9 < space.attempt.told[-1] <= 1.0
