# SPDX-License-Identifier: Apache-2.0
"""Submission, limits, listing and fairness (contract jobs.md 1 and 4)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection

from calotype import clock
from calotype.db.session import Database
from calotype.errors import Invalid, QuotaExceeded
from calotype.jobs import outbox, store
from calotype.jobs.model import Job
from calotype.jobs.queue import JobQueue
from calotype.jobs.states import Failure, Kind, Status
from tests.unit.jobs.toys import new_job, open_database, read, settings, submit


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(tmp_path)
    yield database
    database.close()


@pytest.fixture
def queue(tmp_path: Path) -> JobQueue:
    return JobQueue(settings(tmp_path, creation_jobs_per_project=3, copy_jobs_per_project=1))


def test_a_submitted_job_is_init_and_waits_in_the_outbox(
    database: Database, queue: JobQueue
) -> None:
    job = read(database, submit(database, queue, new_job(request={"key": "ä"})))
    assert (job.status, job.step, job.percent, job.dispatched) == (Status.INIT, "queue", 0.0, False)
    assert job.request == {"key": "ä"}
    assert job.created_at <= clock.now()
    assert job.ended_at is None


def test_a_transaction_that_fails_leaves_no_job(database: Database, queue: JobQueue) -> None:
    def work(conn: Connection) -> None:
        queue.submit(conn, new_job())
        raise ValueError

    with pytest.raises(ValueError):
        database.write(work)
    assert database.read(lambda c: store.page(c, "b" * 32, None, None, 10)) == ()


def test_exports_count_with_creations_and_copies_do_not(
    database: Database, queue: JobQueue
) -> None:
    submit(database, queue)
    submit(database, queue, new_job(kind=Kind.EXPORT))
    submit(database, queue, new_job(kind=Kind.EXPORT))
    with pytest.raises(QuotaExceeded) as refused:
        submit(database, queue)
    assert refused.value.rule == "too_many_jobs"
    assert refused.value.facts == {"quota": "creation_jobs", "limit": 3, "used": 3}
    submit(database, queue, new_job(kind=Kind.COPY))
    with pytest.raises(QuotaExceeded):
        submit(database, queue, new_job(kind=Kind.COPY))
    for _ in range(5):
        submit(database, queue, new_job(kind=Kind.MEMBERS))
    submit(database, queue, new_job(project_id="d" * 32))


def test_many_parallel_submissions_get_exactly_the_limit(
    database: Database, queue: JobQueue
) -> None:
    def attempt(_: int) -> bool:
        try:
            submit(database, queue)
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(5) as pool:
        assert sum(pool.map(attempt, range(15))) == 3


def test_sub_jobs_do_not_count_and_are_not_listed(database: Database, queue: JobQueue) -> None:
    job_id = submit(database, queue, new_job(subs=("one", "two")))
    subs = database.read(lambda c: store.children(c, job_id))
    assert [sub.variant for sub in subs] == ["one", "two"]
    assert {sub.parent_id for sub in subs} == {job_id}
    listed = database.read(lambda c: store.page(c, "b" * 32, None, None, 10))
    assert [job.id for job in listed] == [job_id]
    assert database.read(lambda c: store.count_open(c, "b" * 32, ["creation"])) == 1
    assert database.read(lambda c: outbox.next_runs(c, 9)) == [(job_id, 0)]


def list_page(conn: Connection, marker: str | None) -> tuple[Job, ...]:
    return store.page(conn, "b" * 32, None, marker, 2)


def test_pages_go_from_newest_to_oldest_and_a_foreign_marker_is_refused(
    database: Database, tmp_path: Path
) -> None:
    queue = JobQueue(settings(tmp_path))
    ids = [submit(database, queue) for _ in range(5)]
    foreign = submit(database, queue, new_job(project_id="d" * 32))
    newest_first = list(reversed(ids))
    seen: list[str] = []
    marker = None
    while True:
        part = database.read(partial(list_page, marker=marker))
        seen += [job.id for job in part]
        if len(part) < 2:
            break
        marker = part[-1].id
    assert seen == newest_first
    with pytest.raises(Invalid) as refused:
        database.read(lambda c: store.page(c, "b" * 32, None, foreign, 2))
    assert refused.value.rule == "marker"
    assert database.read(lambda c: store.page(c, "b" * 32, Status.FAIL, None, 9)) == ()


def test_a_project_with_many_jobs_does_not_hold_up_another(
    database: Database, tmp_path: Path
) -> None:
    queue = JobQueue(settings(tmp_path))
    busy = [submit(database, queue) for _ in range(6)]
    single = submit(database, queue, new_job(project_id="d" * 32))
    first = database.read(lambda c: outbox.next_runs(c, 2))
    assert [run[0] for run in first] == [busy[0], single]
    for run in first:
        assert database.write(partial(outbox.mark, run=run))
        assert not database.write(partial(outbox.mark, run=run))
    assert database.read(lambda c: outbox.next_runs(c, 2)) == []
    assert [run[0] for run in database.read(lambda c: outbox.next_runs(c, 4))] == busy[1:3]


def test_a_run_that_the_engine_lost_gets_a_new_number(database: Database, queue: JobQueue) -> None:
    run = (submit(database, queue), 0)
    database.write(lambda c: outbox.mark(c, run))
    assert database.read(outbox.handed_over) == [run]
    assert database.write(lambda c: outbox.take_back(c, run))
    assert not database.write(lambda c: outbox.take_back(c, run))
    assert database.read(lambda c: outbox.next_runs(c, 1)) == [(run[0], 1)]


def test_waiting_jobs_that_were_cancelled_or_are_too_old_are_found(
    database: Database, queue: JobQueue
) -> None:
    first, second = submit(database, queue), submit(database, queue)
    assert database.write(lambda c: queue.cancel(c, first))
    past = clock.now() - timedelta(hours=1)
    assert [job.id for job in database.read(lambda c: outbox.overdue(c, past))] == [first]
    soon = clock.now() + timedelta(hours=1)
    assert {job.id for job in database.read(lambda c: outbox.overdue(c, soon))} == {first, second}


def test_ended_jobs_are_purged_with_their_sub_jobs_and_unfinished_ones_kept(
    database: Database, queue: JobQueue
) -> None:
    ended = submit(database, queue, new_job(subs=("one",)))
    kept = submit(database, queue)
    job = read(database, ended)
    failure = Failure("CANCELLED", "cancelled", "the job was cancelled")
    assert database.write(lambda c: store.fail(c, job, failure, clock.now()))
    assert not database.write(lambda c: queue.cancel(c, ended))
    soon = clock.now() + timedelta(seconds=1)
    assert database.write(lambda c: store.purge(c, soon, 10)) == 1
    assert database.read(lambda c: store.get(c, ended)) is None
    assert database.read(lambda c: store.children(c, ended)) == ()
    assert read(database, kept).status == Status.INIT
