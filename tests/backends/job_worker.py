# SPDX-License-Identifier: Apache-2.0
"""A worker process with a flow of three steps; the second one waits for a file of the test.

Run as `python -m tests.backends.job_worker URL DIRECTORY`. Every begun step and every publication
is a line in DIRECTORY/log: `<word> <attempt> <pid>`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from sqlalchemy import Connection

from calotype.db.session import Database
from calotype.jobs.flow import Attempt, Results, Step
from calotype.jobs.model import Document, Job
from calotype.jobs.runner import Runner
from calotype.jobs.states import Failure
from calotype.settings import Settings


class Waiting:
    """Three steps; `hold` goes on when the file `go` is there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.steps = (
            Step("first", 10, self._first),
            Step("hold", 50, self._hold, risky=True),
            Step("last", 90, self._last),
        )

    def note(self, word: str, number: int) -> None:
        with (self._directory / "log").open("a") as log:
            log.write(f"{word} {number} {os.getpid()}\n")

    def _first(self, attempt: Attempt, results: Results) -> Document:
        self.note("first", attempt.number)
        return {"made": attempt.name}

    def _hold(self, attempt: Attempt, results: Results) -> Document:
        self.note("hold", attempt.number)
        while not (self._directory / "go").exists():
            attempt.wait(0.05)
        return {}

    def _last(self, attempt: Attempt, results: Results) -> Document:
        self.note("last", attempt.number)
        return dict(results["first"])

    def started(self, conn: Connection, job: Job) -> None:
        self.note("started", job.attempts)

    def publish(self, conn: Connection, job: Job, results: Results) -> Document:
        self.note("publish", job.attempts)
        return dict(results["last"])

    def failed(self, conn: Connection, job: Job, failure: Failure) -> None:
        self.note("failed", job.attempts)

    def cleanup(self, job: Job) -> None:
        self.note("cleanup", job.attempts)

    def abandoned(self, attempt: Attempt) -> None:
        self.note("abandoned", attempt.number)


def main() -> None:
    """Run until SIGTERM."""
    url, directory = sys.argv[1], Path(sys.argv[2])
    database = Database(url)
    settings = Settings(data_dir=directory)
    runner = Runner(database, {"waiting": Waiting(directory)}, settings)
    end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    runner.start()
    while not end.wait(0.1):
        pass
    runner.stop(float(sys.argv[3]) if len(sys.argv) > 3 else 0.2)
    database.close()


if __name__ == "__main__":
    main()
