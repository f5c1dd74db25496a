# SPDX-License-Identifier: Apache-2.0
"""Signs requests as the clients in the field do, in the three forms of SDK-HMAC-SHA256.

Written from the rules alone (contract iam.md 5.2) and from other library functions than the
verifier, so that the two check each other. `sign` gives the header lines to send.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote_to_bytes

ACCESS = "access"
UNSIGNED_HOST = "access-unsigned-host"
CREDENTIAL = "credential"
FORMS = (ACCESS, UNSIGNED_HOST, CREDENTIAL)

ADDED_AFTER_SIGNING = frozenset({"x-project-id", "x-domain-id", "x-security-token"})
EMPTY = hashlib.sha256(b"").hexdigest()

Line = tuple[str, str]
Headers = Mapping[str, str | Sequence[str]] | Iterable[Line]


@dataclass(frozen=True)
class Signed:
    """A signature with the texts it was made from."""

    lines: list[Line]
    canonical_request: str
    string_to_sign: str
    signature: str
    authorization: str


def sign(
    form: str,
    ak: str,
    sk: str,
    method: str,
    url: str,
    headers: Headers,
    body: bytes | None,
    date: datetime | str | None = None,
    *,
    region: str = "",
    service: str = "",
    listed: Sequence[str] | None = None,
) -> list[Line]:
    """Return the header lines to send: those given, Host, X-Sdk-Date and Authorization.

    `url` is the wire form (percent-encoded ASCII). `listed` overrides which names are signed.
    `body` None is a request without a body object, which form `credential` tells from an empty one.
    """
    return sign_in_full(
        form,
        ak,
        sk,
        method,
        url,
        headers,
        body,
        date,
        region=region,
        service=service,
        listed=listed,
    ).lines


def sign_in_full(
    form: str,
    ak: str,
    sk: str,
    method: str,
    url: str,
    headers: Headers,
    body: bytes | None,
    date: datetime | str | None = None,
    *,
    region: str = "",
    service: str = "",
    listed: Sequence[str] | None = None,
) -> Signed:
    """As `sign`, with the canonical request and the string to sign."""
    host, path, query = split_url(url)
    lines = _complete(form, _flatten(headers), host, date)
    names = sorted(listed) if listed is not None else _names_to_list(form, lines)
    stamp = _values(lines, "x-sdk-date")[0]
    scope = f"{stamp[:8]}/{region}/{service}/sdk_request" if form == CREDENTIAL else None
    canonical = canonical_request(form, method, path, query, lines, names, body)
    digest = hashlib.sha256(_wire(canonical)).hexdigest()
    to_sign = "\n".join(["SDK-HMAC-SHA256", stamp, *([scope] if scope else []), digest])
    key = sk.encode()
    if scope is not None:
        key = b"SDK" + key
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    who = f"Access={ak}" if scope is None else f"Credential={ak}/{scope}"
    authorization = f"SDK-HMAC-SHA256 {who}, SignedHeaders={';'.join(names)}, Signature={signature}"
    lines.append(("Authorization", authorization))
    return Signed(lines, canonical, to_sign, signature, authorization)


def split_url(url: str) -> tuple[str, str, str]:
    """Return host with port, raw path, raw query."""
    rest = url.split("://", 1)[1]
    target, _, query = rest.partition("?")
    host, slash, path = target.partition("/")
    return host, slash + path, query


def canonical_request(
    form: str,
    method: str,
    path: str,
    query: str,
    lines: Sequence[Line],
    names: Sequence[str],
    body: bytes | None,
) -> str:
    """Return the canonical request that a client of this form signs."""
    uri = "/".join(_quote(part) for part in unquote_to_bytes(path).split(b"/"))
    uri = uri if uri.endswith("/") else uri + "/"
    declared = _values(lines, "x-sdk-content-sha256")
    pairs = parse_qsl(query, keep_blank_values=True, encoding="latin-1", separator="&")
    content = body or b""
    if form == CREDENTIAL:
        query_line = _first_values(pairs)
        if method.upper() == "POST" and body is None and not declared:
            content, query_line = _form_encoding(pairs), ""
        block = [f"{name}:{_one_blank(_values(lines, name)[0])}" for name in names]
    else:
        query_line = "&".join(f"{_q(name)}={_q(value)}" for name, value in sorted(pairs))
        block = []
        for name in names:
            values = sorted((v.strip() for v in _values(lines, name)), key=str.encode)
            block += [f"{name}:{value}" for value in values]
    payload = hashlib.sha256(content).hexdigest()
    if declared and not (form == ACCESS and not body):
        payload = declared[0]
    return "\n".join(
        [method.upper(), uri, query_line, *block, "", ";".join(names), payload],
    )


def _complete(form: str, lines: list[Line], host: str, date: datetime | str | None) -> list[Line]:
    if not _values(lines, "host"):
        lines.append(("Host", host))
    if not _values(lines, "x-sdk-date"):
        moment = date if date is not None else datetime.now(UTC)
        stamp = moment if isinstance(moment, str) else moment.strftime("%Y%m%dT%H%M%SZ")
        lines.append(("X-Sdk-Date", stamp))
    kind = _values(lines, "content-type")
    json_like = ("application/json", "application/bson")
    if form == ACCESS and kind and not kind[0].startswith(json_like):
        lines = [line for line in lines if line[0].lower() != "x-sdk-content-sha256"]
        lines.append(("X-Sdk-Content-Sha256", "UNSIGNED-PAYLOAD"))
    return lines


def _names_to_list(form: str, lines: Sequence[Line]) -> list[str]:
    names = {name.lower() for name, _ in lines}
    if form == ACCESS:
        return sorted(name for name in names if "_" not in name)
    if form == UNSIGNED_HOST:
        names.discard("host")
    return sorted(names - ADDED_AFTER_SIGNING)


def _flatten(headers: Headers) -> list[Line]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    lines: list[Line] = []
    for name, value in pairs:
        values = [value] if isinstance(value, str) else list(value)
        lines += [(name, each) for each in values]
    return lines


def _values(lines: Sequence[Line], wanted: str) -> list[str]:
    return [value for name, value in lines if name.lower() == wanted]


def _first_values(pairs: Sequence[Line]) -> str:
    seen: list[tuple[str, str]] = []
    for name, value in pairs:
        if _q(name) not in [known for known, _ in seen]:
            seen.append((_q(name), _q(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(seen, key=lambda p: p[0].lower()))


def _form_encoding(pairs: Sequence[Line]) -> bytes:
    grouped = {name: [v for n, v in pairs if n == name] for name, _ in pairs}
    pieces = [(n, v) for n in sorted(grouped) for v in grouped[n]]
    return "&".join(
        "=".join("+".join(_q(word) for word in text.split(" ")) for text in piece)
        for piece in pieces
    ).encode()


def _one_blank(value: str) -> str:
    return re.sub("[ \t\n\f\r]+", " ", value)


def _q(text: str) -> str:
    return _quote(text.encode("latin-1"))


def _quote(data: bytes) -> str:
    return quote(data, safe="~")


def _wire(text: str) -> bytes:
    return text.encode("utf-8")
