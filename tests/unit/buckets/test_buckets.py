# SPDX-License-Identifier: Apache-2.0
"""Buckets of ours: whose they are, immutable objects, keys that never become paths (N3)."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from calotype import clock
from calotype.buckets import store
from calotype.buckets.room import BucketRoom, check_name, head_and_tail
from calotype.db.session import Database, sqlite_url
from calotype.db.tables import METADATA
from calotype.errors import Conflict, Invalid, NotFound
from calotype.keys.provider import KeyProvider
from calotype.settings import Settings

MINE, THEIRS = "a" * 32, "b" * 32


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(sqlite_url(tmp_path))
    METADATA.create_all(database.engine)
    yield database
    database.close()


@pytest.fixture
def room(database: Database, tmp_path: Path) -> BucketRoom:
    room = BucketRoom(database, Settings(data_dir=tmp_path), KeyProvider({"k": bytes(32)}))
    room.create("disks", MINE)
    return room


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    return path


def files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "buckets" / "data").rglob("*") if path.is_file()]


def test_an_object_is_read_as_it_was_put(room: BucketRoom, file: Path) -> None:
    fact = room.put(MINE, "disks", "web/base.qcow2", file)
    bucket = room.open(MINE, "disks")
    assert (fact.key, fact.size) == ("web/base.qcow2", 10)
    assert bucket.stat("web/base.qcow2") == fact
    assert b"".join(bucket.read(fact.key)) == b"0123456789"
    assert b"".join(bucket.read(fact.key, 2, 3, etag=fact.etag)) == b"234"
    assert head_and_tail(bucket, fact.key, 10, (4, 2), fact.etag) == (b"0123", b"89")
    assert head_and_tail(bucket, fact.key, 10, (64, 64), fact.etag) == (b"0123456789",) * 2
    descriptor = bucket.open(fact.key, fact.etag)
    assert descriptor is not None
    assert os.read(descriptor, 99) == b"0123456789"
    os.close(descriptor)


def test_anothers_bucket_answers_like_a_missing_one(room: BucketRoom) -> None:
    texts = set()
    for account, name in ((THEIRS, "disks"), (MINE, "nothing")):
        with pytest.raises(NotFound) as refused:
            room.open(account, name)
        assert refused.value.rule == "bucket_not_accessible"
        texts.add(refused.value.message.replace(name, "NAME"))
    assert len(texts) == 1
    assert [bucket.name for bucket in room.of_account(MINE)] == ["disks"]
    assert room.of_account(THEIRS) == ()


def test_a_name_is_taken_once_in_the_whole_deployment(room: BucketRoom) -> None:
    with pytest.raises(Conflict) as refused:
        room.create("disks", THEIRS)
    assert refused.value.rule == "bucket_exists"


@pytest.mark.parametrize(
    "name", ["ab", "Big", "a..b", "a.-b", "a-.b", "-ab", "1.2.3.4", "a_b", "a" * 64, "a/b", ""]
)
def test_bad_bucket_names_are_refused(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_name(name)
    assert refused.value.rule == "bucket_name"


def test_a_new_put_never_changes_bytes_that_somebody_reads(
    room: BucketRoom, file: Path, tmp_path: Path
) -> None:
    first = room.put(MINE, "disks", "k", file)
    bucket = room.open(MINE, "disks")
    descriptor = bucket.open("k", first.etag)
    assert descriptor is not None
    file.write_bytes(b"other")
    second = room.put(MINE, "disks", "k", file)
    assert second.etag != first.etag
    assert os.pread(descriptor, 99, 0) == b"0123456789"
    os.close(descriptor)
    assert b"".join(bucket.read("k")) == b"other"
    with pytest.raises(Conflict) as refused:
        bucket.read("k", etag=first.etag)
    assert refused.value.rule == "source_changed"
    assert len(files(tmp_path)) == 1


def test_a_staged_object_is_invisible_until_it_is_published(
    room: BucketRoom, database: Database, file: Path, tmp_path: Path
) -> None:
    bucket = room.open(MINE, "disks")
    staged = bucket.stage("out/web.vmdk", file, "job-1", move=True)
    assert not file.exists()
    assert bucket.stat("out/web.vmdk") is None
    assert list(bucket.list()) == []
    database.write(lambda conn: bucket.publish(conn, staged))
    assert b"".join(bucket.read("out/web.vmdk")) == b"0123456789"


def test_publishing_does_not_overwrite(room: BucketRoom, database: Database, file: Path) -> None:
    bucket = room.open(MINE, "disks")
    staged = bucket.stage("k", file, "job-1")
    room.put(MINE, "disks", "k", file)
    with pytest.raises(Conflict) as refused:
        database.write(lambda conn: bucket.publish(conn, staged))
    assert refused.value.rule == "object_exists"
    assert b"".join(bucket.read("k")) == b"0123456789"


def test_one_of_two_publications_at_once_wins(
    room: BucketRoom, database: Database, file: Path
) -> None:
    bucket = room.open(MINE, "disks")
    staged = [bucket.stage("k", file, f"job-{n}") for n in range(4)]
    won: list[str] = []

    def publish(number: int) -> None:
        try:
            database.write(lambda conn: bucket.publish(conn, staged[number]))
            won.append(staged[number].etag)
        except Conflict:
            pass

    threads = [threading.Thread(target=publish, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = bucket.stat("k")
    assert found is not None
    assert won == [found.etag]


def test_removing_an_object_removes_its_file(room: BucketRoom, file: Path, tmp_path: Path) -> None:
    room.put(MINE, "disks", "k", file)
    bucket = room.open(MINE, "disks")
    assert bucket.delete("k")
    assert not bucket.delete("k")
    assert files(tmp_path) == []
    with pytest.raises(NotFound) as refused:
        bucket.read("k")
    assert refused.value.rule == "object_missing"


def test_a_bucket_with_objects_is_not_removed_by_accident(
    room: BucketRoom, file: Path, tmp_path: Path
) -> None:
    room.put(MINE, "disks", "k", file)
    with pytest.raises(Conflict) as refused:
        room.remove(MINE, "disks")
    assert refused.value.rule == "bucket_not_empty"
    room.remove(MINE, "disks", with_objects=True)
    assert room.of_account(MINE) == ()
    assert files(tmp_path) == []
    with pytest.raises(NotFound):
        room.remove(MINE, "disks")


def test_files_that_no_object_is_are_swept_after_a_day(
    room: BucketRoom, database: Database, file: Path, tmp_path: Path
) -> None:
    room.put(MINE, "disks", "kept", file)
    bucket = room.open(MINE, "disks")
    bucket.stage("stray", file, "job-1")
    assert room.sweep() == 0
    moment = (clock.now() - timedelta(days=2)).timestamp()
    for path in files(tmp_path):
        os.utime(path, (moment, moment))
    assert room.sweep() == 1
    assert len(files(tmp_path)) == 1
    assert b"".join(bucket.read("kept")) == b"0123456789"


def test_objects_are_listed_in_order_and_by_prefix_also_with_wildcards(
    room: BucketRoom, file: Path
) -> None:
    for key in ("b%/2", "b/1", "a", "b%/1", "b_/1"):
        room.put(MINE, "disks", key, file)
    bucket = room.open(MINE, "disks")
    assert [fact.key for fact in bucket.list()] == ["a", "b%/1", "b%/2", "b/1", "b_/1"]
    assert [fact.key for fact in bucket.list("b%/")] == ["b%/1", "b%/2"]


@pytest.mark.parametrize("key", ["", "../x", "a/../b", "/a", "a//b", "a\0b", "a\nb", "x" * 1025])
def test_nasty_keys_are_refused(room: BucketRoom, file: Path, key: str) -> None:
    with pytest.raises(Invalid) as refused:
        room.put(MINE, "disks", key, file)
    assert refused.value.rule == "object_key"


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=some.text(some.characters(codec="utf-8", min_codepoint=0x20), min_size=1, max_size=40))
def test_whatever_the_key_files_stay_inside_their_bucket(
    room: BucketRoom, file: Path, tmp_path: Path, key: str
) -> None:
    try:
        room.put(MINE, "disks", key, file)
    except Invalid:
        return
    bucket = room.open(MINE, "disks")
    assert b"".join(bucket.read(key)) == b"0123456789"
    inside = tmp_path / "buckets" / "data" / "disks"
    assert all(path.is_relative_to(inside) and ".." not in path.parts for path in files(tmp_path))
    assert bucket.delete(key)


def test_credentials_are_stored_wrapped(room: BucketRoom, database: Database) -> None:
    given = {
        "endpoint": "http://127.0.0.1:1",
        "region": "us-east-1",
        "access_key": "the-access-key",
        "secret_key": "the-secret-key",
    }
    room.attach("theirs", MINE, "s3://some-bucket/prefix", given)
    row = database.read(lambda conn: store.find(conn, MINE, "theirs"))
    assert row is not None and row.credentials is not None
    assert "secret" not in row.credentials and "access" not in row.credentials
    for wrong in ({}, given | {"secret_key": ""}, given | {"more": "x"}, given | {"region": 5}):
        with pytest.raises(Invalid) as refused:
            room.attach("wrong", MINE, "s3://some-bucket", wrong)
        assert refused.value.rule == "bucket_credentials"
    with pytest.raises(Invalid) as other:
        room.attach("wrong", MINE, "file:///etc", given)
    assert other.value.rule == "bucket_url"


def test_the_services_own_store_is_no_bucket(database: Database, tmp_path: Path) -> None:
    given = {
        "endpoint": "http://localhost:9999",
        "region": "us-east-1",
        "access_key": "x",
        "secret_key": "y",
    }
    plain = Settings(data_dir=tmp_path)
    room = BucketRoom(database, plain, KeyProvider({"k": bytes(32)}))
    room.attach("before", MINE, "s3://blobs", given)
    with_store = Settings(
        data_dir=tmp_path,
        blob_url="s3://blobs/prefix",
        s3_endpoint="http://127.0.0.1:9999",
        s3_access_key="own",
    )
    room = BucketRoom(database, with_store, KeyProvider({"k": bytes(32)}))
    with pytest.raises(Invalid) as refused:
        room.attach("after", MINE, "s3://blobs", given)
    assert refused.value.rule == "bucket_is_store"
    with pytest.raises(NotFound) as hidden:
        room.open(MINE, "before")
    assert hidden.value.rule == "bucket_not_accessible"
    room.attach("other", MINE, "s3://not-blobs", given)
