# SPDX-License-Identifier: Apache-2.0
"""Makes a file of another format, and proves it: streamed when that is possible, else converted.

After a conversion the result is hashed, compared with its source and synced at once, each in a
thread of its own. What guests see must be the same in both files, so that a bug of a converter
cannot ship silently (security contract, section 7).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Event

from calotype.blobs.digest import Digest, digest_file
from calotype.disks.convert import compare, convert
from calotype.disks.formats import Format
from calotype.flows.proving import Differs
from calotype.flows.side_by_side import side_by_side
from calotype.flows.streaming import stream
from calotype.flows.workspace import Workspace, sync
from calotype.jobs.states import JobFailed, JobReason

_LOG = logging.getLogger(__name__)
_CONVERTED = 0.6  # part of the step that conversion is
File = tuple[Path, Format]


def make(source: File, target: File, limits: tuple[int, int], space: Workspace) -> Digest:
    """Convert an inspected file to a new file; return its size and hashes.

    `limits`: virtual size of the disk and most bytes of the result. Raises BadImage, Cancelled,
    Unavailable (`store_full`, `work_full`), JobFailed when the result differs. On any error nothing
    is left at the target.
    """
    if target[1] == Format.QCOW2:
        try:
            digest = stream(*source, target[0], limits, space)
        except Differs as error:
            # Never seen; the converter is the second opinion, and its result is proven as well.
            _LOG.error("a streamed file was refused", extra={"why": str(error)})
        else:
            if digest is not None:
                return digest
    return _convert(source, target, limits[1], space)


def _convert(source: File, target: File, size_limit: int, space: Workspace) -> Digest:
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
        return _prove(source, target, space)
    except BaseException:
        target[0].unlink(missing_ok=True)
        raise


def _prove(source: File, target: File, space: Workspace) -> Digest:
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
