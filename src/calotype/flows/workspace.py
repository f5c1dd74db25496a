# SPDX-License-Identifier: Apache-2.0
"""Where an attempt works: one leased directory in scratch, and tools that stop before it is full.

Whatever an attempt writes lies below a name made of job id and attempt, so two attempts never
meet, and a later one may read what an earlier one finished on this host.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from calotype import clock
from calotype.blobs import leases
from calotype.blobs.leases import Lease
from calotype.blobs.scratch import Scratch
from calotype.db.session import Database
from calotype.errors import Cancelled, Unavailable
from calotype.jobs.flow import Attempt

T = TypeVar("T")
_LOOK_SECONDS = 0.2


class Workspace:
    """The directory of one attempt, made at first use."""

    def __init__(self, db: Database, scratch: Scratch, attempt: Attempt) -> None:
        self._db = db
        self._scratch = scratch
        self.attempt = attempt

    def path(self, name: str) -> Path:
        """Return where a new file of this attempt goes; what is there of that name is removed."""
        holder = self.attempt.job.id
        path = self._scratch.directory(self._db, self.attempt.name, holder) / name
        path.unlink(missing_ok=True)
        return path

    def made(self, directory: str, name: str, size: int) -> Path | None:
        """Return a file that an attempt of this job finished here, None when it is not here."""
        path = self._scratch.path(directory) / name
        try:
            return path if path.stat().st_size == size else None
        except OSError:
            return None

    def lease(self, place: str, name: str) -> Lease:
        """Lease a name outside scratch for this job, before anything is written there."""
        lease = Lease(place, name, self.attempt.job.id)
        self._db.write(lambda conn: leases.take(conn, lease, clock.now()))
        return lease

    def guarded(self, work: Callable[[Callable[[], bool]], T]) -> T:
        """Run a tool that asks whether to stop; stop it, too, when scratch gets full.

        Raises Unavailable (`store_full`) then.
        """
        guard = _Guard(self._scratch, self.attempt)
        try:
            return work(guard.stop)
        except Cancelled:
            if guard.full is not None:
                raise guard.full from None
            raise

    def check_room(self, wanted: int) -> None:
        """Raise Unavailable (`store_full`) when so many bytes more do not fit."""
        self._scratch.check_room(wanted)


class _Guard:
    """Answers a tool's question whether it must stop; looks at the disk now and then."""

    def __init__(self, scratch: Scratch, attempt: Attempt) -> None:
        self._scratch = scratch
        self._attempt = attempt
        self._looked = clock.monotonic()
        self.full: Unavailable | None = None

    def stop(self) -> bool:
        """Tell whether to stop."""
        now = clock.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            try:
                self._scratch.check_room()
            except Unavailable as error:
                self.full = error
        return self.full is not None or self._attempt.stopping()


def link_to(descriptor: int, target: Path) -> bool:
    """Give the file behind a descriptor a second name; False when that is not possible here.

    The file must be immutable. It then stays readable although its first name may be removed.
    """
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # dst_dir_fd makes Python pass AT_SYMLINK_FOLLOW, without which the link in /proc itself
        # would be linked.
        os.link(
            f"/proc/self/fd/{descriptor}", target.name, dst_dir_fd=directory, follow_symlinks=True
        )
    except OSError:
        return False
    finally:
        os.close(directory)
    return True


def sync(path: Path) -> None:
    """Make a file's content durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
