# SPDX-License-Identifier: Apache-2.0
"""The end of the process: SIGTERM and SIGINT drain, a second signal cuts, exit codes tell which."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from calotype.server.run import Hooks
from tests.server.live import (
    Recorder,
    connect,
    live,
    process,
    raw,
    read_all,
    read_answer,
    statuses,
    until,
)

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
UPLOAD = b"PUT /read HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n"


def port_of(url: str) -> int:
    return urlsplit(url).port or 0


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_upload_ends_with_its_answer_and_the_exit_code_is_0(
    tmp_path: Path, number: int
) -> None:
    with process(tmp_path) as (child, url), connect(port_of(url)) as sock:
        sock.sendall(UPLOAD + b"a" * 1_000_000)
        idle = connect(port_of(url))
        idle.sendall(GET)
        assert read_answer(idle)[0] == 200
        child.send_signal(number)
        assert until(lambda: refuses(port_of(url)))
        assert read_all(idle) == b""
        idle.close()
        assert child.poll() is None
        sock.sendall(b"a" * 1_000_000)
        status, headers, body = read_answer(sock)
        assert (status, headers["connection"]) == (200, "close")
        assert body.startswith(b"2000000 ")
        assert read_all(sock) == b""
        assert child.wait(5) == 0


def test_a_running_download_ends_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("wb") as handle:
        handle.truncate(60_000_000)
    with process(file) as (child, url), connect(port_of(url)) as sock:
        sock.sendall(b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n")
        first = sock.recv(100_000)
        child.send_signal(signal.SIGTERM)
        assert until(lambda: refuses(port_of(url)))
        held = first + read_all(sock)
        assert len(held.partition(b"\r\n\r\n")[2]) == 60_000_000
        assert child.wait(5) == 0


def test_a_server_without_requests_ends_at_once(tmp_path: Path) -> None:
    with process(tmp_path) as (child, _):
        child.send_signal(signal.SIGTERM)
        assert child.wait(5) == 0


def test_a_request_that_outlives_the_grace_time_is_cut_and_the_exit_is_still_in_order(
    tmp_path: Path,
) -> None:
    with process(tmp_path, grace_seconds=0.3) as (child, url), connect(port_of(url)) as sock:
        sock.sendall(UPLOAD)
        raw(port_of(url), b"GET / HTTP/1.0\r\n\r\n")
        child.send_signal(signal.SIGTERM)
        assert read_all(sock) == b""
        assert child.wait(5) == 0


def test_a_second_signal_cuts_what_still_runs(tmp_path: Path) -> None:
    with process(tmp_path) as (child, url), connect(port_of(url)) as sock:
        sock.sendall(UPLOAD)
        raw(port_of(url), b"GET / HTTP/1.0\r\n\r\n")
        child.send_signal(signal.SIGTERM)
        assert until(lambda: refuses(port_of(url)))
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.3)
        child.send_signal(signal.SIGTERM)
        assert read_all(sock) == b""
        assert child.wait(5) == 1


def test_requests_behind_the_running_one_are_not_begun_any_more() -> None:
    app = Recorder()
    with live(app) as server, connect(server.port) as sock:
        sock.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
        assert until(lambda: app.calls == ["/wait"])
        server.server.stop()
        assert until(lambda: refuses(server.port))
        app.gate.set()
        assert statuses(read_all(sock)) == [200]
        sock.close()
        assert server.join() == 0
    assert app.calls == ["/wait"]


def test_the_hooks_are_called_in_their_order_and_drain_is_awaited() -> None:
    order: list[str] = []
    may_end = threading.Event()

    async def start() -> None:
        order.append("start")

    async def drain() -> None:
        order.append("drain begins")
        await asyncio.get_running_loop().run_in_executor(None, may_end.wait, 10)
        order.append("drain ends")

    async def close() -> None:
        order.append("close")

    with live(hooks=Hooks(start=start, drain=drain, close=close)) as server:
        assert order == ["start"]
        with connect(server.port) as sock:
            sock.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
            assert until(lambda: server.app.calls == ["/wait"])
            server.server.stop()
            assert until(lambda: "drain begins" in order)
            server.app.gate.set()
            assert read_answer(sock)[0] == 200
        assert server.thread is not None
        assert server.thread.is_alive()
        may_end.set()
        assert server.join() == 0
    assert order == ["start", "drain begins", "drain ends", "close"]


def test_a_drain_hook_that_fails_does_not_keep_the_server_from_ending() -> None:
    async def drain() -> None:
        raise ValueError("a fault of the hook")

    with live(hooks=Hooks(drain=drain)) as server:
        server.server.stop()
        assert server.join() == 0


def test_a_slow_sender_cannot_keep_a_draining_server_for_ever(tmp_path: Path) -> None:
    times = {"body_idle_seconds": 0.3, "linger_idle_seconds": 0.3}
    with process(tmp_path, **times) as (child, url), connect(port_of(url)) as sock:
        sock.sendall(UPLOAD)
        raw(port_of(url), b"GET / HTTP/1.0\r\n\r\n")
        child.send_signal(signal.SIGTERM)
        with contextlib.suppress(ConnectionResetError):
            assert statuses(read_all(sock)) == [408]
        assert child.wait(5) == 0
