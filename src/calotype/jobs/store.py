# SPDX-License-Identifier: Apache-2.0
"""SQL of the job rows: reading them, and the moves of a job, each one conditional statement.

Whatever a running attempt writes names its `attempt_token`: a worker that was frozen and wakes up
after another took over changes nothing (architecture 5). Percent never goes down, an ended job
never changes. Sub jobs that mirror their parent move in the same transaction. No function opens a
transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Connection,
    Float,
    Integer,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from calotype.db.tables.jobs import jobs
from calotype.errors import Invalid
from calotype.jobs.model import Document, Job, dump, from_row, to_microseconds
from calotype.jobs.states import UNFINISHED, Failure, Status

_OPEN = jobs.c.status.in_([str(status) for status in UNFINISHED])
_TOP = jobs.c.parent_id.is_(None)
_ID = jobs.c.id == bindparam("job")
_MINE = (_ID, jobs.c.attempt_token == bindparam("token"), jobs.c.status == Status.RUNNING)
_CHILDREN = (jobs.c.parent_id == bindparam("job"), _OPEN)


def get(conn: Connection, job_id: str, project_id: str | None = None) -> Job | None:
    """Return a job; with `project_id`, only one of that project."""
    row = conn.execute(_GET, {"job": job_id}).mappings().first()
    if row is None or (project_id is not None and row["project_id"] != project_id):
        return None
    return from_row(row)


def children(conn: Connection, job_id: str) -> tuple[Job, ...]:
    """Return the sub jobs of a job, in their order."""
    rows = conn.execute(_GET_CHILDREN, {"job": job_id}).mappings()
    return tuple(from_row(row) for row in rows)


def children_of(conn: Connection, job_ids: Sequence[str]) -> dict[str, tuple[Job, ...]]:
    """Return the sub jobs of each of these jobs that has any."""
    found: dict[str, list[Job]] = {}
    if job_ids:
        for row in conn.execute(_GET_CHILDREN_OF, {"ids": list(job_ids)}).mappings():
            found.setdefault(row["parent_id"], []).append(from_row(row))
    return {parent: tuple(subs) for parent, subs in found.items()}


def page(
    conn: Connection, project_id: str, status: Status | None, marker: str | None, limit: int
) -> tuple[Job, ...]:
    """Return jobs of a project, newest first, after `marker`; sub jobs are not among them.

    Raises Invalid (`marker`) when the marker is no job of the project.
    """
    query = (
        select(jobs)
        .where(jobs.c.project_id == project_id, _TOP)
        .order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
        .limit(limit)
    )
    if status is not None:
        query = query.where(jobs.c.status == status)
    if marker is not None:
        last = get(conn, marker, project_id)
        if last is None:
            raise Invalid(
                "marker is no job of this project",
                rule="marker",
                field="marker",
                value=marker,
            )
        at = to_microseconds(last.created_at)
        query = query.where(tuple_(jobs.c.created_at, jobs.c.id) < tuple_(at, last.id))
    return tuple(from_row(row) for row in conn.execute(query).mappings())


def count_open(conn: Connection, project_id: str, kinds: Collection[str]) -> int:
    """Return how many unfinished jobs of these kinds a project has, without sub jobs."""
    values = {"project": project_id, "kinds": list(kinds)}
    return int(conn.execute(_COUNT_OPEN, values).scalar_one())


def is_writing(conn: Connection, image_id: str, target: str, *, besides: str | None = None) -> bool:
    """Tell whether an unfinished job of this image writes the object `target` (bucket:key).

    `besides`: a job that does not count.
    """
    values = {"image": image_id, "object": target, "besides": besides or ""}
    return conn.execute(_WRITING, values).first() is not None


def holds_image(conn: Connection, image_id: str) -> bool:
    """Tell whether an unfinished job works on this image: then it is not deleted."""
    return conn.execute(_ON_IMAGE, {"image": image_id}).first() is not None


def open_ids(conn: Connection, ids: Collection[str]) -> set[str]:
    """Return which of these jobs are unfinished."""
    return set(conn.execute(_OPEN_AMONG, {"ids": list(ids)}).scalars()) if ids else set()


def begin(conn: Connection, job_id: str, token: str, now: datetime) -> tuple[Job, bool] | None:
    """Start an attempt; return the job and whether it is the first. None: ended or unknown."""
    values = {"job": job_id, "token": token, "now": to_microseconds(now)}
    row = conn.execute(_BEGIN, values).mappings().first()
    if row is None:
        return None
    conn.execute(_BEGIN_CHILDREN, values)
    job = from_row(row)
    return job, job.attempts == 1


def enter_step(conn: Connection, job: Job, step: str, percent: float, *, risky: bool) -> int | None:
    """Note that a step begins; return how often it began without ending, None when fenced.

    Only `risky` steps count: they run a tool on a stranger's bytes, and what kills the worker
    again and again is probably that.
    """
    values = {"job": job.id, "token": job.attempt_token, "step": step, "percent": percent}
    statement = _ENTER_RISKY if risky else _ENTER
    return conn.execute(statement, values).scalar()


def leave_step(conn: Connection, job: Job, percent: float) -> bool:
    """Note that a step ended and forget its deaths. False when fenced."""
    values = {"job": job.id, "token": job.attempt_token, "percent": percent}
    return bool(conn.execute(_LEAVE, values).rowcount)


def advance(conn: Connection, job: Job, percent: float) -> bool:
    """Note progress. False when fenced."""
    values = {"job": job.id, "token": job.attempt_token, "percent": percent}
    return bool(conn.execute(_ADVANCE, values).rowcount)


def note(conn: Connection, job: Job, result: Document) -> bool:
    """Keep what is known of a running job's result; a failed one keeps it too. False if fenced."""
    values = {"job": job.id, "token": job.attempt_token, "noted": dump(result)}
    return bool(conn.execute(_NOTE, values).rowcount)


def hand_over(conn: Connection, job: Job) -> None:
    """Forget the begun step: this process ends in an orderly way and is no death."""
    conn.execute(_HAND_OVER, {"job": job.id, "token": job.attempt_token})


def succeed(conn: Connection, job: Job, result: Document, now: datetime) -> bool:
    """End a running job well. False when fenced."""
    values = {
        "job": job.id,
        "token": job.attempt_token,
        "result": dump(result),
        "now": to_microseconds(now),
    }
    if not conn.execute(_SUCCEED, values).rowcount:
        return False
    conn.execute(_SUCCEED_CHILDREN, values)
    return True


def fail(conn: Connection, job: Job, failure: Failure, now: datetime) -> bool:
    """End a job badly: a running attempt its own, or one that never began. False when fenced."""
    values = {
        "job": job.id,
        "token": job.attempt_token,
        "reason": failure.reason,
        "rule": failure.rule,
        "error": failure.text,
        "now": to_microseconds(now),
    }
    statement = _FAIL_WAITING if job.attempt_token is None else _FAIL
    if not conn.execute(statement, values).rowcount:
        return False
    conn.execute(_FAIL_CHILDREN, values)
    return True


def set_cancel(conn: Connection, job_id: str) -> bool:
    """Ask an unfinished job to end. False when it has ended."""
    return bool(conn.execute(_CANCEL, {"job": job_id}).rowcount)


def watch(conn: Connection, ids: Collection[str]) -> dict[str, tuple[str | None, bool]]:
    """Return the token of each job's present attempt and whether the job was asked to end."""
    rows = conn.execute(_WATCH, {"ids": list(ids)})
    return {row.id: (row.attempt_token, row.cancel) for row in rows}


def purge(conn: Connection, before: datetime, limit: int) -> int:
    """Remove jobs that ended before a moment, with their sub jobs; return how many jobs."""
    values = {"before": to_microseconds(before), "limit": limit}
    ids = list(conn.execute(_OLD, values).scalars())
    if ids:
        conn.execute(_PURGE, {"ids": ids})
    return len(ids)


def insert_rows(conn: Connection, rows: Sequence[dict[str, object]]) -> None:
    """Add job rows."""
    conn.execute(jobs.insert(), list(rows))


_GET = select(jobs).where(_ID)
_GET_CHILDREN = (
    select(jobs).where(jobs.c.parent_id == bindparam("job")).order_by(jobs.c.position, jobs.c.id)
)
_GET_CHILDREN_OF = (
    select(jobs)
    .where(jobs.c.parent_id.in_(bindparam("ids", expanding=True)))
    .order_by(jobs.c.position, jobs.c.id)
)
_COUNT_OPEN = (
    select(func.count())
    .select_from(jobs)
    .where(
        jobs.c.project_id == bindparam("project"),
        jobs.c.kind.in_(bindparam("kinds", expanding=True)),
        _OPEN,
        _TOP,
    )
)
_WRITING = (
    select(jobs.c.id)
    .where(
        jobs.c.image_id == bindparam("image"),
        jobs.c.object == bindparam("object"),
        jobs.c.id != bindparam("besides"),
        _OPEN,
    )
    .limit(1)
)
_ON_IMAGE = select(jobs.c.id).where(jobs.c.image_id == bindparam("image"), _OPEN).limit(1)
_OPEN_AMONG = select(jobs.c.id).where(jobs.c.id.in_(bindparam("ids", expanding=True)), _OPEN)
_NOW = bindparam("now", type_=BigInteger)
_PERCENT = bindparam("percent", type_=Float)
_MORE = case((jobs.c.percent < _PERCENT, _PERCENT), else_=jobs.c.percent)
_BEGIN = (
    update(jobs)
    .where(_ID, _OPEN)
    .values(
        status=Status.RUNNING,
        attempts=jobs.c.attempts + 1,
        attempt_token=bindparam("token"),
        started_at=func.coalesce(jobs.c.started_at, _NOW),
        dispatched=True,
    )
    .returning(jobs)
)
_BEGIN_CHILDREN = (
    update(jobs)
    .where(*_CHILDREN)
    .values(status=Status.RUNNING, started_at=func.coalesce(jobs.c.started_at, _NOW))
)
_ENTER = (
    update(jobs)
    .where(*_MINE)
    .values(step=bindparam("step"), percent=_MORE)
    .returning(literal_column("0", Integer))
)
_ENTER_RISKY = (
    update(jobs)
    .where(*_MINE)
    .values(step=bindparam("step"), percent=_MORE, deaths=jobs.c.deaths + 1)
    .returning(jobs.c.deaths)
)
_LEAVE = update(jobs).where(*_MINE).values(deaths=0, percent=_MORE)
_ADVANCE = update(jobs).where(*_MINE).values(percent=_MORE)
_NOTE = update(jobs).where(*_MINE).values(result=bindparam("noted"))
_HAND_OVER = (
    update(jobs).where(*_MINE).values(deaths=case((jobs.c.deaths > 0, jobs.c.deaths - 1), else_=0))
)
_SUCCESS = {"status": Status.SUCCESS, "step": "publish", "percent": 100.0, "ended_at": _NOW}
_SUCCEED = (
    update(jobs)
    .where(*_MINE)
    .values(_SUCCESS | {"result": bindparam("result"), "attempt_token": None})
)
_SUCCEED_CHILDREN = update(jobs).where(*_CHILDREN).values(_SUCCESS)
_FAILURE = {
    "status": Status.FAIL,
    "reason": bindparam("reason"),
    "rule": bindparam("rule"),
    "error": bindparam("error"),
    "ended_at": _NOW,
    "attempt_token": None,
}
_FAIL = update(jobs).where(*_MINE).values(_FAILURE)
_FAIL_WAITING = update(jobs).where(_ID, jobs.c.status == Status.INIT).values(_FAILURE)
_FAIL_CHILDREN = update(jobs).where(*_CHILDREN).values(_FAILURE)
_CANCEL = update(jobs).where(_ID, _OPEN).values(cancel=True)
_WATCH = select(jobs.c.id, jobs.c.attempt_token, jobs.c.cancel).where(
    jobs.c.id.in_(bindparam("ids", expanding=True))
)
_OLD = (
    select(jobs.c.id)
    .where(
        jobs.c.status.in_([str(Status.SUCCESS), str(Status.FAIL)]),
        jobs.c.ended_at < bindparam("before"),
        _TOP,
    )
    .order_by(jobs.c.ended_at)
    .limit(bindparam("limit"))
)
_PURGE = delete(jobs).where(
    or_(
        jobs.c.id.in_(bindparam("ids", expanding=True)),
        jobs.c.parent_id.in_(bindparam("ids", expanding=True)),
    )
)
