# SPDX-License-Identifier: Apache-2.0
"""Memory stays small whatever clients do: measured on a server process of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from bench.limits import MIB, Memory, sparse_file, until_still

from tests.server.live import connect, process


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Port and process id of a server whose file has 1 GiB."""
    with process(sparse_file(tmp_path / "big", 1024 * MIB)) as (child, url):
        yield urlsplit(url).port or 0, child.pid


@pytest.mark.parametrize(("how", "allowed"), [("bodies", 60 * MIB), ("file", 20 * MIB)])
def test_20_clients_that_ask_for_a_gibibyte_and_do_not_read_cost_little(
    server: tuple[int, int], how: str, allowed: int
) -> None:
    port, pid = server
    with contextlib.ExitStack() as stack, Memory(pid) as memory:
        for _ in range(20):
            sock = stack.enter_context(connect(port))
            sock.sendall(f"GET /{how} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert sock.recv(1)
        until_still(lambda: memory.peak)
    assert memory.growth < allowed


def test_20_uploads_that_nobody_reads_cost_little(server: tuple[int, int]) -> None:
    port, pid = server
    with contextlib.ExitStack() as stack, Memory(pid) as memory:
        sent = 0
        for _ in range(20):
            sock = stack.enter_context(connect(port))
            sock.sendall(b"PUT /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
            sock.settimeout(0.1)
            with contextlib.suppress(TimeoutError):
                while True:
                    sent += sock.send(b"a" * MIB)
        until_still(lambda: memory.peak)
    assert sent > 20 * MIB
    assert memory.growth < 20 * MIB


def test_a_download_keeps_memory_flat(server: tuple[int, int]) -> None:
    port, pid = server
    with connect(port) as sock, Memory(pid) as memory:
        sock.sendall(b"GET /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        block = bytearray(MIB)
        size = 0
        while size < 300 * MIB and (got := sock.recv_into(block)):
            size += got
    assert size >= 300 * MIB
    assert memory.growth < 10 * MIB
