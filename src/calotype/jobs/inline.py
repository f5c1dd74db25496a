# SPDX-License-Identifier: Apache-2.0
"""Runs jobs in the calling thread, without engine, heartbeat or threads of its own.

The same attempts, steps, transactions and limits as under the engine; only what has ended is not
remembered, so an attempt begins at its first step. For tests and for tools that run one job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

from calotype.db.session import Database
from calotype.jobs import outbox
from calotype.jobs.execution import Executor
from calotype.jobs.flow import Flow
from calotype.jobs.signals import Signals
from calotype.settings import Settings

_PLACES = 1000


class InlineRunner:
    """Runs accepted jobs when it is told to. `signals` lets a caller cancel what runs."""

    def __init__(self, db: Database, flows: Mapping[str, Flow], settings: Settings) -> None:
        self.signals = Signals()
        self._db = db
        age = timedelta(hours=settings.job_hours)
        self._executor = Executor(db, flows, self.signals, age, store_patience=0.0)

    def run(self, job_id: str) -> None:
        """Run one job to its end."""
        self._executor.run(job_id, _now)

    def run_waiting(self) -> int:
        """Run every accepted job, in the order in which a worker would; return how many."""
        runs = self._db.read(lambda conn: outbox.next_runs(conn, _PLACES))
        for job_id, _ in runs:
            self.run(job_id)
        return len(runs)


def _now(name: str, step: Callable[[], str]) -> str:
    del name
    return step()
