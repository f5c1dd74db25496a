# SPDX-License-Identifier: Apache-2.0
"""Raw requests that two HTTP programs could read differently, or that only cost: all are refused.

Each one carries a second request behind it, in whatever place it would be found by a program that
reads the first one wrongly. It must never reach the application and never be answered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from tests.server.live import Recorder, live, raw, statuses

HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def post(*lines: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    head = b"\r\n".join((b"POST /ignore HTTP/" + version, b"Host: a", *lines))
    return head + b"\r\n\r\n" + body


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body=body)


LENGTH = b"Content-Length: %d" % len(HIDDEN)
CHUNKED = b"Transfer-Encoding: chunked"

HOSTILE: dict[str, bytes] = {
    "length and chunked": post(LENGTH, CHUNKED, body=b"0\r\n\r\n"),
    "chunked and length": post(CHUNKED, b"Content-Length: 5", body=b"0\r\n\r\n"),
    "two lengths": post(b"Content-Length: 0", LENGTH),
    "length +4": post(b"Content-Length: +4", body=b"abcd"),
    "length -1": post(b"Content-Length: -1"),
    "coding xchunked": post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "chunked on HTTP/1.0": post(CHUNKED, body=b"0\r\n\r\n", version=b"1.0"),
    "space before colon": post(b"Content-Length : %d" % len(HIDDEN)),
    "folded header": post(b"X-A: b", b" Content-Length: %d" % len(HIDDEN)),
    "bare line feeds": b"POST /ignore HTTP/1.1\nHost: a\n\n",
    "bare carriage return": post(b"X-A: b\rContent-Length: 5"),
    "nul in a header": post(b"X-A: b\x00c"),
    "no host": b"GET /ignore HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /ignore HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "chunk size over 64 bit": chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    "chunk size negative": chunked(b"-5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with 0x": chunked(b"0x5\r\nhello\r\n0\r\n\r\n"),
    "chunk line ends with line feed": chunked(b"5\nhello\n0\n\n"),
    "chunk longer than its size": chunked(b"5\r\nhelloXX\r\n0\r\n\r\n"),
    "header of 1 MiB": post(b"X-A: " + b"a" * (1 << 20)),
    "1000 headers": post(*(b"X-%d: a" % number for number in range(1000))),
    "target of 64 KiB": b"GET /" + b"a" * 65536 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
}

MORE: dict[str, bytes] = {
    "two equal lengths": post(b"Content-Length: 0", b"Content-Length: 0"),
    "list of lengths": post(b"Content-Length: 0, 0"),
    "empty length": post(b"Content-Length:"),
    "length beyond 64 bit": post(b"Content-Length: 99999999999999999999"),
    "gzip and chunked": post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "chunked twice": post(CHUNKED, CHUNKED, body=b"0\r\n\r\n"),
    "identity coding": post(b"Transfer-Encoding: identity", body=b"0\r\n\r\n"),
    "coding with a tab": post(b"Transfer-Encoding:\tchunked\x0b", body=b"0\r\n\r\n"),
    "header of 128 KiB": post(b"X-A: " + b"a" * (1 << 17)),
    "head of many middling lines": post(*(b"X-%d: %s" % (n, b"a" * 700) for n in range(100))),
    "host with a path": b"GET /ignore HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "host with a user": b"GET /ignore HTTP/1.1\r\nHost: u@a\r\n\r\n",
    "host with a space": b"GET /ignore HTTP/1.1\r\nHost: a b\r\n\r\n",
    "two equal hosts": b"GET /ignore HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "target names another host": b"GET http://b/ignore HTTP/1.1\r\nHost: a\r\n\r\n",
    "fragment": b"GET /ignore#x HTTP/1.1\r\nHost: a\r\n\r\n",
    "star for get": b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    "connect": b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "upgrade with a body": post(b"Connection: upgrade", b"Upgrade: h2c", LENGTH),
    "upgrade with chunks": post(b"Connection: upgrade", b"Upgrade: x", CHUNKED, body=b"0\r\n\r\n"),
    "no version": b"GET /ignore\r\n\r\n",
    "HTTP/0.9": b"GET /ignore HTTP/0.9\r\nHost: a\r\n\r\n",
    "HTTP/1.2": b"GET /ignore HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/2.0": b"GET /ignore HTTP/2.0\r\nHost: a\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "space before the first header": b"GET /ignore HTTP/1.1\r\n Host: a\r\n\r\n",
    "method in lower case": b"get /ignore HTTP/1.1\r\nHost: a\r\n\r\n",
    "space in the target": b"GET /ignore x HTTP/1.1\r\nHost: a\r\n\r\n",
    "bytes over 127 in the path": b"GET /ignor\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
    "header without a name": post(b": b"),
    "header without a colon": post(b"Content-Length"),
    "unknown expectation": post(b"Expect: a-miracle"),
    "chunk size with a space": chunked(b"5 \r\nhello\r\n0\r\n\r\n"),
    "chunk without its end": chunked(b"5\r\nhelloXX0\r\n\r\n"),
    "no chunk size": chunked(b"hello\r\n0\r\n\r\n"),
}


@dataclass(frozen=True)
class Outcome:
    """All that came of one connection, seen after its server has ended."""

    answers: bytes
    app: Recorder

    @property
    def statuses(self) -> list[int]:
        return statuses(self.answers)


def ask(*pieces: bytes) -> Outcome:
    """Send the pieces to a new server and let it end, so that no call can come later."""
    app = Recorder()
    with live(app) as server:
        answers = raw(server.port, *pieces)
    return Outcome(answers, app)


def test_the_list_has_the_22_requests_that_servers_were_measured_with() -> None:
    assert len(HOSTILE) == 22


@pytest.mark.parametrize("name", [*HOSTILE, *MORE])
@pytest.mark.parametrize("parts", [1, 3])
def test_a_hostile_request_is_refused_once_and_nothing_behind_it_is_answered(
    name: str, parts: int
) -> None:
    request = {**HOSTILE, **MORE}[name] + HIDDEN
    size = len(request) // parts + 1
    result = ask(*(request[at : at + size] for at in range(0, len(request), size)))
    assert result.app.calls in ([], ["/ignore"])
    assert len(result.statuses) == 1, result.answers[:500]
    if result.app.calls:
        # A body that turns out to be broken after the application has answered is only cut off.
        assert name.startswith("chunk ") or name == "no chunk size"
        assert result.statuses[0] in (200, 400)
    else:
        assert result.statuses[0] in (400, 414, 417, 431, 501, 505)
    assert b"\r\nconnection: close\r\n" in result.answers.lower()


@pytest.mark.parametrize("name", [name for name in {**HOSTILE, **MORE} if "chunk" in name])
def test_an_application_that_reads_a_broken_body_is_told_that_the_client_is_gone(
    name: str,
) -> None:
    result = ask({**HOSTILE, **MORE}[name].replace(b"/ignore", b"/read") + HIDDEN)
    assert len(result.statuses) == 1
    assert result.statuses[0] >= 400
    assert result.app.calls in ([], ["/read"])
    assert result.app.ended == ["IncompleteReadError"] * len(result.app.calls)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("header of 1 MiB", 431),
        ("header of 128 KiB", 431),
        ("1000 headers", 431),
        ("head of many middling lines", 431),
        ("target of 64 KiB", 414),
        ("unknown expectation", 417),
        ("HTTP/2.0", 505),
    ],
)
def test_the_status_of_a_refusal_names_its_reason(name: str, status: int) -> None:
    assert ask({**HOSTILE, **MORE}[name]).statuses == [status]


def test_a_refusal_has_the_headers_of_every_answer() -> None:
    found = []
    for _ in range(2):
        lines = ask(HOSTILE["two lengths"]).answers.partition(b"\r\n\r\n")[0].split(b"\r\n")
        found.append(dict(line.lower().split(b": ", 1) for line in lines[1:]))
    for headers in found:
        assert headers[b"x-request-id"] == headers[b"x-openstack-request-id"]
        assert re.fullmatch(
            rb"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", headers[b"x-request-id"]
        )
        assert headers[b"cache-control"] == b"no-store"
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert {b"date", b"content-length"} <= headers.keys()
    assert found[0][b"x-request-id"] != found[1][b"x-request-id"]


def test_a_refused_request_leaves_the_server_working() -> None:
    with live() as server:
        assert statuses(raw(server.port, HOSTILE["two lengths"])) == [400]
        assert statuses(raw(server.port, LAST)) == [200]


def test_a_fault_behind_a_good_request_is_answered_after_it() -> None:
    good = b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"
    result = ask(good + HOSTILE["two hosts"] + HIDDEN)
    assert result.statuses == [200, 400]
    assert result.answers.index(b"three") < result.answers.index(b"HTTP/1.1 400")
    assert result.app.calls == ["/stream"]


@pytest.mark.parametrize("first", [LAST, b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"])
@pytest.mark.parametrize("behind", [HIDDEN, b"\x00garbage", HOSTILE["two hosts"]])
def test_nothing_behind_a_request_that_closes_is_answered(first: bytes, behind: bytes) -> None:
    result = ask(first + behind)
    assert result.statuses == [200]
    assert result.app.calls == ["/"]


def test_a_trailer_never_becomes_a_header() -> None:
    body = b"1\r\na\r\n0\r\nX-Project: theirs\r\nX-Last: 1\r\n\r\n"
    result = ask(chunked(body).replace(b"/ignore", b"/read") + LAST)
    assert result.statuses == [200, 200]
    assert result.app.calls == ["/read", "/"]
    assert [name for name, _ in result.app.scopes[0]["headers"]] == [b"host", b"transfer-encoding"]


def test_trailers_without_end_are_refused() -> None:
    start = chunked(b"0\r\nX-A: ").replace(b"/ignore", b"/read")
    assert ask(start, *[b"a" * 32768] * 20).statuses == [400]


def test_an_upgrade_without_a_body_is_ignored_and_the_next_request_is_read_right() -> None:
    first = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    result = ask(first + LAST.replace(b"/ ", b"/read ", 1))
    assert result.statuses == [200, 200]
    assert result.app.calls == ["/", "/read"]
