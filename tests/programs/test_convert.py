# SPDX-License-Identifier: Apache-2.0
"""Conversion and comparison with the real tool: content, size, holes, limits, cancel, no leaks."""

from __future__ import annotations

import random
import socket
import threading
from pathlib import Path

import pytest

from calotype.disks.convert import check_tools, compare, convert
from calotype.disks.formats import FORMATS, Format
from calotype.disks.inspect import inspect_file
from calotype.errors import BadImage, Cancelled, Reason
from tests.corpus import honest_files
from tests.corpus.honest import content, tool

MIB = 1 << 20
_WRITTEN = [found for found, row in FORMATS.items() if row.writable]
# Drivers that read an empty disk to its end; their large disks would take minutes each.
_SLOW = (Format.QCOW, Format.VHDX, Format.VMDK)
_OPAQUE = ("ami", "aki", "ari", "ploop", None)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return content(tmp_path_factory.mktemp("disk") / "disk.raw", 24 * MIB + 512, partitioned=True)


@pytest.mark.parametrize("wanted", _WRITTEN)
def test_conversion_there_and_back_keeps_content_size_and_holes(
    wanted: Format, disk: Path, tmp_path: Path
) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    seen: list[float] = []
    convert(disk, Format.RAW, there, wanted, size_limit=64 * MIB, progress=seen.append)
    found = inspect_file(there, claim=wanted)
    assert (found.format, found.virtual_size) == (wanted, disk.stat().st_size)
    assert compare((disk, Format.RAW), (there, wanted))
    convert(there, wanted, back, Format.RAW, size_limit=64 * MIB)
    assert back.read_bytes() == disk.read_bytes()
    assert back.stat().st_blocks * 512 < back.stat().st_size / 2
    assert seen == sorted(seen)
    assert seen[-1] == 100


def test_every_honest_file_converts_to_qcow2_with_the_inspected_size(tmp_path: Path) -> None:
    wrong: list[object] = []
    for name, path, claim, size in honest_files(tmp_path / "honest"):
        found = Format.RAW if claim in _OPAQUE else Format(str(claim))
        target = tmp_path / "target"
        if size > 1 << 40 and found in _SLOW:
            continue
        convert(path, found, target, Format.QCOW2, size_limit=64 * MIB)
        inspected = inspect_file(target, claim=Format.QCOW2)
        if inspected.virtual_size != -(-size // 512) * 512:
            wrong.append((name, size, inspected.virtual_size))
        if size < 1 << 30 and not compare((path, found), (target, Format.QCOW2)):
            wrong.append((name, "differs"))
        target.unlink()
    assert wrong == []


def test_comparison_finds_one_changed_byte(disk: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    data = bytearray(disk.read_bytes())
    data[20 * MIB] ^= 1
    other.write_bytes(data)
    assert not compare((disk, Format.RAW), (other, Format.RAW))


@pytest.mark.parametrize("wanted", _WRITTEN)
def test_an_output_over_the_limit_is_refused_and_removed(
    wanted: Format, disk: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(random.Random(1).randbytes(4 * MIB))
    target = tmp_path / "target"
    with pytest.raises(BadImage) as caught:
        convert(source, Format.RAW, target, wanted, size_limit=MIB)
    assert caught.value.reason is Reason.EXPANSION_LIMIT
    assert not target.exists()


def test_cancel_stops_a_conversion_and_removes_its_output(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        block = random.Random(2).randbytes(MIB)
        for _ in range(200):
            file.write(block)
    target = tmp_path / "target"
    started = threading.Event()
    with pytest.raises(Cancelled):
        convert(
            source,
            Format.RAW,
            target,
            Format.VMDK,
            size_limit=1 << 30,
            progress=lambda percent: started.set() if percent > 0 else None,
            cancel=started.is_set,
        )
    assert not target.exists()


def test_a_target_that_exists_is_not_overwritten(disk: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        convert(disk, Format.RAW, target, Format.QCOW2, size_limit=64 * MIB)
    assert target.read_bytes() == b"mine"


def test_a_source_of_another_format_is_refused_and_left_alone(disk: Path, tmp_path: Path) -> None:
    before = disk.read_bytes()
    with pytest.raises(BadImage):
        convert(disk, Format.QCOW2, tmp_path / "target", Format.RAW, size_limit=64 * MIB)
    assert disk.read_bytes() == before
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("driver", ["qcow2", "qcow", "qed", "vmdk"])
def test_the_converter_itself_follows_no_parent(driver: str, tmp_path: Path) -> None:
    """Second line of defence: had the inspector missed it, the canary would still not be read."""
    canary = tmp_path / "canary"
    canary.write_bytes(b"CANARY-TEXT".ljust(MIB, b"!"))
    parent = canary
    if driver == "vmdk":
        parent = tmp_path / "parent.vmdk"
        tool("convert", "-f", "raw", "-O", "vmdk", canary, parent)
    child, target = tmp_path / "child", tmp_path / "target"
    known = "vmdk" if driver == "vmdk" else "raw"
    tool("create", "-q", "-f", driver, "-b", parent, "-F", known, child)
    with pytest.raises(BadImage) as caught:
        inspect_file(child)
    assert caught.value.reason is Reason.BACKING_FILE
    try:
        convert(child, Format(driver), target, Format.RAW, size_limit=64 * MIB)
    except BadImage:
        assert not target.exists()
    else:
        assert b"CANARY" not in target.read_bytes()


def test_the_converter_reaches_no_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        port = listener.getsockname()[1]
        child = tmp_path / "child"
        url = f"nbd://127.0.0.1:{port}/x"
        tool("create", "-q", "-f", "qcow2", "-u", "-b", url, "-F", "raw", child, "4M")
        with pytest.raises(BadImage) as caught:
            inspect_file(child)
        assert caught.value.reason is Reason.BACKING_FILE
        convert(child, Format.QCOW2, tmp_path / "target", Format.RAW, size_limit=64 * MIB)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_the_tools_are_there_and_the_host_can_say_so() -> None:
    tools = check_tools()
    assert tools.qemu_img is not None
    assert tools.sandbox.name in ("bubblewrap", "limits")
