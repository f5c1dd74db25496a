# SPDX-License-Identifier: Apache-2.0
"""Clients that send or take too slowly lose their connection, and nobody else notices them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.live import Live, Recorder, connect, live, read_all, read_answer, statuses, until


@pytest.fixture
def server() -> Iterator[Live]:
    with live(
        header_seconds=0.4,
        body_idle_seconds=0.4,
        body_rate_seconds=0.8,
        body_rate=1000,
        keep_alive_seconds=0.4,
        linger_seconds=1.0,
        linger_idle_seconds=0.4,
    ) as one:
        yield one


def drip(sock: socket.socket, byte: bytes, gap: float, seconds: float) -> None:
    """Send one byte again and again until the server has had enough."""
    end = time.monotonic() + seconds
    with contextlib.suppress(OSError):
        while time.monotonic() < end:
            sock.sendall(byte)
            time.sleep(gap)


def test_a_connection_that_sends_nothing_is_closed_without_an_answer(server: Live) -> None:
    with connect(server.port) as sock:
        assert read_all(sock) == b""


def test_a_head_that_stops_is_answered_408(server: Live) -> None:
    with connect(server.port) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost:")
        assert statuses(read_all(sock)) == [408]
    assert server.app.calls == []


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nHost: ", b"\r\n", b""])
def test_a_head_that_drips_is_answered_408_all_the_same(server: Live, start: bytes) -> None:
    with connect(server.port) as sock:
        sock.sendall(start)
        begin = time.monotonic()
        byte = b"a" if start.startswith(b"GET") else b"\r\n"
        dripping = threading.Thread(target=drip, args=(sock, byte, 0.05, 5))
        dripping.start()
        assert statuses(read_all(sock)) == [408]
        assert time.monotonic() - begin < 4
        dripping.join()


def test_the_second_head_of_a_connection_has_the_same_time(server: Live) -> None:
    with connect(server.port) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT")
        assert statuses(read_all(sock)) == [200, 408]


def test_an_idle_connection_is_closed_after_its_time(server: Live) -> None:
    with connect(server.port) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_answer(sock)[0] == 200
        assert read_all(sock) == b""


def test_a_body_that_stops_is_answered_408_and_the_application_is_told(server: Live) -> None:
    with connect(server.port) as sock:
        sock.sendall(b"PUT /read HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
        assert statuses(read_all(sock)) == [408]
    assert until(lambda: server.app.ended == ["IncompleteReadError"])


def test_a_body_that_drips_is_too_slow(server: Live) -> None:
    with connect(server.port) as sock:
        sock.sendall(b"PUT /read HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        dripping = threading.Thread(target=drip, args=(sock, b"a", 0.1, 5))
        dripping.start()
        assert statuses(read_all(sock)) == [408]
        dripping.join()
    assert until(lambda: server.app.ended == ["IncompleteReadError"])


def test_a_body_at_the_least_rate_may_take_longer_than_every_time_out(server: Live) -> None:
    with connect(server.port) as sock:
        sock.sendall(b"PUT /read HTTP/1.1\r\nHost: a\r\nContent-Length: 6000\r\n\r\n")
        for _ in range(20):
            sock.sendall(b"a" * 300)
            time.sleep(0.1)
        assert read_answer(sock)[0] == 200


def test_a_client_is_not_blamed_for_an_application_that_does_not_read(server: Live) -> None:
    size = 40_000_000
    with connect(server.port) as sock:
        sock.sendall(b"PUT /wait HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        sender = threading.Thread(target=drip, args=(sock, b"a" * 1_000_000, 0, 3))
        sender.start()
        time.sleep(1.5)  # Longer than every time-out above: the answer must still come.
        server.app.gate.set()
        assert statuses(read_all(sock)) == [200]
        sender.join()


def test_a_client_that_waits_for_100_is_not_blamed_for_sending_nothing(server: Live) -> None:
    with connect(server.port) as sock:
        sock.sendall(
            b"PUT /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
        )
        time.sleep(1.5)
        server.app.gate.set()
        assert statuses(read_all(sock)) == [200]


@pytest.mark.parametrize("how", ["file", "bodies"])
def test_a_client_that_takes_nothing_of_its_answer_is_cut_off(tmp_path: Path, how: str) -> None:
    file = tmp_path / "big"
    with file.open("wb") as handle:
        handle.truncate(1 << 28)
    with live(Recorder(file), write_idle_seconds=0.5) as server, connect(server.port) as sock:
        sock.sendall(f"GET /{how} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert until(lambda: server.app.ended == ["ClientGone"])


def test_a_slow_but_steady_reader_gets_everything(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"a" * 7_000_000)
    with live(Recorder(file), write_idle_seconds=0.5) as server, socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 200_000)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", server.port))
        sock.sendall(b"GET /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        size = 0
        while piece := sock.recv(100_000):
            size += len(piece)
            time.sleep(0.04)
        assert size > 7_000_000


def test_300_slow_clients_do_not_hold_up_an_honest_one(tmp_path: Path) -> None:
    file = tmp_path / "big"
    with file.open("wb") as handle:
        handle.truncate(1 << 28)
    kinds = [
        b"GET / HTTP/1.1\r\nHost: ",
        b"PUT /read HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
        b"PUT /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
        b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /bodies HTTP/1.1\r\nHost: a\r\n\r\n",
        b"",
    ]
    with live(Recorder(file)) as server, contextlib.ExitStack() as stack:
        slow = []
        for number in range(300):
            sock = stack.enter_context(connect(server.port))
            sock.sendall(kinds[number % len(kinds)])
            slow.append(sock)
        slowest = 0.0
        for turn in range(20):
            for sock in slow[turn % 6 :: 6]:
                if turn % 6 < 3:
                    sock.sendall(b"a")
            begin = time.monotonic()
            with connect(server.port) as honest:
                honest.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert read_answer(honest)[0] == 200
            slowest = max(slowest, time.monotonic() - begin)
        assert slowest < 1
