# SPDX-License-Identifier: Apache-2.0
"""Runs an ASGI application until it is asked to end, and ends it in order.

Uses uvicorn's configuration and protocol, not its `Server`: that one leaves by the signal it got,
so a drained process would look killed. Here SIGTERM and SIGINT drain (no new connection, running
requests end within the grace time, hooks are awaited) and `serve` returns 0; a second signal cuts
what is left and it returns 1; a third kills. Knows nothing of what the application does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import format_datetime

import uvloop
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.server import ServerState

from calotype import clock
from calotype.server.limits import Limits
from calotype.server.listen import Listen, bind, raise_file_limit, tls_context, url_of
from calotype.server.protocol import StrictProtocol, configured
from calotype.server.reading import BYTES, Reading

_log = logging.getLogger("calotype.server")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_CUT_SECONDS = 2.0
"""How long requests that were cancelled may take to notice it."""

Hook = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the caller does at the turns of the server's life, all in its event loop.

    `start` before the first connection, `ready` with the base URL once it accepts, `drain` as soon
    as it was asked to end (beside the running requests), `close` after the last of them.
    """

    start: Hook | None = None
    ready: Callable[[str], None] | None = None
    drain: Hook | None = None
    close: Hook | None = None


def serve(
    app: ASGI3Application,
    listen: Listen,
    *,
    limits: Limits | None = None,
    hooks: Hooks | None = None,
) -> int:
    """Serve `app` in this thread until a signal; return the exit code (0 drained, 1 cut).

    Raises OSError when the address cannot be taken, ssl.SSLError or OSError for bad TLS files.
    """
    return Server(app, listen, limits=limits, hooks=hooks).run()


class Server:
    """A server that may also run in another thread than the main one and be told to `stop`."""

    def __init__(
        self,
        app: ASGI3Application,
        listen: Listen,
        *,
        limits: Limits | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        self._app = app
        self._listen = listen
        self._limits = limits or Limits()
        self._hooks = hooks or Hooks()
        self._state = ServerState()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = asyncio.Event()
        self._forced = False

    def run(self) -> int:
        """Serve until stopped; return 0 after a drain in order, 1 when a second call cut it."""
        # Hash and write threads of an upload take turns with the loop; the default of 5 ms
        # between turns costs an upload 5-9 %.
        sys.setswitchinterval(0.0005)
        raise_file_limit()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(self._run())

    def stop(self) -> None:
        """Ask from any thread for a drain; a second call cuts what still runs."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # The loop has just ended.
                self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        if not self._asked.is_set():
            self._asked.set()
            return
        self._forced = True
        if self._loop is not None and _in_main_thread():
            for number in _SIGNALS:
                self._loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_DFL)

    async def _run(self) -> int:
        loop = self._loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as stack:
            pool = stack.enter_context(ThreadPoolExecutor(8, thread_name_prefix="sendfile"))
            stack.enter_context(_signals(loop, self._stop))
            if self._hooks.start is not None:
                await self._hooks.start()
            servers: list[asyncio.AbstractServer] = []
            try:
                url = await self._open(configured(self._limits, pool), servers)
                ticking = loop.create_task(self._tick())
                stack.callback(ticking.cancel)
                _log.info("listening on %s", url)
                if self._hooks.ready is not None:
                    self._hooks.ready(url)
                await self._asked.wait()
                return await self._drain(servers)
            finally:
                for server in servers:
                    server.close()
                if self._listen.uds is not None and servers:
                    self._listen.uds.unlink(missing_ok=True)
                if self._hooks.close is not None:
                    await self._hooks.close()

    async def _open(
        self, protocol: type[StrictProtocol], servers: list[asyncio.AbstractServer]
    ) -> str:
        """Listen on every address, adding to `servers`; return the first one's URL."""
        loop = asyncio.get_running_loop()
        config = Config(
            self._app,
            http=protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        config.load()
        self._set_date()

        memory = memoryview(bytearray(BYTES))

        def connection() -> Reading:
            return Reading(protocol(config, self._state, {}, loop), memory)

        tls = tls_context(self._listen)
        # A client that does not finish the handshake is one that does not send its head.
        handshake = self._limits.header_seconds if tls else None
        farewell = self._limits.linger_idle_seconds if tls else None
        create = loop.create_server if self._listen.uds is None else loop.create_unix_server
        sockets = bind(self._listen)
        for sock in sockets:
            server = await create(
                connection,
                sock=sock,
                ssl=tls,
                backlog=self._listen.backlog,
                ssl_handshake_timeout=handshake,
                ssl_shutdown_timeout=farewell,
            )
            servers.append(server)
        return url_of(sockets[0], self._listen)

    async def _tick(self) -> None:
        """Keep the Date header right and look at the time of every connection."""
        while True:
            self._set_date()
            now = clock.monotonic()
            for connection in list(self._state.connections):
                if isinstance(connection, StrictProtocol):
                    connection.look(now)
            await asyncio.sleep(self._limits.tick_seconds)

    def _set_date(self) -> None:
        date = format_datetime(clock.now(), usegmt=True).encode("ascii")
        self._state.default_headers = [(b"date", date)]

    async def _drain(self, servers: list[asyncio.AbstractServer]) -> int:
        """Let what runs come to its end within the grace time; return the exit code."""
        state = self._state
        _log.info("draining, %d requests run", len(state.tasks))
        for server in servers:
            server.close()
        hook = asyncio.ensure_future(self._drain_hook())
        deadline = clock.monotonic() + self._limits.grace_seconds
        while not self._forced and clock.monotonic() < deadline:
            if hook.done() and not state.connections and not state.tasks:
                _log.info("drained")
                return 0
            # Again and again: a connection may have been on its way when listening ended.
            for connection in list(state.connections):
                connection.shutdown()
            await asyncio.sleep(0.02)
        _log.warning("cutting %d requests", len(state.tasks))
        hook.cancel()
        for connection in list(state.connections):
            connection.transport.abort()
        for task in list(state.tasks):
            task.cancel()
        left = {hook, *state.tasks}
        await asyncio.wait(left, timeout=_CUT_SECONDS)
        return 1 if self._forced else 0

    async def _drain_hook(self) -> None:
        if self._hooks.drain is not None:
            try:
                await self._hooks.drain()
            except Exception:
                _log.exception("the drain hook failed")


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def _signals(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> Iterator[None]:
    """Turn the end signals into calls of `stop`; only the main thread can."""
    if not _in_main_thread():
        yield
        return
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
