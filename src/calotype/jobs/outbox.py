# SPDX-License-Identifier: Apache-2.0
"""Which accepted job is handed to the engine next, and which rows need a hand.

Fair between projects: the project with the fewest jobs under way comes first, inside a project the
oldest (jobs.md 4). A row is marked after the engine has it; the engine's id of a run makes doing
it twice harmless.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Connection, bindparam, func, or_, select, update

from calotype.db.tables.jobs import jobs
from calotype.jobs.model import Job, from_row, to_microseconds
from calotype.jobs.states import UNFINISHED, Status

Run = tuple[str, int]
"""Id of a job and how often it was handed over before."""


def run_id(run: Run) -> str:
    """Return the engine's id of a run."""
    return f"{run[0]}-{run[1]}"


def next_runs(conn: Connection, places: int) -> list[Run]:
    """Return the jobs that `places` free places should get, in order."""
    waiting = int(conn.execute(_HANDED).scalar_one())
    if waiting >= places:
        return []
    heads = {row.project_id: row.oldest for row in conn.execute(_HEADS)}
    if not heads:
        return []
    under_way = {row.project_id: row.number for row in conn.execute(_UNDER_WAY)}
    chosen: list[Run] = []
    taken: dict[str, int] = {}
    while heads and len(chosen) < places - waiting:
        project = min(heads, key=lambda p: (under_way.get(p, 0) + taken.get(p, 0), heads[p], p))
        skip = taken.get(project, 0)
        row = conn.execute(_OLDEST, {"project": project, "skip": skip}).first()
        if row is None:
            del heads[project]
            continue
        taken[project] = skip + 1
        chosen.append((row.id, row.runs))
    return chosen


def mark(conn: Connection, run: Run) -> bool:
    """Note that the engine has a run; False when another worker was first."""
    values = {"job": run[0], "had": run[1]}
    return bool(conn.execute(_MARK, values).rowcount)


def handed_over(conn: Connection) -> list[Run]:
    """Return the unfinished jobs that the engine should have."""
    return [(row.id, row.runs) for row in conn.execute(_WITH_ENGINE)]


def take_back(conn: Connection, run: Run) -> bool:
    """Put a job whose run the engine lost back into the outbox."""
    return bool(conn.execute(_TAKE_BACK, {"job": run[0], "had": run[1]}).rowcount)


def overdue(conn: Connection, accepted_before: datetime) -> list[Job]:
    """Return jobs that never began and never will: cancelled, or too old."""
    values = {"before": to_microseconds(accepted_before)}
    return [from_row(row) for row in conn.execute(_OVERDUE, values).mappings()]


_TOP = jobs.c.parent_id.is_(None)
_OPEN = jobs.c.status.in_([str(status) for status in UNFINISHED])
_OUTBOX = (_OPEN, jobs.c.dispatched.is_(False), _TOP)
_HANDED = (
    select(func.count())
    .select_from(jobs)
    .where(jobs.c.status == Status.INIT, jobs.c.dispatched.is_(True), _TOP)
)
_HEADS = (
    select(jobs.c.project_id, func.min(jobs.c.created_at).label("oldest"))
    .where(*_OUTBOX)
    .group_by(jobs.c.project_id)
)
_UNDER_WAY = (
    select(jobs.c.project_id, func.count().label("number"))
    .where(_OPEN, jobs.c.dispatched.is_(True), _TOP)
    .group_by(jobs.c.project_id)
)
_OLDEST = (
    select(jobs.c.id, jobs.c.runs)
    .where(*_OUTBOX, jobs.c.project_id == bindparam("project"))
    .order_by(jobs.c.created_at, jobs.c.id)
    .limit(1)
    .offset(bindparam("skip"))
)
_RUN = (jobs.c.id == bindparam("job"), jobs.c.runs == bindparam("had"))
_MARK = update(jobs).where(*_RUN, jobs.c.dispatched.is_(False)).values(dispatched=True)
_WITH_ENGINE = select(jobs.c.id, jobs.c.runs).where(_OPEN, jobs.c.dispatched.is_(True), _TOP)
_TAKE_BACK = (
    update(jobs)
    .where(*_RUN, _OPEN, jobs.c.dispatched.is_(True))
    .values(dispatched=False, runs=jobs.c.runs + 1)
)
_OVERDUE = select(jobs).where(
    jobs.c.status == Status.INIT,
    _TOP,
    or_(jobs.c.cancel.is_(True), jobs.c.created_at < bindparam("before", type_=BigInteger)),
)
