# SPDX-License-Identifier: Apache-2.0
"""Fixtures that every directory of tests shares: a running service, and servers beside it.

`service` is one embedded service for all tests of a worker process: tests in it make accounts,
images and buckets of their own and look only at those. What needs other settings, or kills things,
starts its own by `fresh_service`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.backends.postgres import PostgresServer, running_postgres
from tests.people import Account
from tests.service import Service
from tests.wire import Api, root_of

# The shared service holds what many tests make, so its quotas are wide.
SHARED_SETTINGS = {
    "IMAGES_PER_PROJECT": "2000",
    "CREATION_JOBS_PER_PROJECT": "400",
    "POLICIES_PER_ACCOUNT": "1000",
}

# What client libraries say about their own next releases.
OTHERS_WARNINGS = ("ignore::Warning:openstack", "ignore::DeprecationWarning:huaweicloudsdk")

FreshService = Callable[..., Service]


def pytest_configure(config: pytest.Config) -> None:
    """Keep the warnings of client libraries about themselves out of the summary."""
    for line in OTHERS_WARNINGS:
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server; ask it for a fresh database."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The shared embedded service."""
    running = Service.embedded(tmp_path_factory.mktemp("service"), SHARED_SETTINGS)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(scope="session")
def root(service: Service) -> Api:
    """The root user of the first account of the shared service."""
    return root_of(service)


@pytest.fixture
def account(service: Service) -> Account:
    """A new account in the shared service."""
    return Account.make(service)


@pytest.fixture
def fresh_service(tmp_path: Path) -> Iterator[FreshService]:
    """Starts embedded services of the test's own: `fresh_service(SETTING="value", …)`."""
    started: list[Service] = []

    def start(wrap: tuple[str, ...] = (), **settings: str) -> Service:
        service = Service.embedded(tmp_path / f"service-{len(started)}", settings, wrap)
        started.append(service)
        return service

    try:
        yield start
    finally:
        for service in started:
            service.close()
