# SPDX-License-Identifier: Apache-2.0
"""Bounded reading of one open file: the only way in which the inspector touches image bytes.

Promises: windows of at most 1 MiB, every range compared with the real size before it is read, a
budget of bytes and of CPU seconds that only grows with what a legal file of that size may have
(security contract, C2). Reads an inherited descriptor; there is no way to name a file.
"""

from __future__ import annotations

import os

from calotype.disks.verdict import refuse
from calotype.errors import Reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

WINDOW = 1 << 20
BASE_BUDGET = 64 << 20
BASE_SECONDS = 10.0
MAPPED_PER_SECOND = 10 << 30
_ZEROS = bytes(WINDOW)


class Unseen(Exception):
    """A cheap look needed bytes that it was not given."""


class Reader:
    """One file. `size` is its real length; `plausible` the length a whole file could have."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.size = size
        self.plausible = size << 6
        self._descriptor = descriptor
        self._budget = BASE_BUDGET
        self._seconds = BASE_SECONDS
        self._began = self._cpu()

    @staticmethod
    def _cpu() -> float:
        spent = os.times()
        return spent.user + spent.system

    def allow(self, table_bytes: int) -> None:
        """Enlarge the budget by the tables that a legal file of this virtual size can have."""
        self._budget += table_bytes

    def allow_mapped(self, mapped: int) -> None:
        """Enlarge the time by what has been mapped so far."""
        self._seconds = max(self._seconds, BASE_SECONDS + mapped / MAPPED_PER_SECOND)

    def inside(self, offset: int, length: int, what: str) -> None:
        """Refuse a range that leaves the file: TRUNCATED when a whole file could hold it."""
        if offset + length > self.size or offset < 0:
            if offset + length <= self.plausible:
                refuse(Reason.TRUNCATED, f"{what} lies past the end of the file")
            refuse(Reason.CORRUPT, f"{what} lies far outside the file")

    def read(self, offset: int, length: int, what: str) -> bytes:
        """Return exactly `length` bytes (at most 1 MiB) at `offset`, or refuse."""
        if length > WINDOW:
            refuse(Reason.CORRUPT, f"{what} is too large")
        self.inside(offset, length, what)
        return self._take(offset, length)

    def peek(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes at `offset`, fewer at the end of the file, for signatures."""
        if offset < 0 or offset >= self.size:
            return b""
        return self._take(offset, min(length, self.size - offset))

    def windows(self, offset: int, length: int, what: str) -> Iterator[bytes]:
        """Yield the range in pieces of at most 1 MiB; the whole range is checked first."""
        self.inside(offset, length, what)
        end = offset + length
        while offset < end:
            step = min(WINDOW, end - offset)
            yield self._take(offset, step)
            offset += step

    def _take(self, offset: int, length: int) -> bytes:
        self._budget -= length
        if self._budget < 0:
            refuse(Reason.EXPANSION_LIMIT, "the file's tables are larger than its disk could need")
        if self._cpu() - self._began > self._seconds:
            refuse(Reason.EXPANSION_LIMIT, "inspection took longer than a disk of this size may")
        data = self._pread(offset, length)
        if len(data) != length:
            refuse(Reason.TRUNCATED, "the file became shorter while it was read")
        return data

    def _pread(self, offset: int, length: int) -> bytes:
        parts = []
        while length:
            part = os.pread(self._descriptor, length, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class PartialReader(Reader):
    """The first and last bytes of a larger file, one after the other in the descriptor."""

    def __init__(self, descriptor: int, size: int, head: int, tail: int) -> None:
        super().__init__(descriptor, size)
        self._head = min(head, size)
        self._tail = min(tail, size)

    def _pread(self, offset: int, length: int) -> bytes:
        if offset + length <= self._head:
            return super()._pread(offset, length)
        start = self.size - self._tail
        if offset >= start:
            return super()._pread(self._head + offset - start, length)
        raise Unseen


def is_zero(data: bytes | bytearray) -> bool:
    """Tell whether all bytes are zero; quick for windows of up to 1 MiB."""
    return data == _ZEROS[: len(data)]
