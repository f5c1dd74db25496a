# SPDX-License-Identifier: Apache-2.0
"""A fresh deployment for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from calotype.db.tables import METADATA
from calotype.settings import Settings
from tests.journeys.flows.place import ACCOUNT, BUCKET, Deployment, open_core


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Deployment]:
    core = open_core(Settings(data_dir=tmp_path / "data"))
    METADATA.create_all(core.db.engine)
    core.buckets.create(BUCKET, ACCOUNT)
    yield Deployment(core)
    core.db.close()
