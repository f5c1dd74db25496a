# SPDX-License-Identifier: Apache-2.0
"""One request and its answer: what the application calls `receive` and `send`.

Body pieces reach the application as they came, without being gathered; reading stops while it does
not ask. An answer that begins before the request has ended closes its connection, because what
follows on it could not be told from a body. Sending to a client that is gone raises `ClientGone`,
so that a download ends at once; the application may let it escape.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Literal, TypedDict, cast

from uvicorn._types import (
    ASGI3Application,
    ASGIReceiveEvent,
    ASGISendEvent,
    HTTPResponseStartEvent,
    HTTPScope,
)
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    RequestResponseCycle,
)

from calotype.server.sendfile import EXTENSION, ClientGone, FilePush

if TYPE_CHECKING:
    from calotype.server.protocol import StrictProtocol

_JOINED = 64 * 1024
_log = logging.getLogger("calotype.server")


class SendFile(TypedDict):
    """The message of the extension: `count` bytes of the open file `fd` from `offset`."""

    type: Literal["calotype.sendfile"]
    fd: int
    offset: int
    count: int


class Exchange(RequestResponseCycle):
    """A request in work, beside uvicorn's state of it; `connection` is the protocol it came by."""

    def __init__(
        self,
        connection: StrictProtocol,
        scope: HTTPScope,
        *,
        expects_continue: bool,
        keep_alive: bool,
    ) -> None:
        super().__init__(
            scope=scope,
            transport=connection.transport,
            flow=connection.flow,
            logger=_log,
            access_logger=_log,
            access_log=False,
            default_headers=connection.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=expects_continue,
            keep_alive=keep_alive,
            on_response=connection.on_response_complete,
        )
        self.connection = connection
        self.pieces: list[bytes] = []
        self.buffered = 0
        self.push: FilePush | None = None
        self._head = b""
        self._until_close = False

    def connection_lost(self) -> None:
        """Tell the application, wherever it waits, that the client is gone."""
        self.disconnected = True
        self.message_event.set()
        if self.push is not None:
            self.push.connection_lost()

    async def run_asgi(self, app: ASGI3Application) -> None:
        """Run the application once; a failure is answered 500 or cuts the connection."""
        try:
            await app(self.scope, self.receive, self.send)
            if not self.response_complete and not self.disconnected:
                raise RuntimeError("the application returned without a complete answer")
        except asyncio.CancelledError:
            self.transport.abort()
            raise
        except Exception as error:
            if self.disconnected and isinstance(error, ClientGone):
                return
            _log.exception("the application failed")
            with contextlib.suppress(ClientGone):
                await self._give_up()
        finally:
            self.on_response = lambda: None

    async def _give_up(self) -> None:
        if self.response_started:
            # The client must not take a cut answer for a whole one.
            self._write()
            self.transport.close()
        else:
            self.chunked_encoding = None
            await self.send_500_response()

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next body piece, waiting for it, or `http.disconnect`."""
        if self.waiting_for_100_continue:
            self.waiting_for_100_continue = False
            if self.more_body and not self.pieces and not self.transport.is_closing():
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self.disconnected and not self.response_complete:
            if not self.pieces:
                self.connection.resume_reading(self)
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        pieces = self.pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.pieces = []
        self.buffered = 0
        if self.more_body:
            # The next piece comes in while the application works on this one.
            self.connection.resume_reading(self)
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: ASGISendEvent | SendFile) -> None:
        """Send one message of the answer; returns when the connection can take more."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            raise ClientGone("the client is gone")
        kind = message["type"]
        if not self.response_started:
            if kind != "http.response.start":
                raise RuntimeError(f"an answer starts with http.response.start, not {kind!r}")
            self._start(cast(HTTPResponseStartEvent, message))
        elif self.response_complete:
            raise RuntimeError(f"{kind!r} was sent after the end of the answer")
        elif message["type"] == "http.response.body":
            self._body(message.get("body", b""), more=message.get("more_body", False))
            if self.flow.write_paused and not self.response_complete:
                # Not only before the next piece: the application would hold it meanwhile.
                await self.flow.drain()
        elif kind == EXTENSION:
            part = cast(SendFile, message)
            await self._send_file(part["fd"], part["offset"], part["count"])
        else:
            raise RuntimeError(f"{kind!r} is no message of an answer")

    def _start(self, message: HTTPResponseStartEvent) -> None:
        self.waiting_for_100_continue = False
        if self.more_body:
            self.keep_alive = False
        status = message["status"]
        lines = [STATUS_LINE[status]]
        closes = False
        for name, value in (*self.default_headers, *message.get("headers", ())):
            if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
                raise RuntimeError("a header of the answer has a forbidden character")
            closes = self._note_header(name.lower(), value) or closes
            lines += (name, b": ", value, b"\r\n")
        if not self.keep_alive and not closes:
            lines.append(b"connection: close\r\n")
        self._choose_framing(status, lines)
        lines.append(b"\r\n")
        self.response_started = True
        # It leaves together with what follows: one system call and one packet for a short answer.
        self._head = b"".join(lines)

    def _note_header(self, name: bytes, value: bytes) -> bool:
        """Take over what a header says about framing; return whether it closes the connection."""
        if name == b"content-length" and self.chunked_encoding is None:
            self.expected_content_length = int(value)
            self.chunked_encoding = False
        elif name == b"transfer-encoding" and value.lower() == b"chunked":
            self.expected_content_length = 0
            self.chunked_encoding = True
        elif name == b"connection" and b"close" in value.lower().replace(b" ", b"").split(b","):
            self.keep_alive = False
            return True
        return False

    def _choose_framing(self, status: int, lines: list[bytes]) -> None:
        if self.chunked_encoding is not None or status in (204, 304):
            return
        if self.scope["method"] == "HEAD":
            return
        if self.scope["http_version"] == "1.0":
            # HTTP/1.0 knows no chunks: the end of the connection is the end of the body.
            self._until_close = True
        else:
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")

    def _body(self, body: bytes, *, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            self._write()
        elif self.chunked_encoding:
            end = b"" if more else b"0\r\n\r\n"
            if body:
                self._write(b"%x\r\n" % len(body), body, b"\r\n", end)
            else:
                self._write(end)
        else:
            self._account(len(body))
            self._write(body)
        if not more:
            if self.expected_content_length != 0:
                raise RuntimeError("the answer is shorter than its Content-Length")
            self.response_complete = True
            self.message_event.set()
            self.on_response()

    def _write(self, *parts: bytes) -> None:
        """Write the head, if it waits, and then `parts`; small ones as one piece."""
        pieces = [piece for piece in (self._head, *parts) if piece]
        self._head = b""
        if len(pieces) > 1 and sum(map(len, pieces)) <= _JOINED:
            pieces = [b"".join(pieces)]
        for piece in pieces:
            self.transport.write(piece)

    def _account(self, count: int) -> None:
        if self._until_close:
            return
        if count > self.expected_content_length:
            raise RuntimeError("the answer is longer than its Content-Length")
        self.expected_content_length -= count

    async def _send_file(self, fd: int, offset: int, count: int) -> None:
        pool = self.connection.offers_sendfile
        if pool is None or self.chunked_encoding:
            raise RuntimeError("a file is sent over plain sockets and with a Content-Length only")
        if self.scope["method"] == "HEAD":
            return
        self._account(count)
        self._write()
        await self._flushed()
        if self.push is None:
            self.push = FilePush(pool, self.transport.get_extra_info("socket").fileno())
        try:
            await self.push.send(fd, offset, count)
        except ClientGone:
            self.disconnected = True
            self.transport.abort()
            raise

    async def _flushed(self) -> None:
        """Wait until the transport has handed everything to the kernel, so that order is kept."""
        self.transport.set_write_buffer_limits(high=0)
        if self.transport.get_write_buffer_size():
            await self.flow.drain()
        if self.disconnected:
            raise ClientGone("the client is gone")
        self.transport.set_write_buffer_limits()
