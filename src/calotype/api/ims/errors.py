# SPDX-License-Identifier: Apache-2.0
"""Writes refusals in the form of this dialect: `{"error": {"code", "message"}}` (errors.yaml).

The core's rules become codes through the error table; a code that is not expected becomes
IMG.0061, whose text is the request id and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

from calotype.api.ims.refusal import IMSRefusal
from calotype.contract.error_table import ErrorTable
from calotype.errors import BadImage, CalotypeError, NotFound, Unauthenticated
from calotype.gate.answer import signature_answer
from calotype.gate.request import Answer, ErrorContext
from calotype.gate.routes import MethodNotAllowed, RouteNotFound

INTERNAL = "IMG.0061"


def renderer(table: ErrorTable) -> Callable[[Exception, ErrorContext], Answer]:
    """Return the function that writes an error."""

    def render(error: Exception, context: ErrorContext) -> Answer:
        if isinstance(error, Unauthenticated) and error.rule == "signature":
            return signature_answer(error, context.request_id, context.auth_url)
        headers: tuple[tuple[str, str], ...] = ()
        code, message = code_and_message(table, error, context)
        in_path = isinstance(error, NotFound) and "image_id" in context.params
        status = table.status(code, in_path=in_path)
        if status == 401:
            headers = (("WWW-Authenticate", f'Keystone uri="{context.auth_url}"'),)
        if isinstance(error, MethodNotAllowed):
            headers = (("Allow", ", ".join(error.allow)),)
        if isinstance(error, CalotypeError):
            headers += _extra(error)
        return Answer(status, json={"error": {"code": code, "message": message}}, headers=headers)

    return render


def code_and_message(table: ErrorTable, error: Exception, context: ErrorContext) -> tuple[str, str]:
    """Return what a refusal is called here."""
    if isinstance(error, IMSRefusal):
        return error.code, error.message
    if isinstance(error, RouteNotFound):
        return "IMG.0404", "no operation has this path"
    if isinstance(error, MethodNotAllowed):
        return "IMG.0405", f"the path offers {', '.join(error.allow)}"
    if isinstance(error, CalotypeError):
        code = table.wire(error).ims
        if isinstance(error, BadImage):  # the verdict word goes wherever the refusal goes
            return code, f"{error.reason}: {error.message}"
        if code != INTERNAL:
            return code, error.message
    return INTERNAL, f"internal error, request {context.request_id}"


def _extra(error: CalotypeError) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    if error.facts.get("decision_id"):
        found.append(("X-Decision-Id", str(error.facts["decision_id"])))
    if error.facts.get("retry_after") is not None:
        found.append(("Retry-After", str(error.facts["retry_after"])))
    return tuple(found)
