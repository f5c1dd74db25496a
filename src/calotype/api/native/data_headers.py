# SPDX-License-Identifier: Apache-2.0
"""Headers of the two calls that move bytes: sizes, ranges, names, hashes (native.md 13)."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from urllib.parse import quote

from calotype.api.native import fields
from calotype.errors import Invalid, RangeNotSatisfiable
from calotype.gate.request import Headers, Pairs
from calotype.images.model import Image

_SIZE = re.compile(r"[0-9]{1,18}\Z")
_RANGE = re.compile(r"bytes=\s*([0-9]*)-([0-9]*)\s*\Z", re.IGNORECASE)
_CONTENT_RANGE = re.compile(
    r"bytes\s+([0-9]{1,18})-([0-9]{1,18})/(\*|[0-9]{1,18})\Z", re.IGNORECASE
)
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._ -]")


@dataclass(frozen=True, slots=True)
class Part:
    """Which bytes are asked for; `partial` tells whether a range was asked at all."""

    start: int
    count: int
    partial: bool


def expected_size(headers: Headers) -> int | None:
    """Return X-OpenStack-Image-Size. Raises Invalid."""
    text = headers.get("x-openstack-image-size")
    if text is None:
        return None
    if not _SIZE.match(text.strip()):
        raise Invalid(
            f"X-OpenStack-Image-Size: {text[:40]!r} is not an integer of at least 0",
            field="X-OpenStack-Image-Size",
            value=text[:40],
        )
    return int(text)


def check_length(headers: Headers) -> None:
    """Refuse two ways of telling the length at once."""
    if headers.get("content-length") is not None and headers.get("transfer-encoding") is not None:
        raise Invalid("Content-Length and Transfer-Encoding exclude each other", field="headers")


def wanted_part(headers: Headers, size: int, etag: str) -> Part:
    """Return the bytes that the request asks for.

    Raises RangeNotSatisfiable with `size`, and Invalid for more than one range.
    """
    values = headers.all("range")
    if values:
        value = ",".join(values)
        condition = headers.get("if-range")
        if condition is not None and condition.strip() != etag:
            return Part(0, size, False)
        if value.lower().startswith("bytes=") and "," in value:
            raise Invalid("Range: one range at a time", field="Range", value=value[:40])
        return _range(value, size)
    legacy = headers.get("content-range")
    return Part(0, size, False) if legacy is None else _content_range(legacy, size)


def part_headers(image: Image, part: Part) -> Pairs:
    """Return the headers of an answer with bytes."""
    size = image.size or 0
    found = [
        ("Accept-Ranges", "bytes"),
        ("Content-Disposition", disposition(image.name or image.id)),
        ("Content-Security-Policy", "sandbox"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    ]
    if image.md5:
        found.append(("Content-MD5", image.md5))
    if image.sha512:
        digest = base64.b64encode(bytes.fromhex(image.sha512)).decode()
        found += [("ETag", etag_of(image)), ("Repr-Digest", f"sha-512=:{digest}:")]
    if part.partial:
        last = part.start + part.count - 1
        found.append(("Content-Range", f"bytes {part.start}-{last}/{size}"))
    return tuple(found)


def etag_of(image: Image) -> str:
    """Return the entity tag of an image's bytes."""
    return f'"{image.sha512 or ""}"'


def disposition(name: str) -> str:
    """Return Content-Disposition for any name, safe in a header (security, section 6)."""
    plain = _NOT_PLAIN.sub("_", name)
    encoded = quote(name, safe="", errors="replace")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def _range(value: str, size: int) -> Part:
    found = _RANGE.match(value)
    if found is None or found.group(1) == found.group(2) == "":
        raise _unsatisfiable(value, size)
    first, last = found.group(1), found.group(2)
    if not first:
        count = min(fields.number(last), size)
        if count == 0:
            raise _unsatisfiable(value, size)
        return Part(size - count, count, True)
    start = fields.number(first)
    end = min(fields.number(last), size - 1) if last else size - 1
    if start >= size or end < start:
        raise _unsatisfiable(value, size)
    return Part(start, end - start + 1, True)


def _content_range(value: str, size: int) -> Part:
    found = _CONTENT_RANGE.match(value.strip())
    if found is None:
        raise _unsatisfiable(value, size)
    start, end = int(found.group(1)), int(found.group(2))
    if end < start or end >= size or found.group(3) not in ("*", str(size)):
        raise _unsatisfiable(value, size)
    return Part(start, end - start + 1, True)


def _unsatisfiable(value: str, size: int) -> RangeNotSatisfiable:
    return RangeNotSatisfiable(f"{value[:60]!r} is no range of an image of {size} bytes", size=size)
