# SPDX-License-Identifier: Apache-2.0
"""The worker: beats, takes over from the dead, hands accepted jobs to the engine, drains.

Two threads beside those of the engine. The *pulse* only does what must not be late: heartbeat and
telling running jobs that they were cancelled or overtaken. The *hand* loads the engine, moves jobs
from the outbox to it, and keeps house. Nothing of it is needed before the first job, so the
service is ready while the engine still loads (architecture 5).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from calotype import clock
from calotype.db.session import Database
from calotype.errors import Unavailable
from calotype.jobs import executors, outbox, store
from calotype.jobs.engine import Engine
from calotype.jobs.execution import Call, Executor
from calotype.jobs.flow import Flow
from calotype.jobs.signals import Signals
from calotype.jobs.states import JobFailed, JobReason, failure_of
from calotype.settings import Settings

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_WATCH_SECONDS = 0.1
_BEAT_SECONDS = 1.0
_ROUND_SECONDS = 0.5
_CHECK_SECONDS = 30.0
_KEEP_SECONDS = 60.0
_CHORE_SECONDS = 300.0
_KILL_SECONDS = 15.0
_ENGINE_KEEPS = timedelta(hours=1)
_PURGE_AT_ONCE = 500


class EngineDoor(Protocol):
    """What the runner asks of an engine."""

    def start(self) -> None:
        """Load it; from now on it also runs what was taken over."""
        ...

    def launch(self, run_id: str, job_id: str) -> None:
        """Run a job here; an id that is known already changes nothing."""
        ...

    def take_over(self, executor_id: str) -> int:
        """Queue again what a dead executor was running."""
        ...

    def ended(self, run_ids: Collection[str]) -> set[str]:
        """Return which runs are over or unknown."""
        ...

    def forget_before(self, moment: str) -> int:
        """Remove runs that ended before a moment."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


@dataclass(frozen=True, slots=True)
class Hooks:
    """What other rooms want done. `keep`: for running jobs, each minute; `chores`: now and then."""

    keep: Callable[[Collection[str]], None] = lambda ids: None
    chores: tuple[Callable[[], object], ...] = ()


class Runner:
    """Runs jobs in this process from `start` to `stop`."""

    def __init__(
        self,
        db: Database,
        flows: Mapping[str, Flow],
        settings: Settings,
        hooks: Hooks | None = None,
    ) -> None:
        self.id = executors.new_id()
        self._db = db
        self._settings = settings
        self._hooks = hooks or Hooks()
        self._host = executors.host_name()
        self._age = timedelta(hours=settings.job_hours)
        self._signals = Signals()
        self._executor = Executor(db, flows, self._signals, self._age)
        self._engine: EngineDoor = Engine(
            engine_url(db), self.id, settings.worker_jobs, self._run_job
        )
        self._stop_pulse = threading.Event()
        self._work = threading.Event()
        self.loaded = threading.Event()  # the engine runs
        self._pulse = threading.Thread(target=self._beat_and_watch, name="jobs-pulse", daemon=True)
        self._hand = threading.Thread(target=self._load_and_dispatch, name="jobs-hand", daemon=True)

    def start(self) -> None:
        """Begin to run jobs; returns at once."""
        self._pulse.start()
        self._hand.start()

    def wake(self) -> None:
        """Look for accepted jobs now. Safe from any thread."""
        self._work.set()

    def stop(self, drain_seconds: float) -> None:
        """End: running steps may end within the drain, then their tools are killed.

        What is not finished goes on in another worker, or at the next start.
        """
        self._signals.close()
        self._work.set()
        if not self._signals.wait_idle(drain_seconds):
            self._signals.leave()
            self._signals.wait_idle(_KILL_SECONDS)
        self._hand.join(_KILL_SECONDS)
        self._engine.stop()
        self._stop_pulse.set()
        self._pulse.join(_KILL_SECONDS)
        self._safely("retire", lambda: self._db.write(lambda c: executors.retire(c, self.id)))

    def _run_job(self, job_id: str, call: Call) -> None:
        self._executor.run(job_id, call)

    def _beat_and_watch(self) -> None:
        beaten = kept = 0.0
        while not self._stop_pulse.is_set():
            now = clock.monotonic()
            if now - beaten >= _BEAT_SECONDS:
                beaten = now
                self._safely("beat", self._beat)
            if now - kept >= _KEEP_SECONDS:
                kept = now
                self._safely("keep", self._keep)
            self._safely("watch", self._watch)
            self._stop_pulse.wait(_WATCH_SECONDS)

    def _beat(self) -> None:
        now = clock.now()
        self._db.write(lambda conn: executors.beat(conn, self.id, self._host, now))

    def _keep(self) -> None:
        running = {signal.job_id for signal in self._signals.running()}
        if running:
            self._hooks.keep(running)

    def _watch(self) -> None:
        running = [signal for signal in self._signals.running() if signal.token and not signal.set]
        if not running:
            return
        ids = {signal.job_id for signal in running}
        rows = self._db.read(lambda conn: store.watch(conn, ids))
        for signal in running:
            token, cancel = rows.get(signal.job_id, (None, False))
            if token is not None and token != signal.token:
                signal.lose()
            elif cancel:
                signal.cancel()

    def _load_and_dispatch(self) -> None:
        while not self.loaded.is_set():
            try:
                self._engine.start()
            except Exception:
                _LOG.exception("the job engine does not start")
                self._signals.pause(5.0)
                if self._signals.closing:
                    return
            else:
                self.loaded.set()
        checked = chored = -_CHORE_SECONDS
        while not self._signals.closing:
            self._work.clear()
            self._safely("take over", self._take_over)
            self._safely("overdue", self._end_overdue)
            now = clock.monotonic()
            if now - checked >= _CHECK_SECONDS:
                checked = now
                self._safely("check", self._find_lost_runs)
            self._safely("dispatch", self._dispatch)
            if now - chored >= _CHORE_SECONDS:
                chored = now
                self._chores()
            self._work.wait(_ROUND_SECONDS)

    def _take_over(self) -> None:
        now = clock.now()
        found = self._db.read(lambda conn: executors.dead(conn, self.id, self._host, now))
        for one in found:
            if self._db.write(_bind(executors.claim, one, now)):
                queued = self._engine.take_over(one.id)
                self._db.write(_bind(executors.remove, one.id))
                if queued:
                    _LOG.warning("took over from a dead worker", extra={"jobs": queued})

    def _end_overdue(self) -> None:
        before = clock.now() - self._age
        for job in self._db.read(lambda conn: outbox.overdue(conn, before)):
            if job.cancel:
                failure = failure_of(JobFailed(JobReason.CANCELLED, "the job was cancelled"))
            else:
                failure = failure_of(JobFailed(JobReason.TIMEOUT, "the job waited too long"))
            self._db.write(_bind(self._executor.fail_waiting, job, failure))

    def _find_lost_runs(self) -> None:
        """Hand over again what the engine ended or forgot although the job has not ended."""
        runs = self._db.read(outbox.handed_over)
        ended = self._engine.ended([outbox.run_id(run) for run in runs])
        for run in runs:
            if outbox.run_id(run) in ended and self._db.write(_bind(outbox.take_back, run)):
                _LOG.warning("the engine lost a job", extra={"job_id": run[0]})

    def _dispatch(self) -> None:
        places = self._settings.worker_jobs - len(self._signals.running())
        if places <= 0:
            return
        for run in self._db.read(lambda conn: outbox.next_runs(conn, places)):
            self._engine.launch(outbox.run_id(run), run[0])
            self._db.write(_bind(outbox.mark, run))

    def _chores(self) -> None:
        now = clock.now()
        keep = now - timedelta(days=self._settings.job_days)
        self._safely("purge", lambda: self._db.write(_bind(store.purge, keep, _PURGE_AT_ONCE)))
        ended = (now - _ENGINE_KEEPS).isoformat()
        self._safely("forget", lambda: self._engine.forget_before(ended))
        for chore in self._hooks.chores:
            self._safely("chore", chore)

    def _safely(self, what: str, work: Callable[[], object]) -> None:
        """Keep the thread alive: whatever fails now is tried again in the next round."""
        try:
            work()
        except Unavailable as error:
            _LOG.warning("worker waits", extra={"what": what, "rule": error.rule})
        except Exception:
            _LOG.exception("worker round failed", extra={"what": what})


def engine_url(db: Database) -> str:
    """Return where the engine keeps its own state: beside our file, or in our PostgreSQL."""
    if db.is_sqlite:
        return db.url.removesuffix(".sqlite") + "-jobs.sqlite"
    return db.url


def _bind(work: Callable[..., T], *arguments: object) -> Callable[[Connection], T]:
    """Return a transaction that calls `work` with these arguments."""
    return lambda conn: work(conn, *arguments)
