# SPDX-License-Identifier: Apache-2.0
"""The audit trail: what one record holds, and the writer that appends in batches.

The record of a request that changes something is written in its own transaction; all others are
queued here and appended together at least every 100 ms, so that reading costs no commit of its
own. Records hold ids and decisions, never secrets and never bodies (contract iam.md, section 8).
A change whose record cannot be written is refused with Unavailable (`audit_away`).
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from calotype import clock
from calotype.audit import store
from calotype.db.session import Database
from calotype.errors import Unavailable
from calotype.principal import Caller

LOG = logging.getLogger("calotype.audit")
BATCH = 500
PAUSE = 0.1
RETENTION = timedelta(days=180)
LONGEST_PATH = 1024  # what anybody sends is kept, but not all of it
KEPT = 10_000  # records that wait while the database is away
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Check:
    """One action that was decided."""

    action: str
    enterprise_project_id: str | None
    decision: str
    grant_ids: Sequence[str]
    policy_ids: Sequence[str]
    policy_versions: Sequence[int]


@dataclass(frozen=True, slots=True)
class Record:
    """One decision, before it is JSON. `http_status` None: the client left before an answer."""

    id: str
    at: datetime
    caller: Caller | None
    request_id: str
    source_ip: str
    user_agent: str
    operation: str
    method: str
    path: str
    resource_type: str | None
    resource_ids: Sequence[str]
    enterprise_project_id: str | None
    target_enterprise_project_id: str | None
    checks: Sequence[Check]
    decision: str
    reason: str
    http_status: int | None
    listed: tuple[int | None, int | None] = (None, None)

    def row(self) -> dict[str, object]:
        """Return the columns of the record."""
        caller = self.caller
        return {
            "id": self.id,
            "account_id": caller.principal.account_id if caller else None,
            "principal_id": caller.principal.id if caller else None,
            "operation": self.operation,
            "decision": self.decision,
            "at": _microseconds(self.at),
            "record": _as_text(self._document()),
        }

    def _document(self) -> dict[str, object]:
        caller = self.caller
        principal = caller.principal if caller else None
        return {
            "v": 1,
            "id": self.id,
            "time": clock.to_milliseconds(self.at),
            "request_id": self.request_id,
            "account_id": principal.account_id if principal else None,
            "principal": {
                "type": _kind(caller),
                "id": principal.id if principal else None,
                "name": principal.name if principal else None,
                "assumed_by": principal.assumed_by if principal else None,
            },
            "credential": (
                {"kind": caller.credential.kind, "id": caller.credential.id} if caller else None
            ),
            "source_ip": self.source_ip,
            "user_agent": self.user_agent[:256],
            "project_id": caller.project_id if caller else None,
            "operation": self.operation,
            "method": self.method,
            "path": self.path[:LONGEST_PATH],
            "resource": {
                "type": self.resource_type,
                "ids": list(self.resource_ids),
                "enterprise_project_id": self.enterprise_project_id,
                "target_enterprise_project_id": self.target_enterprise_project_id,
            },
            "checks": [
                {
                    "action": check.action,
                    "enterprise_project_id": check.enterprise_project_id,
                    "decision": check.decision,
                    "grant_ids": list(check.grant_ids),
                    "policy_ids": list(check.policy_ids),
                    "policy_versions": list(check.policy_versions),
                }
                for check in self.checks
            ],
            "decision": self.decision,
            "reason": self.reason,
            "http_status": self.http_status,
            "list_total": self.listed[0],
            "list_returned": self.listed[1],
        }


class Trail:
    """Appends records; one thread of its own writes the queued ones."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: list[Record] = []
        self._wake = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the writing thread."""
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def write(self, connection: Connection, record: Record) -> None:
        """Add a record in the transaction of the request that it is about. Raises Unavailable."""
        try:
            store.append(connection, [record.row()])
        except DBAPIError as error:
            raise Unavailable(
                "the audit record cannot be written, so nothing is changed", rule="audit_away"
            ) from error

    def queue(self, record: Record) -> None:
        """Add a record with the next batch."""
        with self._wake:
            self._queue.append(record)
            if len(self._queue) >= BATCH:
                self._wake.notify()

    def waiting(self) -> tuple[Record, ...]:
        """Return the records of the next batch."""
        with self._wake:
            return tuple(self._queue)

    def flush(self) -> None:
        """Write what is queued now; while the database is away it goes on waiting."""
        with self._wake:
            batch, self._queue = self._queue, []
        if batch and not self._append(batch):
            with self._wake:
                self._queue[:0] = batch[-KEPT:]

    def close(self) -> None:
        """Write what is queued and end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._closing:
                    self._wake.wait(PAUSE)
                closing = self._closing
            self.flush()
            if closing:
                return

    def _append(self, batch: list[Record]) -> bool:
        """Write a batch; False when it may be tried again."""
        rows = [record.row() for record in batch]
        try:
            self._database.write(lambda connection: store.append_missing(connection, rows))
        except Unavailable:
            lost = max(0, len(batch) - KEPT)
            LOG.warning("audit records of reads wait for the database", extra={"lost": lost})
            return False
        except Exception:
            LOG.exception("audit records of reads could not be written", extra={"lost": len(batch)})
        return True


def drop_before(connection: Connection, moment: datetime) -> int:
    """Remove the records of decisions before `moment`; return how many."""
    return store.drop_before(connection, _microseconds(moment))


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


def _as_text(document: object) -> str:
    """Return JSON that any database takes: headers may hold bytes that are no UTF-8."""
    return _ENCODE(document).encode("utf-8", "replace").decode()


def _kind(caller: Caller | None) -> str:
    if caller is None:
        return "anonymous"
    return "root" if caller.principal.is_root else str(caller.principal.type)
