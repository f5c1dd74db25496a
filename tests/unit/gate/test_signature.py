# SPDX-License-Identifier: Apache-2.0
"""The rules of signed requests that the vectors leave open: order, lock, replay, scope, halves."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from calotype.errors import CalotypeError, Invalid, NotAllowed, Unauthenticated
from calotype.gate.signature import (
    EMPTY_SHA256,
    KeyLocks,
    ReplayCache,
    Verifier,
    parse_authorization,
)
from tests.unit.gate.signed_requests import (
    AK,
    FOREIGN,
    KEY,
    MISMATCH,
    NOW,
    PROJECT,
    SK,
    URL,
    begin,
    changed,
    request_of,
    signed,
    verify,
    why,
)
from tests.unit.gate.signer import CREDENTIAL, FORMS, UNSIGNED_HOST, sign, sign_in_full


@pytest.fixture
def verifier() -> Verifier:
    return Verifier(now=lambda: NOW)


@pytest.mark.parametrize("text", ["Bearer x", "Basic eDp5", "", "sdk-hmac-sha256 Access=a"])
def test_an_authorization_of_another_scheme_is_no_signature(text: str) -> None:
    assert parse_authorization([(b"authorization", text.encode())]) is None


@pytest.mark.parametrize(
    "text",
    [
        "SDK-HMAC-SHA256",
        "SDK-HMAC-SHA256Access=a, SignedHeaders=host, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Access=a, SignedHeaders=host",
        "SDK-HMAC-SHA256 Access=, SignedHeaders=host, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Access=a, SignedHeaders=, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Access=a, SignedHeaders=host, Signature=" + "0" * 63,
        "SDK-HMAC-SHA256 Access=a, SignedHeaders=host, Signature=" + "A" * 64,
        "SDK-HMAC-SHA256 Access=a, Access=a, SignedHeaders=host, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Access=a, Credential=a, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Access=a, SignedHeaders=host, Signature=" + "0" * 64 + ",",
    ],
)
def test_an_unreadable_signature_is_refused_and_absent_beside_a_token(text: str) -> None:
    lines = [(b"Authorization", text.encode())]
    with pytest.raises(Unauthenticated) as caught:
        parse_authorization(lines)
    assert caught.value.facts["why"] == MISMATCH
    assert parse_authorization([*lines, (b"X-Auth-Token", b"t")]) is None


def test_another_algorithm_is_refused_and_absent_beside_a_token() -> None:
    for word in ("SDK-HMAC-SM3", "V11-HMAC-SHA256", "SDK-ECDSA-P256-SHA256", "SDK-SM2-SM3"):
        lines = [(b"authorization", f"{word} Access=a".encode())]
        with pytest.raises(Unauthenticated) as caught:
            parse_authorization(lines)
        assert caught.value.facts["why"] == "unsupported algorithm"
        assert parse_authorization([*lines, (b"x-auth-token", b"t")]) is None


def test_a_readable_signature_wins_over_a_token_in_any_order_of_members() -> None:
    text = f"SDK-HMAC-SHA256  Signature={'0' * 64} ,SignedHeaders=Host;x-sdk-date,\tAccess=a/b"
    header = parse_authorization([(b"x-auth-token", b"t"), (b"authorization", text.encode())])
    assert header is not None
    assert (header.access, header.scope) == ("a/b", None)
    assert header.signed_names == (b"host", b"x-sdk-date")


def test_two_authorization_lines_are_not_a_signature() -> None:
    line = signed("access").headers[-1]
    with pytest.raises(Unauthenticated):
        parse_authorization([line, line])


@pytest.mark.parametrize("form", FORMS)
def test_checks_hit_in_the_order_of_the_contract(form: str) -> None:
    """Break everything at once, then mend one thing at a time: the next one must show."""
    body, url = b"{}", URL + "?a=1"
    more: dict[str, Any] = {"X-Project-Id": FOREIGN, "X-Domain-Id": FOREIGN}
    good = sign_in_full(form, AK, SK, "PUT", url, more, body, NOW)
    token = "token"
    temporary = replace(KEY, security_token_sha256=hashlib.sha256(token.encode()).hexdigest())
    request = request_of("PUT", url, good.lines)
    request = changed(request, "X-Sdk-Date", "2026-11-24T05:00:10Z")
    authorization = good.authorization.replace("x-sdk-date", "x-other")
    request = changed(request, "Authorization", authorization.replace("request,", "done,"))
    locks = KeyLocks(monotonic=lambda: 0.0)
    for _ in range(5):
        locks.failed(AK)
    locked, free = Verifier(now=lambda: NOW, locks=locks), Verifier(now=lambda: NOW)
    assert why(locked, request, key=None) == "x-sdk-date expired"
    request = changed(request, "X-Sdk-Date", "20261124T050010Z")
    unknown = f"Get secretKey failed,ak:{AK},err:ak not exist"
    assert why(locked, request, key=None) == unknown
    assert why(locked, request, key=replace(temporary, active=False)) == unknown
    assert why(locked, request, key=replace(temporary, expires_at=NOW)) == unknown
    forbidden = "AK access failed to reach the limit,forbidden"
    assert why(locked, request, key=temporary) == forbidden
    until = replace(temporary, locked_until=NOW + timedelta(seconds=1))
    assert why(free, request, key=until) == forbidden
    if form == CREDENTIAL:
        assert why(free, request, key=temporary) == "credential scope invalid"
    request = changed(request, "Authorization", authorization)
    assert why(free, request, key=temporary) == "unsigned_header:x-sdk-date"
    request = changed(request, "Authorization", good.authorization)
    assert why(free, request, key=temporary) == "security token invalid"
    request = changed(request, "X-Security-Token", token)
    assert why(free, request, b"other", key=temporary) == MISMATCH
    with pytest.raises(NotAllowed) as caught:
        verify(free, request, body, temporary)
    assert caught.value.rule == "foreign_project"


def test_a_foreign_domain_is_refused_after_an_own_project(verifier: Verifier) -> None:
    request = signed(UNSIGNED_HOST, headers={"X-Project-Id": PROJECT, "X-Domain-Id": FOREIGN})
    with pytest.raises(NotAllowed) as caught:
        verify(verifier, request)
    assert caught.value.rule == "foreign_domain"


def test_the_project_is_that_of_the_header_then_of_the_path_then_the_default(
    verifier: Verifier,
) -> None:
    request = replace(signed(CREDENTIAL), path_project=FOREIGN)
    with pytest.raises(NotAllowed):
        verify(verifier, request)
    assert verify(verifier, replace(request, path_project="{project_id}")).project_id == PROJECT
    named = changed(request, "X-Project-Id", PROJECT)
    assert verify(verifier, named).project_id == PROJECT
    none = replace(KEY, default_project_id=None)
    assert verify(verifier, replace(request, path_project=None), key=none).project_id is None


def test_the_scope_can_be_required_before_the_body_is_in(verifier: Verifier) -> None:
    request = signed(UNSIGNED_HOST, "PUT", body=b"x", headers={"X-Project-Id": FOREIGN})
    pending = begin(verifier, request)
    assert pending.needs_body
    with pytest.raises(NotAllowed):
        pending.require_scope()
    begin(verifier, changed(request, "X-Project-Id", PROJECT)).require_scope()


def test_an_unsigned_payload_needs_no_body_and_a_declared_hash_is_checked_at_once(
    verifier: Verifier,
) -> None:
    unsigned = {"X-Sdk-Content-Sha256": "UNSIGNED-PAYLOAD"}
    for form in FORMS:
        request = signed(form, "PUT", body=b"x", headers=unsigned)
        assert not begin(verifier, request).needs_body
        tampered = replace(request, raw_path=b"/other")
        with pytest.raises(Unauthenticated):
            begin(verifier, tampered)
        real = hashlib.sha256(b"x").hexdigest()
        declared = signed(form, "PUT", body=b"x", headers={"X-Sdk-Content-Sha256": real})
        assert begin(verifier, declared).needs_body
        assert why(verifier, declared, b"y") == MISMATCH
        with pytest.raises(Unauthenticated):
            begin(verifier, replace(declared, raw_path=b"/other"))


def test_the_empty_hash_under_unsigned_payload_covers_an_empty_body_only(
    verifier: Verifier,
) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    request = signed("access", "PUT", body=b"", headers=headers)
    assert begin(verifier, request).needs_body
    verify(verifier, request, b"")
    assert why(verifier, request, b"x") == MISMATCH


def test_a_post_with_a_payload_header_covers_its_query(verifier: Verifier) -> None:
    url = URL + "?a=1"
    headers = {"X-Sdk-Content-Sha256": EMPTY_SHA256}
    form = hashlib.sha256(b"a=1").hexdigest()
    verify(verifier, signed(CREDENTIAL, "POST", url, headers=headers))
    moved = sign(CREDENTIAL, AK, SK, "POST", URL, {"X-Sdk-Content-Sha256": form}, None, NOW)
    assert why(verifier, request_of("POST", url, moved)) == MISMATCH


def test_form_credential_refuses_a_query_with_a_semicolon_however_it_is_signed(
    verifier: Verifier,
) -> None:
    url = URL + "?a=1;b"
    assert why(verifier, signed(CREDENTIAL, "GET", url)) == MISMATCH
    assert why(verifier, signed(CREDENTIAL, "POST", url)) == MISMATCH
    verify(verifier, signed("access", "GET", url))


def test_white_space_beyond_ascii_is_trimmed_as_the_signers_trim_it(verifier: Verifier) -> None:
    lines = sign(UNSIGNED_HOST, AK, SK, "GET", URL, {"X-Note": "x\u00a0y"}, None, NOW)
    request = request_of("GET", URL, lines)
    verify(verifier, changed(request, "X-Note", "\u2003x\u00a0y\u00a0"))
    assert why(verifier, changed(request, "X-Note", "xy")) == MISMATCH


def test_a_broken_escape_in_the_query_is_a_bad_request(verifier: Verifier) -> None:
    for query in (b"a=%", b"a=%2", b"%zz=1", b"a=%2&0=1"):
        with pytest.raises(Invalid) as caught:
            verify(verifier, replace(signed("access"), query=query))
        assert caught.value.rule == "query_escape"


@pytest.mark.parametrize("name", ["X-Sdk-Content-Sha256", "X-Sdk-Date", "X-Security-Token"])
def test_a_header_that_decides_may_not_come_twice(name: str, verifier: Verifier) -> None:
    temporary = replace(KEY, security_token_sha256=hashlib.sha256(b"t").hexdigest())
    value = {
        "X-Sdk-Content-Sha256": "UNSIGNED-PAYLOAD",
        "X-Sdk-Date": "20261124T050010Z",
        "X-Security-Token": "t",
    }
    for form in FORMS:
        headers = {**value, name: [value[name], value[name]]}
        request = signed(form, headers=headers)
        why(verifier, request, key=temporary)


@pytest.mark.parametrize("listed", [["host", "host", "x-sdk-date"], ["absent", "x-sdk-date"]])
def test_a_listed_name_must_be_there_and_listed_once(listed: list[str], verifier: Verifier) -> None:
    for form in FORMS:
        present = sign_in_full(form, AK, SK, "GET", URL, {"absent": "x"}, None, NOW, listed=listed)
        request = changed(request_of("GET", URL, present.lines), "absent", None)
        assert why(verifier, request) == MISMATCH


@pytest.mark.parametrize(
    "date", ["", "20261124T050010", "20261124T050010z", "20261332T050010Z", "20261124T050060Z"]
)
def test_a_date_of_another_form_is_expired(date: str, verifier: Verifier) -> None:
    assert why(verifier, changed(signed("access"), "X-Sdk-Date", date)) == "x-sdk-date expired"


def test_five_failures_in_a_row_lock_the_key_for_five_minutes() -> None:
    seconds = 1000.0
    locks = KeyLocks(monotonic=lambda: seconds)
    verifier = Verifier(now=lambda: NOW, locks=locks)
    good = signed("access")
    bad = replace(good, raw_path=b"/other")
    for _ in range(4):
        assert why(verifier, bad) == MISMATCH
    assert why(verifier, changed(good, "X-Security-Token", "t")) == "security token invalid"
    verify(verifier, good)
    for _ in range(5):
        assert why(verifier, bad) == MISMATCH
    seconds += 299.9
    locks.failed(AK)  # an upload that began before the lock and ends during it
    forbidden = "AK access failed to reach the limit,forbidden"
    assert why(verifier, good) == why(verifier, bad) == forbidden
    other = request_of("GET", URL, sign("access", "B", SK, "GET", URL, {}, None, NOW))
    verify(verifier, other, key=replace(KEY, access="B"))
    seconds += 0.1
    for _ in range(4):
        assert why(verifier, bad) == MISMATCH
    verify(verifier, good)


def test_a_listed_header_that_is_missing_counts_towards_the_lock(verifier: Verifier) -> None:
    bad = changed(signed("access"), "Host", None)
    for _ in range(5):
        assert why(verifier, bad) == MISMATCH
    assert why(verifier, bad) == "AK access failed to reach the limit,forbidden"


def test_a_lock_in_force_is_neither_prolonged_nor_lifted() -> None:
    seconds = 0.0
    locks = KeyLocks(monotonic=lambda: seconds, failures=1, seconds=10.0)
    locks.failed(AK)
    seconds = 9.0
    locks.failed(AK)
    locks.verified(AK)
    assert locks.is_locked(AK)
    seconds = 10.0
    assert not locks.is_locked(AK)


def test_a_signature_on_a_write_is_used_once_when_the_replay_cache_is_on() -> None:
    plain, keeping = (Verifier(now=lambda: NOW, replay=replay) for replay in (None, ReplayCache()))
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        request = signed("access", method, body=b"x")
        verify(plain, request, b"x")
        verify(plain, request, b"x")
        assert why(keeping, request, b"y") == MISMATCH
        verify(keeping, request, b"x")
        assert why(keeping, request, b"x") == "signature already used"
    verify(keeping, signed("access"))
    verify(keeping, signed("access"))


def test_what_is_remembered_is_bounded() -> None:
    locks = KeyLocks(monotonic=lambda: 0.0, failures=1, capacity=2)
    for access in ("a", "b", "c"):
        locks.failed(access)
    assert [locks.is_locked(access) for access in "abc"] == [False, True, True]
    cache = ReplayCache(capacity=2)
    for end, name in enumerate((b"a", b"b", b"c")):
        assert cache.first_use(name, now=0.0, until=float(end))
    assert not cache.first_use(b"c", now=0.0, until=9.0)
    assert cache.first_use(b"a", now=0.0, until=9.0)
    assert cache.first_use(b"c", now=2.5, until=9.0)


def test_a_secret_is_in_no_text_of_a_refusal_or_record(verifier: Verifier) -> None:
    assert SK not in repr(KEY)
    with pytest.raises(CalotypeError) as caught:
        verify(verifier, replace(signed("access"), raw_path=b"/other"))
    assert SK not in repr(caught.value.facts) + caught.value.message
