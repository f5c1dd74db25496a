# SPDX-License-Identifier: Apache-2.0
"""Stores for the shared suite: a directory, and buckets of two S3 servers started here.

moto honours conditions, takes every key and keeps everything in memory; nanio checks signatures
and digests, ignores conditions, and keeps a key as a path of files. Each runs as a process of
this environment on a free port of 127.0.0.1.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from calotype.storage import Credentials, Store
from calotype.storage.files import FileStore
from calotype.storage.s3 import S3Store

KEYS = {"access_key": "test-access-key", "secret_key": "test-secret-key-0123456789"}
BUCKET = "calotype-test"


@dataclass
class S3Server:
    """A running S3 server and what it can do beside the plain operations."""

    name: str
    endpoint: str
    abilities: frozenset[str]
    client: Any = field(repr=False, default=None)

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.endpoint, "us-east-1", **KEYS)

    def store(self, *, prefix: str = "", user_keys: bool = False, **more: Any) -> S3Store:
        """Return a store in the test bucket that gives up quickly."""
        more.setdefault("patience", timedelta(seconds=2))
        credentials = more.pop("credentials", self.credentials)
        return S3Store(BUCKET, credentials, prefix=prefix, user_keys=user_keys, **more)

    def keys(self, prefix: str = "") -> set[str]:
        """Return the keys that the server itself lists."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return {found["Key"] for page in pages for found in page.get("Contents", [])}


@dataclass
class Backend:
    """A store under test. `abilities` names what a test may ask for beyond the protocol."""

    name: str
    store: Store
    abilities: frozenset[str]
    replace: Callable[[str, bytes], None]

    def needs(self, ability: str) -> None:
        """Skip the running test when this backend's server lacks `ability`."""
        if ability not in self.abilities:
            pytest.skip(f"{self.name} lacks: {ability}")


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _serve(command: list[str], port: int, env: dict[str, str]) -> Iterator[None]:
    program = Path(sys.executable).with_name(command[0])
    process = subprocess.Popen(
        [program, *command[1:]],
        env={**os.environ, **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, f"{command[0]} ended by itself"
                assert time.monotonic() < deadline, f"{command[0]} does not listen"
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def _ready(name: str, port: int, abilities: set[str]) -> S3Server:
    server = S3Server(name, f"http://127.0.0.1:{port}", frozenset(abilities))
    server.client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=KEYS["access_key"],
        aws_secret_access_key=KEYS["secret_key"],
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )
    server.client.create_bucket(Bucket=BUCKET)
    return server


@pytest.fixture(scope="session")
def moto() -> Iterator[S3Server]:
    port = free_port()
    command = ["moto_server", "-H", "127.0.0.1", "-p", str(port)]
    for _ in _serve(command, port, {}):
        yield _ready("moto", port, {"conditions", "all_keys"})


@pytest.fixture(scope="session")
def nanio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    port = free_port()
    data = tmp_path_factory.mktemp("nanio")
    command = ["nanio", "serve", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--data-dir", str(data), "--no-access-log"]
    env = {"NANIO_ACCESS_KEY": KEYS["access_key"], "NANIO_SECRET_KEY": KEYS["secret_key"]}
    for _ in _serve(command, port, env):
        yield _ready("nanio", port, {"signatures"})


@pytest.fixture(scope="session", params=["moto", "nanio"])
def s3(request: pytest.FixtureRequest) -> S3Server:
    server: S3Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture(scope="session", params=["files", "moto", "nanio"])
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backend:
    """One store of each kind; tests share it and use names of their own."""
    if request.param == "files":
        root = tmp_path_factory.mktemp("store")
        files = FileStore(root, reserve=0)

        def replace_file(name: str, content: bytes) -> None:
            source = root / "replacement"
            source.write_bytes(content)
            files.delete(name)
            files.put(name, source)

        return Backend("files", files, frozenset({"conditions", "all_keys", "local"}), replace_file)
    server: S3Server = request.getfixturevalue(request.param)
    prefix = f"suite-{uuid.uuid4().hex}"

    def replace_object(name: str, content: bytes) -> None:
        server.client.put_object(Bucket=BUCKET, Key=f"{prefix}/{name}", Body=content)

    store = server.store(prefix=prefix)
    return Backend(server.name, store, server.abilities, replace_object)


@pytest.fixture
def store(backend: Backend) -> Store:
    return backend.store


@pytest.fixture
def name() -> str:
    """A name nobody used before, of the form our own names have."""
    return uuid.uuid4().hex


class Answers:
    """An HTTP server that gives one fixed answer and remembers what it was asked.

    `head` is another status for HEAD.
    """

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        head: int | None = None,
    ):
        seen: list[tuple[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                seen.append((self.command, self.path))
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(head if head and self.command == "HEAD" else status)
                for key, value in (headers or {}).items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_CONNECT = answer

            def log_message(self, *args: object) -> None:
                pass

        self.seen = seen
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Answers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"


class Relay:
    """A TCP relay before a server: shows each piece on its way, and can break connections.

    `upward` sees each piece from the client. A connection ends after `cuts[i]` bytes of answer,
    the i-th connection by the i-th number; later ones are not cut.
    """

    def __init__(self, endpoint: str, *, upward: Callable[[bytes], None] | None = None):
        host, _, port = endpoint.removeprefix("http://").partition(":")
        self._target = (host, int(port))
        self._upward = upward
        self.cuts: list[int] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            left = self.cuts.pop(0) if self.cuts else None
            server = socket.create_connection(self._target)
            threading.Thread(target=self._up, args=(client, server), daemon=True).start()
            threading.Thread(target=self._down, args=(server, client, left), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with_end = False
        while not with_end:
            try:
                piece = client.recv(65536)
                if piece and self._upward:
                    self._upward(piece)
                server.sendall(piece)
            except OSError:
                piece = b""
            with_end = not piece
        _shut(server)

    def _down(self, server: socket.socket, client: socket.socket, left: int | None) -> None:
        while left is None or left > 0:
            try:
                piece = server.recv(65536 if left is None else min(left, 65536))
                client.sendall(piece)
            except OSError:
                break
            if not piece:
                break
            left = None if left is None else left - len(piece)
        _shut(client)
        _shut(server)


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()
