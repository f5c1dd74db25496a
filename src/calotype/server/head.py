# SPDX-License-Identifier: Apache-2.0
"""Judges the head of a request: what the parser lets through and this service does not.

Pure functions on bytes. The parser (llhttp) already refuses malformed lines and conflicting
lengths; here is what is well formed and still ambiguous between two HTTP programs: versions,
hosts, codings, upgrades, targets. Refuses with a status and one sentence; never guesses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Headers = list[tuple[bytes, bytes]]

_WATCHED = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect"))
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")


class Refusal(Exception):
    """A request that is answered by the server itself and then closes its connection."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class Head:
    """What the head says about the rest: target parts as sent, and how the body is framed."""

    path: bytes
    query: bytes
    has_body: bool
    expects_continue: bool


def judge(version: str, method: bytes, target: bytes, headers: Headers, *, upgrade: bool) -> Head:
    """Return the facts of an acceptable head; header names are in lower case.

    Raises `Refusal`: 505 for another version than 1.0 and 1.1, 417 for an unknown expectation,
    501 for a coding other than chunked, else 400.
    """
    if version not in ("1.1", "1.0"):
        raise Refusal(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    hosts: list[bytes] = []
    lengths = codings = 0
    expects = False
    for name, value in headers:
        if name not in _WATCHED:
            continue
        if name == b"host":
            hosts.append(value.strip(b" \t"))
        elif name == b"content-length":
            lengths += 1
        elif name == b"transfer-encoding":
            codings += 1
            _check_coding(version, value)
        else:
            expects = _expectation(version, value)
    if codings > 1 or lengths > 1 or (codings and lengths):
        raise Refusal(400, "The length of the body is stated more than once.")
    has_body = bool(codings or lengths)
    if method == b"CONNECT":
        raise Refusal(400, "CONNECT is not offered.")
    if upgrade and has_body:
        # The parser would take the body for the next request.
        raise Refusal(400, "A request with a body cannot ask for another protocol.")
    host = _check_host(version, hosts)
    path, query = _split_target(method, target, host)
    return Head(path, query, has_body, expects)


def _check_coding(version: str, value: bytes) -> None:
    if version == "1.0":
        raise Refusal(400, "HTTP/1.0 has no Transfer-Encoding.")
    if value.strip(b" \t").lower() != b"chunked":
        raise Refusal(501, "The only Transfer-Encoding known here is chunked.")


def _expectation(version: str, value: bytes) -> bool:
    if version == "1.0":
        return False
    if value.strip(b" \t").lower() != b"100-continue":
        raise Refusal(417, "The only expectation known here is 100-continue.")
    return True


def _check_host(version: str, hosts: list[bytes]) -> bytes:
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise Refusal(400, "A request names exactly one Host.")
    host = hosts[0] if hosts else b""
    if not _HOST.fullmatch(host):
        raise Refusal(400, "The Host is not a host name with an optional port.")
    return host


def _split_target(method: bytes, target: bytes, host: bytes) -> tuple[bytes, bytes]:
    if b"#" in target:
        raise Refusal(400, "A request target has no fragment.")
    if not target.startswith(b"/"):
        if target == b"*" and method == b"OPTIONS":
            return b"*", b""
        target = _from_absolute(target, host)
    path, _, query = target.partition(b"?")
    return path, query


def _from_absolute(target: bytes, host: bytes) -> bytes:
    """Return the path and query of `http://host/path`, whose host must be the Host header's."""
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise Refusal(400, "A request target starts with a slash.")
    authority = re.split(rb"[/?]", rest, maxsplit=1)[0]
    if authority.lower() != host.lower():
        raise Refusal(400, "The request target and the Host header name different hosts.")
    tail = rest[len(authority) :]
    return tail if tail.startswith(b"/") else b"/" + tail
