# SPDX-License-Identifier: Apache-2.0
"""The times of one connection and the verdicts on them.

Events only note a moment; the verdicts are asked for about once a second by `StrictProtocol.look`,
so that a request sets no timers. All times are of the monotonic clock.
"""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios

from calotype import clock
from calotype.server.head import Refusal
from calotype.server.limits import Limits
from calotype.server.sendfile import FilePush


class Watch:
    """When the last things happened on a connection, beside what it is allowed."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        now = clock.monotonic()
        self.last_byte = now
        self.head_since: float | None = None
        self._idle_since = now
        self._idle_allowed = limits.header_seconds
        self._window_since = now
        self._window_bytes = 0
        self._linger_since: float | None = None
        self._stall_since: float | None = None
        self._stall_mark = (0, 0, 0)

    # Events

    def got_bytes(self, *, of_head: bool) -> None:
        """Something arrived; `of_head` when a head is awaited or open."""
        self.last_byte = clock.monotonic()
        if of_head and self.head_since is None:
            self.head_since = self.last_byte

    def got_body(self, size: int) -> None:
        """So many bytes of the body were among it."""
        self._window_bytes += size

    def body_awaited(self) -> None:
        """From now on the client is expected to send; time before was not its own."""
        self.last_byte = self._window_since = clock.monotonic()
        self._window_bytes = 0

    def answered(self) -> None:
        """An answer is complete: the connection is idle, or its next head begins to count."""
        self._idle_since = clock.monotonic()
        self._idle_allowed = self._limits.keep_alive_seconds
        if self.head_since is not None:
            self.head_since = self._idle_since

    def lingers(self) -> None:
        """Input is thrown away from now on."""
        self._linger_since = self.last_byte = clock.monotonic()

    # Verdicts

    @property
    def lingering(self) -> bool:
        return self._linger_since is not None

    def linger_is_over(self, now: float) -> bool:
        """Tell whether the client had its time to take the last answer."""
        since = self._linger_since
        return since is not None and (
            now - self.last_byte > self._limits.linger_idle_seconds
            or now - since > self._limits.linger_seconds
        )

    def head_is_late(self, now: float) -> bool:
        """Tell whether a head that has begun takes too long."""
        return self.head_since is not None and now - self.head_since > self._limits.header_seconds

    def is_idle(self, now: float) -> bool:
        """Tell whether the connection waits for a request longer than it may."""
        return self.head_since is None and now - self._idle_since > self._idle_allowed

    def fault_of_body(self, now: float) -> Refusal | None:
        """Judge a body that is awaited; opens the next window of the rate."""
        limits = self._limits
        if now - self.last_byte > limits.body_idle_seconds:
            return Refusal(408, "The request body stopped.")
        elapsed = now - self._window_since
        if elapsed > limits.body_rate_seconds:
            if self._window_bytes < limits.body_rate * elapsed:
                return Refusal(408, "The request body is too slow.")
            self._window_since = now
            self._window_bytes = 0
        return None

    def write_stalls(self, now: float, transport: asyncio.Transport, push: FilePush | None) -> bool:
        """Tell whether something is to be sent and the client has taken nothing for too long."""
        size = transport.get_write_buffer_size()
        if size == 0 and (push is None or not push.waiting):
            self._stall_since = None
            return False
        mark = (size, push.sent if push is not None else 0, unacknowledged(transport))
        if self._stall_since is None or mark != self._stall_mark:
            self._stall_mark = mark
            self._stall_since = now
        return now - self._stall_since > self._limits.write_idle_seconds


def unacknowledged(transport: asyncio.Transport) -> int:
    """Return the bytes that the kernel holds for the client: they shrink while it reads slowly.

    The kernel reports room for more only when a third of its buffer is free, which may take a slow
    client minutes.
    """
    try:
        number = transport.get_extra_info("socket").fileno()
        return int.from_bytes(fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except (AttributeError, OSError):
        return 0
