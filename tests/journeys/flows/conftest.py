# SPDX-License-Identifier: Apache-2.0
"""A fresh deployment for each test, on SQLite unless a module asks for both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from calotype.db.session import normalise_url
from calotype.db.tables import METADATA
from calotype.settings import Settings
from tests.backends.postgres import PostgresServer, running_postgres
from tests.journeys.flows.place import ACCOUNT, BUCKET, Deployment, open_core


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as found:
        yield found


@pytest.fixture
def database_url() -> str:
    """The address of a fresh database; empty for SQLite in the data directory."""
    return ""


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> Iterator[Deployment]:
    settings = Settings(data_dir=tmp_path / "data", database_url=SecretStr(database_url))
    core = open_core(settings)
    METADATA.create_all(core.db.engine)
    core.buckets.create(BUCKET, ACCOUNT)
    yield Deployment(core)
    core.db.close()


def fresh_url(request: pytest.FixtureRequest, kind: str) -> str:
    """Return the address of a fresh database of a kind, for a module's own `database_url`."""
    if kind == "sqlite":
        return ""
    server: PostgresServer = request.getfixturevalue("server")
    return normalise_url(server.fresh_url())
