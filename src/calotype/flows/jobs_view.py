# SPDX-License-Identifier: Apache-2.0
"""Facts of jobs for the queries of the faces, and cancelling (contract jobs.md 1, 2, 5).

Words are the core's; a face turns variants into published types and reasons into its codes. A job
is found only inside the project that submitted it; malformed, unknown, purged and another
project's ids are the same refusal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from calotype import ids
from calotype.errors import NotFound
from calotype.flows.core import Core
from calotype.jobs import store
from calotype.jobs.model import Job
from calotype.jobs.states import Status


@dataclass(frozen=True, slots=True)
class JobFacts:
    """One job with its sub jobs in their order."""

    job: Job
    subs: tuple[Job, ...]

    @property
    def failure(self) -> str | None:
        """The line of a failure, `REASON: text`, at most 512 characters; None unless it failed."""
        return failure_line(self.job)

    @property
    def step(self) -> str:
        """The word of `current_task`."""
        return self.job.step

    @property
    def percent(self) -> float:
        """How much is done, 0 to 100 with one decimal; 100 exactly when it succeeded."""
        return shown_percent(self.job)


def failure_line(job: Job) -> str | None:
    """Return `REASON: text` of a failed job, else None."""
    if job.status != Status.FAIL:
        return None
    return f"{job.reason}: {job.error}"[:512]


def shown_percent(job: Job) -> float:
    """Return the percentage as it is shown."""
    if job.status == Status.SUCCESS:
        return 100.0
    return min(99.9, round(job.percent, 1))


def show(conn: Connection, job_id: str, project_id: str) -> JobFacts:
    """Return a job of a project, or a sub job like one. Raises NotFound (`job_not_found`)."""
    return _with_subs(conn, find(conn, job_id, project_id))


def find(conn: Connection, job_id: str, project_id: str) -> Job:
    """Return the row of a job of a project. Raises NotFound (`job_not_found`)."""
    known = ids.job_id(job_id)
    job = None if known is None else store.get(conn, known, project_id)
    if job is None:
        raise NotFound(
            "job_id: there is no such job in this project",
            rule="job_not_found",
            kind="job",
            id=job_id[:64],
        )
    if job.parent_id is not None:
        job = _as_parent(conn, job)
    return job


def list_jobs(
    conn: Connection, project_id: str, status: Status | None, marker: str | None, limit: int
) -> tuple[JobFacts, ...]:
    """Return jobs of a project, newest first. Raises Invalid (`marker`)."""
    found = store.page(conn, project_id, status, marker, limit)
    subs = store.children_of(conn, [job.id for job in found])
    return tuple(JobFacts(job, subs.get(job.id, ())) for job in found)


def cancel(core: Core, conn: Connection, job: Job) -> None:
    """Ask a job to end; an ended one stays as it is. Its tool is killed within moments.

    A sub job that is one with its parent cancels the parent. Call `core.jobs.wake` after the
    commit, so that a job that waits in the queue ends at once.
    """
    core.jobs.cancel(conn, job.parent_id or job.id)


def _with_subs(conn: Connection, job: Job) -> JobFacts:
    return JobFacts(job, store.children(conn, job.id) if job.parent_id is None else ())


def _as_parent(conn: Connection, sub: Job) -> Job:
    """Show a sub job with the progress of the job that does its work."""
    parent = store.get(conn, sub.parent_id or "")
    if parent is None:
        return sub
    return replace(sub, step=parent.step, percent=parent.percent)
