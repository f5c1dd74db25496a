# SPDX-License-Identifier: Apache-2.0
"""The extension that sends file ranges: every byte, in order, with keep-alive, and no leaks."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from calotype.server.listen import Listen
from tests.server.live import (
    Live,
    Recorder,
    connect,
    live,
    raw,
    read_all,
    read_answer,
    secure,
    statuses,
    until,
)

SIZE = 9_000_001


@pytest.fixture(scope="module")
def content() -> bytes:
    return os.urandom(SIZE)


@pytest.fixture
def server(tmp_path: Path, content: bytes) -> Iterator[Live]:
    file = tmp_path / "file"
    file.write_bytes(content)
    with live(Recorder(file)) as one:
        yield one


def get(query: str, *lines: bytes) -> bytes:
    start = f"GET /file?{query} HTTP/1.1\r\nHost: a".encode()
    return b"\r\n".join((start, *lines)) + b"\r\n\r\n"


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_whole_file_arrives_byte_by_byte(server: Live, content: bytes) -> None:
    with connect(server.port) as sock:
        sock.sendall(get(""))
        status, headers, body = read_answer(sock)
    assert (status, headers["content-length"]) == (200, str(SIZE))
    assert body == content


@pytest.mark.parametrize(
    ("offset", "count"), [(0, 1), (1, 0), (4_194_303, 3), (SIZE - 1, 1), (17, 8_388_609)]
)
def test_a_range_arrives_byte_by_byte(
    server: Live, content: bytes, offset: int, count: int
) -> None:
    with connect(server.port) as sock:
        sock.sendall(get(f"offset={offset}&count={count}"))
        status, _, body = read_answer(sock)
    assert status == 200
    assert body == content[offset : offset + count]


def test_files_and_plain_answers_follow_each_other_on_one_connection(
    server: Live, content: bytes
) -> None:
    small = b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"
    ranges = [(0, SIZE), (5, 100), (1_000_000, 5_000_000)]
    request = b"".join(get(f"offset={at}&count={size}") + small for at, size in ranges)
    answers = raw(server.port, request + get("count=3", b"Connection: close"))
    at = 0
    for offset, size in (*ranges, (0, 3)):
        body = answers.index(b"\r\n\r\n", at) + 4
        assert b"content-length: %d" % size in answers[at:body]
        assert answers[body : body + size] == content[offset : offset + size]
        at = body + size
        end = answers.find(b"0\r\n\r\n", at)
        at = end + 5 if end >= 0 else at
    assert at == len(answers)


def test_a_client_that_reads_slowly_gets_the_same_bytes(server: Live, content: bytes) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", server.port))
        sock.sendall(get("", b"Connection: close"))
        held = read_all(sock)
    assert held.endswith(content)


def test_an_answer_waits_until_what_was_written_before_it_is_taken(
    server: Live, content: bytes
) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", server.port))
        sock.sendall(b"GET /bodies HTTP/1.1\r\nHost: a\r\n\r\n" + get("", b"Connection: close"))
        held = read_all(sock)
    assert statuses(held) == [200, 200]
    assert held.count(content) == 2


def test_a_client_that_leaves_ends_the_answer_and_leaves_no_open_file(server: Live) -> None:
    file = server.app.file
    assert file is not None
    with file.open("r+b") as handle:
        handle.truncate(1 << 30)
    raw(server.port, get("count=1", b"Connection: close"))
    before = open_files()
    for _ in range(5):
        with connect(server.port) as sock:
            sock.sendall(get(""))
            assert len(sock.recv(100_000)) > 0
    assert until(lambda: server.app.ended.count("ClientGone") == 5)
    assert until(lambda: open_files() <= before)


def test_a_file_that_is_shorter_than_promised_cuts_the_answer(server: Live, content: bytes) -> None:
    held = raw(server.port, get(f"offset={SIZE - 10}&count=20"))
    assert statuses(held) == [200]
    assert held.endswith(b"\r\n\r\n" + content[-10:])


@pytest.mark.parametrize("claim", [10, 30])
def test_what_is_sent_must_be_what_was_announced(server: Live, claim: int) -> None:
    held = raw(server.port, get(f"count=20&claim={claim}"))
    assert statuses(held) == [200]
    assert len(held.partition(b"\r\n\r\n")[2]) <= claim
    assert until(lambda: server.app.ended == ["RuntimeError"])


def test_head_sends_no_file(server: Live) -> None:
    held = raw(server.port, get("", b"Connection: close").replace(b"GET", b"HEAD"))
    assert b"content-length: %d" % SIZE in held
    assert held.endswith(b"\r\n\r\n")


def test_many_readers_at_once_each_get_their_own_bytes(server: Live, content: bytes) -> None:
    socks = [connect(server.port) for _ in range(20)]
    for number, sock in enumerate(socks):
        sock.sendall(get(f"offset={number}&count=3000000"))
    for number, sock in enumerate(socks):
        assert read_answer(sock)[2] == content[number : number + 3_000_000]
        sock.close()


def test_a_unix_socket_offers_it_too(tmp_path: Path) -> None:
    file, path = tmp_path / "file", tmp_path / "socket"
    file.write_bytes(b"0123456789" * 500_000)
    with live(Recorder(file), Listen(uds=path)) as one:
        assert one.url == f"unix:{path}"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(get(""))
            assert read_answer(sock)[2] == file.read_bytes()
    assert not path.exists()


def test_it_is_not_offered_under_tls(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(3_000_000))
    chain, key = certificate
    listen = Listen(port=0, tls_cert=chain, tls_key=key)
    with live(Recorder(file), listen) as one, secure(one.port, chain) as sock:
        assert one.url.startswith("https://")
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert json.loads(read_answer(sock)[2])["extensions"] == []
        sock.sendall(b"GET /bodies HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_answer(sock)[2] == file.read_bytes()


def test_it_is_offered_on_plain_sockets(server: Live) -> None:
    with connect(server.port) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert json.loads(read_answer(sock)[2])["extensions"] == ["calotype.sendfile"]
