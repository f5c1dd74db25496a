# SPDX-License-Identifier: Apache-2.0
"""A running server for tests: an application that writes down what reached it, and raw clients.

`python -m tests.server.live FILE [NAME=VALUE ...]` runs the same application as a process of its
own, which prints its URL; the values replace fields of `Limits`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from calotype.server.limits import Limits
from calotype.server.listen import Listen
from calotype.server.run import Hooks, Server, serve

ROOT = Path(__file__).resolve().parents[2]


class Recorder:
    """An ASGI application whose path says what it does; it remembers calls and their ends."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self.scopes: list[dict[str, Any]] = []
        self.ended: list[str] = []
        self.received = 0
        self.gate = threading.Event()

    @property
    def calls(self) -> list[str]:
        return [scope["path"] for scope in self.scopes]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        what = scope["path"].strip("/").replace("-", "_") or "echo"
        handler = getattr(self, f"do_{what}", self.do_echo)
        try:
            await handler(scope, receive, send)
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise
        self.ended.append("ok")

    async def answer(self, send: Any, body: bytes, status: int = 200, more: Any = ()) -> None:
        headers = [(b"content-length", str(len(body)).encode()), *more]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def body(self, receive: Any) -> bytes | None:
        """The whole body, or None when the client went away before its end."""
        held = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            piece: bytes = message["body"]
            held += piece
            self.received += len(piece)
            if not message["more_body"]:
                return held

    async def do_echo(self, scope: Any, receive: Any, send: Any) -> None:
        facts = {
            "method": scope["method"],
            "path": scope["path"],
            "raw_path": scope["raw_path"].decode("latin-1"),
            "query": scope["query_string"].decode("latin-1"),
            "headers": [[n.decode("latin-1"), v.decode("latin-1")] for n, v in scope["headers"]],
            "extensions": sorted(scope.get("extensions", {})),
            "http_version": scope["http_version"],
        }
        await self.answer(send, json.dumps(facts).encode())

    async def do_read(self, scope: Any, receive: Any, send: Any) -> None:
        body = await self.body(receive)
        if body is None:
            raise asyncio.IncompleteReadError(b"", None)
        await self.answer(send, f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode())

    async def do_ignore(self, scope: Any, receive: Any, send: Any) -> None:
        await self.answer(send, b"not read")

    async def do_refuse(self, scope: Any, receive: Any, send: Any) -> None:
        await self.answer(send, b"too large", 413)

    async def do_wait(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer once the test opens the gate, without reading."""
        await asyncio.get_running_loop().run_in_executor(None, self.gate.wait, 20)
        await self.answer(send, b"waited")

    async def do_until_gone(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        raise ConnectionAbortedError

    async def do_stream(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"one ", b"two ", b"three"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    async def do_fail(self, scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("a fault of the application")

    async def do_fail_late(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"100")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * 50, "more_body": True})
        raise ValueError("a fault in the middle of an answer")

    async def do_inject(self, scope: Any, receive: Any, send: Any) -> None:
        await self.answer(send, b"", more=[(b"x-name", b"a\r\nset-cookie: b=c")])

    async def do_file(self, scope: Any, receive: Any, send: Any) -> None:
        """Send `offset` and `count` of the file by the extension, claiming `claim` bytes."""
        query = {k: int(v[0]) for k, v in parse_qs(scope["query_string"].decode()).items()}
        assert self.file is not None
        offset = query.get("offset", 0)
        count = query.get("count", self.file.stat().st_size - offset)
        length = str(query.get("claim", count)).encode()
        fd = os.open(self.file, os.O_RDONLY)
        try:
            headers = [(b"content-length", length)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            half = count // 2
            for at, size in ((offset, half), (offset + half, count - half)):
                await send({"type": "calotype.sendfile", "fd": fd, "offset": at, "count": size})
            await send({"type": "http.response.body", "body": b""})
        finally:
            os.close(fd)

    async def do_bodies(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the file in bodies of 1 MiB."""
        assert self.file is not None
        size = self.file.stat().st_size
        loop = asyncio.get_running_loop()
        with self.file.open("rb") as file:
            headers = [(b"content-length", str(size).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for at in range(0, size, 1 << 20):
                piece = await loop.run_in_executor(None, os.pread, file.fileno(), 1 << 20, at)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


@dataclasses.dataclass
class Live:
    """A server in a thread of this process."""

    app: Recorder
    server: Server
    url: str
    code: int | None = None
    thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def join(self, seconds: float = 10) -> int | None:
        assert self.thread is not None
        self.thread.join(seconds)
        return self.code


@contextlib.contextmanager
def live(
    app: Recorder | None = None,
    listen: Listen | None = None,
    hooks: Hooks | None = None,
    **limits: Any,
) -> Iterator[Live]:
    """Run a server on a free port for the time of the block."""
    ready = threading.Event()
    urls: list[str] = []

    def note(url: str) -> None:
        urls.append(url)
        ready.set()

    recorder = app or Recorder()
    server = Server(
        recorder,
        listen or Listen(port=0),
        limits=Limits(**{"grace_seconds": 5.0, **limits}),
        hooks=dataclasses.replace(hooks or Hooks(), ready=note),
    )
    one = Live(recorder, server, "")

    def run() -> None:
        one.code = server.run()

    one.thread = threading.Thread(target=run, daemon=True)
    one.thread.start()
    assert ready.wait(10)
    one.url = urls[0]
    try:
        yield one
    finally:
        server.stop()
        one.thread.join(1)
        server.stop()
        one.thread.join(10)
        assert not one.thread.is_alive()


@contextlib.contextmanager
def process(file: Path, **limits: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a server as its own process; gives it and its URL."""
    words = [f"{name}={value}" for name, value in limits.items()]
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.server.live", str(file), *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        yield child, child.stdout.readline().strip()
    finally:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def connect(port: int) -> socket.socket:
    """A client socket that gives up after 10 s."""
    return socket.create_connection(("127.0.0.1", port), 10)


def secure(port: int, certificate: Path) -> ssl.SSLSocket:
    """A TLS client socket that trusts only `certificate`."""
    context = ssl.create_default_context(cafile=str(certificate))
    return context.wrap_socket(connect(port), server_hostname="localhost")


def read_all(sock: socket.socket) -> bytes:
    """Everything until the server closes, also when it does so by a reset."""
    held = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(1 << 20):
            held += piece
    return held


def read_answer(sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """One answer with a Content-Length, leaving the connection open."""
    held = b""
    while b"\r\n\r\n" not in held:
        piece = sock.recv(1)
        assert piece, f"closed after {held!r}"
        held += piece
    first, *lines = held[:-4].decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    left = int(headers.get("content-length", "0"))
    body = b""
    while len(body) < left:
        piece = sock.recv(left - len(body))
        assert piece, "closed in the body"
        body += piece
    return int(first.split()[1]), headers, body


def raw(port: int, *pieces: bytes) -> bytes:
    """Send the pieces on one connection and return all that comes back until its end."""
    with connect(port) as sock:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                sock.sendall(piece)
        return read_all(sock)


def statuses(answers: bytes) -> list[int]:
    """The status numbers of all answers in a raw stream (bodies here hold no status line)."""
    return [int(number) for number in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Poll until the condition holds; False when it never did."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


def main() -> int:
    words: dict[str, Any] = {
        name: float(value) for name, _, value in (word.partition("=") for word in sys.argv[2:])
    }
    hooks = Hooks(ready=lambda url: print(url, flush=True))
    app = Recorder(Path(sys.argv[1]))
    return serve(app, Listen(port=0), limits=Limits(**words), hooks=hooks)


if __name__ == "__main__":
    sys.exit(main())
