# SPDX-License-Identifier: Apache-2.0
"""The door of the jobs room for submissions: limits, submit in the caller's transaction, cancel.

A submitted row is the outbox: it is accepted together with whatever else the transaction holds and
handed to the engine afterwards, by whichever worker has a free place (jobs.md 4).
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, text

from calotype import clock, ids
from calotype.errors import QuotaExceeded
from calotype.jobs import store
from calotype.jobs.model import NewJob, dump, to_microseconds
from calotype.jobs.states import Kind, Status
from calotype.settings import Settings

_TOGETHER = {
    Kind.CREATION: (Kind.CREATION, Kind.EXPORT),
    Kind.EXPORT: (Kind.CREATION, Kind.EXPORT),
    Kind.COPY: (Kind.COPY,),
}


class JobQueue:
    """Submits jobs. `wake` tells a runner of this process that there is work, and may be late."""

    def __init__(self, settings: Settings) -> None:
        self._limits = {
            Kind.CREATION: settings.creation_jobs_per_project,
            Kind.EXPORT: settings.creation_jobs_per_project,
            Kind.COPY: settings.copy_jobs_per_project,
        }
        self._wakers: list[Callable[[], None]] = []

    def check_room(self, conn: Connection, project_id: str, kind: Kind) -> None:
        """Raise QuotaExceeded (`too_many_jobs`) when the project may not submit one more."""
        limit = self._limits.get(kind)
        if limit is None:
            return
        used = store.count_open(conn, project_id, [str(k) for k in _TOGETHER[kind]])
        if used >= limit:
            raise QuotaExceeded(
                f"the project has {used} unfinished jobs of this kind; at most {limit} are allowed",
                rule="too_many_jobs",
                quota=f"{kind}_jobs",
                limit=limit,
                used=used,
            )

    def submit(self, conn: Connection, new: NewJob, *, job_id: str | None = None) -> str:
        """Accept a job in the caller's transaction and return its id.

        `job_id` is given when another row of the transaction already names it. Raises
        QuotaExceeded (`too_many_jobs`). Call `wake` after the commit.
        """
        if new.kind in self._limits:
            _one_at_a_time(conn, new.project_id)
            self.check_room(conn, new.project_id, new.kind)
        job_id = job_id or ids.new_hex()
        now = to_microseconds(clock.now())
        rows = [_row(new, job_id, now)]
        for position, variant in enumerate(new.subs):
            sub = _row(new, ids.new_hex(), now)
            rows.append(
                sub
                | {
                    "variant": variant,
                    "parent_id": job_id,
                    "position": position,
                    "object": None,
                    "request": "{}",
                    "dispatched": True,
                }
            )
        store.insert_rows(conn, rows)
        return job_id

    def cancel(self, conn: Connection, job_id: str) -> bool:
        """Ask a job to end; its running tool is killed. False, and no change, when it has ended."""
        return store.set_cancel(conn, job_id)

    def on_wake(self, waker: Callable[[], None]) -> None:
        """Have `waker` called at each `wake`."""
        self._wakers.append(waker)

    def wake(self) -> None:
        """Tell the runner of this process, if there is one, that something was submitted."""
        for waker in self._wakers:
            waker()


def _one_at_a_time(conn: Connection, project_id: str) -> None:
    """Let submissions of one project follow each other: the limit is a count, not a row.

    SQLite has one writer anyway.
    """
    if conn.dialect.name == "postgresql":
        conn.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"),
            {"key": f"calotype jobs {project_id}"},
        )


def _row(new: NewJob, job_id: str, now: int) -> dict[str, object]:
    return {
        "id": job_id,
        "flow": new.flow,
        "variant": new.variant,
        "kind": str(new.kind),
        "parent_id": None,
        "position": 0,
        "account_id": new.account_id,
        "project_id": new.project_id,
        "enterprise_project_id": new.enterprise_project_id,
        "submitter_id": new.submitter_id,
        "image_id": new.image_id,
        "image_name": new.image_name,
        "object": new.object,
        "status": str(Status.INIT),
        "step": "queue",
        "percent": 0.0,
        "request": dump(new.request),
        "caller": dump(new.caller),
        "result": "{}",
        "reason": None,
        "error": None,
        "rule": None,
        "runs": 0,
        "attempts": 0,
        "deaths": 0,
        "attempt_token": None,
        "dispatched": False,
        "cancel": False,
        "request_id": new.request_id,
        "created_at": now,
        "started_at": None,
        "ended_at": None,
    }
