# SPDX-License-Identifier: Apache-2.0
"""Answers: framing, keep-alive, order, early answers, 100-continue, faults of the application."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.live import Live, connect, live, raw, read_all, read_answer, statuses, until

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture
def server() -> Iterator[Live]:
    with live(linger_seconds=3.0, linger_idle_seconds=1.0) as one:
        yield one


@pytest.fixture(scope="module")
def steady() -> Iterator[Live]:
    with live() as one:
        yield one


def put(path: str, size: int, *lines: bytes) -> bytes:
    start = f"PUT /{path} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}".encode()
    return b"\r\n".join((start, *lines)) + b"\r\n\r\n"


def test_a_connection_serves_one_request_after_another(server: Live) -> None:
    with connect(server.port) as sock:
        for _ in range(5):
            sock.sendall(put("read", 3) + b"abc")
            status, headers, body = read_answer(sock)
            assert status == 200
            assert body == b"3 " + hashlib.sha256(b"abc").hexdigest().encode()
            assert "connection" not in headers


def test_pipelined_requests_are_answered_in_order(server: Live) -> None:
    many = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(20))
    answers = raw(server.port, put("read", 3) + b"abc" + many + LAST)
    assert statuses(answers) == [200] * 22
    assert server.app.calls == ["/read", *(f"/{number}" for number in range(20)), "/"]


def test_pipelined_bodies_reach_their_own_requests(server: Live) -> None:
    answers = raw(
        server.port,
        put("read", 200_000) + b"a" * 200_000 + put("read", 300_000),
        b"b" * 300_000 + LAST,
    )
    assert statuses(answers) == [200, 200, 200]
    for body in (b"a" * 200_000, b"b" * 300_000):
        assert hashlib.sha256(body).hexdigest().encode() in answers


def test_endless_pipelining_is_refused(server: Live) -> None:
    first = b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"
    with connect(server.port) as sock:
        sock.sendall(first + GET * 100)
        time.sleep(0.1)
        server.app.gate.set()
        found = statuses(read_all(sock))
    assert found[0] == 200
    assert found[-1] == 400
    assert len(found) <= 67


def test_a_client_that_leaves_is_told_to_running_and_waiting_requests_alike(server: Live) -> None:
    with connect(server.port) as sock:
        sock.sendall(b"GET /until-gone HTTP/1.1\r\nHost: a\r\n\r\n")
        assert until(lambda: server.app.calls == ["/until-gone"])
    assert until(lambda: server.app.ended == ["ConnectionAbortedError"])


def test_every_answer_has_exactly_one_date_and_no_server_name(server: Live) -> None:
    answers = raw(server.port, GET + b"GET / HTTP/1.1\r\n\r\n").lower()
    assert statuses(answers.upper()) == [200, 400]
    assert answers.count(b"\r\ndate: ") == 2
    assert b"\r\nserver:" not in answers


def test_head_has_the_headers_and_no_body(server: Live) -> None:
    answers = raw(server.port, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + LAST)
    assert statuses(answers) == [200, 200]
    head = answers.partition(b"\r\n\r\n")[0]
    assert b"content-length: " in head
    assert answers[len(head) + 4 :].startswith(b"HTTP/1.1 200")


def test_an_answer_without_a_length_is_chunked_in_1_1_and_ends_the_connection_in_1_0(
    server: Live,
) -> None:
    request = b"GET /stream HTTP/1.%d\r\nHost: a\r\nConnection: close\r\n\r\n"
    chunked = raw(server.port, request % 1)
    assert b"transfer-encoding: chunked" in chunked
    assert chunked.endswith(b"4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n")
    plain = raw(server.port, request % 0)
    assert b"transfer-encoding" not in plain
    assert plain.endswith(b"\r\n\r\none two three")


def test_a_fault_of_the_application_is_500_and_the_connection_ends(server: Live) -> None:
    answers = raw(server.port, b"GET /fail HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
    assert statuses(answers) == [500]
    assert b"fault of the application" not in answers


def test_a_fault_in_the_middle_of_an_answer_cuts_it_short(server: Live) -> None:
    answers = raw(server.port, b"GET /fail-late HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
    assert statuses(answers) == [200]
    assert answers.endswith(b"\r\n\r\n" + b"x" * 50)


def test_an_application_cannot_put_a_line_break_into_a_header(server: Live) -> None:
    answers = raw(server.port, b"GET /inject HTTP/1.1\r\nHost: a\r\n\r\n")
    assert statuses(answers) == [500]
    assert b"set-cookie" not in answers.lower()


def test_100_continue_is_sent_when_the_application_asks_for_the_body(server: Live) -> None:
    with connect(server.port) as sock:
        sock.sendall(put("read", 3, b"Expect: 100-continue"))
        assert sock.recv(25, socket.MSG_WAITALL) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        assert read_answer(sock)[0] == 200
        sock.sendall(LAST)
        assert statuses(read_all(sock)) == [200]


def test_100_continue_is_not_sent_to_a_refused_upload_and_its_connection_ends(server: Live) -> None:
    answers = raw(server.port, put("refuse", 1 << 30, b"Expect: 100-continue"))
    assert statuses(answers) == [413]
    assert b"connection: close" in answers


def test_100_continue_is_not_sent_to_a_client_that_did_not_wait_or_speaks_1_0(server: Live) -> None:
    expect = b"Expect: 100-continue"
    answers = raw(server.port, put("read", 3, expect) + b"abc" + LAST)
    assert statuses(answers) == [200, 200]
    old = put("read", 3, expect).replace(b"HTTP/1.1", b"HTTP/1.0")
    assert statuses(raw(server.port, old + b"abc")) == [200]


def test_an_early_answer_reaches_a_client_that_sends_everything_first(server: Live) -> None:
    size = 50_000_000
    with connect(server.port) as sock:
        sock.sendall(put("refuse", size))
        block = b"a" * 1_000_000
        for _ in range(size // len(block)):
            sock.sendall(block)
        status, headers, body = read_answer(sock)
    assert (status, body, headers["connection"]) == (413, b"too large", "close")


def test_a_client_that_never_stops_sending_after_an_early_answer_is_cut_off(server: Live) -> None:
    with connect(server.port) as sock:
        sock.sendall(put("refuse", 1 << 40))
        begin = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while True:
                sock.sendall(b"a" * 100_000)
                time.sleep(0.01)
                assert time.monotonic() - begin < 8


def test_a_body_that_ends_early_is_refused_and_the_application_is_told(server: Live) -> None:
    with connect(server.port) as sock:
        sock.sendall(put("read", 100) + b"abc")
        sock.shutdown(socket.SHUT_WR)
        assert statuses(read_all(sock)) == [400]
    assert until(lambda: server.app.ended == ["IncompleteReadError"])


def test_an_application_that_does_not_read_stops_the_client(server: Live) -> None:
    sent = [0]

    def send() -> None:
        with connect(server.port) as sock, contextlib.suppress(OSError):
            sock.sendall(put("wait", 1 << 30))
            while sent[0] < 1 << 30:
                sent[0] += sock.send(b"a" * 65536)

    sender = threading.Thread(target=send)
    sender.start()
    last = -1

    def stands_still() -> bool:
        nonlocal last
        before, last = last, sent[0]
        time.sleep(0.2)
        return before == last > 0

    assert until(stands_still)
    assert sent[0] < 16 << 20
    server.app.gate.set()
    sender.join()


def test_more_connections_than_allowed_are_answered_503() -> None:
    with live(connections=2) as server:
        with connect(server.port) as one, connect(server.port) as two:
            for sock in (one, two):
                sock.sendall(GET)
                assert read_answer(sock)[0] == 200
            with connect(server.port) as three:
                assert statuses(read_all(three)) == [503]

        def served() -> bool:
            return statuses(raw(server.port, LAST)) == [200]

        assert until(served)


PARTS = (
    put("read", 5) + b"abcde",
    b"PUT /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    put("ignore", 0),
)


@given(
    order=st.lists(st.sampled_from(PARTS), min_size=1, max_size=6),
    cuts=st.lists(st.floats(0, 1), max_size=4),
)
@settings(max_examples=40, deadline=None)
def test_where_a_stream_of_requests_is_cut_into_packets_changes_nothing(
    steady: Live, order: list[bytes], cuts: list[float]
) -> None:
    stream = b"".join(order) + LAST
    places = sorted({0, len(stream), *(int(cut * len(stream)) for cut in cuts)})
    with connect(steady.port) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, end in pairwise(places):
            sock.sendall(stream[start:end])
            time.sleep(0.002)
        answers = read_all(sock)
    assert statuses(answers) == [200] * (len(order) + 1)
    expected = sum(part.startswith(b"PUT /read") for part in order)
    assert answers.count(b"\r\n\r\n5 " + hashlib.sha256(b"abcde").hexdigest().encode()) == expected
