# SPDX-License-Identifier: Apache-2.0
"""Sessions: reads see what was committed, writes are whole or nothing, a database may go away."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from calotype.db.session import Database, is_unique_violation, normalise_url, sqlite_url
from calotype.errors import Unavailable
from tests.backends.postgres import PostgresServer
from tests.ports import free_port

Work = Callable[[Connection], None]


def statement(sql: str) -> Work:
    def work(connection: Connection) -> None:
        connection.execute(text(sql))

    return work


def numbers(database: Database) -> list[int]:
    return database.read(
        lambda connection: [
            row[0] for row in connection.execute(text("SELECT n FROM t ORDER BY n"))
        ]
    )


@pytest.fixture
def with_table(database: Database) -> Database:
    database.write(statement("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
    return database


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Database:
    return Database(sqlite_url(tmp_path))


@pytest.fixture
def on_postgres(postgres: PostgresServer) -> Database:
    return Database(normalise_url(postgres.fresh_url()))


def test_what_was_written_is_read_by_everybody_afterwards(with_table: Database) -> None:
    with_table.write(statement("INSERT INTO t VALUES (1)"))
    assert numbers(with_table) == [1]


def test_a_write_that_raises_leaves_nothing(with_table: Database) -> None:
    def work(connection: Connection) -> None:
        connection.execute(text("INSERT INTO t VALUES (1)"))
        raise LookupError

    with pytest.raises(LookupError):
        with_table.write(work)
    assert numbers(with_table) == []


def test_a_read_does_not_see_a_transaction_that_has_not_ended(with_table: Database) -> None:
    def work(connection: Connection) -> None:
        connection.execute(text("INSERT INTO t VALUES (1)"))
        assert numbers(with_table) == []

    with_table.write(work)
    assert numbers(with_table) == [1]


def test_each_statement_of_a_read_sees_what_was_committed_before_it(with_table: Database) -> None:
    def work(connection: Connection) -> None:
        count = text("SELECT count(*) FROM t")
        assert connection.execute(count).scalar() == 0
        with_table.write(statement("INSERT INTO t VALUES (1)"))
        assert connection.execute(count).scalar() == 1

    with_table.read(work)


def test_many_writers_add_up(with_table: Database) -> None:
    with_table.write(statement("INSERT INTO t VALUES (0)"))

    def add() -> None:
        for _ in range(20):
            with_table.write(statement("UPDATE t SET n = n + 1"))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers(with_table) == [80]


def test_a_key_that_is_taken_is_told_from_other_faults(with_table: Database) -> None:
    with_table.write(statement("INSERT INTO t VALUES (1)"))
    with pytest.raises(IntegrityError) as taken:
        with_table.write(statement("INSERT INTO t VALUES (1)"))
    assert is_unique_violation(taken.value)
    with_table.write(statement("CREATE TABLE u (n INTEGER NOT NULL)"))
    with pytest.raises(IntegrityError) as empty:
        with_table.write(statement("INSERT INTO u VALUES (NULL)"))
    assert not is_unique_violation(empty.value)


def test_the_event_loop_goes_on_while_the_database_works(with_table: Database) -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait(_: Connection) -> str:
        entered.set()
        assert leave.wait(30)
        return "read"

    async def run() -> list[str]:
        reading = asyncio.ensure_future(with_table.run_read(wait))
        assert await asyncio.to_thread(entered.wait, 30)
        # A writer has a place of its own beside a reader that hangs.
        await with_table.run_write(statement("INSERT INTO t VALUES (1)"))
        leave.set()
        return [await reading]

    assert asyncio.run(run()) == ["read"]
    assert numbers(with_table) == [1]


def test_sqlite_is_durable_and_keeps_references(on_sqlite: Database) -> None:
    def settings(connection: Connection) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}

    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    for found in (on_sqlite.read(settings), on_sqlite.write(settings)):
        patience = found.pop("busy_timeout")
        assert found == wanted
        assert isinstance(patience, int) and patience >= 5000
    on_sqlite.close()


def test_a_sqlite_writer_takes_its_lock_at_once(on_sqlite: Database, tmp_path: Path) -> None:
    on_sqlite.write(statement("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
    other = Database(sqlite_url(tmp_path))
    order: list[str] = []
    inside = threading.Event()

    def first(connection: Connection) -> None:
        # It has only read, and yet nobody else may write before it has.
        connection.execute(text("SELECT count(*) FROM t"))
        inside.set()
        time.sleep(0.1)  # time for the other to come and wait
        order.append("first")
        connection.execute(text("INSERT INTO t VALUES (1)"))

    def second() -> None:
        assert inside.wait(30)

        def work(connection: Connection) -> None:
            order.append("second")
            connection.execute(text("INSERT INTO t VALUES (2)"))

        other.write(work)

    thread = threading.Thread(target=second)
    thread.start()
    on_sqlite.write(first)
    thread.join()
    assert order == ["first", "second"]
    assert numbers(on_sqlite) == [1, 2]
    other.close()
    on_sqlite.close()


def test_postgresql_keeps_the_prepared_statements_of_reads_and_writes(
    on_postgres: Database,
) -> None:
    on_postgres.write(statement("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
    prepared = text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE :like")
    for number in range(6):
        assert numbers(on_postgres) == list(range(number))
        on_postgres.write(
            lambda connection, number=number: connection.execute(  # type: ignore[misc]  # bound now
                text("INSERT INTO t VALUES (:n)"), {"n": number}
            )
        )

    def count(like: str) -> Callable[[Connection], object]:
        return lambda connection: connection.execute(prepared, {"like": like}).scalar()

    assert on_postgres.read(count("SELECT n FROM t%")) == 1
    assert on_postgres.write(count("INSERT INTO t%")) == 1
    on_postgres.close()


def test_a_lost_connection_is_unavailable_once_and_then_replaced(
    on_postgres: Database, postgres: PostgresServer
) -> None:
    on_postgres.write(statement("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
    assert numbers(on_postgres) == []
    name = on_postgres.engine.url.database
    killer = Database(normalise_url(postgres.url("postgres")))
    killer.write(
        statement(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
    )
    killer.close()
    for call in (lambda: numbers(on_postgres), lambda: on_postgres.write(statement("SELECT 1"))):
        with pytest.raises(Unavailable) as away:
            call()
        assert away.value.rule == "database_away"
        call()
    on_postgres.close()


@pytest.mark.parametrize("verb", ["read", "write"])
def test_a_database_that_is_not_there_is_unavailable_and_tells_nobody_its_address(
    tmp_path: Path, verb: str
) -> None:
    address = f"postgresql+psycopg://someone:s3cret@127.0.0.1:{free_port()}/nothing"
    for url in (address, sqlite_url(tmp_path / "missing")):
        database = Database(url)
        with pytest.raises(Unavailable) as away:
            getattr(database, verb)(statement("SELECT 1"))
        assert away.value.rule == "database_away"
        for part in ("s3cret", "127.0.0.1", "missing"):
            assert part not in str(away.value)
        database.close()


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg://u@h/d"),
        ("sqlite:////x/y", "sqlite:////x/y"),
    ],
)
def test_usual_addresses_name_the_driver_that_is_installed(given: str, used: str) -> None:
    assert normalise_url(given) == used
