# SPDX-License-Identifier: Apache-2.0
"""What a process remembers about access keys: failed signatures in a row, and used signatures.

Owns the lock of an access key and the replay cache (contract iam.md 5.2). Both live in the process,
are bounded in memory and safe to call from several threads. Each process of an installation counts
for itself, so the limits of the contract hold per process.
"""

from __future__ import annotations

import heapq
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from calotype import clock


@dataclass(slots=True)
class _Record:
    failures: int = 0
    locked_until: float | None = None


class KeyLocks:
    """Locks an access key after so many failed signatures in a row, for so many seconds.

    Only keys that exist should be told to it; past `capacity` the key that failed longest ago is
    forgotten. Failures during a lock do not prolong it.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = clock.monotonic,
        failures: int = 5,
        seconds: float = 300.0,
        capacity: int = 10_000,
    ) -> None:
        self._monotonic = monotonic
        self._failures = failures
        self._seconds = seconds
        self._capacity = capacity
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._guard = threading.Lock()

    def is_locked(self, access: str) -> bool:
        """Tell whether the key is locked now."""
        with self._guard:
            record = self._records.get(access)
            return record is not None and self._in_force(record)

    def failed(self, access: str) -> None:
        """Count one signature that did not verify."""
        with self._guard:
            record = self._records.setdefault(access, _Record())
            if self._in_force(record):
                return
            if record.locked_until is not None:
                record.failures, record.locked_until = 0, None
            record.failures += 1
            if record.failures >= self._failures:
                record.locked_until = self._monotonic() + self._seconds
            self._records.move_to_end(access)
            if len(self._records) > self._capacity:
                self._records.popitem(last=False)

    def verified(self, access: str) -> None:
        """Forget the failures of a key that has just signed well; a lock in force stays."""
        with self._guard:
            record = self._records.get(access)
            if record is not None and not self._in_force(record):
                del self._records[access]

    def _in_force(self, record: _Record) -> bool:
        return record.locked_until is not None and self._monotonic() < record.locked_until


class ReplayCache:
    """The signatures of writes that were accepted, each until a moment given with it.

    Past `capacity` the entry nearest to its end is given up, so a flood of writes by holders of
    keys weakens the protection instead of refusing work.
    """

    def __init__(self, *, capacity: int = 100_000) -> None:
        self._capacity = capacity
        self._used: set[bytes] = set()
        self._ends: list[tuple[float, bytes]] = []
        self._guard = threading.Lock()

    def first_use(self, signature: bytes, *, now: float, until: float) -> bool:
        """Remember a signature; False if it is already known. Times in seconds of one clock."""
        with self._guard:
            while self._ends and self._ends[0][0] < now:
                self._used.discard(heapq.heappop(self._ends)[1])
            if signature in self._used:
                return False
            self._used.add(signature)
            heapq.heappush(self._ends, (until, signature))
            if len(self._used) > self._capacity:
                self._used.discard(heapq.heappop(self._ends)[1])
            return True
