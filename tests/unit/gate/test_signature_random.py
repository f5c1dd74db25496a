# SPDX-License-Identifier: Apache-2.0
"""Signer and verifier agree on any request, and a covered byte that changes is noticed.

Three signers: our own of each form, the vendor's Python SDK as installed, and chance.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
import requests
from huaweicloudsdkcore.auth.credentials import (  # type: ignore[import-untyped] # has no types
    BasicCredentials,
)
from huaweicloudsdkcore.sdk_request import SdkRequest  # type: ignore[import-untyped] # the same
from huaweicloudsdkcore.signer.signer import Signer  # type: ignore[import-untyped] # the same
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from calotype.errors import CalotypeError, Invalid, Unauthenticated
from calotype.gate.signature import SignedRequest, Verifier, parse_authorization
from tests.unit.gate.signed_requests import (
    AK,
    FOREIGN,
    KEY,
    NOW,
    PROJECT,
    SK,
    begin,
    request_of,
    verify,
)
from tests.unit.gate.signer import (
    CREDENTIAL,
    FORMS,
    Line,
    canonical_request,
    sign_in_full,
    split_url,
)

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
UNSIGNED = "UNSIGNED-PAYLOAD"
JSON = "application/json;charset=utf-8"

escapes = st.binary(max_size=3).map(lambda data: "".join(f"%{byte:02x}" for byte in data))
words = st.text("abzABZ019-_.~", max_size=4)
path_texts = st.lists(words | escapes | st.sampled_from("/:@!$'()*+,;="), max_size=12).map("".join)
query_texts = st.lists(
    words | escapes | st.sampled_from(["&", "&", "=", "=", "+", "a=1", "A=2", "/", "?", "*", "'"]),
    max_size=14,
).map("".join)

# What HTTP itself takes off the ends of a value never arrives, so no value has it there.
values = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from(" \t"), max_size=12
).map(lambda text: text.strip(" \t"))
extra_headers = st.dictionaries(
    st.sampled_from(["Accept", "User-Agent", "X-Note", "X_Note", "Content-Language", "x-mixed"]),
    values | st.lists(values, min_size=1, max_size=3),
    max_size=4,
)
bodies = st.none() | st.just(b"") | st.binary(max_size=40)
payload_headers = st.sampled_from(
    [{}, {"Content-Type": JSON}, {"Content-Type": "text/plain"}, {"X-Sdk-Content-Sha256": UNSIGNED}]
)
later_headers = st.sampled_from([{}, {"X-Project-Id": PROJECT}, {"X-Domain-Id": KEY.account_id}])


@st.composite
def sent(draw: st.DrawFn) -> dict[str, Any]:
    """Draw what a client hands to its signer."""
    url = "https://ims.example.com:8443/" + draw(path_texts)
    if draw(st.booleans()):
        url += "?" + draw(query_texts)
    headers = {**draw(extra_headers), **draw(payload_headers), **draw(later_headers)}
    return {
        "form": draw(st.sampled_from(FORMS)),
        "method": draw(st.sampled_from(METHODS)),
        "url": url,
        "headers": headers,
        "body": draw(bodies),
        "region": draw(st.sampled_from(["", "region-1", "région"])),
        "service": draw(st.sampled_from(["", "ims"])),
    }


def fresh(strict: bool = False) -> Verifier:
    return Verifier(now=lambda: NOW, strict=strict)


def signed_names(authorization: str) -> list[str]:
    return authorization.split("SignedHeaders=")[1].split(",", maxsplit=1)[0].split(";")


@settings(max_examples=300, deadline=None)
@given(sent())
def test_every_form_of_our_signer_is_accepted(what: dict[str, Any]) -> None:
    signed = sign_in_full(ak=AK, sk=SK, date=NOW, **what)
    request = request_of(what["method"], what["url"], signed.lines)
    pending = verify(fresh(), request, what["body"] or b"")
    assert pending.project_id == PROJECT


@settings(max_examples=400, deadline=None)
@given(sent(), st.data())
def test_a_changed_byte_of_a_covered_part_is_refused(what: dict[str, Any], data: Any) -> None:
    signed = sign_in_full(ak=AK, sk=SK, date=NOW, **what)
    names = signed_names(signed.authorization)
    _, path, query = split_url(what["url"])
    body = what["body"]
    method, lines = what["method"], signed.lines
    part = data.draw(st.sampled_from(["method", "path", "query", "header", "body"]))
    if part == "method":
        method = data.draw(st.sampled_from(METHODS))
    elif part == "path":
        path = one_changed(data, path)
    elif part == "query":
        query = one_changed(data, query)
    elif part == "header":
        place = data.draw(
            st.sampled_from([i for i, line in enumerate(lines) if line in covered(lines, names)])
        )
        name, value = lines[place]
        lines = [*lines[:place], (name, one_changed(data, value)), *lines[place + 1 :]]
    else:
        body = one_changed(data, (body or b"").decode("latin-1")).encode("latin-1")
    now = canonical_request(what["form"], method, path, query, lines, names, body)
    assume(now != signed.canonical_request)
    # No body and an empty one are the same bytes, although form C signs them differently.
    assume(part != "body" or body != (what["body"] or b""))
    headers = [(name.encode(), value.encode()) for name, value in lines]
    request = SignedRequest(method, path.encode(), query.encode(), headers)
    with pytest.raises((Unauthenticated, Invalid)):
        verify(fresh(), request, body or b"")


def covered(lines: list[Line], names: list[str]) -> list[Line]:
    return [line for line in lines if line[0].lower() in names]


def one_changed(data: Any, text: str) -> str:
    """Return the text with one character replaced, added or lost."""
    place: int = data.draw(st.integers(0, len(text)))
    new: str = data.draw(st.sampled_from(["", *"aB1 %&=/+;~-"]))
    dropped: int = data.draw(st.integers(0, 1))
    return text[:place] + new + text[place + dropped :]


@settings(max_examples=200, deadline=None)
@given(sent(), st.data())
def test_a_changed_character_of_the_authorization_is_refused(
    what: dict[str, Any], data: Any
) -> None:
    signed = sign_in_full(ak=AK, sk=SK, date=NOW, **what)
    old = signed.authorization
    place = data.draw(st.integers(0, len(old) - 1))
    new = old[:place] + data.draw(st.sampled_from("aA0z-/;=,")) + old[place + 1 :]
    assume(new != old)
    lines = [*signed.lines[:-1], ("Authorization", new)]
    request = request_of(what["method"], what["url"], lines)
    with suppress(Unauthenticated):
        if parse_authorization(request.headers) is not None:
            verify(fresh(), request, what["body"] or b"")
            pytest.fail(f"accepted {new}")


@settings(max_examples=200, deadline=None)
@given(sent())
def test_strict_mode_leaves_nothing_of_these_headers_or_the_query_uncovered(
    what: dict[str, Any],
) -> None:
    signed = sign_in_full(ak=AK, sk=SK, date=NOW, **what)
    request = request_of(what["method"], what["url"], signed.lines)
    names = signed_names(signed.authorization)
    must = {"host", *({"x-project-id", "x-domain-id"} & {n.lower() for n, _ in signed.lines})}
    try:
        verify(fresh(strict=True), request, what["body"] or b"")
    except Unauthenticated as refused:
        kind, _, name = str(refused.facts["why"]).partition(":")
        if kind == "unsigned_header":
            assert name in must - set(names)
        else:
            assert kind == "unsigned_query"
            assert what["form"] == CREDENTIAL
    else:
        assert must <= set(names)


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
segments = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(
    lambda text: text not in (".", "..")
)
query_items = st.tuples(
    texts, texts | st.booleans() | st.integers(0, 9) | st.lists(texts, min_size=1, max_size=3)
)
sdk_headers = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.sampled_from(
            ["application/json", JSON, "application/octet-stream", "application/bson"]
        ),
        "X-Project-Id": st.just(PROJECT),
        "X-Note": values,
        "X_Note": values,
    },
)


@settings(max_examples=200, deadline=None)
@example("PATCH", ["v2", "images", "a b"], [("a", True)], {"Content-Type": "x/y"}, b"[]", b"")
@given(
    st.sampled_from(METHODS),
    st.lists(segments, min_size=1, max_size=4),
    st.lists(query_items, max_size=4, unique_by=lambda item: item[0]),
    sdk_headers,
    st.binary(max_size=30),
    st.binary(min_size=1, max_size=4),
)
def test_what_the_vendor_sdk_signs_is_accepted_and_its_body_covered_as_it_says(
    method: str,
    parts: list[str],
    query: list[tuple[str, Any]],
    headers: dict[str, str],
    body: bytes,
    tail: bytes,
) -> None:
    given_headers = {"X-Sdk-Date": NOW.strftime("%Y%m%dT%H%M%SZ"), **headers}
    path = "/" + "/".join(quote(part, safe="") for part in parts)
    request = SdkRequest(method, "https", "ims.example.com", path, None, query, given_headers, body)
    request = Signer(BasicCredentials(AK, SK, PROJECT)).sign(request)
    # The SDK sends through this library, which has its own view of escapes.
    wire_url = requests.Request(method, request.url).prepare().url
    assert wire_url is not None
    wire = request_of(method, wire_url, [])
    lines = [(n.encode(), v.encode("latin-1")) for n, v in request.header_params.items()]
    wire = replace(wire, headers=lines)
    verify(fresh(), wire, body)
    unsigned = request.header_params.get("X-Sdk-Content-Sha256") == UNSIGNED
    if unsigned and body:
        assert not begin(fresh(), wire).needs_body
    elif tail:
        with pytest.raises(Unauthenticated):
            verify(fresh(), wire, body + tail)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([b"SDK-HMAC-SHA256 ", b"SDK-HMAC-SHA256", b"V11-", b""]),
    st.lists(
        st.sampled_from([b"Access=", b"Credential=", b"SignedHeaders=", b"Signature=", b",", b"/"])
        | st.binary(max_size=6)
        | st.sampled_from([b"0" * 64, AK.encode(), b"/20261124///sdk_request", b";", b" "]),
        max_size=14,
    ),
    st.lists(st.tuples(st.binary(max_size=6), st.binary(max_size=6)), max_size=3),
    st.binary(max_size=12),
    st.binary(max_size=12),
)
def test_garbage_is_refused_and_breaks_nothing(
    word: bytes, pieces: list[bytes], more: list[tuple[bytes, bytes]], path: bytes, query: bytes
) -> None:
    headers = [
        (b"Authorization", word + b"".join(pieces)),
        (b"X-Sdk-Date", b"20261124T050010Z"),
        *more,
    ]
    request = SignedRequest("GET", path, query, headers)
    with suppress(CalotypeError):
        if parse_authorization(headers) is not None:
            verify(fresh(), request)
            pytest.fail("accepted")


def test_a_foreign_project_is_never_reached_by_any_form() -> None:
    for form in FORMS:
        url = "https://ims.example.com/v2/images"
        signed = sign_in_full(form, AK, SK, "GET", url, {"X-Project-Id": FOREIGN}, None, NOW)
        with pytest.raises(CalotypeError) as caught:
            verify(fresh(), request_of("GET", url, signed.lines))
        assert caught.value.rule == "foreign_project"
