# SPDX-License-Identifier: Apache-2.0
"""The strict HTTP/1.1 connection: uvicorn's httptools protocol with limits and one reading only.

A request is either unambiguous and within its limits, or it is answered with a small plain error
and its connection ends; nothing behind a refused request is ever looked at (security page,
section 6). Errors of a later pipelined request wait until the running answer is complete. Times are
judged by `look`, which the server calls for each connection about once a second.

Leans on internals of uvicorn 0.54 (`HttpToolsProtocol`, `RequestResponseCycle`, `FlowControl`);
`tests/server/test_uvicorn_internals.py` names them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Executor
from typing import Any, ClassVar, NoReturn
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from calotype import ids
from calotype.server.exchange import Exchange
from calotype.server.head import Refusal, judge
from calotype.server.limits import Limits
from calotype.server.sendfile import EXTENSION
from calotype.server.watch import Watch

BODY_BUFFER = 64 * 1024
"""Unread body bytes above which reading stops until the application asks for more."""


class StrictProtocol(HttpToolsProtocol):
    """One connection. `configured` makes the class that a server uses."""

    limits: ClassVar[Limits] = Limits()
    files: ClassVar[Executor | None] = None

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # uvicorn allows data after a request that closes; here nothing follows such a request.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=False)
        self.offers_sendfile: Executor | None = None
        self.running: Exchange | None = None
        self.waiting: deque[Exchange] = deque()
        self._latest: Exchange | None = None
        self._fault: Refusal | None = None
        self._pending: Refusal | None = None
        self._deaf = False
        self._head_open = True
        self._head_seen = 0
        self._head_size = 0
        self._body_seen = 0
        self._unframed = 0
        self._watch = Watch(self.limits)

    # Connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        """Take the connection in, or refuse it when the process has too many."""
        super().connection_made(transport)
        if self.scheme == "http" and transport.get_extra_info("socket") is not None:
            self.offers_sendfile = self.files
        if len(self.connections) > self.limits.connections:
            self.refuse(Refusal(503, "Too many connections."))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every request of this connection that its client is gone."""
        for exchange in (self.running, *self.waiting):
            if exchange is not None and not exchange.response_complete:
                exchange.connection_lost()
        self.waiting.clear()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """The client sends no more: a request that has not ended is refused, then all is closed."""
        if self._deaf:
            return
        in_body = self._latest is not None and self._latest.more_body
        if in_body or self._watch.head_since is not None:
            self.refuse(Refusal(400, "The request ended early."))

    def shutdown(self) -> None:
        """Take no further request: the running one ends, an idle connection is closed now.

        May be called again and again while the server drains.
        """
        self.waiting.clear()
        if self.running is not None:
            self.running.keep_alive = False
        elif not self._watch.lingering:
            self.transport.close()

    # Input

    def data_received(self, data: bytes | memoryview) -> None:
        """Parse what arrived; the first fault ends all parsing on this connection."""
        self._watch.got_bytes(of_head=self._head_open and not self._deaf)
        if self._deaf:
            return
        if self._head_open:
            self._head_seen += len(data)
        body_before = self._body_seen
        try:
            self._feed(data)
            self._check_growth(len(data), body_grew=self._body_seen != body_before)
        except httptools.HttpParserError:
            fault = self._fault or Refusal(400, "The request is not valid HTTP/1.1.")
            self._refuse_parsed(fault)
        except Refusal as fault:
            self._refuse_parsed(fault)

    def _feed(self, data: bytes | memoryview) -> None:
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                # An upgrade is ignored, as the protocol allows; what follows is the next request.
                data = data[upgrade.args[0] :]

    def _check_growth(self, size: int, *, body_grew: bool) -> None:
        """Bound what the parser holds without telling: an unended line, trailers, chunk lines."""
        if self._head_open:
            if self._head_seen > self.limits.header_bytes:
                raise Refusal(431, "The request head is too large.")
        elif body_grew:
            self._unframed = 0
        else:
            self._unframed += size
            if self._unframed > self.limits.header_bytes:
                raise Refusal(400, "Too much framing without a body.")

    def _refuse_parsed(self, fault: Refusal) -> None:
        running = self.running
        if running is not None and not running.keep_alive and not running.more_body:
            # Bytes behind a request that closes its connection: they are nobody's request.
            self._deaf = True
            return
        self.refuse(fault)

    # Parser callbacks

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._watch.got_bytes(of_head=True)
        self._head_size = 0

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > self.limits.target_bytes:
            self._fail(414, "The request target is too long.")
        self._head_size = len(self.url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_open:
            return  # A trailer: it must never look like a header that was checked.
        self._head_size += len(name) + len(value) + 4
        if self._head_size > self.limits.header_bytes:
            self._fail(431, "The request head is too large.")
        if len(self.headers) >= self.limits.header_lines:
            self._fail(431, "The request has too many header lines.")
        # The parser takes white space off the front only; it is no part of the value at the end.
        self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self._head_open = False
        self._head_seen = 0
        self._watch.head_since = None
        self._unframed = 0
        parser = self.parser
        version = parser.get_http_version()
        method = parser.get_method()
        try:
            head = judge(version, method, self.url, self.headers, upgrade=parser.should_upgrade())
        except Refusal as refusal:
            self._fail(refusal.status, refusal.text)
        if len(self.waiting) >= self.limits.pipelined:
            self._fail(400, "Too many requests wait on this connection.")
        scope = self.scope
        scope["asgi"] = {"version": "3.0", "spec_version": "2.4"}
        scope["method"] = method.decode("ascii")
        scope["http_version"] = version
        scope["raw_path"] = head.path
        scope["path"] = unquote(head.path.decode("ascii"))
        scope["query_string"] = head.query
        if self.offers_sendfile is not None:
            scope["extensions"] = {EXTENSION: {}}
        keep_alive = version != "1.0" and parser.should_keep_alive()
        self._begin(
            Exchange(self, scope, expects_continue=head.expects_continue, keep_alive=keep_alive)
        )

    def _begin(self, exchange: Exchange) -> None:
        self.cycle = self._latest = exchange
        self._watch.body_awaited()
        if self.running is None:
            self.running = exchange
            self._start_asgi_task(exchange, self.app)
        else:
            self.flow.pause_reading()
            self.waiting.append(exchange)

    def on_body(self, body: bytes) -> None:
        exchange = self._latest
        assert exchange is not None
        size = len(body)
        self._body_seen += size
        self._watch.got_body(size)
        if exchange.response_complete:
            return
        exchange.pieces.append(body)
        exchange.buffered += size
        if exchange.buffered > BODY_BUFFER:
            self.flow.pause_reading()
        exchange.message_event.set()

    def on_message_complete(self) -> None:
        self._head_open = True
        exchange = self._latest
        assert exchange is not None
        exchange.more_body = False
        exchange.message_event.set()

    def _fail(self, status: int, text: str) -> NoReturn:
        self._fault = Refusal(status, text)
        raise self._fault

    # Output

    def resume_reading(self, exchange: Exchange) -> None:
        """Read on for `exchange`, unless what would be read belongs behind waiting requests."""
        if self.flow.read_paused and not self._deaf and (exchange.more_body or not self.waiting):
            self._watch.body_awaited()
            self.flow.resume_reading()

    def on_response_complete(self) -> None:
        """An answer is complete: start the next request, or wait for one, or end."""
        exchange = self.running
        self.running = None
        self.server_state.total_requests += 1
        if exchange is None or self.transport.is_closing():
            return
        self._watch.answered()
        if exchange.more_body:
            self._linger()
        elif not exchange.keep_alive:
            if self._deaf or self.waiting:
                self._linger()
            else:
                self.transport.close()
        elif self.waiting:
            self.running = self.waiting.popleft()
            self._start_asgi_task(self.running, self.app)
        elif self._pending is not None:
            self._answer(self._pending)
        else:
            self.flow.resume_reading()

    def refuse(self, fault: Refusal) -> None:
        """End the connection with an error answer, in the order of the requests on it."""
        self._deaf = True
        latest, running = self._latest, self.running
        if latest is not None and latest.more_body and latest in self.waiting:
            self.waiting.remove(latest)
        if running is None:
            self._answer(fault)
        elif running.more_body:
            started = running.response_started
            running.connection_lost()
            self.running = None
            if started:
                self.transport.abort()
            else:
                self._answer(fault)
        else:
            self._pending = fault

    def _answer(self, fault: Refusal) -> None:
        if self.transport.is_closing():
            return
        text = fault.text.encode("ascii") + b"\n"
        lines = [STATUS_LINE[fault.status]]
        for name, value in self.server_state.default_headers:
            lines += (name, b": ", value, b"\r\n")
        identifier = f"req-{ids.new_uuid()}".encode()
        lines += (
            b"x-openstack-request-id: " + identifier + b"\r\nx-request-id: " + identifier,
            b"\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n",
            b"content-type: text/plain; charset=utf-8\r\ncontent-length: ",
            str(len(text)).encode("ascii"),
            b"\r\nconnection: close\r\n\r\n",
            text,
        )
        self.transport.write(b"".join(lines))
        self._linger()

    def _linger(self) -> None:
        """Throw input away until the client has its answer; closing at once would reset it."""
        self._deaf = True
        self._watch.lingers()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()

    # Time

    def look(self, now: float) -> None:
        """End the connection if it has used up the time of the state that it is in."""
        watch, running = self._watch, self.running
        if watch.write_stalls(now, self.transport, running.push if running else None):
            self.transport.abort()
        elif watch.lingering:
            if watch.linger_is_over(now):
                self.transport.close()
        elif self._deaf or self.transport.is_closing():
            return
        elif running is not None:
            if self._awaits_body(running) and (fault := watch.fault_of_body(now)):
                self.refuse(fault)
        elif watch.head_is_late(now):
            self.refuse(Refusal(408, "The request head took too long."))
        elif watch.is_idle(now):
            self.transport.close()

    def _awaits_body(self, running: Exchange) -> bool:
        return (
            running.more_body and not self.flow.read_paused and not running.waiting_for_100_continue
        )


def configured(limits: Limits, files: Executor | None) -> type[StrictProtocol]:
    """Return the protocol class of a server with these limits and this pool for sending files."""
    return type("Connection", (StrictProtocol,), {"limits": limits, "files": files})
