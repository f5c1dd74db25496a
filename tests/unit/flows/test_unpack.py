# SPDX-License-Identifier: Apache-2.0
"""Unpacking one layer in the real sandbox: content, holes, limits, hostile files (C3)."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from calotype.errors import BadImage, Cancelled, Reason
from calotype.flows import unpack_child
from calotype.flows.unpack import MAGIC, check_begin, unpack

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, 1),
    "bz2": lambda data: bz2.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
    "zst": lambda data: zstandard.ZstdCompressor(level=1, write_checksum=True).compress(data),
}
CONTENT = random.Random(1).randbytes(300_000) + bytes(2 << 20) + b"end"
KINDS = pytest.mark.parametrize("kind", sorted(PACK))


def run(
    tmp_path: Path,
    packed: bytes,
    kind: str,
    limit: int = 1 << 30,
    cancel: Callable[[], bool] = lambda: False,
) -> Path:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(packed)
    target.unlink(missing_ok=True)
    descriptor = os.open(source, os.O_RDONLY)
    try:
        size = unpack(descriptor, target, kind, limit, progress=lambda part: None, cancel=cancel)
    except BaseException:
        assert not target.exists()
        raise
    finally:
        os.close(descriptor)
    assert target.stat().st_size == size
    return target


def refused(tmp_path: Path, packed: bytes, kind: str, limit: int = 1 << 30) -> Reason:
    with pytest.raises(BadImage) as caught:
        run(tmp_path, packed, kind, limit)
    return caught.value.reason


@KINDS
def test_content_comes_out_whole_and_zeros_as_holes(tmp_path: Path, kind: str) -> None:
    target = run(tmp_path, PACK[kind](CONTENT), kind)
    assert target.read_bytes() == CONTENT
    assert target.stat().st_blocks * 512 < 600_000


@KINDS
def test_streams_that_follow_each_other_count_together(tmp_path: Path, kind: str) -> None:
    packed = PACK[kind](b"first ") + PACK[kind](b"second")
    assert run(tmp_path, packed, kind).read_bytes() == b"first second"
    assert refused(tmp_path, packed, kind, limit=11) == Reason.SIZE_LIMIT


def test_a_zst_may_begin_with_a_frame_to_be_skipped(tmp_path: Path) -> None:
    packed = b"\x50\x2a\x4d\x18\x04\0\0\0\x18\0\0\0" + PACK["zst"](CONTENT)
    check_begin("zst", packed[:8])
    assert run(tmp_path, packed, "zst").read_bytes() == CONTENT
    with pytest.raises(BadImage):
        check_begin("gz", packed[:8])
    assert refused(tmp_path, packed[:8], "zst") == Reason.TRUNCATED


@KINDS
def test_a_file_that_ends_early_is_truncated(tmp_path: Path, kind: str) -> None:
    packed = PACK[kind](CONTENT)
    assert refused(tmp_path, packed[:-20], kind) == Reason.TRUNCATED
    assert refused(tmp_path, packed[: len(packed) // 2], kind) == Reason.TRUNCATED


@KINDS
def test_broken_content_and_rubbish_behind_it_are_corrupt(tmp_path: Path, kind: str) -> None:
    packed = bytearray(PACK[kind](CONTENT))
    for at in range(1000, 2000):
        packed[at] ^= 0x55
    assert refused(tmp_path, bytes(packed), kind) in (Reason.CORRUPT, Reason.TRUNCATED)
    assert refused(tmp_path, PACK[kind](b"x") + b"rubbish" * 10, kind) == Reason.CORRUPT
    assert refused(tmp_path, b"no such thing" * 100, kind) == Reason.CORRUPT


@KINDS
def test_output_stops_at_its_limit(tmp_path: Path, kind: str) -> None:
    packed = PACK[kind](bytes(20 << 20))
    assert refused(tmp_path, packed, kind, limit=1 << 20) == Reason.SIZE_LIMIT


def test_a_bomb_is_stopped_by_its_ratio(tmp_path: Path) -> None:
    block = zstandard.ZstdCompressor(level=1).compress(bytes(256 << 20))
    assert refused(tmp_path, block * 6, "zst", limit=1 << 40) == Reason.EXPANSION_LIMIT


@KINDS
def test_a_cancelled_unpacking_leaves_nothing(tmp_path: Path, kind: str) -> None:
    with pytest.raises(Cancelled):
        run(tmp_path, PACK[kind](CONTENT), kind, cancel=lambda: True)


def test_an_xz_that_wants_much_memory_is_refused(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30, "preset": 0}]
    packed = bytearray(lzma.compress(b"x" * 100, format=lzma.FORMAT_XZ, filters=filters))
    assert refused(tmp_path, bytes(packed), "xz") == Reason.EXPANSION_LIMIT


def test_the_begin_tells_what_is_not_what_it_claims() -> None:
    for kind, magic in MAGIC.items():
        check_begin(kind, magic + b"more")
        with pytest.raises(BadImage) as caught:
            check_begin(kind, b"QFI\xfb")
        assert caught.value.reason == Reason.FORMAT_MISMATCH


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=some.binary(max_size=3000),
    kind=some.sampled_from(sorted(PACK)),
    cut=some.integers(0, 4000),
    flips=some.lists(some.tuples(some.integers(0, 4000), some.integers(1, 255)), max_size=3),
)
def test_mutated_files_are_read_or_refused_and_nothing_else(
    tmp_path: Path, data: bytes, kind: str, cut: int, flips: list[tuple[int, int]]
) -> None:
    packed = bytearray(PACK[kind](data))
    for at, value in flips:
        if at < len(packed):
            packed[at] ^= value
    (tmp_path / "in").write_bytes(packed[: max(1, cut)])
    source = os.open(tmp_path / "in", os.O_RDONLY)
    target = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        unpack_child.unpack(source, target, kind, 1 << 20)
    except unpack_child.Refused as error:
        assert error.args[0] in {reason.value for reason in Reason}
    finally:
        os.close(source)
        os.close(target)
