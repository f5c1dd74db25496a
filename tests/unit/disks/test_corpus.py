# SPDX-License-Identifier: Apache-2.0
"""Every hostile file is refused for a right reason, every honest one passes with its right size.

The mass runs in-process for speed; each twentieth file, and the largest dangers, go through the
sandboxed child as the service would send them.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import calotype
from calotype.disks.inspect import LOOK_HEAD, LOOK_TAIL, inspect_file, look
from calotype.errors import BadImage, Reason
from tests.corpus.honest import Honest
from tests.corpus.hostile import FAMILIES
from tests.corpus.image import Hostile
from tests.unit.disks.inprocess import examine

_OPAQUE = ("ami", "aki", "ari", "ploop")
_FORBIDDEN = ("/", "\\", "canary", "passwd", "127.0.0.1")


def verdict(inspect: Callable[[], object]) -> Reason | None:
    """Return the reason of the refusal, or None; the text must name no name."""
    try:
        inspect()
    except BadImage as error:
        assert 0 < len(error.message) <= 120
        assert not any(word in error.message for word in _FORBIDDEN), error.message
        return error.reason
    return None


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__.split(".")[-1])
def test_every_hostile_file_is_refused_for_a_right_reason(
    family: ModuleType, tmp_path: Path
) -> None:
    wrong: list[object] = []
    files: Iterator[Hostile] = family.files(tmp_path)
    for number, (name, path, claim, reasons) in enumerate(files):
        began = time.monotonic()
        found = verdict(lambda path=path, claim=claim: examine(path, claim))  # type: ignore[misc]
        if found not in reasons:
            wrong.append((name, found, sorted(reasons)))
        if time.monotonic() - began > 10:
            wrong.append((name, "took", time.monotonic() - began))
        if number % 20 == 0:
            child = verdict(lambda path=path, claim=claim: inspect_file(path, claim=claim))  # type: ignore[misc]
            if child != found:
                wrong.append((name, "the child says", child, found))
        path.unlink()
    assert wrong == []


def test_every_honest_file_passes_with_its_right_size(honest: list[Honest]) -> None:
    wrong: list[object] = []
    for number, (name, path, claim, size) in enumerate(honest):
        expected = ("raw" if claim in (None, *_OPAQUE) else claim, size)
        before = path.stat().st_mtime_ns
        for wish in {claim, None if claim not in ("ari", "aki") else claim}:
            try:
                found = examine(path, wish)
            except BadImage as error:
                wrong.append((name, wish, error.reason, error.message))
                continue
            if (found.format, found.virtual_size) != expected:
                wrong.append((name, wish, found.format, found.virtual_size, expected))
        if number % 10 == 0:
            through = inspect_file(path, claim=claim)
            if (through.format, through.virtual_size) != expected:
                wrong.append((name, "child", through))
        assert path.stat().st_mtime_ns == before
    assert wrong == []


def test_a_look_agrees_with_the_inspection_of_honest_files(honest: list[Honest]) -> None:
    wrong: list[object] = []
    for number, (name, path, claim, size) in enumerate(honest):
        if number % 6:
            continue
        with path.open("rb") as file:
            head = file.read(LOOK_HEAD)
            length = path.stat().st_size
            file.seek(max(0, length - LOOK_TAIL))
            seen = look(head, file.read(), length, claim)
        word = "raw" if claim in (None, *_OPAQUE) else claim
        if seen.format != word or seen.virtual_size not in (size, None):
            wrong.append((name, seen, word, size))
        if seen.virtual_size is None and word != "vhdx":
            wrong.append((name, "size not seen"))
    assert wrong == []


def peak_memory(path: Path, claim: str) -> int:
    """Run the child's own entry, outside the sandbox, and return its peak memory in bytes."""
    source = Path(calotype.__file__).parent.parent
    code = (
        f"import sys; sys.path.insert(0, {str(source)!r}); "
        "from calotype.disks.worker import main; main(sys.argv[1:]); "
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    with path.open("rb") as file:
        descriptor = file.fileno()
        arguments = [sys.executable, "-I", "-S", "-c", code, str(descriptor), claim]
        done = subprocess.run(
            [*arguments, str(1 << 62)],
            capture_output=True,
            text=True,
            check=True,
            pass_fds=[descriptor],
            timeout=60,
        )
    return int(done.stdout.splitlines()[1]) * 1024


def _qcow2_header(bits: int, size: int, l1_size: int) -> bytearray:
    header = bytearray(1 << 16)
    struct.pack_into(
        ">4sIQIIQIIQQIIQQQQII", header, 0, b"QFI\xfb", 3, 0, 0, bits, size, 0, l1_size,
        1 << 20, 1 << 26, 1, 0, 0, 0, 0, 0, 4, 104,
    )  # fmt: skip
    return header


def _huge_l1(path: Path) -> str:
    """A sparse file of 128 GiB with many second-level tables that are holes."""
    bits = 12
    with path.open("wb") as file:
        file.write(_qcow2_header(bits, 1 << 39, 1 << 18))
        file.seek(1 << 20)
        file.write(b"".join(struct.pack(">Q", (n + 32768) << bits) for n in range(1 << 18)))
        file.truncate(1 << 37)
    return "qcow2"


def _tiny_clusters(path: Path) -> str:
    """64 GiB of clusters of 512 bytes, touched all over by the tables."""
    with path.open("wb") as file:
        header = _qcow2_header(9, 1 << 31, 1 << 16)
        file.write(header[:512])
        file.seek(1 << 20)
        first = (1 << 20) + (1 << 19)
        file.write(b"".join(struct.pack(">Q", first + n * 512) for n in range(1 << 16)))
        for n in range(1 << 16):
            place = ((n * 64) * 15_000) % ((1 << 36) - (1 << 28)) + (1 << 28)
            entries = [((place + k * 233_472) & -512) % (1 << 36) for k in range(64)]
            file.write(struct.pack(">64Q", *entries))
        file.truncate(1 << 36)
    return "qcow2"


def _compressed_pieces(path: Path) -> str:
    """A million compressed clusters in one place, none of them in order."""
    with path.open("wb") as file:
        file.write(_qcow2_header(16, 1 << 36, 128))
        file.seek(1 << 20)
        first = 1 << 24
        file.write(b"".join(struct.pack(">Q", first + (n << 16)) for n in range(128)))
        file.seek(first)
        for n in range(128):
            base = (1 << 27) + n * 700_000
            file.write(struct.pack(">8192Q", *(
                1 << 62 | (base + (k * 4801 % 8192) * 80) for k in range(8192))))  # fmt: skip
        file.truncate(1 << 30)
    return "qcow2"


def _vmdk_tables(path: Path) -> str:
    """A stream whose tables are holes, for the largest capacity there is."""
    with path.open("wb") as file:
        header = struct.pack("<4sIIQQQQIQQQB4sH", b"KDMV", 1, 1, 1 << 52, 8, 1, 20, 512, 0, 64,
                             128, 0, b"\n \r\n", 0)  # fmt: skip
        file.write(header.ljust(512, b"\0"))
        text = b'version=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicSparse"\n'
        file.write(text + b'RW %d SPARSE "a"\n' % (1 << 52))
        file.truncate(1 << 42)
    return "vmdk"


@pytest.mark.parametrize("make", [_huge_l1, _tiny_clusters, _compressed_pieces, _vmdk_tables])
def test_memory_and_time_stay_small_for_files_made_to_exhaust_them(
    make: Callable[[Path], str], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    claim = make(path)
    assert peak_memory(path, claim) < 300 << 20
    assert verdict(lambda: examine(path, claim, 1 << 62)) is not None
