# SPDX-License-Identifier: Apache-2.0
"""Workers killed with -9 at every step: the job ends well, one image, no stray bytes (P6)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from calotype.disks.formats import Format
from calotype.jobs.states import Status
from tests.journeys.flows.conftest import fresh_url
from tests.journeys.flows.place import ACCOUNT, BUCKET, Deployment
from tests.made_disks import make_disk, same_content

pytestmark = [pytest.mark.heavy, pytest.mark.xdist_group("kills")]

# `after` is done but not noted, `before` comes after the step before it was noted.
IMPORT_POINTS = [
    *("before-fetch", "after-fetch", "after-inspect", "after-convert"),
    *("before-store", "after-store", "before-publish", "after-publish"),
]
EXPORT_POINTS = ["after-convert", "after-write", "before-publish", "after-publish"]


def until(what: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def worker(place: Deployment, point: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker; it is killed with -9 at the end of the block."""
    settings = place.core.settings
    command = [sys.executable, "-m", "tests.journeys.flows.worker", str(settings.data_dir)]
    url = settings.database_url.get_secret_value()
    env = {**os.environ, "CALOTYPE_DATABASE_URL": url} if url else None
    process = subprocess.Popen([*command, *([point] if point else [])], env=env)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def kill_at(place: Deployment, point: str) -> None:
    """Let a worker come to a point and kill it there."""
    mark = place.core.settings.data_dir / "at-point"
    with worker(place, point):
        until(mark.exists)
    mark.unlink()


def end(place: Deployment, job_id: str) -> None:
    """Let another worker finish the job and tidy up after it."""
    with worker(place):
        until(lambda: place.job(job_id).ended)
        until(lambda: not place.leftovers(), 20)


def imported_after_a_kill(place: Deployment, tmp_path: Path, word: str, point: str) -> None:
    disk = make_disk(tmp_path, word)
    place.put(f"disk.{word}", disk.path)
    made = place.create(f"disk.{word}", word)
    kill_at(place, point)
    end(place, made.job_id)
    job, image = place.job(made.job_id), place.image(made.image_id)
    assert (job.status, job.error) == (Status.SUCCESS, None)
    assert job.attempts == (1 if point == "after-publish" else 2)
    assert image.status == "active"
    assert same_content(disk.path, word, place.bytes_of(image), "qcow2")
    assert len(place.blob_files()) == 1
    assert place.used() == (1, image.size)


@pytest.mark.parametrize("point", IMPORT_POINTS)
def test_an_import_survives_a_kill(place: Deployment, tmp_path: Path, point: str) -> None:
    imported_after_a_kill(place, tmp_path, "vmdk", point)


@pytest.mark.parametrize("point", ["after-store", "before-publish"])
def test_an_import_that_keeps_its_source_survives_a_kill(
    place: Deployment, tmp_path: Path, point: str
) -> None:
    imported_after_a_kill(place, tmp_path, "qcow2", point)


@pytest.mark.parametrize("point", EXPORT_POINTS)
def test_an_export_survives_a_kill(place: Deployment, tmp_path: Path, point: str) -> None:
    disk = make_disk(tmp_path, "raw")
    place.put("disk.raw", disk.path)
    made = place.create("disk.raw", "raw")
    place.run()
    job_id = place.export(place.image(made.image_id), "out.vhd", Format.VHD)
    kill_at(place, point)
    end(place, job_id)
    assert place.job(job_id).status == Status.SUCCESS
    bucket = place.core.buckets.open(ACCOUNT, BUCKET)
    found = tmp_path / "found"
    found.write_bytes(b"".join(bucket.read("out.vhd")))
    assert same_content(disk.path, "raw", found, "vhd")
    root = place.core.settings.data_dir / "buckets" / "data"
    assert len([path for path in root.rglob("*") if path.is_file()]) == 2


def test_work_of_a_killed_worker_goes_on_in_another_scratch(
    place: Deployment, tmp_path: Path
) -> None:
    """In a cluster the next attempt is on another host: what was in scratch is made again."""
    disk = make_disk(tmp_path, "vmdk")
    place.put("disk.vmdk", disk.path)
    made = place.create("disk.vmdk", "vmdk")
    kill_at(place, "after-convert")
    scratch = place.core.settings.data_dir / "scratch"
    scratch.rename(tmp_path / "other-host")
    with worker(place):
        until(lambda: place.job(made.job_id).ended)
    assert place.job(made.job_id).status == Status.SUCCESS
    assert same_content(disk.path, "vmdk", place.bytes_of(place.image(made.image_id)), "qcow2")


class TestOnPostgreSQL:
    """The same on the other database."""

    @pytest.fixture
    def database_url(self, request: pytest.FixtureRequest) -> str:
        return fresh_url(request, "postgres")

    @pytest.mark.parametrize("point", ["after-store", "before-publish"])
    def test_an_import_survives_a_kill(self, place: Deployment, tmp_path: Path, point: str) -> None:
        imported_after_a_kill(place, tmp_path, "vmdk", point)
