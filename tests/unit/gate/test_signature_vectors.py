# SPDX-License-Identifier: Apache-2.0
"""The signing vectors, made with the clients' own signers, and the cases a server must tell apart.

`tests/data/signing_vectors.yaml` says in its head how both were made and are to be read.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from calotype.errors import NotAllowed, Unauthenticated
from calotype.gate import signature_canonical as canonical
from calotype.gate.signature import KeyRecord, Verifier
from tests.unit.gate.signed_requests import ACCOUNT, NOW, PROJECT, request_of, verify
from tests.unit.gate.signer import CREDENTIAL, sign_in_full, split_url

FILE = Path(__file__).parents[2] / "data" / "signing_vectors.yaml"
DOCUMENT = yaml.load(FILE.read_text("utf-8"), Loader=yaml.CSafeLoader)
VECTORS: dict[str, dict[str, Any]] = {row["id"]: row for row in DOCUMENT["vectors"]}
CASES: dict[str, dict[str, Any]] = {row["id"]: row for row in DOCUMENT["server"]}

TEMPORARY = "AKTEMP00000000000002"
TOKEN = VECTORS["sv-08"]["headers"]["X-Security-Token"]


def key_of(vector: dict[str, Any]) -> KeyRecord:
    token = hashlib.sha256(TOKEN.encode()).hexdigest() if vector["ak"] == TEMPORARY else None
    return KeyRecord(vector["ak"], vector["sk"].encode(), ACCOUNT, PROJECT, token)


def lines_of(headers: dict[str, str | list[str]], authorization: str) -> list[tuple[str, str]]:
    lines = [("Authorization", authorization)]
    for name, value in headers.items():
        lines += [(name, each) for each in (value if isinstance(value, list) else [value])]
    return lines


def test_no_id_hides_another() -> None:
    assert len(VECTORS) == len(DOCUMENT["vectors"]) == 71
    assert len(CASES) == len(DOCUMENT["server"]) == 92


@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_is_accepted_with_the_default_settings(name: str) -> None:
    vector = VECTORS[name]
    lines = lines_of(vector["headers"], vector["authorization"])
    request = request_of(vector["method"], vector["url"], lines)
    pending = verify(Verifier(now=lambda: NOW), request, vector["body"].encode(), key_of(vector))
    assert pending.project_id == PROJECT
    assert pending.domain_id == ACCOUNT


@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_has_the_canonical_text_of_its_client(name: str) -> None:
    vector = VECTORS[name]
    lines = canonical.group_headers(
        (n.encode(), v.encode()) for n, v in lines_of(vector["headers"], "")
    )
    *_, names, payload = vector["canonical_request"].split("\n")
    _, path, query = split_url(vector["url"])
    listed = names.encode().split(b";")
    pairs = canonical.read_query(query.encode())
    if vector["form"] == CREDENTIAL:
        block = canonical.headers_of_first_lines(listed, lines)
        text = canonical.query_of_first_values(pairs)
        form = canonical.query_as_form(pairs)
        if pairs and hashlib.sha256(form).hexdigest() == payload:
            text = b""
    else:
        block = canonical.headers_of_all_lines(listed, lines)
        text = canonical.query_of_all_values(pairs)
    uri = canonical.canonical_uri(path.encode())
    whole = b"\n".join([vector["method"].encode(), uri, text, block, names.encode()])
    assert (whole + b"\n" + payload.encode()).decode() == vector["canonical_request"]


@pytest.mark.parametrize("name", VECTORS)
def test_our_signer_signs_a_vector_as_its_client_did(name: str) -> None:
    vector = VECTORS[name]
    listed = vector["canonical_request"].split("\n")[-2].split(";")
    scope = vector["string_to_sign"].split("\n")[2].split("/")
    _, region, service, _ = scope if len(scope) == 4 else ("", "", "", "")
    body = vector["body"].encode()
    if vector["form"] == CREDENTIAL and not body and name != "sv-56":
        body = None
    mine = sign_in_full(
        vector["form"],
        vector["ak"],
        vector["sk"],
        vector["method"],
        vector["url"],
        vector["headers"],
        body,
        region=region,
        service=service,
        listed=listed,
    )
    assert mine.canonical_request == vector["canonical_request"]
    assert mine.string_to_sign == vector["string_to_sign"]
    assert mine.authorization == vector["authorization"]


@pytest.mark.parametrize("name", CASES)
def test_a_server_case_is_answered_as_expected(name: str) -> None:
    case = CASES[name]
    vector, change = VECTORS[case["base"]], case["mutate"]
    headers = {**vector["headers"], **change.get("set_headers", {})}
    headers = {k: v for k, v in headers.items() if k not in change.get("drop_headers", [])}
    authorization = vector["authorization"]
    for old, new in change.get("replace_authorization", {}).items():
        assert old in authorization
        authorization = authorization.replace(old, new)
    if change.get("upper_signature"):
        authorization = authorization.replace(vector["signature"], vector["signature"].upper())
    key: KeyRecord | None = key_of(vector)
    if "sk" in change:
        key = replace(key_of(vector), secret=change["sk"].encode())
    if change.get("unknown_ak"):
        key = None
    request = request_of(
        change.get("method", vector["method"]),
        change.get("url", vector["url"]),
        lines_of(headers, authorization),
    )
    known = {"set_headers", "drop_headers", "replace_authorization", "upper_signature", "sk"}
    assert set(change) <= known | {"unknown_ak", "method", "url", "body"}
    strict = case.get("setting", {}).get("auth.signature_strict", False)
    moment = datetime.fromisoformat(case["server_time"])
    verifier = Verifier(strict=strict, now=lambda: moment)
    body = change.get("body", vector["body"]).encode()
    status, reason = 200, ""
    try:
        verify(verifier, request, body, key)
    except Unauthenticated as error:
        status, reason = 401, str(error.facts["why"])
    except NotAllowed:
        status = 403
    assert (status, case.get("why", "") in reason) == (case["expect"], True), reason
