# SPDX-License-Identifier: Apache-2.0
"""Refusals of the native dialect, in three forms (errors.yaml bodies.native, CLIENT-NEEDS M53)."""

from __future__ import annotations

import pytest

from calotype.api.native.errors import form_of, renderer
from calotype.contract.error_table import load_errors
from calotype.errors import (
    BadImage,
    Conflict,
    Gone,
    Invalid,
    NotAllowed,
    NotFound,
    QuotaExceeded,
    RangeNotSatisfiable,
    ReadOnly,
    Reason,
    TooLarge,
    Unauthenticated,
    Unavailable,
    WrongMediaType,
    WrongState,
)
from calotype.gate.request import Answer, ErrorContext
from calotype.gate.routes import MethodNotAllowed, RouteNotFound

RENDER = renderer(load_errors())


def render(error: Exception, accept: str = "", operation: str = "glance.show") -> Answer:
    context = ErrorContext("GET", accept, "req-1", "http://x/v3", {"image_id": "<name>"}, operation)
    return RENDER(error, context)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "html"), ("*/*", "html"), ("text/html", "html"), ("application/json", "json"),
        ("text/html, application/json;q=0.5", "json"), ("Application/JSON; charset=utf-8", "json"),
        ("text/plain", "text"), ("application/octet-stream", "text"), ("image/png, */*", "html"),
    ],
)  # fmt: skip
def test_accept_chooses_the_form(accept: str, form: str) -> None:
    assert form_of(accept) == form


def test_a_missing_image_reads_the_same_in_every_form_and_is_escaped_in_html() -> None:
    error = NotFound("anything", kind="image", id="x")
    page = render(error)
    assert page.status == 404
    assert page.content_type == "text/html; charset=UTF-8"
    assert page.content == (
        b"<html> <head> <title>404 Not Found</title> </head> <body> <h1>404 Not Found</h1>"
        b" No image found with ID &lt;name&gt;<br /><br /> </body> </html>"
    )
    assert render(error, "text/plain").content == (
        b"404 Not Found\n\nNo image found with ID <name>\n"
    )
    assert render(error, "application/json").json == {
        "message": "No image found with ID <name>",
        "code": "404 Not Found",
        "title": "Not Found",
    }


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Invalid("x", field="name"), 400),
        (Invalid("x", rule="formats_missing"), 400),
        (Invalid("x", rule="size_mismatch"), 400),
        (Invalid("x", rule="store_unknown"), 400),
        (Invalid("x", rule="store_read_only"), 400),
        (NotFound("x", rule="store_unknown", kind="store"), 400),
        (BadImage(Reason.EMPTY, "x"), 400),
        (BadImage(Reason.SIGNATURE_INVALID, "x"), 400),
        (BadImage(Reason.FORMAT_MISMATCH, "x"), 415),
        (BadImage(Reason.SIZE_LIMIT, "x"), 413),
        (ReadOnly("x", rule="read_only_attribute"), 403),
        (ReadOnly("x", rule="protected"), 403),
        (ReadOnly("x", rule="public_image"), 403),
        (NotAllowed("x", rule="deactivated"), 403),
        (NotAllowed("x", rule="community_off"), 403),
        (NotAllowed("x", rule="operator_only"), 403),
        (WrongState("x", rule="state_forbidden"), 403),
        (WrongState("x"), 409),
        (WrongState("x", rule="image_busy"), 409),
        (Conflict("x", rule="id_taken"), 409),
        (Conflict("x", rule="attribute_exists"), 409),
        (Conflict("x", rule="attribute_absent"), 409),
        (Conflict("x", rule="changed_meanwhile"), 409),
        (Gone("x"), 410),
        (TooLarge("x"), 413),
        (QuotaExceeded("x", rule="image_quota"), 413),
        (QuotaExceeded("x", rule="byte_quota"), 413),
        (QuotaExceeded("x", rule="upload_quota"), 413),
        (QuotaExceeded("x", rule="property_quota"), 413),
        (QuotaExceeded("x", rule="tags_too_many"), 413),
        (WrongMediaType("x"), 415),
        (RangeNotSatisfiable("x", size=5), 416),
        (Unavailable("x", rule="store_full"), 503),
        (Unavailable("x", rule="busy"), 503),
        (Unavailable("x", rule="scan_limit"), 503),
        (Unavailable("x", rule="stored_object_missing"), 503),
        (RuntimeError("secret"), 500),
        (RouteNotFound("native"), 404),
    ],
)
def test_every_refusal_has_the_status_of_the_contract(error: Exception, status: int) -> None:
    answer = render(error, "application/json")
    assert answer.status == status
    assert isinstance(answer.json, dict)
    assert str(answer.json["code"]).startswith(str(status))
    assert "secret" not in str(answer.json)


def test_answers_carry_the_headers_that_clients_act_on() -> None:
    assert dict(render(RangeNotSatisfiable("x", size=5)).headers)["Content-Range"] == "bytes */5"
    assert dict(render(MethodNotAllowed(("GET", "PUT"), "native")).headers)["Allow"] == "GET, PUT"
    unauthenticated = dict(render(Unauthenticated("x")).headers)
    assert unauthenticated["WWW-Authenticate"] == 'Keystone uri="http://x/v3"'
    patches = dict(render(WrongMediaType("x"), operation="glance.update").headers)
    assert "v2.1-json-patch" in patches["Accept-Patch"]
    assert "Accept-Patch" not in dict(render(WrongMediaType("x")).headers)
    assert dict(render(NotAllowed("x", decision_id="D")).headers)["X-Decision-Id"] == "D"
    assert dict(render(Unavailable("x", retry_after=30)).headers)["Retry-After"] == "30"


def test_bytes_that_are_no_text_do_not_break_an_answer() -> None:
    for accept in ("", "application/json", "text/plain"):
        assert render(NotFound("no store \udc80", rule="store_unknown", kind="store"), accept)
    answer = render(Invalid("x \udc80"), "application/json")
    assert isinstance(answer.json, dict)
    str(answer.json["message"]).encode()
