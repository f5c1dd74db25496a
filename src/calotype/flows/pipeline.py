# SPDX-License-Identifier: Apache-2.0
"""Fills blocks in place and lets hashing and writing of a new file work on them side by side.

What `JobIntake` does for bytes that arrive, this does for bytes that are read where they lie: no
copy between reading and the lanes. At most 8 blocks of 1 MiB are held.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from calotype.blobs.digest import Digest, Hashes
from calotype.blobs.lanes import BLOCK, BLOCKS, POOL, Block, Lane, Lanes
from calotype.blobs.target import Target


class Pipeline:
    """One new file. Leaving the `with` block without `finish` removes it."""

    def __init__(self, target: Path) -> None:
        self.size = 0
        self._hashes = Hashes(sha256=False)
        self._target = Target(target, None, None)
        self._free: SimpleQueue[Block] = SimpleQueue()
        for _ in range(BLOCKS):
            self._free.put(POOL.take())
        self._lanes = Lanes(
            [*self._hashes.lanes(), Lane("write", self._target.write, self._target.finish)],
            freed=self._free.put,
            ended=lambda: None,
        )
        self._finished = False

    def put(self, length: int, fill: Callable[[memoryview], None]) -> None:
        """Let `fill` write the next `length` bytes, at most 1 MiB, into a block, and pass it on.

        Waits while all blocks are in use. Raises what went wrong in a lane, and what `fill` raises.
        """
        assert 0 < length <= BLOCK
        block = self._free.get()
        try:
            if self._lanes.failure is not None:
                raise self._lanes.failure
            fill(block.view[:length])
        except BaseException:
            self._free.put(block)
            raise
        block.length, block.offset = length, self.size
        self.size += length
        self._lanes.put(block)

    def finish(self) -> Digest:
        """Sync the file and return its size and hashes."""
        self._lanes.close()
        self._lanes.join()
        if self._lanes.failure is not None:
            raise self._lanes.failure
        self._finished = True
        return self._hashes.digest(self.size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._finished:
            self._lanes.drop()
            self._lanes.join()
            self._target.discard()
        while not self._free.empty():
            POOL.give(self._free.get())
