# SPDX-License-Identifier: Apache-2.0
"""Runs one attempt of a job from its row to its end; the same under the engine and inline.

Promises (jobs.md 4): the job becomes RUNNING, SUCCESS or FAIL in the same transaction as the
image moves with it; a step that a worker died in begins again, the third death in a risky step
ends the job; nothing an overtaken attempt does is visible. The engine only remembers results of
finished steps; truth is the row.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import Connection

from calotype import clock, ids
from calotype.db.session import Database
from calotype.errors import CalotypeError, Unavailable
from calotype.jobs import store
from calotype.jobs.flow import Attempt, Fenced, Flow, HandedOver, Step
from calotype.jobs.model import Document, Job
from calotype.jobs.signals import Signal, Signals
from calotype.jobs.states import Failure, JobFailed, JobReason, failure_of

T = TypeVar("T")
Call = Callable[[str, Callable[[], str]], str]
"""Runs a named step or, when it is known to have ended, returns what it gave then."""

_LOG = logging.getLogger(__name__)
_DEATHS = 3
_STORE_PATIENCE = 600.0  # seconds that a store may be away (jobs.md 7)
_LONGEST_PAUSE = 30.0
_AT_ONCE = frozenset({"store_full"})


class Executor:
    """Runs attempts. `job_age` is the longest age of a job before it fails with TIMEOUT."""

    def __init__(
        self,
        db: Database,
        flows: Mapping[str, Flow],
        signals: Signals,
        job_age: timedelta,
        store_patience: float = _STORE_PATIENCE,
    ) -> None:
        self._db = db
        self._flows = flows
        self._signals = signals
        self._job_age = job_age
        self._store_patience = store_patience

    def run(self, job_id: str, call: Call) -> None:
        """Run the job until it ends. Returns at once when it has ended.

        What steps raise becomes the job's failure. Raises Fenced and HandedOver: then the job goes
        on elsewhere.
        """
        with self._signals.entered(job_id) as signal:
            if self._signals.closing:
                raise HandedOver
            begun = self._insist(lambda conn: self._begin(conn, job_id))
            if begun is None:
                return
            job, failure = begun
            attempt = self._attempt(job, signal)
            flow = self._flows[job.flow]
            try:
                if failure is None:
                    failure = self._steps(attempt, flow, call)
                if failure is not None:
                    self._fail(job, flow, failure)
            except Fenced:
                _quietly(lambda: flow.abandoned(attempt))
                raise
            _quietly(lambda: flow.cleanup(job))

    def fail_waiting(self, conn: Connection, job: Job, failure: Failure) -> bool:
        """End a job that never began, in the caller's transaction. False when it began."""
        if not store.fail(conn, job, failure, clock.now()):
            return False
        self._flows[job.flow].failed(conn, job, failure)
        return True

    def _begin(self, conn: Connection, job_id: str) -> tuple[Job, Failure | None] | None:
        begun = store.begin(conn, job_id, ids.new_hex(), clock.now())
        if begun is None:
            return None
        job, first = begun
        if first and not job.cancel:
            try:
                with conn.begin_nested():
                    self._flows[job.flow].started(conn, job)
            except CalotypeError as error:
                return job, failure_of(error)
        return job, None

    def _attempt(self, job: Job, signal: Signal) -> Attempt:
        signal.token = job.attempt_token
        if job.cancel:
            signal.cancel()
        left = self._job_age - (clock.now() - job.created_at)
        return Attempt(
            job,
            signal,
            lambda percent: self._db.write(lambda conn: store.advance(conn, job, percent)),
            clock.monotonic() + left.total_seconds(),
        )

    def _steps(self, attempt: Attempt, flow: Flow, call: Call) -> Failure | None:
        results: dict[str, Document] = {}
        start = 0.0
        for step in flow.steps:
            if self._signals.closing:
                raise HandedOver
            attempt.enter(start, step.share)
            start = step.share
            outcome = json.loads(call(step.name, _bound(self._step, attempt, step, results)))
            if "failed" in outcome:
                return Failure(**outcome["failed"])
            results[step.name] = outcome["done"]
        return self._publish(attempt, flow, results, start)

    def _publish(
        self, attempt: Attempt, flow: Flow, results: Mapping[str, Document], percent: float
    ) -> Failure | None:
        job = attempt.job

        def publish(conn: Connection) -> None:
            # First, because its row lock keeps a cancel or another attempt out until the outcome
            # is visible.
            if store.enter_step(conn, job, "publish", percent, risky=False) is None:
                raise Fenced
            result = flow.publish(conn, job, results)
            if not store.succeed(conn, job, result, clock.now()):
                raise Fenced

        try:
            attempt.check()
            self._insist(publish)
        except Exception as error:
            return _judged(job, "publish", error)
        return None

    def _step(self, attempt: Attempt, step: Step, results: Mapping[str, Document]) -> str:
        """Run one step to a text that the engine keeps: what it gave, or why it failed."""
        job = attempt.job
        deaths = self._insist(
            lambda conn: store.enter_step(conn, job, step.name, attempt.start, risky=step.risky)
        )
        if deaths is None:
            raise Fenced
        try:
            if deaths > _DEATHS:
                lost = "the worker died three times in this step"
                raise JobFailed(JobReason.WORKER_LOST, lost)
            done = self._patiently(attempt, step, results)
        except HandedOver:
            self._insist(lambda conn: store.hand_over(conn, job))
            raise
        except Exception as error:
            failure = _judged(job, step.name, error)
            parts = {"reason": failure.reason, "rule": failure.rule, "text": failure.text}
            return json.dumps({"failed": parts})
        if not self._insist(lambda conn: store.leave_step(conn, job, step.share)):
            raise Fenced
        return json.dumps({"done": done})

    def _patiently(self, attempt: Attempt, step: Step, results: Mapping[str, Document]) -> Document:
        """Run a step, again and again while a store is away, for as long as patience lasts."""
        started: float | None = None
        pause = 1.0
        while True:
            attempt.check()
            try:
                return step.run(attempt, results)
            except Unavailable as error:
                now = clock.monotonic()
                started = now if started is None else started
                if error.rule in _AT_ONCE or now - started > self._store_patience:
                    raise
                _LOG.warning("step waits", extra={"job_id": attempt.job.id, "rule": error.rule})
            except Exception:
                attempt.check()  # a tool that was told to end says so in words of its own
                raise
            attempt.wait(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)

    def _fail(self, job: Job, flow: Flow, failure: Failure) -> None:
        def fail(conn: Connection) -> None:
            if not store.fail(conn, job, failure, clock.now()):
                raise Fenced
            flow.failed(conn, job, failure)

        self._insist(fail)

    def _insist(self, work: Callable[[Connection], T]) -> T:
        """Run a transaction, again while the database is away, until this process ends."""
        pause = 0.2
        while True:
            try:
                return self._db.write(work)
            except Unavailable as error:
                if error.rule != "database_away":
                    raise
            if self._signals.closing:
                raise HandedOver
            self._signals.pause(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)


def _bound(step: Callable[..., str], *arguments: object) -> Callable[[], str]:
    return lambda: step(*arguments)


def _judged(job: Job, step: str, error: Exception) -> Failure:
    """Return the failure that an error is; log what nobody expected."""
    failure = failure_of(error)
    if failure.reason == JobReason.INTERNAL:
        extra = {"job_id": job.id, "step": step}
        _LOG.error("job failed unexpectedly", exc_info=error, extra=extra)
    return failure


def _quietly(work: Callable[[], None]) -> None:
    """Run clean-up, whose failure changes nothing: the sweep finds what it left."""
    try:
        work()
    except Exception:
        _LOG.warning("clean-up failed", exc_info=True)
