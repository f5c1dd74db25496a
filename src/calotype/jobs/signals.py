# SPDX-License-Identifier: Apache-2.0
"""What running jobs of this process are told: cancelled, lost to another worker, or leave now.

Only memory; the runner's watcher sets it from the database, steps read it many times a second.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Signal:
    """What one running attempt was told. Once set, it stays."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.token: str | None = None  # known once the attempt has begun
        self._any = threading.Event()
        self.cancelled = False
        self.lost = False
        self.leaving = False

    @property
    def set(self) -> bool:
        """Whether the attempt must end, for whatever reason."""
        return self._any.is_set()

    def cancel(self) -> None:
        """The job was asked to end."""
        self.cancelled = True
        self._any.set()

    def lose(self) -> None:
        """Another attempt owns the job."""
        self.lost = True
        self._any.set()

    def leave(self) -> None:
        """The process ends."""
        self.leaving = True
        self._any.set()

    def wait(self, seconds: float) -> bool:
        """Wait for any of them; return whether one came."""
        return self._any.wait(seconds)


class Signals:
    """The running attempts of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[Signal] = set()
        self._idle = threading.Condition(self._lock)
        self._closing = threading.Event()

    @property
    def closing(self) -> bool:
        """Whether the process ends, so that no further step may begin."""
        return self._closing.is_set()

    def close(self) -> None:
        """Let no further step begin."""
        self._closing.set()

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than until `close`."""
        self._closing.wait(seconds)

    def running(self) -> tuple[Signal, ...]:
        """Return the attempts that run here."""
        with self._lock:
            return tuple(self._running)

    @contextmanager
    def entered(self, job_id: str) -> Iterator[Signal]:
        """Count a job as running for the length of the block."""
        signal = Signal(job_id)
        with self._lock:
            self._running.add(signal)
        try:
            yield signal
        finally:
            with self._lock:
                self._running.discard(signal)
                self._idle.notify_all()

    def leave(self) -> None:
        """Make every running step end now."""
        for signal in self.running():
            signal.leave()

    def wait_idle(self, seconds: float) -> bool:
        """Wait until nothing runs here; return whether that is so."""
        with self._lock:
            return self._idle.wait_for(lambda: not self._running, seconds)
