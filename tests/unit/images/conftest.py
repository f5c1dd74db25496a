# SPDX-License-Identifier: Apache-2.0
"""A database of its own for each test, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from calotype.db.session import Database, normalise_url, sqlite_url
from calotype.db.tables import METADATA
from tests.backends.postgres import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        database = Database(sqlite_url(tmp_path))
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        database = Database(normalise_url(server.fresh_url()))
    METADATA.create_all(database.engine)
    yield database
    database.close()
