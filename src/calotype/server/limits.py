# SPDX-License-Identifier: Apache-2.0
"""What a connection may cost: sizes, counts and times, as one value.

The defaults are the promised ones (architecture section 2, security section 6). Settings may
replace them; tests use short times.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one server process; sizes in bytes, times in seconds."""

    header_bytes: int = 64 * 1024
    """Request line and header lines together; more is 431."""
    header_lines: int = 128
    """Header lines of one request; more is 431."""
    target_bytes: int = 48 * 1024
    """The request target with its query; more is 414. A filter may name 1000 ids (native.md 6)."""
    header_seconds: float = 10.0
    """From the first byte of a head (or from the connection) to its end; later is 408."""
    body_idle_seconds: float = 30.0
    """A body that is awaited and brings no byte for so long ends with 408."""
    body_rate: int = 500
    """Bytes a second that an awaited body must bring, judged over `body_rate_seconds`."""
    body_rate_seconds: float = 60.0
    write_idle_seconds: float = 60.0
    """A client that takes no byte of its answer for so long is cut off."""
    keep_alive_seconds: float = 75.0
    """How long an idle connection is kept; longer than the usual proxy keeps its own."""
    linger_seconds: float = 30.0
    """After an answer that came before the end of the request: how long input is thrown away."""
    linger_idle_seconds: float = 5.0
    pipelined: int = 64
    """Requests that may wait on one connection behind the running one."""
    connections: int = 8192
    """Open connections of the process; one more is answered 503."""
    grace_seconds: float = 300.0
    """How long running requests may still take once the process was asked to end."""

    @property
    def tick_seconds(self) -> float:
        """How often the connections are looked at: a fifth of the shortest time, at most 1 s."""
        shortest = min(
            self.header_seconds,
            self.body_idle_seconds,
            self.body_rate_seconds,
            self.write_idle_seconds,
            self.keep_alive_seconds,
            self.linger_idle_seconds,
        )
        return max(0.01, min(1.0, shortest / 5))
