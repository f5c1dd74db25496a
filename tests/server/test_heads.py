# SPDX-License-Identifier: Apache-2.0
"""What reaches the application of a request's head, and where the limits of a head lie."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.server.head import Refusal, judge
from tests.server.live import Live, connect, live, raw, read_answer, statuses


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live() as one:
        yield one


def facts(server: Live, request: bytes) -> dict[str, object]:
    with connect(server.port) as sock:
        sock.sendall(request)
        status, _, body = read_answer(sock)
    assert status == 200
    result = json.loads(body)
    assert isinstance(result, dict)
    return result


def test_header_lines_reach_the_application_in_order_with_their_bytes_and_repeats(
    server: Live,
) -> None:
    got = facts(
        server,
        b"GET / HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nX-Sdk-Date:  2 \r\nX-ONE: \xe9\xff\r\n"
        b"x-empty:\r\nX-One: 1\r\n\r\n",
    )
    assert got["headers"] == [
        ["host", "a"],
        ["x-one", "1"],
        ["x-sdk-date", "2"],
        ["x-one", "\xe9\xff"],
        ["x-empty", ""],
        ["x-one", "1"],
    ]


@pytest.mark.parametrize(
    ("target", "raw_path", "query"),
    [
        ("/a%2Fb%20c/..//d;x?q=%41&q=2?&r", "/a%2Fb%20c/..//d;x", "q=%41&q=2?&r"),
        ("/?", "/", ""),
        ("//two", "//two", ""),
        ("http://A/path?x=1", "/path", "x=1"),
        ("http://a?x=1", "/", "x=1"),
        ("http://a", "/", ""),
    ],
)
def test_the_target_reaches_the_application_undecoded(
    server: Live, target: str, raw_path: str, query: str
) -> None:
    got = facts(server, f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert (got["raw_path"], got["query"]) == (raw_path, query)


def test_a_question_about_the_whole_server_has_a_star_as_path(server: Live) -> None:
    assert facts(server, b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")["raw_path"] == "*"


@pytest.mark.parametrize("host", ["a.example:9292", "[::1]:80", "10.0.0.1", "a_b", "localhost", ""])
def test_usual_hosts_are_accepted(server: Live, host: str) -> None:
    assert facts(server, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())["path"] == "/"


def test_http_1_0_needs_no_host_and_is_closed_after_its_answer(server: Live) -> None:
    answers = raw(server.port, b"GET / HTTP/1.0\r\n\r\n")
    assert statuses(answers) == [200]
    assert b'"http_version": "1.0"' in answers


def test_128_header_lines_pass_and_one_more_does_not(server: Live) -> None:
    def request(count: int) -> bytes:
        lines = [b"Host: a", b"Connection: close"]
        lines += [b"X-%d: a" % number for number in range(count - 2)]
        return b"GET / HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n"

    assert statuses(raw(server.port, request(128))) == [200]
    assert statuses(raw(server.port, request(129))) == [431]


def test_a_head_of_64_kib_passes_and_a_longer_one_does_not(server: Live) -> None:
    def request(size: int) -> bytes:
        start, end = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-A: ", b"\r\n\r\n"
        return start + b"a" * (size - len(start) - len(end)) + end

    assert statuses(raw(server.port, request(64 * 1024))) == [200]
    assert statuses(raw(server.port, request(64 * 1024 + 64))) == [431]


def test_a_target_of_1000_ids_passes_and_one_over_48_kib_does_not(server: Live) -> None:
    def request(size: int) -> bytes:
        target = b"/?" + b"a" * (size - 2)
        return b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

    assert statuses(raw(server.port, request(1000 * (36 + len("%2C")) + 100))) == [200]
    assert statuses(raw(server.port, request(48 * 1024))) == [200]
    assert statuses(raw(server.port, request(48 * 1024 + 1))) == [414]


def test_the_limits_hold_for_the_second_request_of_a_connection_too(server: Live) -> None:
    first = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    long = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: "
    assert statuses(raw(server.port, first + long, *[b"a" * 40000] * 10)) == [200, 431]


def test_a_body_as_long_as_a_head_may_not_be_is_no_head(server: Live) -> None:
    body = b"a" * 300_000
    head = b"PUT /read HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n"
    assert statuses(raw(server.port, head + body)) == [200]
    pieces = b"".join(b"1000\r\n" + b"a" * 4096 + b"\r\n" for _ in range(70)) + b"0\r\n\r\n"
    head = (
        b"PUT /read HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    assert statuses(raw(server.port, head + pieces)) == [200]


NAMES = st.sampled_from([b"host", b"content-length", b"transfer-encoding", b"expect", b"x-a"])
VALUES = st.one_of(st.sampled_from([b"a", b"5", b"chunked", b"100-continue", b" "]), st.binary())


@given(
    version=st.sampled_from(["1.0", "1.1", "0.9", "2.0"]),
    method=st.sampled_from([b"GET", b"PUT", b"CONNECT", b"OPTIONS"]),
    target=st.one_of(st.sampled_from([b"/", b"*", b"http://a/b", b"/a?b"]), st.binary()),
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=5),
    upgrade=st.booleans(),
)
@settings(max_examples=300)
def test_any_head_is_refused_or_has_one_host_one_length_and_a_path(
    version: str,
    method: bytes,
    target: bytes,
    headers: list[tuple[bytes, bytes]],
    upgrade: bool,
) -> None:
    try:
        head = judge(version, method, target, headers, upgrade=upgrade)
    except Refusal as refusal:
        assert 400 <= refusal.status < 600
        assert refusal.text.isascii()
        return
    names = [name for name, _ in headers]
    assert names.count(b"host") == 1 or (version == "1.0" and b"host" not in names)
    assert names.count(b"content-length") + names.count(b"transfer-encoding") == head.has_body
    assert head.path.startswith(b"/") or (head.path == b"*" and method == b"OPTIONS")
    assert b"?" not in head.path
    assert not (version == "1.0" and (b"transfer-encoding" in names or head.expects_continue))
    assert not (upgrade and head.has_body)
