# SPDX-License-Identifier: Apache-2.0
"""A database of its own for each test, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from calotype.db.session import Database, sqlite_url
from calotype.db.tables import METADATA
from tests.unit.images import pg_server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    with pg_server.running() as url:
        if url is None:
            pytest.skip("no PostgreSQL is installed")
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        database = Database(sqlite_url(tmp_path))
    else:
        database = Database(request.getfixturevalue("postgresql"))
        with database.engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    METADATA.create_all(database.engine)
    yield database
    database.close()
