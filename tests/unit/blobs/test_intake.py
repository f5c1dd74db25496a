# SPDX-License-Identifier: Apache-2.0
"""Bytes come in whole and hashed or leave nothing, in bounded memory, with no thread left over."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from calotype.blobs.intake import Digest, Intake, JobIntake, digest_file
from calotype.blobs.lanes import BLOCK, BLOCKS, Block, Lane, Lanes
from calotype.errors import Cancelled, Conflict, NotFound, TooLarge, Unavailable

MIB = 1 << 20
NOISE = os.urandom(5 * MIB + 12_345)


def expected(content: bytes, *, sha256: bool = False) -> Digest:
    """What one call of hashlib says."""
    return Digest(
        len(content),
        hashlib.md5(content).hexdigest(),
        hashlib.sha512(content).hexdigest(),
        hashlib.sha256(content).hexdigest() if sha256 else None,
    )


def lanes_running() -> int:
    return sum(thread.name.startswith("lane-") for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert lanes_running() == 0


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The system refuses to let a file grow past `size`, like a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def take(target: Path, chunks: list[bytes], **options: Any) -> Digest:
    async with Intake(target, **options) as intake:
        for chunk in chunks:
            await intake.feed(chunk)
        return await intake.finish()


def job_take(target: Path, chunks: list[bytes], **options: Any) -> Digest:
    with JobIntake(target, **options) as intake:
        for chunk in chunks:
            intake.feed(chunk)
        return intake.finish()


def cut(content: bytes, sizes: list[int]) -> list[bytes]:
    """Cut content into chunks of these sizes, over and over."""
    chunks, at, turn = [], 0, 0
    while at < len(content):
        size = sizes[turn % len(sizes)]
        chunks.append(content[at : at + size])
        at += size
        turn += 1
    return chunks


def is_all(sizes: list[int]) -> bool:
    return sum(sizes) * 200 >= len(NOISE)  # few enough chunks to be quick


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(0, len(NOISE)),
    sizes=st.lists(st.integers(0, 3 * MIB), min_size=1, max_size=5).filter(is_all),
    sha256=st.booleans(),
)
@example(length=0, sizes=[100_000], sha256=True)
@example(length=1, sizes=[100_000], sha256=False)
@example(length=BLOCK, sizes=[BLOCK], sha256=False)
@example(length=BLOCK + 1, sizes=[BLOCK + 1], sha256=False)
@example(length=2 * BLOCK, sizes=[BLOCK - 1], sha256=True)
@example(length=len(NOISE), sizes=[256_000], sha256=True)
@example(length=len(NOISE), sizes=[len(NOISE)], sha256=True)
def test_file_and_hashes_equal_the_bytes_however_they_are_cut(
    length: int, sizes: list[int], sha256: bool
) -> None:
    content = NOISE[:length]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "target"
        wanted = expected(content, sha256=sha256)
        assert asyncio.run(take(target, cut(content, sizes), sha256=sha256)) == wanted
        assert target.read_bytes() == content
        assert digest_file(target, sha256=sha256) == wanted
        assert job_take(Path(folder) / "second", cut(content, sizes), sha256=sha256) == wanted
        assert (Path(folder) / "second").read_bytes() == content


@settings(max_examples=25, deadline=None)
@given(
    islands=st.lists(
        st.tuples(st.integers(0, 6 * MIB), st.integers(1, 200_000), st.booleans()), max_size=6
    ),
    length=st.integers(0, 6 * MIB),
)
def test_zeros_anywhere_never_change_the_bytes(
    islands: list[tuple[int, int, bool]], length: int
) -> None:
    content = bytearray(length)
    for at, size, noise in islands:
        if at + size <= length:
            content[at : at + size] = NOISE[:size] if noise else b"\1" + bytes(size - 1)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "target"
        assert job_take(target, cut(bytes(content), [256_000])) == expected(bytes(content))
        assert target.read_bytes() == content


def test_long_runs_of_zeros_take_no_room(tmp_path: Path) -> None:
    content = NOISE[:100_000] + bytes(40 * MIB) + NOISE[:100_000] + bytes(10 * MIB)
    target = tmp_path / "target"
    digest = asyncio.run(take(target, cut(content, [256_000]), expected=len(content)))
    assert digest == expected(content)
    assert target.stat().st_size == len(content)
    assert target.stat().st_blocks * 512 < MIB
    assert target.read_bytes() == content


@pytest.mark.parametrize("length", [0, 5, BLOCK, 3 * BLOCK + 5])
def test_abort_leaves_no_file(tmp_path: Path, length: int) -> None:
    target = tmp_path / "target"

    async def run() -> None:
        intake = Intake(target)
        await intake.feed(NOISE[:length])
        await intake.abort()
        await intake.abort()
        with pytest.raises(Cancelled):
            await intake.feed(b"more")
        with pytest.raises(Cancelled):
            await intake.finish()

    asyncio.run(run())
    assert list(tmp_path.iterdir()) == []
    intake = JobIntake(target)
    intake.feed(NOISE[:length])
    intake.abort()
    intake.abort()
    with pytest.raises(Cancelled):
        intake.feed(b"more")
    assert list(tmp_path.iterdir()) == []


def test_abort_after_finish_removes_the_file_too(tmp_path: Path) -> None:
    target = tmp_path / "target"

    async def run() -> None:
        intake = Intake(target)
        await intake.feed(NOISE)
        assert await intake.finish() == expected(NOISE)
        assert target.read_bytes() == NOISE
        await intake.abort()

    asyncio.run(run())
    assert list(tmp_path.iterdir()) == []


def test_a_broken_sender_or_a_cancelled_task_leaves_nothing(tmp_path: Path) -> None:
    async def broken() -> None:
        async with Intake(tmp_path / "broken") as intake:
            await intake.feed(NOISE)
            raise ConnectionResetError

    async def cancelled() -> None:
        reached = asyncio.Event()

        async def upload() -> None:
            async with Intake(tmp_path / "cancelled") as intake:
                await intake.feed(NOISE)
                reached.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(upload())
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with pytest.raises(ConnectionResetError):
        asyncio.run(broken())
    asyncio.run(cancelled())
    assert list(tmp_path.iterdir()) == []


def test_a_task_cancelled_while_it_finishes_leaves_nothing(tmp_path: Path) -> None:
    async def run(turns: int) -> None:
        async def upload() -> None:
            async with Intake(tmp_path / "target") as intake:
                await intake.feed(NOISE)
                await intake.finish()
                await asyncio.Event().wait()

        task = asyncio.create_task(upload())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for turns in (1, 2, 3, 5, 20):
        asyncio.run(run(turns))
        for left in tmp_path.iterdir():  # only a complete file may stay, and it is the caller's
            assert left.read_bytes() == NOISE
            left.unlink()


def test_a_loop_that_ends_with_an_unfinished_intake_takes_its_threads_along(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        intake = Intake(tmp_path / "target")
        await intake.feed(NOISE)
        intake._lanes.drop()  # as the last act before the loop is gone

    asyncio.run(run())
    deadline = time.monotonic() + 10
    while lanes_running() or any(tmp_path.iterdir()):
        assert time.monotonic() < deadline


def test_a_sender_faster_than_the_disk_waits_with_eight_blocks_in_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = NOISE * 4
    gate = threading.Event()
    real = os.pwrite

    def stalled(*arguments: Any) -> int:
        gate.wait()
        return real(*arguments)

    monkeypatch.setattr(os, "pwrite", stalled)  # a disk that takes nothing until the gate opens
    fed = 0

    async def upload() -> Digest:
        nonlocal fed
        async with Intake(tmp_path / "target") as intake:
            for chunk in cut(content, [256_000]):
                await intake.feed(chunk)
                fed += len(chunk)
            return await intake.finish()

    async def run() -> Digest:
        task = asyncio.create_task(upload())
        done, _ = await asyncio.wait([task], timeout=0.5)
        assert not done, "the sender was not held back"
        assert (BLOCKS - 1) * BLOCK <= fed <= BLOCKS * BLOCK
        gate.set()
        return await task

    try:
        assert asyncio.run(run()) == expected(content)
    finally:
        gate.set()
    assert (tmp_path / "target").read_bytes() == content


@pytest.mark.parametrize("length", [3 * MIB, 30 * MIB])
def test_a_full_disk_is_told_at_the_next_call_and_leaves_nothing(
    tmp_path: Path, length: int
) -> None:
    target = tmp_path / "target"
    chunks = cut((NOISE * 7)[:length], [256_000])

    async def run() -> int:
        fed = 0
        async with Intake(target) as intake:
            for chunk in chunks:
                await intake.feed(chunk)
                fed += 1
            await intake.finish()
        return fed

    with largest_file(2 * MIB):
        with pytest.raises(Unavailable) as refusal:
            asyncio.run(run())
        assert refusal.value.rule == "store_full"
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(Unavailable) as refusal:
            job_take(target, chunks)
        assert refusal.value.rule == "store_full"
    assert list(tmp_path.iterdir()) == []


def test_a_length_that_does_not_fit_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as refusal:
        asyncio.run(take(tmp_path / "t", [b"x"], expected=1 << 60, reserve=0))
    assert refusal.value.rule == "store_full"
    with pytest.raises(Unavailable):
        job_take(tmp_path / "t", [b"x"], reserve=1 << 60)
    assert list(tmp_path.iterdir()) == []
    assert job_take(tmp_path / "t", [b"x"], expected=1, reserve=0).size == 1


@pytest.mark.parametrize("limit", [0, 1000, BLOCK, 3 * BLOCK])
def test_one_byte_past_the_limit_is_refused_and_leaves_nothing(tmp_path: Path, limit: int) -> None:
    target = tmp_path / "target"
    assert asyncio.run(take(target, [NOISE[:limit]], limit=limit)) == expected(NOISE[:limit])
    target.unlink()
    chunks = cut(NOISE[: limit + 1], [max(1, limit // 3 + 1)])
    for call in (lambda: asyncio.run(take(target, chunks, limit=limit)),
                 lambda: job_take(target, chunks, limit=limit)):  # fmt: skip
        with pytest.raises(TooLarge) as refusal:
            call()
        assert refusal.value.facts == {"limit": limit, "value": limit + 1}
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_exists_is_neither_overwritten_nor_removed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"somebody's")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in (target, tmp_path / "link"):
        with pytest.raises(Conflict):
            asyncio.run(take(path, [NOISE]))
        with pytest.raises(Conflict):
            job_take(path, [])
    assert target.read_bytes() == b"somebody's"
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(Unavailable):
        job_take(tmp_path / "no" / "folder", [NOISE])


def test_a_missing_folder_is_told_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as refusal:
        asyncio.run(take(tmp_path / "gone" / "target", [NOISE]))
    assert refusal.value.rule == "store_away"
    assert str(tmp_path) not in f"{refusal.value}{refusal.value.facts}"


def test_eight_uploads_at_once_get_their_own_bytes(tmp_path: Path) -> None:
    contents = [NOISE[number:] + bytes([number]) * number for number in range(8)]

    async def run() -> list[Digest]:
        return await asyncio.gather(
            *(
                take(tmp_path / str(number), cut(content, [256_000]))
                for number, content in enumerate(contents)
            )
        )

    assert asyncio.run(run()) == [expected(content) for content in contents]
    for number, content in enumerate(contents):
        assert (tmp_path / str(number)).read_bytes() == content


EIGHT = """
import asyncio, os, sys
from pathlib import Path
from calotype.blobs.intake import Intake
def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
chunk = os.urandom(256_000)
async def upload(path, pieces):
    async with Intake(path) as intake:
        for _ in range(pieces):
            await intake.feed(chunk)
        await intake.finish()
async def main(folder):
    await upload(folder / "warm", 1)
    before = peak()
    await asyncio.gather(*(upload(folder / str(n), 250) for n in range(8)))
    print(peak() - before)
asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.heavy
def test_eight_uploads_of_64_megabytes_stay_below_150_mb_of_memory(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", EIGHT, tmp_path], capture_output=True, text=True, check=True
    )
    assert 1 < float(run.stdout) < 150


def test_hashing_a_file_tells_its_progress_and_can_be_cancelled(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(NOISE)
    seen: list[tuple[int, int]] = []
    assert digest_file(path, progress=lambda *told: seen.append(told)) == expected(NOISE)
    assert seen[-1] == (len(NOISE), len(NOISE))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    with pytest.raises(Cancelled):
        digest_file(path, progress=lambda *told: seen.append(told), cancel=lambda: len(seen) > 8)
    assert len(seen) == 9
    with pytest.raises(ZeroDivisionError):
        digest_file(path, progress=lambda done, total: 1 // 0)


def test_hashing_a_descriptor_leaves_it_open_and_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(NOISE)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.lseek(descriptor, 77, os.SEEK_SET)
        assert digest_file(descriptor, sha256=True) == expected(NOISE, sha256=True)
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 77
    finally:
        os.close(descriptor)
    with pytest.raises(NotFound):
        digest_file(tmp_path / "missing")
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(NotFound):
        digest_file(tmp_path / "link")


def test_a_failing_lane_is_told_and_the_others_do_not_wait_for_it() -> None:
    freed: list[Block] = []
    ended = threading.Event()
    seen: list[int] = []
    gate = threading.Event()

    def fail(block: Block) -> None:
        gate.wait()
        raise MemoryError

    lanes = Lanes(
        [Lane("bad", fail, lambda: seen.append(-1)), Lane("good", lambda b: seen.append(b.offset))],
        freed=freed.append,
        ended=ended.set,
    )
    blocks = [Block() for _ in range(5)]
    for number, block in enumerate(blocks):
        block.offset = number
        lanes.put(block)
    gate.set()
    lanes.close()
    lanes.close()
    assert ended.wait(10)
    lanes.join()
    assert isinstance(lanes.failure, MemoryError)
    assert sorted(map(id, freed)) == sorted(map(id, blocks))
    assert -1 not in seen, "what failed is not ended as if it were whole"
    assert seen == sorted(seen)
