# SPDX-License-Identifier: Apache-2.0
"""A worker process that stops at one named point of a job, so that the test can kill it there.

Run as `python -m tests.journeys.flows.worker DATA_DIR [POINT]`. Points: `before-<step>`,
`after-<step>` (done, not noted yet), `before-publish`, `after-publish`. At the point the file
DATA_DIR/at-point appears and the thread sleeps. DATABASE_URL comes from the environment.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection

from calotype.flows.table import flows_of, hooks_of
from calotype.jobs.flow import Attempt, Flow, Results, Step
from calotype.jobs.model import Document, Job
from calotype.jobs.runner import Runner
from calotype.jobs.states import Failure
from calotype.settings import Settings
from tests.journeys.flows.place import open_core


class Pausing:
    """A flow that stops for ever at one point."""

    def __init__(self, flow: Flow, point: str, directory: Path) -> None:
        self._flow = flow
        self._point = point
        self._mark = directory / "at-point"
        self.steps = tuple(replace(step, run=self._around(step)) for step in flow.steps)

    def _reach(self, point: str) -> None:
        if point == self._point:
            self._mark.touch()
            time.sleep(3600)

    def _around(self, step: Step) -> Callable[[Attempt, Results], Document]:
        def run(attempt: Attempt, results: Results) -> Document:
            self._reach(f"before-{step.name}")
            done = step.run(attempt, results)
            self._reach(f"after-{step.name}")
            return done

        return run

    def started(self, conn: Connection, job: Job) -> None:
        self._flow.started(conn, job)

    def publish(self, conn: Connection, job: Job, results: Results) -> Document:
        done = self._flow.publish(conn, job, results)
        self._reach("before-publish")
        return done

    def failed(self, conn: Connection, job: Job, failure: Failure) -> None:
        self._flow.failed(conn, job, failure)

    def cleanup(self, job: Job) -> None:
        self._reach("after-publish")
        self._flow.cleanup(job)

    def abandoned(self, attempt: Attempt) -> None:
        self._flow.abandoned(attempt)


def main() -> None:
    """Run until SIGTERM."""
    directory = Path(sys.argv[1])
    point = sys.argv[2] if len(sys.argv) > 2 else ""
    core = open_core(Settings(data_dir=directory))
    flows = {name: Pausing(flow, point, directory) for name, flow in flows_of(core).items()}
    runner = Runner(core.db, flows, core.settings, hooks_of(core))
    end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    runner.start()
    while not end.wait(0.1):
        pass
    runner.stop(0.2)
    core.db.close()


if __name__ == "__main__":
    main()
