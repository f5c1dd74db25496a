# SPDX-License-Identifier: Apache-2.0
"""Imports of files of every kind, and everything that must end them (ims.md, jobs.md, C1 to C3)."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from calotype import clock
from calotype.db.tables import METADATA
from calotype.errors import BadImage, Invalid, QuotaExceeded, Reason, TooLarge, WrongState
from calotype.flows.import_submit import (
    DATA,
    ISO,
    QUICK,
    QUICK_DATA,
    SYSTEM,
    submit_creation,
    submit_register,
)
from calotype.flows.jobs_view import list_jobs, show
from calotype.flows.sources import Source
from calotype.flows.table import forget_killed
from calotype.images import store as images
from calotype.jobs.states import Status
from calotype.settings import Settings
from tests.journeys.flows.place import (
    ACCOUNT,
    BUCKET,
    PROJECT,
    Deployment,
    caller,
    draft,
    open_core,
)
from tests.made_disks import MIB, Disk, break_qcow2, make_disk, real_format, same_content, sha512

pytestmark = pytest.mark.heavy


def stored_as(place: Deployment, image_id: str, disk: Disk, found: str) -> None:
    """Check that an image is active and what a guest sees is the disk."""
    image = place.image(image_id)
    assert (image.status, image.disk_format, image.container_format) == ("active", found, "bare")
    path = place.bytes_of(image)
    assert real_format(path) == found
    assert same_content(disk.path, disk.format, path, found)
    assert (image.size, image.sha512) == (path.stat().st_size, sha512(path))
    assert image.md5 == hashlib.md5(path.read_bytes()).hexdigest()
    if disk.format == "vhd":
        # Made without a forced size, it is rounded up to a whole geometry.
        assert image.virtual_size in range(disk.virtual_size, disk.virtual_size + 2 * MIB)
    else:
        assert image.virtual_size == disk.virtual_size
    assert image.active_at is not None and image.job_id is None


@pytest.mark.parametrize("word", ["raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "qed"])
def test_a_disk_of_any_format_becomes_a_qcow2(place: Deployment, tmp_path: Path, word: str) -> None:
    disk = make_disk(tmp_path, word)
    place.put(f"web/base.{word}", disk.path)
    made = place.create(f"web/base.{word}", word)
    waiting = place.job(made.job_id)
    assert (waiting.status, place.image(made.image_id).status) == (Status.INIT, "queued")
    assert place.image(made.image_id).job_id == made.job_id
    place.run()
    job = place.job(made.job_id)
    assert (job.status, job.percent, job.error) == (Status.SUCCESS, 100.0, None)
    assert (job.image_id, job.image_name) == (made.image_id, "web-base")
    stored_as(place, made.image_id, disk, "qcow2")
    assert place.leftovers() == []
    assert place.used()[0] == 1
    if word == "qcow2":
        assert sha512(place.bytes_of(place.image(made.image_id))) == sha512(disk.path)


def test_an_image_extension_claims_nothing(place: Deployment, tmp_path: Path) -> None:
    disk = make_disk(tmp_path, "vmdk")
    place.put("disk.img", disk.path)
    made = place.create("disk.img", "img", variant=DATA, env_type="DataImage")
    place.run()
    stored_as(place, made.image_id, disk, "qcow2")


@pytest.mark.parametrize("kind", ["gz", "xz"])
def test_one_layer_of_compression_is_taken_off(
    place: Deployment, tmp_path: Path, kind: str
) -> None:
    disk = make_disk(tmp_path, "raw")
    pack = gzip.compress if kind == "gz" else lzma.compress
    packed = tmp_path / f"disk.raw.{kind}"
    packed.write_bytes(pack(disk.path.read_bytes()))
    place.put(packed.name, packed)
    made = place.create(packed.name, "raw", compression=kind, checksum=f"sha512:{sha512(packed)}")
    place.run()
    stored_as(place, made.image_id, disk, "qcow2")
    assert place.leftovers() == []


def test_an_iso_is_stored_as_it_is_with_one_sub_job(place: Deployment, tmp_path: Path) -> None:
    disk = make_disk(tmp_path, "iso")
    place.put("rescue.iso", disk.path)
    made = place.create("rescue.iso", "iso", variant=ISO, env_type="IsoImage")
    place.run()
    image = place.image(made.image_id)
    assert (image.status, image.disk_format) == ("active", "iso")
    assert sha512(place.bytes_of(image)) == sha512(disk.path)
    facts = place.core.db.read(lambda conn: show(conn, made.job_id, PROJECT))
    assert [(sub.variant, sub.status, sub.image_id) for sub in facts.subs] == [
        ("iso_part", Status.SUCCESS, made.image_id)
    ]
    sub = place.core.db.read(lambda conn: show(conn, facts.subs[0].id, PROJECT))
    assert (sub.step, sub.percent) == ("publish", 100.0)
    listed = place.core.db.read(lambda conn: list_jobs(conn, PROJECT, None, None, 10))
    assert [one.job.id for one in listed] == [made.job_id]
    assert listed[0].subs == facts.subs


@pytest.mark.parametrize("variant", [QUICK, QUICK_DATA])
def test_a_quick_import_keeps_raw_with_its_holes(
    place: Deployment, tmp_path: Path, variant: str
) -> None:
    disk = make_disk(tmp_path, "raw", size=256 * MIB, dense=0.02)
    place.put("big.raw", disk.path)
    made = place.create("big.raw", "raw", variant=variant)
    place.run()
    stored_as(place, made.image_id, disk, "raw")
    path = place.bytes_of(place.image(made.image_id))
    assert path.stat().st_blocks * 512 < 32 * MIB
    assert path.read_bytes() == disk.path.read_bytes()
    assert place.leftovers() == []


def test_the_blob_is_not_the_object(place: Deployment, tmp_path: Path) -> None:
    """Both are immutable, and still no file is shared between a user's bucket and the store."""
    disk = make_disk(tmp_path, "qcow2")
    place.put("disk.qcow2", disk.path)
    made = place.create("disk.qcow2", "qcow2")
    place.run()
    assert place.bytes_of(place.image(made.image_id)).stat().st_nlink == 1


def refused(place: Deployment, made_job: str, reason: str) -> None:
    """Check that a job failed for a reason and left nothing."""
    job = place.job(made_job)
    assert (job.status, job.reason) == (Status.FAIL, reason), job.error
    assert job.image_id is not None
    image = place.image(job.image_id)
    assert (image.status, image.blob_id, image.size) == ("killed", None, None)
    assert place.leftovers() == []
    assert place.used() == (0, 0)


def test_a_disk_with_a_backing_file_is_refused_without_its_name(
    place: Deployment, tmp_path: Path
) -> None:
    base = make_disk(tmp_path, "qcow2", name="base")
    child = tmp_path / "child.qcow2"
    os.system(f"qemu-img create -q -f qcow2 -F qcow2 -b {base.path} {child}")
    place.put("child.qcow2", child)
    with pytest.raises(BadImage) as caught:
        place.create("child.qcow2", "qcow2")
    assert caught.value.reason == Reason.BACKING_FILE
    assert str(tmp_path) not in caught.value.message
    assert place.used() == (0, 0)


def test_a_broken_structure_is_found_by_the_job(place: Deployment, tmp_path: Path) -> None:
    disk = make_disk(tmp_path, "qcow2")
    break_qcow2(disk.path)
    place.put("disk.qcow2", disk.path)
    made = place.create("disk.qcow2", "qcow2")
    place.run()
    refused(place, made.job_id, "CORRUPT")
    facts = place.core.db.read(lambda conn: show(conn, made.job_id, PROJECT))
    assert facts.failure is not None and facts.failure.startswith("CORRUPT: ")
    assert facts.step == "inspect"


def test_a_compressed_bomb_is_stopped(place: Deployment, tmp_path: Path) -> None:
    packed = tmp_path / "bomb.raw.gz"
    with gzip.open(packed, "wb", compresslevel=9) as file:
        for _ in range(1100):
            file.write(bytes(MIB))
    place.put("bomb.raw.gz", packed)
    made = place.create("bomb.raw.gz", "raw", compression="gz")
    place.run()
    refused(place, made.job_id, "EXPANSION_LIMIT")


def test_a_checksum_that_is_not_met_fails_the_job(place: Deployment, tmp_path: Path) -> None:
    disk = make_disk(tmp_path, "raw")
    place.put("disk.raw", disk.path)
    for checksum in ("sha256:" + "0" * 64, "sha512:" + "0" * 128):
        made = place.create("disk.raw", "raw", checksum=checksum)
        place.run()
        refused(place, made.job_id, "CHECKSUM_MISMATCH")
    good = hashlib.sha256(disk.path.read_bytes()).hexdigest()
    made = place.create("disk.raw", "raw", checksum=f"sha256:{good}")
    place.run()
    stored_as(place, made.image_id, disk, "qcow2")


def test_an_object_that_changes_after_acceptance_fails_the_job(
    place: Deployment, tmp_path: Path
) -> None:
    disk = make_disk(tmp_path, "raw")
    place.put("disk.raw", disk.path)
    made = place.create("disk.raw", "raw")
    place.put("disk.raw", disk.path)
    place.run()
    refused(place, made.job_id, "SOURCE_CHANGED")
    made = place.create("disk.raw", "raw")
    place.core.buckets.open(ACCOUNT, BUCKET).delete("disk.raw")
    place.run()
    refused(place, made.job_id, "SOURCE_GONE")


def test_a_cancelled_import_leaves_nothing(place: Deployment, tmp_path: Path) -> None:
    disk = make_disk(tmp_path, "vmdk")
    place.put("disk.vmdk", disk.path)
    made = place.create("disk.vmdk", "vmdk")
    place.core.db.write(lambda conn: place.core.jobs.cancel(conn, made.job_id))
    place.run()
    refused(place, made.job_id, "CANCELLED")


def test_a_killed_image_is_forgotten_after_its_days(
    place: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = make_disk(tmp_path, "raw", size=MIB)
    place.put("disk.raw", disk.path)
    killed, kept = place.create("disk.raw", "raw"), place.create("disk.raw", "raw")
    place.core.db.write(lambda conn: place.core.jobs.cancel(conn, killed.job_id))
    place.run()
    assert forget_killed(place.core) == 0
    later = clock.now() + timedelta(days=8)
    monkeypatch.setattr("calotype.clock.now", lambda: later)
    assert forget_killed(place.core) == 1
    assert place.core.db.read(lambda conn: images.get(conn, killed.image_id, None)) is None
    assert place.image(kept.image_id).status == "active"
    assert place.used()[0] == 1


def test_a_look_before_acceptance_refuses_and_leaves_nothing(
    place: Deployment, tmp_path: Path
) -> None:
    disk = make_disk(tmp_path, "qcow2", size=3 << 30, dense=0.001)
    place.put("disk.qcow2", disk.path)
    place.put("disk.vmdk", disk.path)
    empty = tmp_path / "empty"
    empty.touch()
    place.put("empty.raw", empty)
    iso = make_disk(tmp_path, "iso", name="cd")
    place.put("cd.img", iso.path)
    with pytest.raises(Invalid) as missing:
        place.create("nothing.raw", "raw")
    assert missing.value.rule == "source_missing"
    with pytest.raises(BadImage) as nothing:
        place.create("empty.raw", "raw")
    assert nothing.value.reason == Reason.EMPTY
    for key, word in (("disk.vmdk", "vmdk"), ("cd.img", "img")):
        with pytest.raises(BadImage) as wrong:
            place.create(key, word)
        assert wrong.value.reason == Reason.FORMAT_MISMATCH
    for variant, rule in ((SYSTEM, "system_disk_too_large"), (DATA, "disk_too_small")):
        with pytest.raises(Invalid) as small:
            place.create("disk.qcow2", "qcow2", variant=variant, min_disk=2)
        assert small.value.rule == rule
    with pytest.raises(BadImage) as packed:
        place.create("disk.qcow2", "qcow2", compression="gz")
    assert packed.value.reason == Reason.FORMAT_MISMATCH
    with pytest.raises(BadImage) as quick:
        place.create("disk.qcow2", "img", variant=QUICK)
    assert quick.value.reason == Reason.FORMAT_MISMATCH
    assert place.core.db.read(lambda conn: list_jobs(conn, PROJECT, None, None, 10)) == ()
    assert place.used() == (0, 0)


def test_a_bucket_of_another_account_cannot_be_read(place: Deployment, tmp_path: Path) -> None:
    place.core.buckets.create("theirs", "f" * 32)
    disk = make_disk(tmp_path, "raw")
    place.core.buckets.put("f" * 32, "theirs", "disk.raw", disk.path)
    for name in ("theirs", "missing"):
        source = Source(bucket=name, key="disk.raw", extension="raw")
        with pytest.raises(Invalid) as caught:
            submit_creation(place.core, caller(), draft(), source, SYSTEM)
        assert caught.value.rule == "bucket_not_accessible"


def test_limits_of_size_count_and_jobs_are_kept(tmp_path: Path, place: Deployment) -> None:
    settings = Settings(
        data_dir=place.core.settings.data_dir,
        upload_limit=MIB,
        images_per_project=1,
        creation_jobs_per_project=1,
    )
    small = Deployment(open_core(settings))
    disk = make_disk(tmp_path, "raw")
    small.put("disk.raw", disk.path)
    with pytest.raises(TooLarge) as big:
        small.create("disk.raw", "raw")
    assert big.value.rule == "source_too_large"
    made = small.create("disk.raw", "raw", variant=QUICK)
    with pytest.raises(QuotaExceeded) as full:
        small.create("disk.raw", "raw", variant=QUICK)
    assert full.value.rule == "quota"
    place.core.db.write(lambda conn: place.core.jobs.cancel(conn, made.job_id))
    small.run()
    made = small.create("disk.raw", "raw", variant=QUICK)
    small.run()
    assert small.job(made.job_id).status == Status.SUCCESS
    small.core.db.close()


def native_row(place: Deployment, **changes: object) -> str:
    """Make a row as the native dialect does."""
    row = draft(
        id="11111111-2222-4333-8444-555555555555",
        owner=PROJECT,
        account_id=ACCOUNT,
        min_disk=0,
        properties={},
        **changes,
    )
    place.core.db.write(lambda conn: images.insert_image(conn, row))
    return row.id


def register(place: Deployment, image_id: str, key: str, word: str) -> str:
    source = Source(bucket=BUCKET, key=key, extension=word)
    return submit_register(place.core, caller(), place.image(image_id), source).job_id


def test_register_converts_to_the_rows_own_format_and_sets_min_disk(
    place: Deployment, tmp_path: Path
) -> None:
    disk = make_disk(tmp_path, "qcow2", size=3 << 30, dense=0.001)
    place.put("disk.qcow2", disk.path)
    image_id = native_row(place, disk_format="vhd", container_format="bare")
    job_id = register(place, image_id, "disk.qcow2", "qcow2")
    with pytest.raises(WrongState):
        register(place, image_id, "disk.qcow2", "qcow2")
    place.run()
    assert place.job(job_id).status == Status.SUCCESS
    stored_as(place, image_id, disk, "vhd")
    assert place.image(image_id).min_disk == 3


def test_a_failed_register_leaves_the_row_free_for_another_try(
    place: Deployment, tmp_path: Path
) -> None:
    disk = make_disk(tmp_path, "qcow2")
    break_qcow2(disk.path)
    place.put("disk.qcow2", disk.path)
    image_id = native_row(place, disk_format="qcow2", container_format="bare")
    job_id = register(place, image_id, "disk.qcow2", "qcow2")
    place.run()
    assert place.job(job_id).reason == "CORRUPT"
    image = place.image(image_id)
    assert (image.status, image.job_id) == ("queued", None)
    good = make_disk(tmp_path, "raw", name="good")
    place.put("good.raw", good.path)
    job_id = register(place, image_id, "good.raw", "raw")
    place.run()
    stored_as(place, image_id, good, "qcow2")
    assert place.leftovers() == []


def test_a_byte_quota_ends_the_job(place: Deployment, tmp_path: Path) -> None:
    settings = Settings(data_dir=place.core.settings.data_dir, bytes_per_project=MIB)
    small = Deployment(open_core(settings))
    disk = make_disk(tmp_path, "raw")
    small.put("disk.raw", disk.path)
    made = small.create("disk.raw", "raw")
    small.run()
    refused(small, made.job_id, "QUOTA")
    small.core.db.close()


def test_parallel_creators_get_exactly_the_quota(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", images_per_project=10)
    core = open_core(settings)
    METADATA.create_all(core.db.engine)
    core.buckets.create(BUCKET, ACCOUNT)
    place = Deployment(core)
    disk = make_disk(tmp_path, "raw", size=MIB)
    place.put("disk.raw", disk.path)
    accepted: list[str] = []

    def create() -> None:
        try:
            accepted.append(place.create("disk.raw", "raw").image_id)
        except QuotaExceeded:
            pass

    threads = [threading.Thread(target=create) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(accepted) == 10
    assert place.used()[0] == 10
    assert {place.image(one).status for one in accepted} == {"queued"}
    core.db.close()
