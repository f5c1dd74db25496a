# SPDX-License-Identifier: Apache-2.0
"""The whole gate in this process, its audit trail held back so that a test sees what was queued.

`door.written()` are the records that a transaction has committed, `door.queued()` those that wait
for the next batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from calotype import app
from calotype.audit.trail import Trail
from calotype.db.session import Database, normalise_url, sqlite_url
from calotype.db.tables import METADATA
from calotype.db.tables.audit import audit_records
from calotype.iam import credentials_file
from calotype.iam.passwords import Cost
from calotype.iam.room import open_room
from calotype.settings import Settings
from tests.exchanges.native.site import BASE, Site

Record = dict[str, Any]


@dataclass
class Door(Site):
    """Every row of the service over one database, without a socket and without a worker."""

    trail: Trail | None = None

    def written(self) -> list[Record]:
        """Return the committed records, oldest first."""
        query = select(audit_records.c.record).order_by(audit_records.c.at, audit_records.c.id)
        rows = self.core.db.read(lambda connection: connection.execute(query).scalars().all())
        return [json.loads(row) for row in rows]

    def queued(self) -> list[Record]:
        """Return the records that wait, as they would be written."""
        assert self.trail is not None
        return [json.loads(str(record.row()["record"])) for record in self.trail.waiting()]

    def records(self) -> list[Record]:
        """Return every record of either kind."""
        return self.written() + self.queued()


OpenDoor = Callable[..., Door]


def _open(directory: Path, url: str, settings: dict[str, Any]) -> Door:
    directory.mkdir(mode=0o700)
    found = Settings(data_dir=directory, scratch_reserve=0, **settings)
    database = Database(url or sqlite_url(directory))
    METADATA.create_all(database.engine)
    core = app.open_core(found, database)
    core.iam.close()
    cheap = Cost(memory=8, passes=1)  # every test logs several people in
    core = replace(core, iam=open_room(found, database, core.keys, cost=cheap))
    core.scratch.prepare()
    app.first_start(core, BASE)
    first = credentials_file.read(directory)
    assert first is not None
    trail = Trail(database)
    gate = app.build(core, trail, app.Readiness(started=True))
    return Door(gate, core, first.operator_token, trail=trail)


def _close(door: Door) -> None:
    door.core.iam.close()
    door.core.db.close()


@pytest.fixture
def open_door(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenDoor]:
    """Opens doors with settings of the test, on SQLite unless `kind` says otherwise."""
    made: list[Door] = []

    def start(kind: str = "sqlite", **settings: Any) -> Door:
        url = ""
        if kind == "postgresql":
            url = normalise_url(request.getfixturevalue("postgres").fresh_url())
        made.append(_open(tmp_path / f"door-{len(made)}", url, settings))
        return made[-1]

    yield start
    for door in made:
        _close(door)


@pytest.fixture
def door(open_door: OpenDoor) -> Door:
    """A door of the test's own, with the usual settings."""
    return open_door()


@pytest.fixture(scope="package")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A door that tests share who look at their own accounts only."""
    made = _open(tmp_path_factory.mktemp("house") / "data", "", {})
    yield made
    _close(made)
