# SPDX-License-Identifier: Apache-2.0
"""Makes a file of another format, and proves it: convert, then hash, compare and sync at once.

The three read the same fresh file side by side, each in a thread of its own: hashing is the
longest, and the others cost nothing beside it. What guests see must be the same in both files, so
that a bug of a converter cannot ship silently (security contract, section 7).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event

from calotype.blobs.digest import Digest, digest_file
from calotype.disks.convert import compare, convert
from calotype.disks.formats import Format
from calotype.errors import Cancelled
from calotype.flows.workspace import Workspace
from calotype.jobs.states import JobFailed, JobReason

_CONVERTED = 0.6  # part of the step that conversion is
File = tuple[Path, Format]


def make(source: File, target: File, size_limit: int, space: Workspace) -> Digest:
    """Convert an inspected file to a new file; return its size and hashes.

    Raises BadImage, Cancelled, Unavailable (`store_full`), JobFailed when the result differs. On
    any error nothing is left at `target`.
    """
    progress = space.attempt.progress
    space.check_room(0)

    def work(stop: Callable[[], bool]) -> None:
        convert(
            *source,
            *target,
            size_limit=size_limit,
            progress=lambda percent: progress(_CONVERTED * percent / 100),
            cancel=stop,
        )

    space.guarded(work)
    try:
        return prove(source, target, space)
    except BaseException:
        target[0].unlink(missing_ok=True)
        raise


def prove(source: File, target: File, space: Workspace) -> Digest:
    """Hash a converted file while it is synced and compared with its source."""
    failed = Event()

    def stop() -> bool:
        return failed.is_set() or space.attempt.stopping()

    def hashed() -> Digest:
        rest = 1 - _CONVERTED

        def tell(done: int, total: int) -> None:
            space.attempt.progress(_CONVERTED + rest * done / max(1, total))

        return digest_file(target[0], progress=tell, cancel=stop)

    def same() -> bool:
        return compare(source, target, cancel=stop)

    digest, equal, _ = side_by_side(failed, hashed, same, lambda: sync(target[0]))
    if not equal:
        text = "the converted file is not what its source is; nothing was stored"
        raise JobFailed(JobReason.INTERNAL, text, rule="conversion_differs")
    assert isinstance(digest, Digest)
    return digest


def side_by_side(failed: Event, *works: Callable[[], object]) -> list[object]:
    """Run works at once and return what they gave; when one fails, `failed` stops the others.

    Raises what failed first in earnest, not the Cancelled of those that were stopped for it.
    """
    with ThreadPoolExecutor(len(works), thread_name_prefix="making") as pool:
        running: list[Future[object]] = [pool.submit(work) for work in works]
        wait(running, return_when=FIRST_EXCEPTION)
        failed.set()
    errors = [error for error in (one.exception() for one in running) if error is not None]
    if errors:
        raise min(errors, key=lambda error: isinstance(error, Cancelled))
    return [one.result() for one in running]


def sync(path: Path) -> None:
    """Make a file's content durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
