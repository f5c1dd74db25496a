# SPDX-License-Identifier: Apache-2.0
"""The durable runner on both databases, with real processes that are killed, frozen and ended."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import text

from calotype.db.session import Database, normalise_url, sqlite_url
from calotype.db.tables import METADATA
from calotype.jobs import store
from calotype.jobs.model import Job
from calotype.jobs.queue import JobQueue
from calotype.jobs.states import Status
from calotype.settings import Settings
from tests.backends.postgres import PostgresServer, running_postgres
from tests.unit.jobs.toys import new_job

pytestmark = [pytest.mark.heavy, pytest.mark.xdist_group("jobs")]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as found:
        yield found


@dataclass
class Place:
    """A database, a directory, and workers that the test starts and ends."""

    url: str
    directory: Path
    database: Database
    queue: JobQueue
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, drain: float = 0.2) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.backends.job_worker"]
        worker = subprocess.Popen([*command, self.url, str(self.directory), str(drain)])
        self.workers.append(worker)
        return worker

    def submit(self) -> str:
        new = new_job(flow="waiting")
        return self.database.write(lambda conn: self.queue.submit(conn, new))

    def job(self, job_id: str) -> Job:
        job = self.database.read(lambda conn: store.get(conn, job_id))
        assert job is not None
        return job

    def go(self) -> None:
        (self.directory / "go").touch()

    def lines(self) -> list[tuple[str, str]]:
        """Return what happened, as (word, attempt)."""
        path = self.directory / "log"
        words = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [(word[0], word[1]) for word in words]

    def until(self, what: Callable[[], bool], seconds: float = 40) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, self.lines()
            time.sleep(0.02)

    def until_line(self, word: str, attempt: int) -> None:
        self.until(lambda: (word, str(attempt)) in self.lines())

    def freeze(self, worker: subprocess.Popen[bytes]) -> None:
        """Stop a worker at a moment at which it is in no transaction that writes.

        In one it would hold locks until the database ends its session, which takes PostgreSQL ten
        seconds; SQLite never does, and there is only one process beside it anyway.
        """
        while True:
            os.kill(worker.pid, signal.SIGSTOP)
            time.sleep(0.05)
            if not self._writes():
                return
            os.kill(worker.pid, signal.SIGCONT)
            time.sleep(0.05)

    def _writes(self) -> bool:
        if not self.database.is_sqlite:
            query = (
                "SELECT count(*) FROM pg_locks WHERE mode = 'RowExclusiveLock'"
                " AND pid <> pg_backend_pid()"
            )
            return bool(self.database.read(lambda conn: conn.execute(text(query)).scalar()))
        for path in self.directory.glob("*.sqlite"):
            try:
                with sqlite3.connect(path, timeout=0.1) as connection:
                    connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            finally:
                connection.close()
        return False

    def until_ended(self, job_id: str) -> Job:
        self.until(lambda: self.job(job_id).ended)
        return self.job(job_id)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        url = sqlite_url(tmp_path)
    else:
        found: PostgresServer = request.getfixturevalue("server")
        url = normalise_url(found.fresh_url())
    database = Database(url)
    METADATA.create_all(database.engine)
    made = Place(url, tmp_path, database, JobQueue(Settings(data_dir=tmp_path)))
    with ExitStack() as stack:
        stack.callback(database.close)
        stack.callback(_end_all, made.workers)
        yield made


def _end_all(workers: list[subprocess.Popen[bytes]]) -> None:
    for worker in workers:
        worker.kill()
        worker.wait(10)


def test_a_killed_worker_is_replaced_and_finished_steps_are_not_repeated(place: Place) -> None:
    job_id = place.submit()
    first = place.start()
    place.until_line("hold", 1)
    first.kill()
    first.wait(10)
    assert place.job(job_id).status == Status.RUNNING
    place.start()
    place.until_line("hold", 2)
    place.go()
    job = place.until_ended(job_id)
    assert (job.status, job.attempts) == (Status.SUCCESS, 2)
    assert job.result == {"made": f"{job_id}-1"}
    place.until_line("cleanup", 2)
    assert place.lines() == [
        ("started", "1"),
        ("first", "1"),
        ("hold", "1"),
        ("hold", "2"),
        ("last", "2"),
        ("publish", "2"),
        ("cleanup", "2"),
    ]


def test_a_frozen_worker_that_wakes_up_changes_nothing(place: Place) -> None:
    job_id = place.submit()
    frozen = place.start()
    place.until_line("hold", 1)
    place.freeze(frozen)
    try:
        place.start()
        place.until_line("hold", 2)
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    place.until_line("abandoned", 1)
    place.go()
    job = place.until_ended(job_id)
    assert (job.status, job.attempts) == (Status.SUCCESS, 2)
    assert [line for line in place.lines() if line[0] == "publish"] == [("publish", "2")]
    assert ("last", "1") not in place.lines()


def test_a_cancelled_job_ends_within_a_second(place: Place) -> None:
    job_id = place.submit()
    place.start()
    place.until_line("hold", 1)
    begin = time.monotonic()
    assert place.database.write(lambda conn: place.queue.cancel(conn, job_id))
    job = place.until_ended(job_id)
    assert (job.status, job.reason) == (Status.FAIL, "CANCELLED")
    assert time.monotonic() - begin < 1.0
    place.until_line("cleanup", 1)


def test_a_job_cancelled_in_the_queue_ends_without_a_place(place: Place) -> None:
    ids = [place.submit() for _ in range(4)]
    place.start()
    place.until(lambda: place.lines().count(("hold", "1")) == 2)
    place.database.write(lambda conn: place.queue.cancel(conn, ids[3]))
    assert place.until_ended(ids[3]).reason == "CANCELLED"
    assert place.job(ids[2]).status == Status.INIT
    place.go()
    for job_id in ids[:3]:
        assert place.until_ended(job_id).status == Status.SUCCESS


def test_a_worker_that_is_asked_to_end_hands_over_and_no_death_is_counted(place: Place) -> None:
    job_id = place.submit()
    leaving = place.start()
    place.until_line("hold", 1)
    leaving.terminate()
    assert leaving.wait(20) == 0
    job = place.job(job_id)
    assert (job.status, job.deaths) == (Status.RUNNING, 0)
    begin = time.monotonic()
    place.start()
    place.until_line("hold", 2)
    assert time.monotonic() - begin < 15
    place.go()
    assert place.until_ended(job_id).status == Status.SUCCESS


def test_a_worker_that_is_asked_to_end_lets_a_short_step_end(place: Place) -> None:
    job_id = place.submit()
    leaving = place.start(drain=20)
    place.until_line("hold", 1)
    leaving.terminate()
    time.sleep(0.3)
    place.go()
    assert leaving.wait(20) == 0
    assert ("last", "1") not in place.lines()
    place.start()
    assert place.until_ended(job_id).status == Status.SUCCESS
    assert place.lines().count(("hold", "1")) == 1
    assert ("hold", "2") not in place.lines()


def test_the_third_death_of_workers_in_one_step_ends_the_job(place: Place) -> None:
    job_id = place.submit()
    for attempt in (1, 2, 3):
        worker = place.start()
        place.until_line("hold", attempt)
        worker.kill()
        worker.wait(10)
    place.start()
    job = place.until_ended(job_id)
    assert (job.status, job.reason) == (Status.FAIL, "WORKER_LOST")


def test_a_job_whose_run_the_engine_has_lost_is_run_all_the_same(place: Place) -> None:
    if not place.database.is_sqlite:
        pytest.skip("the engine's own state is a file only beside SQLite")
    job_id = place.submit()
    worker = place.start()
    place.until_line("hold", 1)
    worker.kill()
    worker.wait(10)
    for path in place.directory.glob("*-jobs.sqlite*"):
        path.unlink()
    place.go()
    place.start()
    assert place.until_ended(job_id).status == Status.SUCCESS
