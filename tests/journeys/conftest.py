# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the journeys: a cluster on PostgreSQL and S3."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.backends.conftest import BUCKET, KEYS, S3Server, moto
from tests.backends.postgres import running_postgres
from tests.service import Service

__all__ = ["moto", "start_cluster"]


@dataclass
class Cluster:
    """A running cluster and the S3 server that it keeps everything in."""

    service: Service
    s3: S3Server
    prefix: str

    def stored(self) -> set[str]:
        """Return the names that lie in the store of image bytes."""
        keys = self.s3.keys(f"{self.prefix}/blobs/")
        return {key.removeprefix(f"{self.prefix}/blobs/") for key in keys}


StartCluster = Callable[..., Cluster]


@pytest.fixture
def start_cluster(moto: S3Server, tmp_path: Path) -> Iterator[StartCluster]:
    """Starts clusters of the test's own, on a PostgreSQL whose commits are durable."""
    started: list[Service] = []
    with running_postgres(durable=True) as postgres:

        def start(*, workers: int = 2, **settings: str) -> Cluster:
            prefix = f"cluster-{uuid.uuid4().hex}"
            places = {
                "DATABASE_URL": postgres.fresh_url(),
                "BLOB_URL": f"s3://{BUCKET}/{prefix}/blobs",
                "BUCKETS_URL": f"s3://{BUCKET}/{prefix}/buckets",
                "S3_ENDPOINT": moto.endpoint,
                "S3_ACCESS_KEY": KEYS["access_key"],
                "S3_SECRET_KEY": KEYS["secret_key"],
            }
            root = tmp_path / f"cluster-{len(started)}"
            service = Service.cluster(root, places | settings, workers=workers)
            started.append(service)
            return Cluster(service, moto, prefix)

        try:
            yield start
        finally:
            for service in started:
                service.close()
