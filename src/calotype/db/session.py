# SPDX-License-Identifier: Apache-2.0
"""One database, SQLite or PostgreSQL, behind two verbs: read and write.

Reads run in AUTOCOMMIT and writes end with COMMIT, because a ROLLBACK makes psycopg forget its
prepared statements. Synchronous inside a small thread pool (SQLite: 2 readers, 1 writer;
PostgreSQL: 4), so that the event loop never waits for a disk. Source: architecture, section 7.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from calotype.errors import Unavailable

T = TypeVar("T")
LOG = logging.getLogger("calotype.db")


class Database:
    """Owns the engines and the pool; made by `app.py`, closed at shutdown."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        readers, writers = (2, 1) if self.is_sqlite else (4, 4)
        self._engine = _engine(url, writers, reading=False)
        self._reading = _engine(url, readers, reading=True)
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="db-read")
        self._writers = ThreadPoolExecutor(writers, thread_name_prefix="db-write")

    @property
    def engine(self) -> Engine:
        """The writing engine, for migrations."""
        return self._engine

    @property
    def engines(self) -> tuple[Engine, Engine]:
        """Both engines, for tests that count statements."""
        return self._engine, self._reading

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on a reading connection of this thread. Raises Unavailable when away."""
        try:
            with self._reading.connect() as connection:
                return work(connection)
        except OperationalError as error:
            raise _away(error) from error

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction: COMMIT when it returns, ROLLBACK when it raises."""
        try:
            with self._engine.begin() as connection:
                return work(connection)
        except OperationalError as error:
            raise _away(error) from error

    async def run_read(self, work: Callable[[Connection], T]) -> T:
        """Run `read` in the pool."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.read, work)

    async def run_write(self, work: Callable[[Connection], T]) -> T:
        """Run `write` in the pool."""
        return await asyncio.get_running_loop().run_in_executor(self._writers, self.write, work)

    def close(self) -> None:
        """End the pool and every connection."""
        self._readers.shutdown(wait=True)
        self._writers.shutdown(wait=True)
        self._engine.dispose()
        self._reading.dispose()


def sqlite_url(directory: Path) -> str:
    """Return the address of the embedded database of a data directory."""
    return f"sqlite:///{directory / 'calotype.sqlite'}"


def normalise_url(url: str) -> str:
    """Name the driver that is installed; plain `postgresql://` and `postgres://` are usual."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


def is_unique_violation(error: DBAPIError) -> bool:
    """Tell whether a write hit a unique key, on either database."""
    text = str(error.orig)
    return "UNIQUE constraint failed" in text or "duplicate key value" in text


def _engine(url: str, size: int, *, reading: bool) -> Engine:
    # Parameters hold password hashes and wrapped keys, and errors are logged with all they say.
    if url.startswith("sqlite"):
        engine = create_engine(url, pool_size=size, max_overflow=4, hide_parameters=True)
        event.listen(engine, "connect", _configure_sqlite)
        if not reading:
            event.listen(engine, "begin", _begin_immediate)
        return engine
    return create_engine(
        url,
        pool_size=size,
        max_overflow=4,
        hide_parameters=True,
        isolation_level="AUTOCOMMIT" if reading else "READ COMMITTED",
        pool_reset_on_return=None if reading else "rollback",
        connect_args={
            "prepare_threshold": 2,
            "connect_timeout": 10,
            # A frozen process must not hold the locks of its transaction until it wakes.
            "options": "-c idle_in_transaction_session_timeout=10000",
        },
    )


def _configure_sqlite(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
    """WAL with full durability: an acknowledged commit survives `kill -9` and a power cut."""
    del record
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "busy_timeout=15000",
        "temp_store=MEMORY",
        "cache_size=-16000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    """Take the write lock at once: a later upgrade from reading could not be retried."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _away(error: OperationalError) -> Unavailable:
    LOG.warning("the database refused: %s", error.orig)
    return Unavailable("the database cannot be used now", rule="database_away")
