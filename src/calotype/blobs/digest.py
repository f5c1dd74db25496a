# SPDX-License-Identifier: Apache-2.0
"""The hashes that every image carries, and how a file is hashed by a job.

MD5 and SHA-512 are what both dialects publish; SHA-256 is computed when somebody gave one to
compare. The hashes of one stream run side by side, a thread each (design stack 8).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from calotype.blobs.lanes import BLOCKS, POOL, Block, Lane, Lanes
from calotype.errors import Cancelled
from calotype.storage.base import disk_errors, source_file


@dataclass(frozen=True, slots=True)
class Digest:
    """What came in: `size` in bytes, hashes in lower-case hex; `sha256` only when asked for."""

    size: int
    md5: str
    sha512: str
    sha256: str | None = None


class Hashes:
    """The hashes of one stream, a lane each."""

    def __init__(self, *, sha256: bool) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha512 = hashlib.sha512()
        self._sha256 = hashlib.sha256() if sha256 else None

    def lanes(self) -> list[Lane]:
        wanted = (self._md5, self._sha512, self._sha256)
        return [Lane(one.name, _updater(one)) for one in wanted if one is not None]

    def digest(self, size: int) -> Digest:
        sha256 = None if self._sha256 is None else self._sha256.hexdigest()
        return Digest(size, self._md5.hexdigest(), self._sha512.hexdigest(), sha256)


def _updater(one: hashlib._Hash) -> Callable[[Block], None]:
    return lambda block: one.update(block.content())


def digest_file(
    source: int | Path,
    *,
    sha256: bool = False,
    progress: Callable[[int, int], object] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Digest:
    """Hash a file from its begin to its end; for a job's thread.

    `source` is a descriptor, which stays open and where it was, or a path that is no link.
    `progress(done, total)` in bytes and `cancel()` are called for each MiB. Raises Cancelled,
    NotFound (`source_missing`), Unavailable.
    """
    opened = source_file(source) if isinstance(source, Path) else nullcontext(source)
    hashes = Hashes(sha256=sha256)
    with opened as descriptor:
        lanes = Lanes(hashes.lanes(), freed=(free := SimpleQueue[Block]()).put, ended=_nothing)
        for _ in range(BLOCKS):
            free.put(POOL.take())
        try:
            size = _feed(descriptor, lanes, free, progress, cancel)
        except BaseException:
            lanes.drop()
            raise
        finally:
            lanes.close()
            lanes.join()
            while not free.empty():
                POOL.give(free.get())
    if lanes.failure is not None:
        raise lanes.failure
    return hashes.digest(size)


def _feed(
    descriptor: int,
    lanes: Lanes,
    free: SimpleQueue[Block],
    progress: Callable[[int, int], object] | None,
    cancel: Callable[[], bool] | None,
) -> int:
    total = os.fstat(descriptor).st_size
    done = 0
    while not (cancel and cancel()):
        block = free.get()
        try:
            with disk_errors():
                block.length = os.preadv(descriptor, [block.view], done)
        except BaseException:
            free.put(block)
            raise
        if block.length == 0:
            free.put(block)
            return done
        block.offset = done
        done += block.length
        lanes.put(block)
        if progress:
            progress(done, total)
    raise Cancelled("Hashing was given up.")


def _nothing() -> None:
    """Nobody waits for the end but `join`."""
