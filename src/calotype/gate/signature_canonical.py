# SPDX-License-Identifier: Apache-2.0
"""The canonical texts that an SDK-HMAC-SHA256 signature covers, in the two columns of the contract.

Owns the reading of path, query and headers for signing (contract iam.md 5.2): column A, sent with
`Access=`, and column C, sent with `Credential=`. Works on bytes throughout, so that byte order is
code-point order and nothing is decoded twice. Promises to be pure; refuses only a query that holds
a broken percent escape.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from urllib.parse import unquote_to_bytes

from calotype.errors import Invalid

ALGORITHM = b"SDK-HMAC-SHA256"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()

Pairs = list[tuple[bytes, bytes]]
HeaderLines = Mapping[bytes, Sequence[bytes]]

_ESCAPES = {bytes((byte,)): b"%%%02X" % byte for byte in range(256)}
_RESERVED = re.compile(rb"[^A-Za-z0-9\-_.~]")
_RESERVED_IN_PATH = re.compile(rb"[^A-Za-z0-9\-_.~/]")
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_WHITE_RUN = re.compile(rb"[ \t\n\f\r]+")


def _escape(match: re.Match[bytes]) -> bytes:
    return _ESCAPES[match[0]]


def encode(data: bytes) -> bytes:
    """Return `enc(data)`: each byte but `A-Z a-z 0-9 - _ . ~` as `%XX` in upper case."""
    return _RESERVED.sub(_escape, data)


def canonical_uri(raw_path: bytes) -> bytes:
    """Return CanonicalURI of a path as it came on the wire; `%2F` becomes a separator.

    A broken escape stays as it is: routing judges paths, and no client signs one.
    """
    path = unquote_to_bytes(raw_path) if b"%" in raw_path else raw_path
    encoded = _RESERVED_IN_PATH.sub(_escape, path)
    return encoded if encoded.endswith(b"/") else encoded + b"/"


def read_query(query: bytes) -> Pairs:
    """Return the decoded (name, value) pairs of a raw query, in wire order, as handlers read it.

    Raises Invalid (`query_escape`) for a broken percent escape.
    """
    if b"%" in query and (broken := _BROKEN_ESCAPE.search(query)):
        found = query[broken.start() : broken.start() + 3].decode("ascii", "replace")
        raise Invalid(
            f"the query holds {found!r}, which is no percent escape; write %25 for a percent sign",
            rule="query_escape",
            field="query",
            value=found,
        )
    query = query.replace(b"+", b" ")
    pairs: Pairs = []
    for piece in query.split(b"&"):
        if piece:
            name, _, value = piece.partition(b"=")
            pairs.append((unquote_to_bytes(name), unquote_to_bytes(value)))
    return pairs


def query_of_all_values(pairs: Pairs) -> bytes:
    """Return CanonicalQuery of column A: every pair, sorted by decoded name, then value."""
    return b"&".join(encode(name) + b"=" + encode(value) for name, value in sorted(pairs))


def query_of_first_values(pairs: Pairs) -> bytes:
    """Return CanonicalQuery of column C: each name once with its first value on the wire."""
    first: dict[bytes, bytes] = {}
    for name, value in pairs:
        first.setdefault(encode(name), value)
    names = sorted(first, key=bytes.lower)
    return b"&".join(name + b"=" + encode(first[name]) for name in names)


def query_as_form(pairs: Pairs) -> bytes:
    """Return the form encoding that column C hashes as payload of a POST without a body."""
    in_order = sorted(pairs, key=itemgetter(0))
    text = b"&".join(encode(name) + b"=" + encode(value) for name, value in in_order)
    return text.replace(b"%20", b"+")


def repeated_name(pairs: Pairs) -> bytes | None:
    """Return the first name that comes a second time, or None."""
    seen: set[bytes] = set()
    for name, _ in pairs:
        if name in seen:
            return name
        seen.add(name)
    return None


def group_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    """Return the values of each header by lower-case name, in wire order."""
    lines: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        lines.setdefault(name.lower(), []).append(value)
    return lines


def trim(value: bytes) -> bytes:
    """Return a header value without white space at its ends."""
    if value.isascii():
        return value.strip()
    # The signers trim texts, so a no-break space at an end goes as well.
    return value.decode("utf-8", "surrogateescape").strip().encode("utf-8", "surrogateescape")


def single_value(lines: HeaderLines, name: bytes) -> bytes | None:
    """Return the trimmed value of a header that must come once, None if it is absent.

    Several lines are one list, as HTTP says. No reader here knows a list, so it is refused, and
    nobody can choose which of two lines is read.
    """
    values = lines.get(name)
    if values is None:
        return None
    return trim(values[0] if len(values) == 1 else b", ".join(values))


def headers_of_all_lines(names: Iterable[bytes], lines: HeaderLines) -> bytes:
    """Return CanonicalHeaders of column A. Every name must be in `lines`."""
    block: list[bytes] = []
    for name in names:
        values = [trim(value) for value in lines[name]]
        if len(values) > 1:
            values.sort()
        block.extend(name + b":" + value + b"\n" for value in values)
    return b"".join(block)


def headers_of_first_lines(names: Iterable[bytes], lines: HeaderLines) -> bytes:
    """Return CanonicalHeaders of column C. Every name must be in `lines`."""
    return b"".join(name + b":" + _WHITE_RUN.sub(b" ", lines[name][0]) + b"\n" for name in names)


@dataclass(frozen=True, slots=True)
class CanonicalRequest:
    """The canonical request but for its last line, the payload hash."""

    start: bytes  # METHOD, line feed, CanonicalURI, line feed
    query: bytes
    rest: bytes  # line feed, CanonicalHeaders, line feed, SignedHeaders, line feed

    def text(self, payload_hash: bytes) -> bytes:
        """Return the whole canonical request."""
        return self.start + self.query + self.rest + payload_hash


def string_to_sign(date: bytes, scope: bytes | None, canonical_request: bytes) -> bytes:
    """Return StringToSign; `scope` is None in column A."""
    digest = hashlib.sha256(canonical_request).hexdigest().encode()
    lines = (ALGORITHM, date, digest) if scope is None else (ALGORITHM, date, scope, digest)
    return b"\n".join(lines)


def signing_key(secret: bytes, scope: bytes | None) -> bytes:
    """Return the key of the last HMAC: the secret itself in column A, else derived by the scope."""
    if scope is None:
        return secret
    key = b"SDK" + secret
    for part in scope.split(b"/"):
        key = hmac.digest(key, part, "sha256")
    return key
