# SPDX-License-Identifier: Apache-2.0
"""The work space of one host: leased names below one directory, and room that stays free.

A name is a file or a directory of one holder. Its lease is committed before it appears, so what
lies here without a lease is a stray, whatever it is.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
from pathlib import Path

from calotype import clock
from calotype.blobs import leases
from calotype.blobs.leases import Lease
from calotype.db.session import Database
from calotype.errors import Invalid, Unavailable
from calotype.storage.base import own_name


class Scratch:
    """One directory of temporary bytes. `reserve`: bytes of its disk that work never takes."""

    def __init__(self, root: Path, reserve: int = 0) -> None:
        self.root = root.absolute()
        self.reserve = reserve
        # Hosts have their own scratch although they share the rows.
        key = f"{socket.gethostname()} {self.root}".encode()
        self.place = f"scratch-{hashlib.sha256(key).hexdigest()[:16]}"

    def prepare(self) -> None:
        """Make the directory. Raises Unavailable (`scratch_away`)."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(
                "the scratch directory cannot be made", rule="scratch_away"
            ) from error

    def path(self, name: str) -> Path:
        """Return where a name lies. Raises Invalid for a name that is none of ours."""
        if "/" in own_name(name):
            raise Invalid("a name in scratch has one segment", rule="store_name", field="name")
        return self.root / name

    def lease(self, name: str, holder: str) -> Lease:
        """Return the lease of a name."""
        return Lease(self.place, name, holder)

    def directory(self, db: Database, name: str, holder: str) -> Path:
        """Lease a name and make a directory of it; one that is there is kept."""
        path = self.path(name)
        lease = self.lease(name, holder)
        db.write(lambda conn: leases.take(conn, lease, clock.now()))
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def check_room(self, wanted: int = 0) -> None:
        """Raise Unavailable (`store_full`) when `wanted` bytes more would touch the reserve."""
        found = os.statvfs(self.root)
        if found.f_bavail * found.f_frsize - wanted < self.reserve:
            raise Unavailable("the scratch space has no room left", rule="store_full")

    def remove(self, name: str) -> None:
        """Remove a file or directory; nothing there is no error."""
        if "/" in name or name in ("", ".", ".."):
            raise Invalid("a name in scratch has one segment", rule="store_name", field="name")
        path = self.root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
            if path.exists():
                raise Unavailable("scratch cannot be cleared", rule="scratch_away")
        else:
            path.unlink(missing_ok=True)

    def names(self) -> dict[str, float]:
        """Return what lies here, with its time of change in seconds since 1970."""
        found: dict[str, float] = {}
        with os.scandir(self.root) as entries:
            for entry in entries:
                try:
                    found[entry.name] = entry.stat(follow_symlinks=False).st_mtime
                except FileNotFoundError:
                    continue  # removed between the two calls
        return found
