# SPDX-License-Identifier: Apache-2.0
"""One site for all exchanges of a database; what needs other settings opens its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from calotype.db.session import Database, normalise_url, sqlite_url
from tests.exchanges.native.site import Site, Tenant, open_site


def _open(request: pytest.FixtureRequest, kind: str, directory: Path, **settings: Any) -> Site:
    directory.mkdir(parents=True, exist_ok=True)
    if kind == "sqlite":
        database = Database(sqlite_url(directory))
    else:
        database = Database(normalise_url(request.getfixturevalue("postgres").fresh_url()))
    return open_site(directory, database, **settings)


def _close(site: Site) -> None:
    site.core.iam.close()
    site.core.db.close()


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    made = _open(request, request.param, tmp_path_factory.mktemp("site"), images_per_project=500)
    yield made
    _close(made)


@pytest.fixture
def tenant(site: Site) -> Tenant:
    return site.tenant()


@pytest.fixture(scope="package")
def anybody(site: Site) -> Tenant:
    """A tenant whose images nobody counts, for refusals."""
    return site.tenant()


@pytest.fixture
def other(site: Site) -> Tenant:
    return site.tenant()


@pytest.fixture
def operator(site: Site, tenant: Tenant) -> Tenant:
    return site.operator(tenant.project)


OwnSite = Callable[..., Site]


@pytest.fixture
def own_site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnSite]:
    """Opens a site with settings of the test, on SQLite unless `kind` says otherwise."""
    made: list[Site] = []

    def open_one(kind: str = "sqlite", **settings: Any) -> Site:
        made.append(_open(request, kind, tmp_path / str(len(made)), **settings))
        return made[-1]

    yield open_one
    for one in made:
        _close(one)
