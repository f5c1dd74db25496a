# SPDX-License-Identifier: Apache-2.0
"""An empty database for each test, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from calotype.db.session import Database, normalise_url, sqlite_url
from tests.backends.postgres import PostgresServer

MakeDatabase = Callable[[], Database]


@pytest.fixture(params=["sqlite", "postgresql"])
def make_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeDatabase]:
    """Makes databases without tables, all of one kind."""
    made: list[Database] = []

    def make() -> Database:
        if request.param == "sqlite":
            directory = tmp_path / str(len(made))
            directory.mkdir()
            made.append(Database(sqlite_url(directory)))
        else:
            server: PostgresServer = request.getfixturevalue("postgres")
            made.append(Database(normalise_url(server.fresh_url())))
        return made[-1]

    yield make
    for database in made:
        database.close()


@pytest.fixture
def database(make_database: MakeDatabase) -> Database:
    return make_database()
