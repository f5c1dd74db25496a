# SPDX-License-Identifier: Apache-2.0
"""Exports: formats, the order of refusals, and that nothing is overwritten (ims.md, export)."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from sqlalchemy import Connection

from calotype import clock
from calotype.blobs import store as blobs
from calotype.disks.formats import Format
from calotype.errors import CalotypeError, Conflict, QuotaExceeded
from calotype.flows.export_submit import Target, submit_export
from calotype.images import store as images
from calotype.images.model import Image
from calotype.jobs.states import Status
from calotype.settings import Settings
from tests.journeys.flows.conftest import fresh_url
from tests.journeys.flows.place import (
    ACCOUNT,
    BUCKET,
    PROJECT,
    Deployment,
    caller,
    draft,
    open_core,
)
from tests.made_disks import make_disk, real_format, same_content, sha512

pytestmark = pytest.mark.heavy


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    return fresh_url(request, request.param)


@pytest.fixture
def image(place: Deployment, tmp_path: Path) -> Image:
    """An active image that was imported from a VMDK."""
    disk = make_disk(tmp_path, "vmdk")
    place.put("disk.vmdk", disk.path)
    made = place.create("disk.vmdk", "vmdk")
    place.run()
    return place.image(made.image_id)


def fetched(place: Deployment, key: str, target: Path) -> Path:
    """Read an object of the bucket into a file."""
    bucket = place.core.buckets.open(ACCOUNT, BUCKET)
    target.write_bytes(b"".join(bucket.read(key)))
    return target


@pytest.mark.parametrize("wanted", ["qcow2", "vhd", "vmdk", "raw"])
def test_an_image_is_written_in_the_wanted_format(
    place: Deployment, image: Image, tmp_path: Path, wanted: str
) -> None:
    job_id = place.export(image, f"out/web.{wanted}", Format(wanted))
    place.run()
    job = place.job(job_id)
    assert (job.status, job.object, job.image_id) == (
        Status.SUCCESS,
        f"{BUCKET}:out/web.{wanted}",
        image.id,
    )
    found = fetched(place, f"out/web.{wanted}", tmp_path / "found")
    assert real_format(found) == wanted
    assert same_content(place.bytes_of(image), "qcow2", found, wanted)
    assert place.leftovers() == []
    if wanted == "qcow2":
        assert sha512(found) == image.sha512


def test_a_quick_export_writes_the_stored_bytes(
    place: Deployment, image: Image, tmp_path: Path
) -> None:
    job_id = place.export(image, "out/quick", None)
    place.run()
    assert place.job(job_id).variant == "export_quick"
    assert sha512(fetched(place, "out/quick", tmp_path / "found")) == image.sha512
    assert place.leftovers() == []


def test_an_object_that_exists_is_never_overwritten(
    place: Deployment, image: Image, tmp_path: Path
) -> None:
    with pytest.raises(Conflict) as caught:
        place.export(image, "disk.vmdk", Format.VMDK)
    assert caught.value.rule == "object_exists"
    job_id = place.export(image, "late", Format.RAW)
    other = tmp_path / "other"
    other.write_bytes(b"other")
    place.put("late", other)
    place.run()
    job = place.job(job_id)
    assert (job.status, job.reason) == (Status.FAIL, "TARGET_EXISTS")
    assert fetched(place, "late", tmp_path / "found").read_bytes() == b"other"
    assert place.leftovers() == []


def test_the_same_export_twice_at_once_is_refused(place: Deployment, image: Image) -> None:
    place.export(image, "same", Format.RAW)
    with pytest.raises(Conflict) as caught:
        place.export(image, "same", Format.QCOW2)
    assert caught.value.rule == "export_running"
    place.export(image, "different", Format.QCOW2)
    place.run()
    assert place.leftovers() == []


def test_a_cancelled_export_leaves_no_object(place: Deployment, image: Image) -> None:
    job_id = place.export(image, "gone", Format.RAW)
    place.core.db.write(lambda conn: place.core.jobs.cancel(conn, job_id))
    place.run()
    assert place.job(job_id).reason == "CANCELLED"
    assert place.core.buckets.open(ACCOUNT, BUCKET).stat("gone") is None
    assert place.leftovers() == []


def test_the_bytes_stay_while_they_are_exported_and_go_afterwards(
    place: Deployment, image: Image
) -> None:

    job_id = place.export(image, "late", Format.RAW)

    def remove(conn: Connection) -> bool:
        gone = images.delete_image(conn, image.id, clock.now())
        return blobs.drop(conn, gone.blob_id or "")

    assert place.core.db.write(remove) is False
    place.core.sweeper.collect()
    assert len(place.blob_files()) == 1
    place.run()
    assert place.job(job_id).reason == "STATE"
    assert place.blob_files() == {}


def variant(image: Image, **changes: object) -> Image:
    return dataclasses.replace(image, **changes)  # type: ignore[arg-type]  # fields by name


def rule_of(place: Deployment, image: Image, wanted: Format | None = Format.RAW) -> str:
    with pytest.raises(CalotypeError) as caught:
        place.export(image, "target", wanted)
    return caught.value.rule


def test_images_that_are_not_exported_are_refused_in_the_order_of_the_contract(
    place: Deployment, image: Image
) -> None:
    everything = variant(
        image,
        status="queued",
        is_whole=True,
        disk_format="iso",
        visibility="public",
        properties={"__account_code": "x"},
        blob_id=None,
        size=1 << 50,
    )
    steps: list[tuple[dict[str, object], str]] = [
        ({}, "wrong_state"),
        ({"status": "active"}, "export_whole"),
        ({"is_whole": False}, "not_for_iso"),
        ({"disk_format": "qcow2"}, "export_public"),
        ({"visibility": "private"}, "export_charged"),
        ({"properties": {}}, "export_no_bytes"),
        ({"blob_id": image.blob_id}, "export_too_large"),
    ]
    for changes, rule in steps:
        everything = variant(everything, **changes)
        assert rule_of(place, everything) == rule


def test_a_chain_of_parents_is_followed_to_its_end(place: Deployment, image: Image) -> None:
    def insert(number: int, **changes: object) -> str:
        image_id = f"00000000-0000-4000-8000-00000000000{number}"
        row = draft(id=image_id, owner=PROJECT, account_id=ACCOUNT, **changes)
        place.core.db.write(lambda conn: images.insert_image(conn, row))
        return image_id

    public = insert(1, visibility="public", platform="Windows", properties={})
    middle = insert(2, properties={"__originalimagename": public})
    child = variant(image, properties={"__originalimagename": middle})
    assert rule_of(place, child) == "export_licensed"
    charged = insert(3, properties={"__productcode": "p"})
    child = variant(image, properties={"__originalimagename": charged})
    assert rule_of(place, child) == "export_charged"
    loop = variant(image, properties={"__originalimagename": image.id})
    place.export(loop, "loop", Format.RAW)
    place.run()


def test_other_formats_and_foreign_buckets_are_refused(place: Deployment, image: Image) -> None:
    assert rule_of(place, image, Format.VHDX) == "format_unsupported"
    target = Target(bucket="missing", key="k", format=Format.RAW)
    with pytest.raises(CalotypeError) as caught:
        submit_export(place.core, caller(), image, target)
    assert caught.value.rule == "bucket_not_accessible"
    encrypted = variant(image, cmk_id="00000000-0000-4000-8000-000000000009")
    assert rule_of(place, encrypted, None) == "export_no_bytes"


def test_exports_are_limited_with_creations(place: Deployment, image: Image) -> None:
    settings = Settings(
        data_dir=place.core.settings.data_dir,
        database_url=place.core.settings.database_url,
        creation_jobs_per_project=1,
    )
    small = Deployment(open_core(settings))
    small.export(image, "one", Format.RAW)
    with pytest.raises(QuotaExceeded) as caught:
        small.export(image, "two", Format.RAW)
    assert caught.value.rule == "too_many_jobs"
    small.core.db.close()


def test_a_name_of_the_caller_is_never_a_path(place: Deployment, image: Image) -> None:
    place.export(image, "..-x/.hidden", Format.RAW)
    place.run()
    root = place.core.settings.data_dir / "buckets" / "data"
    assert {path.parts[len(root.parts)] for path in root.rglob("*")} == {BUCKET}
    assert os.path.lexists(root / BUCKET)
