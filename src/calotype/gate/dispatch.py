# SPDX-License-Identifier: Apache-2.0
"""The only door: route, authenticate, scope, read, find, decide, handle, record, answer.

One instance is the ASGI application. A row without a handler, or a handler without a row, is
refused when it is made; a path without a row does not exist. Nothing else in the service asks about
rights (architecture, section 4). Whatever is raised becomes an answer here, in the dialect's form.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import Connection

from calotype import clock
from calotype.contract.loader import Operation
from calotype.db.session import Database
from calotype.errors import (
    CalotypeError,
    Malformed,
    Unauthenticated,
    Unsupported,
    WrongMediaType,
)
from calotype.gate import parse
from calotype.gate.answer import Receive, Scope, Send, send_answer
from calotype.gate.authenticate import Authenticator, Identity
from calotype.gate.enforce import Asked, Outcome, Verdict, Why, enforce, enforce_scope
from calotype.gate.incoming import ClientGone, Incoming, Places
from calotype.gate.metrics import Metrics
from calotype.gate.recording import Recording, Trace
from calotype.gate.request import (
    Answer,
    BodyStream,
    Draft,
    ErrorContext,
    Handler,
    Renderer,
    Request,
)
from calotype.gate.routes import Match, MethodNotAllowed, RouteNotFound, Router
from calotype.gate.signature import EMPTY_SHA256
from calotype.gate.world import DatabaseWorld

LOG = logging.getLogger("calotype.request")
LONGEST_TEXT = 1000  # of what was sent, in a log line and in an answer


class RowsAndHandlersDiffer(Exception):
    """The table promises what nothing handles, or something handles what no row promises."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What `app.py` puts together for the gate."""

    router: Router
    handlers: Mapping[str, Handler]
    authenticator: Authenticator
    recording: Recording
    metrics: Metrics
    database: Database
    renderers: Mapping[str, Renderer]
    places: Places
    region: str
    json_limit: int


@dataclass(slots=True)
class _Entry:
    """A request whose caller is known."""

    match: Match
    handler: Handler
    identity: Identity
    body: object = None
    stream: BodyStream | None = None


class Gate:
    """The ASGI application."""

    def __init__(self, parts: Parts, operations: tuple[Operation, ...]) -> None:
        _compare(operations, parts.handlers)
        self._parts = parts
        self._database = parts.database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        incoming = Incoming(scope, receive, f"req-{uuid4()}")
        trace = Trace(incoming, incoming.source_ip(self._parts.places))
        try:
            answer = await self._answer(incoming, trace)
        except (ClientGone, asyncio.CancelledError) as ended:
            self._parts.recording.finish(trace, None)
            if isinstance(ended, ClientGone):
                return
            raise
        except Exception as error:
            answer = self._refuse(error, incoming, trace)
        self._parts.recording.finish(trace, answer)
        sent = await send_answer(answer, incoming.request_id, scope, send)
        self._note(trace, answer, sent)
        if answer.after is not None:
            asyncio.get_running_loop().run_in_executor(None, _quietly, answer.after)

    async def _answer(self, incoming: Incoming, trace: Trace) -> Answer:
        try:
            match = self._parts.router.match(incoming.method, incoming.raw_path)
        except (RouteNotFound, MethodNotAllowed) as refusal:
            trace.dialect = refusal.dialect
            await self._prove(incoming, trace, None)
            raise
        operation = match.operation
        trace.operation, trace.params, trace.dialect = operation, match.params, operation.dialect
        if operation.planned:
            await self._prove(incoming, trace, match)
            raise Unsupported(f"{operation.id} is not served yet", rule="planned")
        handler = self._parts.handlers[operation.handler]
        if self._reads_at_once(operation, handler, incoming):
            return await self._run(
                handler, lambda connection: self._whole(connection, trace, match, handler)
            )
        identity = await self._database.run_read(
            lambda connection: self._enter(connection, trace, match)
        )
        entry = _Entry(match, handler, identity)
        await self._read_body(incoming, trace, entry)
        if handler.kind == "async":
            request = await self._database.run_read(
                lambda connection: self._decide(connection, trace, entry)
            )
            assert handler.wait is not None
            return await handler.wait(request)
        return await self._run(handler, lambda connection: self._handle(connection, trace, entry))

    async def _run(self, handler: Handler, work: Callable[[Connection], Answer]) -> Answer:
        if handler.kind == "write":
            return await self._database.run_write(work)
        return await self._database.run_read(work)

    def _reads_at_once(self, operation: Operation, handler: Handler, incoming: Incoming) -> bool:
        """Tell whether one hop to the database does all: nothing to wait for on the wire.

        A body that nobody reads still counts when a signature may cover it.
        """
        if handler.kind == "async" or operation.body == "stream":
            return False
        if incoming.length == 0:
            return True
        return operation.body == "none" and incoming.headers.get("authorization") is None

    def _whole(
        self, connection: Connection, trace: Trace, match: Match, handler: Handler
    ) -> Answer:
        identity = self._enter(connection, trace, match)
        if match.operation.body == "json":
            raise Malformed("the operation needs a body", rule="body_missing")
        return self._handle(connection, trace, _Entry(match, handler, identity))

    def _enter(self, connection: Connection, trace: Trace, match: Match | None) -> Identity:
        """Authenticate and check the scope; an open row lets everybody in.

        Who is not proven before his body is in learns nothing of the scope, an upload apart: that
        is refused before its bytes are taken.
        """
        if match is not None and not match.operation.authentication:
            return self._parts.authenticator.anonymous(trace.incoming, trace.source_ip)
        params = match.params if match else {}
        identity = self._parts.authenticator.identify(
            connection, trace.incoming, trace.source_ip, params, trace.learn
        )
        if trace.incoming.length == 0:
            identity.finish(EMPTY_SHA256, True)
        if not identity.needs_body or (match is not None and match.operation.body == "stream"):
            _check_scope(trace, match, identity)
        return identity

    async def _prove(self, incoming: Incoming, trace: Trace, match: Match | None) -> None:
        """Authenticate the caller of what nothing handles."""
        identity = await self._database.run_read(
            lambda connection: self._enter(connection, trace, match)
        )
        if identity.needs_body and (match is None or match.operation.body != "stream"):
            await self._take(incoming, trace, match, identity)

    async def _take(
        self, incoming: Incoming, trace: Trace, match: Match | None, identity: Identity
    ) -> bytes:
        """Read a bounded body; what waited for it is proven then."""
        data = await parse.read_bounded(incoming.blocks(), self._parts.json_limit)
        if identity.needs_body:
            identity.finish(hashlib.sha256(data).hexdigest(), not data)
            _check_scope(trace, match, identity)
        return data

    async def _read_body(self, incoming: Incoming, trace: Trace, entry: _Entry) -> None:
        identity, operation = entry.identity, entry.match.operation
        if operation.body == "stream":
            _check_media(operation, incoming)
            entry.stream = BodyStream(
                incoming.blocks, incoming.length, identity.finish, identity.needs_body
            )
            return
        if operation.body == "none" and not identity.needs_body:
            return
        if incoming.length != 0 and operation.body != "none":
            _check_media(operation, incoming)
        data = await self._take(incoming, trace, entry.match, identity)
        if operation.body == "none":
            return
        if not data:
            if operation.body == "json":
                raise Malformed("the operation needs a body", rule="body_missing")
            return
        if operation.body == "forbidden":
            raise Malformed("the operation takes no body", rule="body_unexpected")
        entry.body = parse.read_json(data)

    def _decide(self, connection: Connection, trace: Trace, entry: _Entry) -> Request:
        """Check forms, find the targets, decide. Raises NotFound, NotAllowed, ReadOnly, Invalid."""
        operation, params, caller = entry.match.operation, entry.match.params, entry.identity.caller
        query = trace.incoming.query()
        rows: dict[str, object] = {}
        if entry.handler.form is not None:
            entry.handler.form(Draft(operation, params, query, entry.body, caller.project_id))
        if operation.authentication:
            assert entry.identity.known is not None
            known = entry.identity.known
            world = DatabaseWorld(connection, self._parts.region, known.snapshot)
            asked = Asked(operation, caller, params, query, entry.body)
            verdict = trace.verdict = enforce(asked, world, known.grants)
            if not verdict.allowed:
                raise verdict.error()
            rows = world.rows
        else:
            verdict = Verdict(Outcome.ALLOW, Why.NO_ACTION_REQUIRED)
        return Request(
            operation=operation,
            caller=caller,
            params=params,
            query=query,
            headers=trace.incoming.headers,
            body=entry.body,
            stream=entry.stream,
            verdict=verdict,
            rows=rows,
            base_url=trace.incoming.base_url(self._parts.places),
            record=lambda connection, status: self._parts.recording.write(
                connection, trace, Answer(status)
            ),
        )

    def _handle(self, connection: Connection, trace: Trace, entry: _Entry) -> Answer:
        request = self._decide(connection, trace, entry)
        assert entry.handler.sync is not None
        answer = entry.handler.sync(connection, request)
        if entry.handler.kind == "write":
            self._parts.recording.write(connection, trace, answer)
        return answer

    def _note(self, trace: Trace, answer: Answer, sent: int) -> None:
        """Count the answer and write its one line of log."""
        unproven = isinstance(trace.error, Unauthenticated)
        caller, operation = None if unproven else trace.caller, trace.operation
        seconds = clock.monotonic() - trace.incoming.started
        name = operation.id if operation else "unknown"
        self._parts.metrics.count(name, answer.status, seconds, sent)
        LOG.info(
            "%s %s %s",
            trace.incoming.method,
            trace.incoming.path[:LONGEST_TEXT],
            answer.status,
            extra={
                "request": trace.incoming.request_id,
                "operation": name,
                "principal": caller.principal.id if caller else None,
                "project": caller.project_id if caller else None,
                "decision": trace.verdict.decision_id if trace.verdict else None,
                "status": answer.status,
                "bytes": sent,
                "ms": round(seconds * 1000, 1),
            },
        )

    def _refuse(self, error: Exception, incoming: Incoming, trace: Trace) -> Answer:
        if not isinstance(error, CalotypeError | RouteNotFound | MethodNotAllowed):
            LOG.exception("a request failed unexpectedly", extra={"request": incoming.request_id})
        trace.error = error
        if isinstance(error, CalotypeError) and len(error.message) > LONGEST_TEXT:
            # Texts name what was sent; a name may be as long as a body.
            error.message = f"{error.message[:LONGEST_TEXT]}…"
        context = ErrorContext(
            method=incoming.method,
            accept=incoming.headers.get("accept") or "",
            request_id=incoming.request_id,
            auth_url=f"{incoming.base_url(self._parts.places)}/v3",
            params=trace.params,
            operation_id=trace.operation.id if trace.operation else "",
        )
        return self._parts.renderers[trace.dialect](error, context)


def _check_scope(trace: Trace, match: Match | None, identity: Identity) -> None:
    """Check step 2 of a request. Raises NotAllowed, Invalid."""
    identity.require_scope()
    if match is not None:
        asked = Asked(match.operation, identity.caller, match.params)
        trace.verdict = enforce_scope(asked)
        if trace.verdict is not None:
            raise trace.verdict.error()


def _quietly(work: Callable[[], object]) -> None:
    try:
        work()
    except Exception:
        LOG.exception("what was to follow an answer failed; the worker's chores do it later")


def _check_media(operation: Operation, incoming: Incoming) -> None:
    if operation.media is None:
        return
    found = (incoming.headers.get("content-type") or "").split(";")[0].strip().lower()
    if found not in operation.media:
        raise WrongMediaType(
            f"Content-Type: {found or 'none'} is not accepted;"
            f" allowed: {', '.join(word or 'none' for word in operation.media)}",
            field="Content-Type",
            value=found,
            allowed=operation.media,
        )


def _compare(operations: tuple[Operation, ...], handlers: Mapping[str, Handler]) -> None:
    promised = {row.handler for row in operations if not row.planned}
    planned = {row.handler for row in operations if row.planned} - promised
    missing = sorted(promised - set(handlers))
    surplus = sorted(set(handlers) - promised)
    if missing or surplus:
        early = sorted(set(surplus) & planned)
        raise RowsAndHandlersDiffer(
            f"rows without a handler: {missing}; handlers without a row: {surplus};"
            f" handled but still planned: {early}"
        )
