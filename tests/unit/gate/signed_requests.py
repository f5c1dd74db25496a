# SPDX-License-Identifier: Apache-2.0
"""What the tests of signatures share: one key, its world, and a request from signer to verifier."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from calotype.errors import Unauthenticated
from calotype.gate.signature import (
    KeyRecord,
    PendingSignature,
    SignedRequest,
    Verifier,
    parse_authorization,
)
from tests.unit.gate.signer import sign, split_url

ACCOUNT = "fedcba9876543210fedcba9876543210"
PROJECT = "0123456789abcdef0123456789abcdef"
FOREIGN = "ffffffffffffffffffffffffffffffff"
PROJECTS = {PROJECT: ACCOUNT, FOREIGN: FOREIGN}
NOW = datetime(2026, 11, 24, 5, 0, 10, tzinfo=UTC)

AK, SK = "AKEXAMPLE0000000001X", "sk/Example+Key=0000000000000000000000001"
KEY = KeyRecord(AK, SK.encode(), ACCOUNT, PROJECT)
URL = "https://ims.example.com/v2/images"
MISMATCH = "verify aksk signature fail"


def request_of(
    method: str, url: str, lines: list[tuple[str, str]], path_project: str | None = None
) -> SignedRequest:
    _, path, query = split_url(url)
    headers = [(name.encode(), value.encode("utf-8")) for name, value in lines]
    return SignedRequest(method, path.encode(), query.encode(), headers, path_project)


def begin(
    verifier: Verifier, request: SignedRequest, key: KeyRecord | None = KEY
) -> PendingSignature:
    header = parse_authorization(request.headers)
    assert header is not None
    stored = {} if key is None else {key.access: key}
    return verifier.begin(request, header, stored.get(header.access), PROJECTS.get)


def verify(
    verifier: Verifier, request: SignedRequest, body: bytes = b"", key: KeyRecord | None = KEY
) -> PendingSignature:
    pending = begin(verifier, request, key)
    pending.finish(hashlib.sha256(body).hexdigest(), not body)
    assert not pending.needs_body
    return pending


def signed(form: str, method: str = "GET", url: str = URL, **more: Any) -> SignedRequest:
    """Sign a request at NOW with the permanent key; `more` goes to the signer."""
    headers, body = more.pop("headers", {}), more.pop("body", None)
    return request_of(method, url, sign(form, AK, SK, method, url, headers, body, NOW, **more))


def changed(request: SignedRequest, name: str, value: str | None) -> SignedRequest:
    """Return the request with every line of `name` replaced by one (None: by none)."""
    kept = [line for line in request.headers if line[0].lower() != name.lower().encode()]
    added = [] if value is None else [(name.encode(), value.encode())]
    return replace(request, headers=kept + added)


def why(verifier: Verifier, request: SignedRequest, body: bytes = b"", **more: Any) -> str:
    with pytest.raises(Unauthenticated) as caught:
        verify(verifier, request, body, **more)
    assert caught.value.rule == "signature"
    reason = str(caught.value.facts["why"])
    assert caught.value.message == f"Incorrect IAM authentication information: {reason}"
    return reason
