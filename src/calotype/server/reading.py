# SPDX-License-Identifier: Apache-2.0
"""Reads all connections of a server into one piece of memory that the parser takes from.

The loop would copy what it read into a new object of at most 256 KB each time. Here a read brings
up to 1 MiB and costs no copy. It is parsed before the next read of any connection, and nothing of
it is kept. A loop does this only for what is no `asyncio.Protocol`, which uvicorn's class is: so
this stands between them.
"""

from __future__ import annotations

import asyncio
from typing import cast

from calotype.server.protocol import StrictProtocol

BYTES = 1024 * 1024


class Reading(asyncio.BufferedProtocol):
    """What the loop sees of a connection; `memory` is that of its server."""

    __slots__ = ("_connection", "_memory")

    def __init__(self, connection: StrictProtocol, memory: memoryview) -> None:
        self._connection = connection
        self._memory = memory

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the memory for one read."""
        return self._memory

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what was read."""
        self._connection.data_received(self._memory[:nbytes])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tell the connection; so do the others."""
        self._connection.connection_made(cast(asyncio.Transport, transport))

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def eof_received(self) -> None:
        self._connection.eof_received()

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()
