# SPDX-License-Identifier: Apache-2.0
"""The job queries: one body in two forms, cancel, and the list of a project (contract jobs.md)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from calotype import clock, ids
from calotype.api.ims import member_results
from calotype.api.ims.query import QUERY, read_values
from calotype.api.ims.refusal import refuse
from calotype.contract.error_table import ErrorTable
from calotype.flows import import_file, jobs_view
from calotype.flows.core import Core
from calotype.flows.jobs_view import JobFacts
from calotype.gate.request import Answer, Handler, Request, reads, waits
from calotype.jobs.model import Job
from calotype.jobs.states import JobReason, Status

TYPES = {
    "import_system": "imsImportImageJob",
    "import_data": "imsImportDataImageJob",
    "import_iso": "imsImportImageJob",
    "import_quick": "imsImportImageJob",
    "import_quick_data": "imsImportDataImageJob",
    "quick_part": "imsImportBigFileImageJob",
    "iso_part": "imsImportIsoFileImageJob",
    "register": "imsNativeImportImageJob",
    "export": "imsNativeExportImageJob",
    "export_quick": "imsNativeExportImageJob",
    "quick_export_part": "imsQuickExportImageJob",
} | member_results.TYPES
REGISTRATION_FAILED = "IMG.1075"
PAGE_DEFAULT = 100
PAGE_LIMIT = 1000


def handlers(core: Core) -> dict[str, Handler]:
    """Return the handlers of this chapter."""

    def show(connection: Connection, request: Request) -> Answer:
        return Answer(200, json=body(core.errors, _facts(connection, request), progress=False))

    def progress(connection: Connection, request: Request) -> Answer:
        return Answer(200, json=body(core.errors, _facts(connection, request), progress=True))

    def list_jobs(connection: Connection, request: Request) -> Answer:
        return _list(core, connection, request)

    async def cancel(request: Request) -> Answer:
        job = request.rows[request.params["job_id"].lower()]
        assert isinstance(job, Job)

        def work(connection: Connection) -> None:
            jobs_view.cancel(core, connection, job)
            request.record(connection, 202)

        await core.db.run_write(work)
        core.jobs.wake()
        return Answer(202)

    return {
        "ims.job": reads(show),
        "ims.job_progress": reads(progress),
        "ims.job_cancel": waits(cancel),
        "ims.job_list": reads(list_jobs),
    }


def body(table: ErrorTable, facts: JobFacts, *, progress: bool) -> dict[str, Any]:
    """Return a job as both queries show it; `progress` adds what the second form has more."""
    job = facts.job
    entities = _entities(table, facts.job)
    ended_well = job.status == Status.SUCCESS
    if not ended_well or progress:
        entities["current_task"] = "publish" if ended_well else facts.step
        entities["process_percent"] = facts.percent
    if facts.subs:
        subs = [_document(table, sub, _entities(table, sub)) for sub in facts.subs]
        if len(subs) == 1 and progress:
            entities["sub_job_id"] = subs[0]["job_id"]
        entities["sub_jobs_result"] = subs
        entities["sub_jobs_list"] = [sub["job_id"] for sub in subs]
    return _document(table, job, entities)


def error_code(table: ErrorTable, job: Job) -> str | None:
    """Return the code of a failed job, else None (jobs.md 7)."""
    if job.status != Status.FAIL:
        return None
    reason = job.reason or JobReason.INTERNAL
    if reason == JobReason.PARTIAL:
        return member_results.first_code(job)
    is_content = reason in table.reasons or reason == JobReason.MIN_DISK
    if job.flow == import_file.REGISTER and is_content:
        return REGISTRATION_FAILED
    if reason == JobReason.MIN_DISK and job.rule is not None and job.rule in table.rules:
        return table.rules[job.rule].ims
    return table.job_code(reason)


def _document(table: ErrorTable, job: Job, entities: dict[str, Any]) -> dict[str, Any]:
    return {
        "status": str(job.status),
        "job_id": job.id,
        "job_type": TYPES[job.variant],
        "begin_time": clock.to_milliseconds(job.created_at),
        "end_time": None if job.ended_at is None else clock.to_milliseconds(job.ended_at),
        "error_code": error_code(table, job),
        "fail_reason": jobs_view.failure_line(job),
        "entities": entities,
    }


def _entities(table: ErrorTable, job: Job) -> dict[str, Any]:
    entities: dict[str, Any] = {}
    if job.image_id is not None:
        entities["image_id"] = job.image_id
    if job.image_name is not None:
        entities["image_name"] = job.image_name
    if member_results.is_batch(job):
        entities["results"] = member_results.results(job)
    if job.status == Status.FAIL:
        entities["error_code"] = error_code(table, job)
        entities["error"] = jobs_view.failure_line(job)
    return entities


def _facts(connection: Connection, request: Request) -> JobFacts:
    return jobs_view.show(connection, request.params["job_id"], request.caller.project_id or "")


def _list(core: Core, connection: Connection, request: Request) -> Answer:
    asked = read_values(request.query, ("status", "marker", "limit"), ())
    status = asked.word("status", tuple(Status), QUERY)
    marker, limit = asked.single.get("marker"), asked.integer("limit", QUERY)
    known = ids.job_id(marker) if marker else None
    if marker and known is None:
        raise refuse(QUERY, "marker", marker, "the id of a job of the project")
    if limit is not None and not 1 <= limit <= PAGE_LIMIT:
        raise refuse(QUERY, "limit", asked.single["limit"], f"an integer from 1 to {PAGE_LIMIT}")
    found = jobs_view.list_jobs(
        connection,
        request.caller.project_id or "",
        Status(status) if status else None,
        known,
        PAGE_DEFAULT if limit is None else limit,
    )
    jobs = [body(core.errors, facts, progress=False) for facts in found]
    return Answer(200, json={"jobs": jobs}, listed=(None, len(jobs)))
