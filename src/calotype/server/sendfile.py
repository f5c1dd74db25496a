# SPDX-License-Identifier: Apache-2.0
"""Sends a range of a file into a plain socket without copying it through this process.

The application sends `{"type": "calotype.sendfile", "fd": int, "offset": int, "count": int}` after
`http.response.start` when `scope["extensions"]` has `calotype.sendfile`; it keeps and closes `fd`.
The kernel copies in a pool thread (a cold file would block the event loop), on a duplicate of the
connection's socket, because the event loop watches no socket that a transport owns. Memory is flat.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from concurrent.futures import Executor

EXTENSION = "calotype.sendfile"
SLICE = 4 * 1024 * 1024
"""Bytes of one turn in the pool, so that many readers share its threads."""


class FileEndedEarly(OSError):
    """The file holds fewer bytes than the answer promised."""


class ClientGone(ConnectionError):
    """The client closed or lost its connection; nothing more can be sent to it."""


class FilePush:
    """One answer's way of putting file ranges into its socket.

    `sent` counts its bytes so far; `waiting` says that the socket takes no more at the moment.
    """

    def __init__(self, pool: Executor, socket_fd: int) -> None:
        self.sent = 0
        self.waiting = False
        self._loop = asyncio.get_running_loop()
        self._pool = pool
        self._source_fd = socket_fd
        self._waiter: asyncio.Future[None] | None = None
        self._gone = False

    def connection_lost(self) -> None:
        """Wake the sender: the transport has no connection any more."""
        self._gone = True
        self._wake()

    async def send(self, fd: int, offset: int, count: int) -> None:
        """Send `count` bytes of `fd` from `offset`; returns when the kernel has taken them all.

        Raises ClientGone, FileEndedEarly, or the OSError of reading the file. When cancelled it
        returns only after the pool has let go of `fd`, so that the caller may close it at once.
        """
        if self._gone:
            # The number may belong to another connection by now.
            raise ClientGone("the client is gone")
        out = os.dup(self._source_fd)
        try:
            while count:
                if self._gone:
                    raise ClientGone("the client is gone")
                asked = min(count, SLICE)
                sent = await self._in_pool(out, fd, offset, asked)
                self.sent += sent
                offset += sent
                count -= sent
                if sent < asked:
                    await self._writable(out)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ClientGone("the client is gone") from error
        finally:
            os.close(out)

    async def _in_pool(self, out: int, fd: int, offset: int, count: int) -> int:
        work = self._loop.run_in_executor(self._pool, push, out, fd, offset, count)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            # The thread still uses both descriptors; a closed number could already be another file.
            while not work.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([work])
            raise

    async def _writable(self, out: int) -> None:
        self._waiter = self._loop.create_future()
        self.waiting = True
        self._loop.add_writer(out, self._wake)
        try:
            await self._waiter
        finally:
            self._loop.remove_writer(out)
            self._waiter = None
            self.waiting = False

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def push(out: int, fd: int, offset: int, count: int) -> int:
    """Copy up to `count` bytes into the non-blocking socket `out`; 0 means that it takes none now.

    Raises FileEndedEarly at the end of the file, or the OSError of either side.
    """
    sent = 0
    while sent < count:
        try:
            part = os.sendfile(out, fd, offset + sent, count - sent)
        except BlockingIOError:
            break
        if part == 0:
            raise FileEndedEarly("the file is shorter than the answer says")
        sent += part
    return sent
