# SPDX-License-Identifier: Apache-2.0
"""Attached buckets on real S3 servers: pinned reads, whole objects, nothing overwritten."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from calotype.buckets.objects import OpenBucket
from calotype.buckets.room import BucketRoom
from calotype.db.session import Database, sqlite_url
from calotype.db.tables import METADATA
from calotype.errors import Conflict, NotFound
from calotype.keys.provider import KeyProvider
from calotype.settings import Settings
from tests.backends.conftest import BUCKET, KEYS, S3Server

MINE = "a" * 32


@pytest.fixture
def room(tmp_path: Path) -> Iterator[BucketRoom]:
    database = Database(sqlite_url(tmp_path))
    METADATA.create_all(database.engine)
    yield BucketRoom(database, Settings(data_dir=tmp_path), KeyProvider({"k": bytes(32)}))
    database.close()


@pytest.fixture
def bucket(room: BucketRoom, s3: S3Server) -> OpenBucket:
    given = {"endpoint": s3.endpoint, "region": "us-east-1", **KEYS}
    room.attach("theirs", MINE, f"s3://{BUCKET}/buckets-{uuid.uuid4().hex}", given)
    return room.open(MINE, "theirs")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 1000)
    return path


def test_an_object_is_put_listed_read_and_removed(
    room: BucketRoom, bucket: OpenBucket, file: Path
) -> None:
    fact = room.put(MINE, "theirs", "web/base.raw", file)
    assert fact.size == 10_000
    assert [found.key for found in bucket.list("web")] == ["web/base.raw"]
    assert b"".join(bucket.read(fact.key, 10, 10, etag=fact.etag)) == b"0123456789"
    assert bucket.open(fact.key, fact.etag) is None
    assert bucket.delete(fact.key)
    assert bucket.stat(fact.key) is None
    with pytest.raises(NotFound) as refused:
        bucket.read(fact.key)
    assert refused.value.rule == "object_missing"


def test_an_object_replaced_meanwhile_is_noticed(
    room: BucketRoom, bucket: OpenBucket, file: Path
) -> None:
    fact = room.put(MINE, "theirs", "k", file)
    file.write_bytes(b"other")
    room.put(MINE, "theirs", "k", file)
    with pytest.raises(Conflict) as refused:
        b"".join(bucket.read("k", etag=fact.etag))
    assert refused.value.rule == "source_changed"


def test_staging_does_not_overwrite(bucket: OpenBucket, file: Path) -> None:
    bucket.stage("k", file, "job-1")
    with pytest.raises(Conflict) as refused:
        bucket.stage("k", file, "job-2")
    assert refused.value.rule == "object_exists"
