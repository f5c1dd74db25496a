# SPDX-License-Identifier: Apache-2.0
"""What a handler gets and gives: the request after the gate, the answer, and the three handlers.

A handler never asks about rights: when it runs, the decision of its row has passed. A handler that
reads or writes the database only is synchronous and runs inside the gate's one transaction; one
that moves bytes or waits is asynchronous and opens its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import Connection

from calotype.contract.loader import Operation
from calotype.gate.enforce import Verdict
from calotype.principal import Caller

Pairs = tuple[tuple[str, str], ...]


class Headers:
    """Request headers as sent: names compare without case, repeated lines are kept."""

    __slots__ = ("_first", "_raw")

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self._raw = raw
        self._first = {name.lower(): value for name, value in reversed(raw)}

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """Names and values as bytes, in the order of the wire."""
        return self._raw

    def get(self, name: str) -> str | None:
        """Return the first value of `name`, or None."""
        value = self._first.get(name.lower().encode())
        return None if value is None else value.decode("utf-8", "surrogateescape")

    def all(self, name: str) -> list[str]:
        """Return every value of `name`."""
        wanted = name.lower().encode()
        return [
            value.decode("utf-8", "surrogateescape")
            for key, value in self._raw
            if key.lower() == wanted
        ]


@dataclass(frozen=True, slots=True)
class BodyStream:
    """The bytes of a request, read as they come. `length` is None for a chunked body."""

    blocks: Callable[[], AsyncIterator[bytes]]
    length: int | None
    finish: Callable[[str, bool], None]  # (SHA-256 hex, empty): verifies a pending signature
    needs_sha256: bool  # a pending signature covers the body


def _unrecorded(connection: Connection, status: int) -> None:
    """Stand for the gate's writer where there is no gate."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request that passed the gate."""

    operation: Operation
    caller: Caller
    params: Mapping[str, str]
    query: Pairs
    headers: Headers
    body: object
    stream: BodyStream | None
    verdict: Verdict
    rows: Mapping[str, object]  # rows that finding the targets has read, by id
    base_url: str
    record: Callable[[Connection, int], None] = _unrecorded

    def accepted(self, status: int) -> Callable[[Connection], None]:
        """Return what an asynchronous handler calls in the transaction that changes something.

        It writes the audit record of a request that is answered with `status`; no record, no
        change. Synchronous handlers are recorded by the gate.
        """
        return lambda connection: self.record(connection, status)

    def last(self, name: str) -> str | None:
        """Return the last value of a query parameter, or None."""
        for key, value in reversed(self.query):
            if key == name:
                return value
        return None

    def values(self, name: str) -> list[str]:
        """Return every value of a query parameter, in order."""
        return [value for key, value in self.query if key == name]


@dataclass(frozen=True, slots=True)
class FileBody:
    """Bytes of an answer: a local descriptor (closed after sending), or blocks of at most 1 MiB."""

    count: int
    descriptor: int | None = None
    offset: int = 0
    blocks: Callable[[], Iterator[bytes]] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `json` is encoded once, in `answer.py`; `content` is sent as it is.

    `after` is work that may begin once the answer is on its way and the transaction has ended.
    """

    status: int
    json: object | None = None
    content: bytes | None = None
    content_type: str | None = None
    headers: Pairs = ()
    file: FileBody | None = None
    listed: tuple[int | None, int | None] = (None, None)  # total, returned: for the audit record
    after: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True)
class ErrorContext:
    """What a dialect needs to write an error."""

    method: str
    accept: str
    request_id: str
    auth_url: str
    params: Mapping[str, str] = field(default_factory=dict)
    operation_id: str = ""


Renderer = Callable[[Exception, ErrorContext], Answer]


@dataclass(frozen=True, slots=True)
class Draft:
    """A request whose body is read and whose rights are not decided yet (for form checks)."""

    operation: Operation
    params: Mapping[str, str]
    query: Pairs
    body: object
    project_id: str | None


@dataclass(frozen=True, slots=True)
class Handler:
    """A handler with its kind. `form` checks what authorization needs, before any look-up."""

    kind: Literal["read", "write", "async"]
    sync: Callable[[Connection, Request], Answer] | None = None
    wait: Callable[[Request], Awaitable[Answer]] | None = None
    form: Callable[[Draft], None] | None = None


def reads(
    work: Callable[[Connection, Request], Answer], form: Callable[[Draft], None] | None = None
) -> Handler:
    """Wrap a handler that only reads the database."""
    return Handler("read", sync=work, form=form)


def writes(
    work: Callable[[Connection, Request], Answer], form: Callable[[Draft], None] | None = None
) -> Handler:
    """Wrap a handler that changes the database in the gate's transaction."""
    return Handler("write", sync=work, form=form)


def waits(
    work: Callable[[Request], Awaitable[Answer]], form: Callable[[Draft], None] | None = None
) -> Handler:
    """Wrap a handler that moves bytes or waits."""
    return Handler("async", wait=work, form=form)
