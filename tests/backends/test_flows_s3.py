# SPDX-License-Identifier: Apache-2.0
"""Imports and exports where nothing is local: blobs in S3, a user's bucket in S3."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from calotype.blobs import store as blobs
from calotype.buckets.room import BucketRoom
from calotype.db.tables import METADATA
from calotype.disks.formats import Format
from calotype.jobs.states import JobFailed, JobReason, Status
from calotype.settings import Settings
from tests.backends.conftest import BUCKET as S3_BUCKET
from tests.backends.conftest import KEYS, Relay, S3Server
from tests.journeys.flows.place import ACCOUNT, BUCKET, Deployment, open_core
from tests.made_disks import MIB, make_disk, same_content, sha512

pytestmark = pytest.mark.heavy


@pytest.fixture
def relay(s3: S3Server) -> Iterator[Relay]:
    relay = Relay(s3.endpoint)
    yield relay
    relay.close()


@pytest.fixture
def place(s3: S3Server, relay: Relay, tmp_path: Path) -> Iterator[Deployment]:
    """Blobs below one prefix of a server; the bucket `disks` below another, behind the relay."""
    settings = Settings(
        data_dir=tmp_path / "data",
        blob_url=f"s3://{S3_BUCKET}/blobs-{uuid.uuid4().hex}",
        s3_endpoint=s3.endpoint,
        s3_access_key=KEYS["access_key"],
        s3_secret_key=KEYS["secret_key"],
    )
    core = open_core(settings)
    METADATA.create_all(core.db.engine)
    attach(core.buckets, relay.endpoint, s3)
    yield Deployment(core)
    core.db.close()


def attach(buckets: BucketRoom, endpoint: str, s3: S3Server) -> None:
    """Attach a bucket of its own, which is not where blobs lie."""
    name = f"user-{uuid.uuid4().hex}"
    s3.client.create_bucket(Bucket=name)
    given = {"endpoint": endpoint, "region": "us-east-1", **KEYS}
    buckets.attach(BUCKET, ACCOUNT, f"s3://{name}", given)


def stored(place: Deployment, image_id: str, target: Path) -> Path:
    """Read an image's bytes from its store into a file."""
    image = place.image(image_id)
    assert image.status == "active", place.job(image.job_id or "")
    blob = place.core.db.read(lambda conn: blobs.get(conn, image.blob_id or ""))
    assert blob is not None
    copy = blob.copies[0]
    target.write_bytes(b"".join(place.core.stores.get(copy.store).read(copy.name)))
    assert sha512(target) == image.sha512 == blob.sha512
    return target


def names(place: Deployment) -> list[str]:
    """Return what the store of blobs holds."""
    return [found.name for found in place.core.stores.get("default").list()]


@pytest.mark.parametrize("word", ["vmdk", "qcow2"])
def test_an_import_streams_and_leaves_only_its_blob(
    place: Deployment, tmp_path: Path, word: str
) -> None:
    disk = make_disk(tmp_path, word, size=40 * MIB, dense=0.5)
    place.put(f"disk.{word}", disk.path)
    checksum = f"sha512:{sha512(disk.path)}"
    made = place.create(f"disk.{word}", word, checksum=checksum)
    place.run()
    assert place.job(made.job_id).error is None
    found = stored(place, made.image_id, tmp_path / "found")
    assert same_content(disk.path, word, found, "qcow2")
    assert len(names(place)) == 1
    assert list(place.core.scratch.names()) == []


def test_a_fetch_goes_on_where_the_connection_broke(
    place: Deployment, relay: Relay, tmp_path: Path
) -> None:
    disk = make_disk(tmp_path, "raw", size=24 * MIB, dense=0.9)
    place.put("disk.raw", disk.path)
    made = place.create("disk.raw", "raw", checksum=f"sha512:{sha512(disk.path)}")
    # A new process has no open connection, so its first ones are those that are cut.
    again = Deployment(open_core(place.core.settings))
    relay.cuts = [10 * MIB, 5 * MIB]
    begin = relay.connections
    again.run()
    again.core.db.close()
    assert place.job(made.job_id).error is None
    assert relay.connections > begin + 1
    found = stored(place, made.image_id, tmp_path / "found")
    assert same_content(disk.path, "raw", found, "qcow2")


def test_an_export_reads_the_store_and_puts_one_object(place: Deployment, tmp_path: Path) -> None:
    disk = make_disk(tmp_path, "raw")
    place.put("disk.raw", disk.path)
    made = place.create("disk.raw", "raw")
    place.run()
    image = place.image(made.image_id)
    job_id = place.export(image, "out/disk.vhd", Format.VHD)
    quick_id = place.export(image, "out/quick", None)
    place.run()
    assert place.job(job_id).status == place.job(quick_id).status == Status.SUCCESS
    bucket = place.core.buckets.open(ACCOUNT, BUCKET)
    assert [fact.key for fact in bucket.list("out")] == ["out/disk.vhd", "out/quick"]
    found = tmp_path / "found"
    found.write_bytes(b"".join(bucket.read("out/disk.vhd")))
    assert same_content(disk.path, "raw", found, "vhd")
    found.write_bytes(b"".join(bucket.read("out/quick")))
    assert sha512(found) == image.sha512
    assert place.leftovers() == []


def test_an_export_that_fails_after_its_put_takes_the_object_back(
    place: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = make_disk(tmp_path, "raw")
    place.put("disk.raw", disk.path)
    made = place.create("disk.raw", "raw")
    place.run()
    job_id = place.export(place.image(made.image_id), "gone", Format.RAW)
    image_id = made.image_id
    seen: list[bool] = []

    def vanish(conn: object, job: object) -> None:
        bucket = place.core.buckets.open(ACCOUNT, BUCKET)
        seen.append(bucket.stat("gone") is not None)
        if seen[-1]:
            raise JobFailed(JobReason.STATE, "the image is not active any more")

    monkeypatch.setattr("calotype.flows.export_file._require_active", vanish)
    place.run()
    assert place.job(job_id).reason == "STATE"
    assert seen == [False, True]
    assert place.core.buckets.open(ACCOUNT, BUCKET).stat("gone") is None
    assert place.leftovers() == []
    assert place.image(image_id).status == "active"


def test_an_object_made_meanwhile_is_not_overwritten(place: Deployment, tmp_path: Path) -> None:
    disk = make_disk(tmp_path, "raw")
    place.put("disk.raw", disk.path)
    made = place.create("disk.raw", "raw")
    place.run()
    job_id = place.export(place.image(made.image_id), "late", Format.RAW)
    other = tmp_path / "other"
    other.write_bytes(b"other")
    place.put("late", other)
    place.run()
    assert place.job(job_id).reason == "TARGET_EXISTS"
    bucket = place.core.buckets.open(ACCOUNT, BUCKET)
    assert b"".join(bucket.read("late")) == b"other"
    assert place.leftovers() == []
