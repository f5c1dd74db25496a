# SPDX-License-Identifier: Apache-2.0
"""How bytes come in: hashed and written at the same time, in bounded memory (stack 8, upload).

`Intake` serves a coroutine and never blocks its loop; `JobIntake` is the same for a job's thread;
`digest_file` hashes what is a file already. A stream holds at most 8 blocks of 1 MiB, waits when
they are all in use, and leaves either a complete, synced file or none. Runs of zeros are written
as holes. A full disk is Unavailable (`store_full`) at the next call, too many bytes TooLarge.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from calotype.blobs.digest import Digest, Hashes, digest_file
from calotype.blobs.lanes import BLOCK, BLOCKS, POOL, Block, Lane, Lanes
from calotype.blobs.target import Target
from calotype.errors import Cancelled, TooLarge

__all__ = ["Digest", "Intake", "JobIntake", "digest_file"]


class _Stream:
    """What both kinds of intake share: filling blocks and counting bytes.

    `limit`: most bytes taken. `expected`: the length, when the sender told it, so that a disk
    without room is found at once. `reserve`: bytes of the disk that stay free. `sha256`: also that.
    """

    def __init__(
        self,
        target: Path,
        *,
        limit: int | None = None,
        expected: int | None = None,
        reserve: int | None = None,
        sha256: bool = False,
    ) -> None:
        self.size = 0
        self._limit = limit
        self._hashes = Hashes(sha256=sha256)
        self._target = Target(target, expected, reserve)
        self._block: Block | None = None
        self._held = 0
        self._digest: Digest | None = None
        self._lanes = Lanes(
            [*self._hashes.lanes(), Lane("write", self._target.write, self._target.finish)],
            freed=self._freed,
            ended=self._ended,
        )

    def _freed(self, block: Block) -> None:
        """Get a block back; in a lane's thread."""
        raise NotImplementedError

    def _ended(self) -> None:
        """Learn that the last lane ended; in that lane's thread."""
        raise NotImplementedError

    def _count(self, chunk: bytes | memoryview) -> memoryview:
        """Judge a chunk before it is taken."""
        self._usable()
        size = self.size + len(chunk)
        if self._limit is not None and size > self._limit:
            raise TooLarge(
                f"More than the {self._limit} bytes that are allowed.",
                rule="size_limit",
                limit=self._limit,
                value=size,
            )
        self.size = size
        return memoryview(chunk)

    def _usable(self) -> None:
        if self._lanes.failure is not None:
            raise self._lanes.failure
        if self._lanes.closed:
            raise Cancelled("The transfer has ended.", rule="transfer_ended")

    def _absorb(self, block: Block, data: memoryview) -> memoryview:
        """Copy what fits into the current block, hand it on when full; return the rest."""
        used = block.length
        taken = min(len(data), BLOCK - used)
        block.view[used : used + taken] = data[:taken]
        block.length = used + taken
        if block.length == BLOCK:
            self._hand_over()
        return data[taken:]

    def _begin(self, block: Block, rest: int) -> Block:
        """Make a block the current one; `rest` bytes that are counted are not in a block yet."""
        block.length = 0
        block.offset = self.size - rest
        self._block = block
        return block

    def _hand_over(self) -> None:
        block, self._block = self._block, None
        if block is not None:
            self._lanes.put(block)

    def _result(self) -> Digest:
        """Join the ended threads and tell how it went."""
        self._lanes.join()
        if self._lanes.failure is not None:
            raise self._lanes.failure
        if self._lanes.dropped:
            raise Cancelled("The transfer was given up.", rule="transfer_ended")
        self._digest = self._hashes.digest(self.size)
        return self._digest

    def _clear(self) -> None:
        """In the last thread: a stream that is not whole leaves no file."""
        if not self._lanes.whole:
            self._target.discard()


class Intake(_Stream):
    """Bytes from a coroutine into a new file. Make it in a running loop, best by `async with`.

    It must end by `finish` or `abort`: leaving the `async with` block without `finish` aborts.
    """

    def __init__(
        self,
        target: Path,
        *,
        limit: int | None = None,
        expected: int | None = None,
        reserve: int | None = None,
        sha256: bool = False,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._free: list[Block] = []
        self._wake = asyncio.Event()
        self._done = asyncio.Event()
        super().__init__(target, limit=limit, expected=expected, reserve=reserve, sha256=sha256)

    async def feed(self, chunk: bytes) -> None:
        """Take a chunk of any size; waits while all blocks are in use.

        Raises TooLarge, Unavailable (`store_full`, `store_away`) or Conflict (`name_taken`: the
        file exists) for this or an earlier chunk; the caller then aborts.
        """
        rest = self._count(chunk)
        while rest:
            block = self._block or self._begin(await self._next(), len(rest))
            rest = self._absorb(block, rest)

    async def finish(self) -> Digest:
        """Write what is left, sync it and return size and hashes. Raises as `feed` does."""
        self._hand_over()
        self._lanes.close()
        await self._done.wait()
        return self._result()

    async def abort(self) -> None:
        """Stop and remove the file; also after `finish`. Safe to call twice or to be cancelled."""
        self._digest = None
        self._lanes.drop()
        await asyncio.shield(self._gone())

    async def _gone(self) -> None:
        await self._done.wait()
        self._lanes.join()
        await asyncio.to_thread(self._target.discard)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._digest is None:
            await self.abort()

    async def _next(self) -> Block:
        while not self._free:
            if self._held < BLOCKS:
                self._held += 1
                return POOL.take()
            self._wake.clear()
            await self._wake.wait()
            self._usable()
        return self._free.pop()

    def _freed(self, block: Block) -> None:
        self._tell(self._take_back, block)

    def _ended(self) -> None:
        self._clear()
        self._tell(self._let_go)

    def _tell(self, call: Callable[..., None], *arguments: Block) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(call, *arguments)

    def _take_back(self, block: Block) -> None:
        self._free.append(block)
        self._wake.set()

    def _let_go(self) -> None:
        """Give every block to the pool; lanes told of their last block before they ended."""
        for block in (*self._free, *([self._block] if self._block else [])):
            POOL.give(block)
        self._free.clear()
        self._block = None
        self._wake.set()
        self._done.set()


class JobIntake(_Stream):
    """The same for a thread of a job, which may block: bytes that are pulled from a source.

    It must end by `finish` or `abort`: leaving the `with` block without `finish` aborts.
    """

    def __init__(
        self,
        target: Path,
        *,
        limit: int | None = None,
        expected: int | None = None,
        reserve: int | None = None,
        sha256: bool = False,
    ) -> None:
        self._free: SimpleQueue[Block] = SimpleQueue()
        self._done = threading.Event()
        super().__init__(target, limit=limit, expected=expected, reserve=reserve, sha256=sha256)

    def feed(self, chunk: bytes) -> None:
        """Take a chunk of any size; see `Intake.feed`."""
        rest = self._count(chunk)
        while rest:
            block = self._block or self._begin(self._next(), len(rest))
            rest = self._absorb(block, rest)

    def finish(self) -> Digest:
        """Write what is left, sync it and return size and hashes; see `Intake.finish`."""
        self._hand_over()
        self._lanes.close()
        self._let_go()
        return self._result()

    def abort(self) -> None:
        """Stop and remove the file; also after `finish`."""
        self._digest = None
        self._lanes.drop()
        self._let_go()
        self._target.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._digest is None:
            self.abort()

    def _next(self) -> Block:
        try:
            return self._free.get_nowait()
        except Empty:
            if self._held < BLOCKS:
                self._held += 1
                return POOL.take()
        return self._free.get()

    def _freed(self, block: Block) -> None:
        self._free.put(block)

    def _ended(self) -> None:
        self._clear()
        self._done.set()

    def _let_go(self) -> None:
        self._done.wait()
        self._lanes.join()
        if self._block is not None:
            POOL.give(self._block)
            self._block = None
        while not self._free.empty():
            POOL.give(self._free.get())
