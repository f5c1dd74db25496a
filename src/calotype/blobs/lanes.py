# SPDX-License-Identifier: Apache-2.0
"""Blocks of memory that several threads work on at the same time, each in order.

Hashing and writing release the interpreter's lock above 2 KiB, so one thread for each work runs
them side by side (design stack 8). Every lane sees every block once, in order; the lane that is
last gives the block back. Blocks come from a pool of the process and are reused, never grown.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue

BLOCK = 1 << 20
"""Bytes of one block."""

BLOCKS = 8
"""Most blocks that one stream holds: this bounds its memory and is its back-pressure."""


class Block:
    """One reused piece of memory; `data[:length]` belongs at `offset` of the stream."""

    __slots__ = ("data", "left", "length", "offset", "view")

    def __init__(self) -> None:
        self.data = bytearray(BLOCK)
        self.view = memoryview(self.data)
        self.length = 0
        self.offset = 0
        self.left = 0  # lanes that are not done with it

    def content(self) -> memoryview:
        """Return the filled part, not copied."""
        return self.view[: self.length]


class BlockPool:
    """Blocks that outlive one stream; at most `keep` of them wait unused."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._unused: deque[Block] = deque()

    def take(self) -> Block:
        """Return a block with undefined content."""
        try:
            return self._unused.pop()
        except IndexError:
            return Block()

    def give(self, block: Block) -> None:
        """Take a block back."""
        if len(self._unused) < self._keep:
            self._unused.append(block)


POOL = BlockPool(keep=8 * BLOCKS)


@dataclass(frozen=True, slots=True)
class Lane:
    """One work: `work` on each block, then `end` once unless the stream was dropped or failed."""

    name: str
    work: Callable[[Block], object]
    end: Callable[[], object] | None = None


class Lanes:
    """Running lanes. `freed` and `ended` are called in their threads and must not raise.

    After a failure or `drop` the lanes only count the blocks down: nobody waits for ever. The
    threads end after `close` and nothing else; `ended` is the last thing that happens in them.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        *,
        freed: Callable[[Block], object],
        ended: Callable[[], object],
    ) -> None:
        self.failure: BaseException | None = None
        self.dropped = False
        self._freed = freed
        self._ended = ended
        self.closed = False
        self._running = len(lanes)
        self._lock = threading.Lock()
        self._queues: list[SimpleQueue[Block | None]] = [SimpleQueue() for _ in lanes]
        # Daemons: an interpreter that must exit does not wait for a stream nobody ended.
        self._threads = [
            threading.Thread(
                target=self._run, args=(lane, queue), name=f"lane-{lane.name}", daemon=True
            )
            for lane, queue in zip(lanes, self._queues, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def whole(self) -> bool:
        """Whether everything so far was worked on and is still wanted."""
        return self.failure is None and not self.dropped

    def put(self, block: Block) -> None:
        """Hand a filled block to every lane."""
        block.left = len(self._queues)
        for queue in self._queues:
            queue.put(block)

    def close(self) -> None:
        """Say that no block follows. May be said twice."""
        if not self.closed:
            self.closed = True
            for queue in self._queues:
                queue.put(None)

    def drop(self) -> None:
        """Close, and let what waits be skipped."""
        self.dropped = True
        self.close()

    def join(self) -> None:
        """Wait for the threads to be gone; short once `ended` was called."""
        for thread in self._threads:
            thread.join()

    def _run(self, lane: Lane, queue: SimpleQueue[Block | None]) -> None:
        while (block := queue.get()) is not None:
            if self.whole:
                self._guarded(partial(lane.work, block))
            if self._last_with(block):
                self._freed(block)
        if self.whole and lane.end is not None:
            self._guarded(lane.end)
        with self._lock:
            self._running -= 1
            last = self._running == 0
        if last:
            self._ended()

    def _guarded(self, step: Callable[[], object]) -> None:
        try:
            step()
        except BaseException as error:  # whatever it is, the stream's owner must get it
            with self._lock:
                self.failure = self.failure or error

    def _last_with(self, block: Block) -> bool:
        with self._lock:
            block.left -= 1
            return block.left == 0
