# SPDX-License-Identifier: Apache-2.0
"""A database of its own and a flow whose steps are given by the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from calotype.db.session import Database, sqlite_url
from calotype.db.tables import METADATA
from calotype.jobs import store
from calotype.jobs.flow import Attempt, Results, Step
from calotype.jobs.model import Document, Job, NewJob
from calotype.jobs.queue import JobQueue
from calotype.jobs.states import Failure, Kind
from calotype.settings import Settings


def open_database(directory: Path) -> Database:
    """Return a fresh SQLite database with every table."""
    database = Database(sqlite_url(directory))
    METADATA.create_all(database.engine)
    return database


def new_job(**changes: Any) -> NewJob:
    """Return a submission to the flow `toy`."""
    values: dict[str, Any] = {
        "flow": "toy",
        "variant": "toy",
        "kind": Kind.CREATION,
        "account_id": "a" * 32,
        "project_id": "b" * 32,
        "submitter_id": "c" * 32,
        "request_id": "req-1",
        "request": {},
        "caller": {},
    }
    return NewJob(**(values | changes))


def settings(tmp_path: Path, **changes: Any) -> Settings:
    """Return settings below a directory."""
    return Settings(data_dir=tmp_path, **changes)


@dataclass
class Toy:
    """A flow that notes what happened to it."""

    steps: tuple[Step, ...]
    told: list[str] = field(default_factory=list)
    at_publish: Callable[[Connection, Job], None] | None = None
    at_start: Callable[[Connection, Job], None] | None = None

    def started(self, conn: Connection, job: Job) -> None:
        self.told.append("started")
        if self.at_start:
            self.at_start(conn, job)

    def publish(self, conn: Connection, job: Job, results: Results) -> Document:
        self.told.append("publish")
        if self.at_publish:
            self.at_publish(conn, job)
        return {name: dict(result) for name, result in results.items()}

    def failed(self, conn: Connection, job: Job, failure: Failure) -> None:
        self.told.append(f"failed {failure.reason}")

    def cleanup(self, job: Job) -> None:
        self.told.append("cleanup")

    def abandoned(self, attempt: Attempt) -> None:
        self.told.append("abandoned")


def submit(database: Database, queue: JobQueue, new: NewJob | None = None) -> str:
    """Submit a job in a transaction of its own."""
    return database.write(lambda conn: queue.submit(conn, new or new_job()))


def read(database: Database, job_id: str) -> Job:
    """Return the job's row."""
    job = database.read(lambda conn: store.get(conn, job_id))
    assert job is not None
    return job
