# SPDX-License-Identifier: Apache-2.0
"""Writes refusals in the two forms of identity (contract iam.md 6).

`{"error": {"code", "message", "title"}}` for IAM, Keystone and accounts; for enterprise projects
`{"error": {"error_code", "error_msg"}}`. A count that is exceeded has the code QUOTA_EXCEEDED in
both (1.2). What is not expected is 500 and says the request id only.
"""

from __future__ import annotations

from http import HTTPStatus

from calotype.contract.error_table import ErrorTable
from calotype.errors import CalotypeError, Unauthenticated
from calotype.gate.answer import signature_answer
from calotype.gate.request import Answer, ErrorContext, Pairs, Renderer
from calotype.gate.routes import MethodNotAllowed, RouteNotFound

COUNT_EXCEEDED = "QUOTA_EXCEEDED"
_UNEXPECTED = "EPS.0001"


def renderer(table: ErrorTable) -> Renderer:
    """Return what writes errors of all three dialects, in the form of the one concerned."""
    iam_form, eps_form = iam_renderer(table), eps_renderer(table)

    def render(error: Exception, context: ErrorContext) -> Answer:
        if isinstance(error, RouteNotFound | MethodNotAllowed):
            is_eps = error.dialect == "eps"
        else:
            is_eps = context.operation_id.startswith("eps.")
        return (eps_form if is_eps else iam_form)(error, context)

    return render


def iam_renderer(table: ErrorTable) -> Renderer:
    """Return what writes errors of the dialects iam and authz."""

    def render(error: Exception, context: ErrorContext) -> Answer:
        if isinstance(error, Unauthenticated) and error.rule == "signature":
            return signature_answer(error, context.request_id, context.auth_url)
        status, _, message = _meaning(table, error, context)
        code: str | int = COUNT_EXCEEDED if _is_count(error) else status
        body = {"code": code, "message": message, "title": HTTPStatus(status).phrase}
        return Answer(status, json={"error": body}, headers=_headers(error, status, context))

    return render


def eps_renderer(table: ErrorTable) -> Renderer:
    """Return what writes errors of the dialect eps."""

    def render(error: Exception, context: ErrorContext) -> Answer:
        if isinstance(error, Unauthenticated) and error.rule == "signature":
            return signature_answer(error, context.request_id, context.auth_url)
        status, code, message = _meaning(table, error, context)
        body = {"error_code": COUNT_EXCEEDED if _is_count(error) else code, "error_msg": message}
        return Answer(status, json={"error": body}, headers=_headers(error, status, context))

    return render


def _meaning(table: ErrorTable, error: Exception, context: ErrorContext) -> tuple[int, str, str]:
    """Return status, EPS code and text."""
    if isinstance(error, RouteNotFound):
        return 404, "EPS.0005", "no operation has this path"
    if isinstance(error, MethodNotAllowed):
        return 405, "EPS.0002", f"the path offers {', '.join(error.allow)}"
    if isinstance(error, CalotypeError):
        wire = table.wire(error)
        if wire.iam < 500 or wire.iam in (501, 503):
            return wire.iam, wire.eps, error.message
    return 500, _UNEXPECTED, f"internal error, request {context.request_id}"


def _is_count(error: Exception) -> bool:
    return isinstance(error, CalotypeError) and error.rule == "count_quota"


def _headers(error: Exception, status: int, context: ErrorContext) -> Pairs:
    headers: list[tuple[str, str]] = []
    if status == 401:
        headers.append(("WWW-Authenticate", f'Keystone uri="{context.auth_url}"'))
    if isinstance(error, MethodNotAllowed):
        headers.append(("Allow", ", ".join(error.allow)))
    if isinstance(error, CalotypeError):
        for fact, name in (("decision_id", "X-Decision-Id"), ("retry_after", "Retry-After")):
            if error.facts.get(fact) is not None:
                headers.append((name, str(error.facts[fact])))
    return tuple(headers)
