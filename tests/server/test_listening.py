# SPDX-License-Identifier: Apache-2.0
"""Where the server listens, how soon, and how it refuses an address."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from calotype.server.listen import Listen, bind
from calotype.server.run import Server
from tests.server.live import Recorder, connect, live, process, raw, secure, statuses

LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def test_port_0_reports_the_port_that_was_chosen() -> None:
    with live() as server:
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert statuses(raw(server.port, LAST)) == [200]


def test_a_process_is_ready_after_little_work(tmp_path: Path) -> None:
    with process(tmp_path) as (child, url):
        assert url.startswith("http://127.0.0.1:")
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        # CPU time and not the clock: the clock measures the other programs of the machine too.
        assert used < 0.5


def test_a_host_name_with_two_addresses_gets_one_port_for_both() -> None:
    sockets = bind(Listen(host="localhost", port=0))
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
    finally:
        for sock in sockets:
            sock.close()


def test_a_taken_port_is_an_error_and_a_shared_one_is_not() -> None:
    with live(listen=Listen(port=0, reuse_port=True)) as one:
        with pytest.raises(OSError, match="in use"):
            Server(Recorder(), Listen(port=one.port)).run()
        with live(listen=Listen(port=one.port, reuse_port=True)) as two:
            assert two.port == one.port
            for _ in range(40):
                assert statuses(raw(one.port, LAST)) == [200]
            assert len(one.app.calls) + len(two.app.calls) == 40
            assert one.app.calls
            assert two.app.calls


def test_a_left_over_unix_socket_is_replaced_and_a_living_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with live(listen=Listen(uds=path)):
        assert path.stat().st_mode & 0o777 == 0o660
        with pytest.raises(OSError, match="in use"):
            Server(Recorder(), Listen(uds=path)).run()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(LAST)
            assert sock.recv(100).startswith(b"HTTP/1.1 200")


def test_a_file_in_the_place_of_the_unix_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.write_text("mine")
    with pytest.raises(OSError, match="in use"):
        Server(Recorder(), Listen(uds=path)).run()
    assert path.read_text() == "mine"


def test_tls_speaks_https_and_refuses_plain_requests_and_old_versions(
    certificate: tuple[Path, Path],
) -> None:
    chain, key = certificate
    with live(listen=Listen(port=0, tls_cert=chain, tls_key=key)) as server:
        with secure(server.port, chain) as sock:
            assert sock.version() in ("TLSv1.2", "TLSv1.3")
            sock.sendall(LAST)
            assert sock.recv(100).startswith(b"HTTP/1.1 200")
        assert statuses(raw(server.port, LAST)) == []


def test_a_tls_connection_that_does_not_finish_its_handshake_is_closed(
    certificate: tuple[Path, Path],
) -> None:
    chain, key = certificate
    listen = Listen(port=0, tls_cert=chain, tls_key=key)
    with live(listen=listen, header_seconds=0.3) as server, connect(server.port) as sock:
        assert sock.recv(100) == b""


def test_an_upload_over_tls_is_refused_early_with_an_answer(
    certificate: tuple[Path, Path],
) -> None:
    chain, key = certificate
    head = b"PUT /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n"
    with (
        live(listen=Listen(port=0, tls_cert=chain, tls_key=key)) as server,
        secure(server.port, chain) as sock,
    ):
        sock.sendall(head)
        sock.sendall(b"a" * 3_000_000)
        assert sock.recv(100).startswith(b"HTTP/1.1 413")
