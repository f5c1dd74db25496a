# SPDX-License-Identifier: Apache-2.0
"""The log: lines are JSON, and no secret passes the formatter, in whatever form it is written."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calotype import log

SECRET = "s3cr3t-v4lue"
FORMS = (
    "X-Auth-Token: {}",
    "x-subject-token={}",
    '"X-Security-Token": "{}"',
    "Authorization: {}",
    "authorization: SDK-HMAC-SHA256 Access={}, SignedHeaders=host, Signature={}",
    "password={}",
    "'password': '{}'",
    "secret_key = {}",
    "secret: {}",
    "https://user:{}@store.example/bucket",
    "postgresql+psycopg://calotype:{}@db/x",
    "GET /a?X-Amz-Signature={}&b=1",
    "GET /a?b=1&signature={}",
    "/a?token={}",
    "?password={}",
)
PLAIN = st.text(st.sampled_from("abcXYZ 0189-_./:?&=%{}äſ日\n"), max_size=30)


def line(message: str, **extra: object) -> dict[str, object]:
    """Return what the formatter makes of one record."""
    record = logging.getLogger("t").makeRecord(
        "t", logging.INFO, "f", 1, "%s", (message,), None, extra=extra
    )
    text = log.JSONFormatter().format(record)
    assert "\n" not in text
    found: dict[str, object] = json.loads(text)
    return found


@given(st.sampled_from(FORMS), st.sampled_from([str, str.upper, str.title]), PLAIN, PLAIN)
def test_a_secret_does_not_pass_in_any_form(
    form: str, spelling: object, before: str, after: str
) -> None:
    assert callable(spelling)
    text = form.replace("{}", "\0")
    written = f"{before} {spelling(text)} {after}".replace("\0", SECRET)
    assert SECRET not in json.dumps(line(written), ensure_ascii=False)
    assert SECRET not in json.dumps(line("said", what=written), ensure_ascii=False)


def test_a_field_with_a_secret_name_has_no_value() -> None:
    names = ("token", "x_auth_token", "Password", "session_cookie", "passcode", "credentials")
    found = line("said", **dict.fromkeys(names, SECRET), project="p")
    assert [found[name] for name in names] == ["***"] * len(names)
    assert found["project"] == "p"


@given(PLAIN)
def test_other_text_is_written_as_it_is(text: str) -> None:
    found = line(text, field=text, number=3)
    assert (found["message"], found["field"], found["number"]) == (text, text, 3)


def test_the_moment_of_a_line_is_utc_with_microseconds() -> None:
    text = line("said")["time"]
    assert isinstance(text, str) and len(text) == len("2026-11-24T05:00:00.000000Z")
    assert datetime.fromisoformat(text).utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["paſſword=" + SECRET, "ſecret: " + SECRET, "TOKEN=x"])
def test_what_only_folds_to_a_secret_word_is_one(text: str) -> None:
    assert SECRET not in log.redact(text)
