# SPDX-License-Identifier: Apache-2.0
"""The log's one formatter: whatever is logged, however it is written, secrets do not pass (P5)."""

from __future__ import annotations

import json
import logging
import time

import pytest

from calotype.log import JSONFormatter, redact

SECRET = "s3cr3t.Value_-x"

HOLDING = [
    f"X-Auth-Token: {SECRET}",
    f"x-subject-token={SECRET}",
    f"{{'X-Auth-Token': '{SECRET}', 'Accept': '*/*'}}",
    f"[(b'x-auth-token', b'{SECRET}'), (b'host', b'x')]",
    f'{{"password": "{SECRET}"}}',
    f'{{"password": "with blank, {SECRET}"}}',
    f'{{"original_password": "a\\"{SECRET}"}}',
    f"{{'adminPass': 1, 'password':'{SECRET}'}}",
    f"password={SECRET}&user=me",
    f"Authorization: Bearer {SECRET}",
    f"Authorization: Basic {SECRET}",
    f"Authorization: SDK-HMAC-SHA256 Access=AK, SignedHeaders=host, Signature={SECRET}",
    f"authorization: SDK-HMAC-SHA256 Credential=AK/1///sdk_request, Signature={SECRET}",
    f"('Authorization', 'AWS4-HMAC-SHA256 Credential=AK, Signature={SECRET}')",
    f"Cookie: session={SECRET}; path=/",
    f"Set-Cookie: a=b; session={SECRET}",
    f"X-Security-Token: {SECRET}",
    f"X-Amz-Security-Token: {SECRET}",
    f"GET /o?X-Amz-Signature={SECRET}&X-Amz-Date=1",
    f"GET /o?a=b&Signature={SECRET}",
    f"GET /o?token={SECRET}",
    f"https://me:{SECRET}@host/disk.qcow2",
    f"postgresql+psycopg://me:{SECRET}@host/db",
    f"secret_key={SECRET}",
    f'"secret": "{SECRET}"',
    f"access_key='AK' secret='{SECRET}'",
    f"passcode: {SECRET}",
]
PASSING = [
    "the token is unknown, has expired or was revoked",
    "GET /v2/images 200",
    "https://host/disk.qcow2?limit=5",
    "password: it must be given",
]


@pytest.mark.parametrize("line", HOLDING)
def test_a_secret_does_not_pass(line: str) -> None:
    assert SECRET not in redact(line)
    assert SECRET not in redact(f"before {line} after")
    assert SECRET not in redact(f"first\n{line}\nlast")


@pytest.mark.parametrize("line", PASSING[:3])
def test_what_is_no_secret_passes(line: str) -> None:
    assert redact(line) == line


def test_extra_fields_and_exceptions_are_redacted_too() -> None:
    try:
        raise ValueError(f"X-Auth-Token: {SECRET}")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "f", 1, "of %s", (f"password={SECRET}",),
            (type(error), error, error.__traceback__),
        )  # fmt: skip
    record.auth_token = SECRET
    record.headers = {"Authorization": SECRET}
    record.pairs = [("x-auth-token", SECRET)]
    record.note = f"Cookie: {SECRET}"
    line = JSONFormatter().format(record)
    assert SECRET not in line
    assert json.loads(line)["level"] == "error"


PIECES = ("a.", "x-amz-", "password", "password=", "authorization:'", "://a", "?token=", "'", " ")


@pytest.mark.parametrize("piece", PIECES)
def test_redaction_takes_time_in_proportion(piece: str) -> None:
    """A path of 16 KiB that anybody may send must not hold up everybody."""
    text = f"{piece * 16_000}"[:16_000] + "token@"
    started = time.process_time()
    redact(text)
    assert time.process_time() - started < 0.2
