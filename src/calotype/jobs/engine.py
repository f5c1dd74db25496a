# SPDX-License-Identifier: Apache-2.0
"""The durable engine behind a narrow door: the only module that knows DBOS.

Measured before it was chosen: the same code on SQLite and PostgreSQL, results of finished steps
kept, and a frozen worker that wakes up late is stopped. What it does not do is ours: heartbeats
and takeover, counting attempts, publishing. Importing and starting it takes about 1.7 s, so it is
loaded in `start`, which runs in a thread after the service is ready.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from calotype.jobs.execution import Call

QUEUE = "calotype"
VERSION = "1"  # pinned: the default is a hash of the source, which strands work at each upgrade
_NAME = "calotype"
_POLL_SECONDS = 0.5  # of the queue, through which only taken over runs go
_ENDED = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")

Body = Callable[[str, Call], None]
"""Runs the job of an id, its steps by way of the given caller."""


class Engine:
    """One engine of this process; there can be only one at a time."""

    def __init__(self, url: str, executor_id: str, worker_jobs: int, body: Body) -> None:
        self._url = url
        self._executor_id = executor_id
        self._worker_jobs = worker_jobs
        self._body = body
        self._dbos: Any = None
        self._job: Any = None

    def start(self) -> None:
        """Load and launch the engine; from now on it also runs what was taken over."""
        log = logging.getLogger("dbos")
        if not log.handlers:
            # With a handler of its own it would write lines that are not ours to the console.
            log.addHandler(logging.NullHandler())
        log.setLevel(logging.ERROR)  # what it warns of is what the fence is for
        _prepare_sqlite(self._url)
        from dbos import DBOS

        DBOS(
            config={
                "name": _NAME,
                "system_database_url": self._url,
                "application_version": VERSION,
                "executor_id": self._executor_id,
                "use_listen_notify": False,
                "sys_db_pool_size": 5,
                "sys_db_idle_transaction_timeout_sec": 10.0,  # a frozen worker must not hold locks
                "enable_otlp": False,
                "scheduler_polling_interval_sec": 3600.0,
                "log_level": "ERROR",
            }
        )
        body = self._body

        def call(name: str, step: Callable[[], str]) -> str:
            return str(DBOS.run_step({"name": name}, step))

        @DBOS.workflow(name="job")
        def job(job_id: str) -> None:
            body(job_id, call)

        DBOS.listen_queues([QUEUE])
        DBOS.launch()
        DBOS.register_queue(
            QUEUE, worker_concurrency=self._worker_jobs, polling_interval_sec=_POLL_SECONDS
        )
        self._dbos, self._job = DBOS, job

    def launch(self, run_id: str, job_id: str) -> None:
        """Run a job here and now; when the engine knows `run_id` already, nothing happens."""
        from dbos import SetWorkflowID

        with SetWorkflowID(run_id):
            self._dbos.start_workflow(self._job, job_id)

    def take_over(self, executor_id: str) -> int:
        """Queue again what a dead executor was running; return how many runs."""
        found = self._dbos.list_workflows(
            executor_id=[executor_id], status="PENDING", load_input=False, load_output=False
        )
        for run in found:
            self._dbos.resume_workflow(run.workflow_id, queue_name=QUEUE)
        return len(found)

    def ended(self, run_ids: Iterable[str]) -> set[str]:
        """Return which of these runs are over or were never queued."""
        wanted = list(run_ids)
        if not wanted:
            return set()
        found = self._dbos.list_workflows(workflow_ids=wanted, load_input=False, load_output=False)
        alive = {run.workflow_id for run in found if run.status not in _ENDED}
        return set(wanted) - alive

    def forget(self, run_ids: Iterable[str]) -> None:
        """Remove what the engine remembers of runs."""
        wanted = list(run_ids)
        if wanted:
            self._dbos.delete_workflows(wanted)

    def forget_before(self, moment: str, limit: int = 500) -> int:
        """Remove runs that ended before a moment (ISO 8601); return how many."""
        found = self._dbos.list_workflows(
            status=list(_ENDED),
            completed_before=moment,
            limit=limit,
            load_input=False,
            load_output=False,
        )
        self.forget(run.workflow_id for run in found)
        return len(found)

    def stop(self) -> None:
        """End the engine. What still runs here is left to whoever takes over."""
        if self._dbos is not None:
            self._dbos.destroy(destroy_registry=True)
            self._dbos = None


def _prepare_sqlite(url: str) -> None:
    """Make the engine's file with a write-ahead log, which it keeps: half the syncs per step."""
    if not url.startswith("sqlite:///"):
        return
    path = Path(url.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=30)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()
