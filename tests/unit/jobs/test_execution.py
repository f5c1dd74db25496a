# SPDX-License-Identifier: Apache-2.0
"""What an attempt does to its job: moves, fences, deaths, cancelling, patience (jobs.md 4, 7)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from calotype import clock
from calotype.db.session import Database
from calotype.errors import BadImage, Cancelled, Gone, Reason, Unavailable
from calotype.jobs import store
from calotype.jobs.execution import Executor
from calotype.jobs.flow import Attempt, Fenced, HandedOver, Results, Step
from calotype.jobs.inline import InlineRunner
from calotype.jobs.model import Document
from calotype.jobs.queue import JobQueue
from calotype.jobs.signals import Signals
from calotype.jobs.states import JobFailed, JobReason, Status
from tests.unit.jobs.toys import Toy, new_job, open_database, read, settings, submit

DAY = timedelta(days=1)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(tmp_path)
    yield database
    database.close()


@pytest.fixture
def queue(tmp_path: Path) -> JobQueue:
    return JobQueue(settings(tmp_path))


def at_once(name: str, step: Callable[[], str]) -> str:
    return step()


def done(attempt: Attempt, results: Results) -> Document:
    return {"attempt": attempt.number}


def run(database: Database, flow: Toy, job_id: str, *, age: timedelta = DAY) -> Signals:
    signals = Signals()
    Executor(database, {"toy": flow}, signals, age, store_patience=0.3).run(job_id, at_once)
    return signals


def test_a_job_runs_its_steps_and_ends_with_their_results(
    database: Database, queue: JobQueue, tmp_path: Path
) -> None:
    seen: list[tuple[Status, str, float]] = []

    def look(attempt: Attempt, results: Results) -> Document:
        now = read(database, attempt.job.id)
        seen.append((now.status, now.step, now.percent))
        assert results["one"] == {"attempt": 1}
        return {}

    flow = Toy((Step("one", 20, done), Step("two", 90, look)))
    job_id = submit(database, queue, new_job(subs=("sub",)))
    assert InlineRunner(database, {"toy": flow}, settings(tmp_path)).run_waiting() == 1
    job = read(database, job_id)
    assert (job.status, job.percent, job.step) == (Status.SUCCESS, 100.0, "publish")
    assert job.result == {"one": {"attempt": 1}, "two": {}}
    assert seen == [(Status.RUNNING, "two", 20.0)]
    assert flow.told == ["started", "publish", "cleanup"]
    assert job.started_at is not None and job.ended_at is not None
    (sub,) = database.read(lambda c: store.children(c, job_id))
    assert (sub.status, sub.ended_at) == (Status.SUCCESS, job.ended_at)


def test_an_ended_job_is_not_run_again(database: Database, queue: JobQueue) -> None:
    flow = Toy((Step("one", 50, done),))
    job_id = submit(database, queue)
    run(database, flow, job_id)
    run(database, flow, job_id)
    assert flow.told == ["started", "publish", "cleanup"]
    assert read(database, job_id).attempts == 1


def test_refused_content_fails_the_job_with_its_reason(database: Database, queue: JobQueue) -> None:
    def refuse(attempt: Attempt, results: Results) -> Document:
        raise BadImage(Reason.BACKING_FILE, "qcow2 header has a backing file")

    flow = Toy((Step("inspect", 22, refuse, risky=True), Step("convert", 85, done)))
    job_id = submit(database, queue, new_job(subs=("sub",)))
    run(database, flow, job_id)
    job = read(database, job_id)
    assert (job.status, job.reason, job.error) == (
        Status.FAIL,
        "BACKING_FILE",
        "qcow2 header has a backing file",
    )
    assert job.step == "inspect"
    assert job.percent < 100
    assert flow.told == ["started", "failed BACKING_FILE", "cleanup"]
    (sub,) = database.read(lambda c: store.children(c, job_id))
    assert (sub.status, sub.reason) == (Status.FAIL, "BACKING_FILE")


def test_an_unexpected_error_tells_nothing_about_itself(
    database: Database, queue: JobQueue
) -> None:
    def break_down(attempt: Attempt, results: Results) -> Document:
        raise RuntimeError("/secret/path")

    job_id = submit(database, queue)
    run(database, Toy((Step("one", 50, break_down),)), job_id)
    job = read(database, job_id)
    assert (job.status, job.reason) == (Status.FAIL, "INTERNAL")
    assert "/secret" not in (job.error or "")


def test_a_publication_that_is_not_wanted_any_more_fails_the_job(
    database: Database, queue: JobQueue
) -> None:
    def refuse(conn: object, job: object) -> None:
        raise JobFailed(JobReason.STATE, "the image left the state")

    flow = Toy((Step("one", 50, done),), at_publish=refuse)
    job_id = submit(database, queue)
    run(database, flow, job_id)
    assert read(database, job_id).reason == "STATE"
    assert flow.told == ["started", "publish", "failed STATE", "cleanup"]


def test_a_start_that_is_refused_fails_the_job_before_any_step(
    database: Database, queue: JobQueue
) -> None:
    def refuse(conn: object, job: object) -> None:
        raise JobFailed(JobReason.STATE, "the image is gone")

    flow = Toy((Step("one", 50, done),), at_start=refuse)
    job_id = submit(database, queue)
    run(database, flow, job_id)
    assert (read(database, job_id).status, read(database, job_id).reason) == (Status.FAIL, "STATE")
    assert flow.told == ["started", "failed STATE", "cleanup"]


def test_an_overtaken_attempt_changes_nothing(database: Database, queue: JobQueue) -> None:
    job_id = submit(database, queue)
    late = Toy(())

    def be_overtaken(attempt: Attempt, results: Results) -> Document:
        run(database, Toy((Step("one", 50, done),)), job_id)
        return {"from": "late"}

    late.steps = (Step("one", 50, be_overtaken),)
    with pytest.raises(Fenced):
        run(database, late, job_id)
    job = read(database, job_id)
    assert (job.status, job.attempts, job.result) == (Status.SUCCESS, 2, {"one": {"attempt": 2}})
    assert late.told == ["started", "abandoned"]


def test_an_overtaken_attempt_learns_it_from_its_progress(
    database: Database, queue: JobQueue
) -> None:
    job_id = submit(database, queue)

    def be_overtaken(attempt: Attempt, results: Results) -> Document:
        database.write(lambda c: store.begin(c, job_id, "other", clock.now()))
        attempt.progress(0.5)
        assert attempt.stopping()
        attempt.check()
        return {}

    with pytest.raises(Fenced):
        run(database, Toy((Step("one", 50, be_overtaken),)), job_id)


def test_progress_is_stored_and_never_goes_down(database: Database, queue: JobQueue) -> None:
    job_id = submit(database, queue)
    seen: list[float] = []

    def go(attempt: Attempt, results: Results) -> Document:
        attempt.progress(0.5)
        seen.append(read(database, job_id).percent)
        assert database.write(lambda c: store.advance(c, attempt.job, 3.0))
        seen.append(read(database, job_id).percent)
        return {}

    run(database, Toy((Step("one", 20, done), Step("two", 60, go))), job_id)
    assert seen == [40.0, 40.0]


class Died(BaseException):
    """Stands for the end of the process: nothing of ours handles it."""


@pytest.mark.parametrize(("risky", "ends"), [(True, "WORKER_LOST"), (False, None)])
def test_the_third_death_in_a_risky_step_ends_the_job(
    database: Database, queue: JobQueue, risky: bool, ends: str | None
) -> None:
    job_id = submit(database, queue)

    def die(attempt: Attempt, results: Results) -> Document:
        raise Died

    dying = Toy((Step("convert", 50, die, risky=risky),))
    for _ in range(3):
        with pytest.raises(Died):
            run(database, dying, job_id)
        assert read(database, job_id).status == Status.RUNNING
    run(database, Toy((Step("convert", 50, done, risky=risky),)), job_id)
    assert read(database, job_id).reason == ends


def test_deaths_are_forgotten_when_the_step_ends(database: Database, queue: JobQueue) -> None:
    job_id = submit(database, queue)

    def die(attempt: Attempt, results: Results) -> Document:
        raise Died

    first = Toy((Step("inspect", 10, die, risky=True),))
    second = Toy((Step("inspect", 10, done, risky=True), Step("convert", 50, die, risky=True)))
    for flow in (first, first, second, second, second):
        with pytest.raises(Died):
            run(database, flow, job_id)
    assert read(database, job_id).status == Status.RUNNING


def test_a_cancelled_job_ends_while_its_step_runs(database: Database, queue: JobQueue) -> None:
    job_id = submit(database, queue)
    signals = Signals()

    def wait(attempt: Attempt, results: Results) -> Document:
        signals.running()[0].cancel()
        while not attempt.stopping():
            pass
        raise Cancelled("the work was cancelled while qemu-img was running")

    flow = Toy((Step("convert", 50, wait, risky=True),))
    Executor(database, {"toy": flow}, signals, DAY).run(job_id, at_once)
    job = read(database, job_id)
    assert (job.status, job.reason, job.error) == (
        Status.FAIL,
        "CANCELLED",
        "the job was cancelled",
    )


def test_a_job_cancelled_before_it_began_runs_no_step(database: Database, queue: JobQueue) -> None:
    job_id = submit(database, queue)
    database.write(lambda c: queue.cancel(c, job_id))
    flow = Toy((Step("one", 50, done),))
    run(database, flow, job_id)
    assert read(database, job_id).reason == "CANCELLED"
    assert flow.told == ["failed CANCELLED", "cleanup"]


def test_a_job_that_is_too_old_fails_with_timeout(database: Database, queue: JobQueue) -> None:
    job_id = submit(database, queue)
    run(database, Toy((Step("one", 50, done),)), job_id, age=timedelta(0))
    assert read(database, job_id).reason == "TIMEOUT"


def test_a_process_that_ends_leaves_the_job_to_another_without_a_death(
    database: Database, queue: JobQueue
) -> None:
    job_id = submit(database, queue)
    signals = Signals()

    def leave(attempt: Attempt, results: Results) -> Document:
        signals.close()
        signals.leave()
        raise Cancelled("the tool was killed")

    flow = Toy((Step("convert", 50, leave, risky=True),))
    with pytest.raises(HandedOver):
        Executor(database, {"toy": flow}, signals, DAY).run(job_id, at_once)
    job = read(database, job_id)
    assert (job.status, job.deaths) == (Status.RUNNING, 0)
    run(database, Toy((Step("convert", 50, done, risky=True),)), job_id)
    assert read(database, job_id).status == Status.SUCCESS


def test_a_store_that_is_away_is_waited_for(
    database: Database, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calotype.jobs.flow.Attempt.wait", lambda self, seconds: self.check())
    tries: list[int] = []

    def put(attempt: Attempt, results: Results) -> Document:
        tries.append(1)
        if len(tries) < 3:
            raise Unavailable("the store is away", rule="store_away")
        return {}

    job_id = submit(database, queue)
    run(database, Toy((Step("store", 98, put),)), job_id)
    assert read(database, job_id).status == Status.SUCCESS
    assert len(tries) == 3


def test_a_full_store_fails_the_job_at_once_and_an_absent_one_after_patience(
    database: Database, queue: JobQueue
) -> None:
    for rule, reason in (("store_full", "STORE_FULL"), ("store_away", "STORE")):

        def put(attempt: Attempt, results: Results, rule: str = rule) -> Document:
            raise Unavailable("no", rule=rule)

        job_id = submit(database, queue)
        run(database, Toy((Step("store", 98, put),)), job_id)
        assert read(database, job_id).reason == reason


def test_the_runner_waits_for_what_runs(database: Database, queue: JobQueue) -> None:
    signals = Signals()
    go = threading.Event()

    def hold(attempt: Attempt, results: Results) -> Document:
        assert go.wait(10)
        return {}

    job_id = submit(database, queue)
    flow = Toy((Step("one", 50, hold),))
    executor = Executor(database, {"toy": flow}, signals, DAY)
    thread = threading.Thread(target=executor.run, args=(job_id, at_once))
    thread.start()
    while not signals.running():
        pass
    assert not signals.wait_idle(0.01)
    go.set()
    assert signals.wait_idle(10)
    thread.join()


def test_gone_is_not_internal(database: Database, queue: JobQueue) -> None:
    def refuse(conn: object, job: object) -> None:
        raise Gone("the image was deleted")

    job_id = submit(database, queue)
    run(database, Toy((Step("one", 50, done),), at_publish=refuse), job_id)
    assert read(database, job_id).reason == "STATE"
