# SPDX-License-Identifier: Apache-2.0
"""Writes refusals of the native dialect: HTML, JSON or text, by Accept (errors.yaml bodies.native).

The JSON form must not reach clients that send `*/*`: their parser fails on string members (M53).
A fault of the service tells the request id and nothing else.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from http import HTTPStatus

from calotype.api.native.patch import V20, V21
from calotype.contract.error_table import ErrorTable
from calotype.errors import (
    BadImage,
    CalotypeError,
    NotFound,
    RangeNotSatisfiable,
    Unauthenticated,
    WrongMediaType,
)
from calotype.gate.answer import signature_answer
from calotype.gate.request import Answer, ErrorContext, Pairs
from calotype.gate.routes import MethodNotAllowed, RouteNotFound

_TITLES = {413: "Request Entity Too Large", 416: "Requested Range Not Satisfiable"}
_HTML = (
    "<html> <head> <title>{status}</title> </head> <body> <h1>{status}</h1>"
    " {text}<br /><br /> </body> </html>"
)


def renderer(table: ErrorTable) -> Callable[[Exception, ErrorContext], Answer]:
    """Return the function that writes an error."""

    def render(error: Exception, context: ErrorContext) -> Answer:
        if isinstance(error, Unauthenticated) and error.rule == "signature":
            return signature_answer(error, context.request_id, context.auth_url)
        status, text = status_and_text(table, error, context)
        # Headers may hold bytes that are no UTF-8; an answer never does.
        text = text.encode("utf-8", "replace").decode()
        return _write(status, text, _headers(status, error, context), context.accept)

    return render


def status_and_text(table: ErrorTable, error: Exception, context: ErrorContext) -> tuple[int, str]:
    """Return what a refusal is called here."""
    if isinstance(error, RouteNotFound):
        return 404, "The resource could not be found."
    if isinstance(error, MethodNotAllowed):
        return 405, f"The path offers {', '.join(error.allow)}."
    if isinstance(error, NotFound) and _names_the_image(error, context):
        return 404, f"No image found with ID {context.params['image_id']}"
    if isinstance(error, CalotypeError):
        status = table.wire(error).native
        if isinstance(error, BadImage):  # the verdict word goes wherever the refusal goes
            return status, f"{error.reason}: {error.message}"
        if status != 500:
            return status, error.message
    return 500, f"Internal error, request {context.request_id}."


def _names_the_image(error: NotFound, context: ErrorContext) -> bool:
    """Tell whether the missing thing is the image of the path: the text tells no more than that."""
    kind = error.facts.get("kind")
    return "image_id" in context.params and kind in (None, "image")


def _headers(status: int, error: Exception, context: ErrorContext) -> Pairs:
    found: list[tuple[str, str]] = []
    if status == 401:
        found.append(("WWW-Authenticate", f'Keystone uri="{context.auth_url}"'))
    if isinstance(error, MethodNotAllowed):
        found.append(("Allow", ", ".join(error.allow)))
    if isinstance(error, WrongMediaType) and context.operation_id == "glance.update":
        found.append(("Accept-Patch", f"{V20}, {V21}"))
    if isinstance(error, RangeNotSatisfiable):
        found.append(("Content-Range", f"bytes */{error.facts.get('size', '*')}"))
    if isinstance(error, CalotypeError):
        if error.facts.get("decision_id"):
            found.append(("X-Decision-Id", str(error.facts["decision_id"])))
        if error.facts.get("retry_after") is not None:
            found.append(("Retry-After", str(error.facts["retry_after"])))
    return tuple(found)


def _write(status: int, text: str, headers: Pairs, accept: str) -> Answer:
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    line = f"{status} {title}"
    form = form_of(accept)
    if form == "json":
        body = {"message": text, "code": line, "title": title}
        content_type = "application/json; charset=UTF-8"
        return Answer(status, json=body, content_type=content_type, headers=headers)
    if form == "html":
        page = _HTML.format(status=line, text=html.escape(text))
        content_type = "text/html; charset=UTF-8"
        return Answer(status, content=page.encode(), content_type=content_type, headers=headers)
    return Answer(
        status,
        content=f"{line}\n\n{text}\n".encode(),
        content_type="text/plain; charset=UTF-8",
        headers=headers,
    )


def form_of(accept: str) -> str:
    """Return `json`, `html` or `text` for a value of Accept."""
    wanted = {part.partition(";")[0].strip().lower() for part in accept.split(",")} - {""}
    if "application/json" in wanted:
        return "json"
    return "html" if not wanted or wanted & {"*/*", "text/html"} else "text"
