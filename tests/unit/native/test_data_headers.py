# SPDX-License-Identifier: Apache-2.0
"""Headers around bytes: ranges, sizes, file names (native.md 13, security 6)."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.api.native import data_headers
from calotype.api.native.data_headers import Part
from calotype.errors import Invalid, RangeNotSatisfiable
from calotype.gate.request import Headers
from tests.unit.images.making import image

ETAG = '"abc"'


def part(size: int, **headers: str) -> Part:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return data_headers.wanted_part(Headers(raw), size, ETAG)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-0", Part(0, 1, True)),
        ("bytes=2-4", Part(2, 3, True)),
        ("bytes=2-", Part(2, 8, True)),
        ("bytes=2-999", Part(2, 8, True)),
        ("bytes=2-18446744073709551615", Part(2, 8, True)),
        (f"bytes=2-{'9' * 5000}", Part(2, 8, True)),
        (f"bytes={'0' * 5000}2-4", Part(2, 3, True)),
        ("bytes=-3", Part(7, 3, True)),
        ("bytes=-999", Part(0, 10, True)),
        (f"bytes=-{'9' * 20}", Part(0, 10, True)),
        ("Bytes=0-1", Part(0, 2, True)),
    ],
)
def test_a_range_is_clipped_to_the_image(value: str, expected: Part) -> None:
    assert part(10, range=value) == expected


@pytest.mark.parametrize(
    "value",
    ["", "bytes=", "bytes=-", "bytes=-0", "bytes=10-", "bytes=10-12", "bytes=4-2", "items=0-1",
     "bytes 0-1", "bytes=a-b", "bytes=0-1x", "bytes=1", "bytes=99999999999999999999-",
     f"bytes={'9' * 5000}-", f"bytes={'9' * 30}-{'9' * 29}"],
)  # fmt: skip
def test_a_range_outside_of_the_image_or_of_the_grammar_tells_the_size(value: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as refusal:
        part(10, range=value)
    assert refusal.value.facts["size"] == 10


def test_no_range_fits_an_empty_image() -> None:
    for value in ("bytes=0-0", "bytes=0-", "bytes=-1"):
        with pytest.raises(RangeNotSatisfiable):
            part(0, range=value)
    assert part(0) == Part(0, 0, False)


def test_one_range_at_a_time() -> None:
    with pytest.raises(Invalid):
        part(10, range="bytes=0-1,3-4")
    lines = [(b"range", b"bytes=0-1"), (b"range", b"bytes=3-4")]
    with pytest.raises(Invalid):
        data_headers.wanted_part(Headers(lines), 10, ETAG)


def test_a_condition_that_does_not_hold_asks_for_the_whole() -> None:
    assert part(10, range="bytes=1-2", if_range=ETAG) == Part(1, 2, True)
    assert part(10, range="bytes=1-2", if_range='"old"') == Part(0, 10, False)


def test_the_old_content_range_of_requests_is_honoured() -> None:
    assert part(10, content_range="bytes 2-4/*") == Part(2, 3, True)
    assert part(10, content_range="bytes 2-4/10") == Part(2, 3, True)
    assert part(10, range="bytes=0-0", content_range="bytes 2-4/*") == Part(0, 1, True)
    for wrong in ("bytes 2-10/*", "bytes 2-4/11", "bytes */10", "bytes 4-2/*", "x"):
        with pytest.raises(RangeNotSatisfiable):
            part(10, content_range=wrong)


@pytest.mark.parametrize("text", ["-1", "x", "", "1.0", "1e3", "9" * 19])
def test_a_wrong_size_header_is_invalid(text: str) -> None:
    headers = Headers([(b"X-OpenStack-Image-Size", text.encode())])
    with pytest.raises(Invalid):
        data_headers.expected_size(headers)


def test_the_size_header_is_optional() -> None:
    assert data_headers.expected_size(Headers([])) is None
    assert data_headers.expected_size(Headers([(b"x-openstack-image-size", b"0")])) == 0


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_name_is_safe_in_the_header_and_comes_back(name: str) -> None:
    value = data_headers.disposition(name)
    assert re.fullmatch(
        r"attachment; filename=\"[A-Za-z0-9._ -]*\"; filename\*=UTF-8''[A-Za-z0-9._~%-]*", value
    )
    if all(not "\ud800" <= sign <= "\udfff" for sign in name):
        assert unquote(value.partition("UTF-8''")[2]) == name


def test_the_answer_names_hashes_and_the_range() -> None:
    one = image(size=10, md5="a" * 32, sha512="00" * 64, name="a b")
    headers = dict(data_headers.part_headers(one, Part(2, 3, True)))
    assert headers["Content-Range"] == "bytes 2-4/10"
    assert headers["ETag"] == f'"{"00" * 64}"'
    assert headers["Content-MD5"] == "a" * 32
    assert headers["Repr-Digest"].startswith("sha-512=:AAAA")
    assert "Content-Range" not in dict(data_headers.part_headers(one, Part(0, 10, False)))
