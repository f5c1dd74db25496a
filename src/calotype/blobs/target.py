# SPDX-License-Identifier: Apache-2.0
"""The new file that incoming bytes are written to: sparse, synced at its end, or removed.

It is not preallocated, although the length may be known: that would fill the holes of a sparse
disk. Room is looked for instead, at the begin for the whole length and then every 64 MiB.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from calotype.blobs.lanes import Block
from calotype.storage.base import disk_errors, name_taken, store_full

_STEP = 64 << 10  # granularity of holes
_ZEROS = bytes(_STEP)
_LOOK_EVERY = 64 << 20  # bytes written between two looks at the free space


class Target:
    """The file being written. All of its work happens in the lane's thread."""

    def __init__(self, path: Path, expected: int | None, reserve: int | None) -> None:
        self._path = path
        self._expected = expected or 0
        self._reserve = reserve
        self._descriptor: int | None = None
        self._made = False
        self._end = 0
        self._look_in = _LOOK_EVERY

    def write(self, block: Block) -> None:
        """Write a block's data and leave its zeros out."""
        descriptor = self._open()
        begin = 0
        with disk_errors():
            for at in range(0, block.length, _STEP):
                end = at + _STEP
                if end <= block.length and block.data.startswith(_ZEROS, at, end):
                    self._store(descriptor, block.view[begin:at], block.offset + begin)
                    begin = end
            self._store(descriptor, block.view[begin : block.length], block.offset + begin)
        self._end = block.offset + block.length

    def finish(self) -> None:
        """Make the file as long as the stream and durable."""
        descriptor = self._open()
        with disk_errors():
            os.ftruncate(descriptor, self._end)
            os.fdatasync(descriptor)
        self._close()

    def discard(self) -> None:
        """Remove the file, if this made it. May be called twice."""
        self._close()
        if self._made:
            self._made = False
            with suppress(OSError):  # what cannot be removed now is swept later
                self._path.unlink(missing_ok=True)

    def _open(self) -> int:
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with disk_errors():
                try:
                    self._descriptor = os.open(self._path, flags, 0o600)
                except FileExistsError:
                    raise name_taken() from None
                self._made = True
                self._look(self._descriptor, self._expected)
        return self._descriptor

    def _store(self, descriptor: int, data: memoryview, at: int) -> None:
        while data:
            written = os.pwrite(descriptor, data, at)
            data = data[written:]
            at += written
            self._look_in -= written
            if self._look_in <= 0:
                self._look_in = _LOOK_EVERY
                self._look(descriptor, 0)

    def _look(self, descriptor: int, wanted: int) -> None:
        """Refuse before the disk is full: other parts of the service need room to go on."""
        if self._reserve is not None:
            found = os.fstatvfs(descriptor)
            if found.f_bavail * found.f_frsize - wanted < self._reserve:
                raise store_full()

    def _close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)
