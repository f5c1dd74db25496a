# SPDX-License-Identifier: Apache-2.0
"""Ports for servers of the tests: free now, and outside the range that outgoing connections use.

A server that is stopped and started again keeps its address, so the port must not be one that the
kernel hands to somebody's client connection in between.
"""

from __future__ import annotations

import random
import socket

_LOWEST, _HIGHEST = 15000, 32000  # Linux gives clients 32768 and above
_RANDOM = random.SystemRandom()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now."""
    for _ in range(200):
        port = _RANDOM.randrange(_LOWEST, _HIGHEST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port was found")
