# SPDX-License-Identifier: Apache-2.0
"""An import survives whatever happens to the processes that do it.

Everything is killed (SIGKILL, as a power cut would) at many moments of an import and started
again; the job must end with one image of the right content and without a stray byte.
"""

from __future__ import annotations

import contextlib
import random
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import FreshService
from tests.leftovers import assert_clean, assert_gone, descendants, let_leases_expire, rows
from tests.made_disks import MIB, Disk, make_disk, same_content
from tests.people import fresh
from tests.service import Service, until
from tests.wire import Api, root_of

# The step that the job must show, and the seconds after which everything is killed then.
MOMENTS = (
    ("queue", 0.0),
    ("queue", 0.1),
    ("fetch", 0.0),
    ("fetch", 0.05),
    ("fetch", 0.2),
    ("convert", 0.0),
    ("convert", 0.05),
    ("convert", 0.2),
    ("convert", 0.5),
    ("store", 0.0),
    ("store", 0.05),
)


@pytest.fixture
def busy_disk(tmp_path: Path) -> Disk:
    """A disk that takes a while: most of it is random, and it has to be converted."""
    return make_disk(tmp_path, "raw", 128 * MIB, seed=41, dense=0.8, name="busy")


def submit(api: Api, url: str) -> tuple[str, str]:
    name = fresh("killed")
    body = {"name": name, "image_url": url, "min_disk": 1}
    return api.submit("/v2/cloudimages/action", body), name


def wait_for_step(api: Api, job_id: str, step: str) -> None:
    """Wait until the job shows a step, or has passed it."""
    for _ in until(60, 0.01):
        job = api.job(job_id)
        if job["status"] == "SUCCESS" or job["entities"]["current_task"] == step:
            return


def ended(api: Api, job_id: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return bool(api.job(job_id)["status"] in ("SUCCESS", "FAIL"))
    return False


def assert_one_good_image(api: Api, job_id: str, name: str, disk: Disk, target: Path) -> Any:
    entities = api.done(job_id, 120)
    (image,) = api.ims_images(name=name)
    assert (image["id"], image["status"]) == (entities["image_id"], "active")
    file = target / f"{image['id']}.qcow2"
    file.write_bytes(api.download(image["id"]).content)
    assert file.stat().st_size == image["size"]
    assert same_content(file, "qcow2", disk.raw, "raw")
    file.unlink()
    return image


def main_pid(service: Service, name: str = "serve") -> int:
    process = service.parts[name].process
    assert process is not None
    return process.pid


@pytest.mark.heavy
def test_an_import_survives_kill_9_at_any_moment(
    fresh_service: FreshService, busy_disk: Disk, tmp_path: Path
) -> None:
    service = fresh_service()
    url = service.bucket_put(busy_disk.path, "busy.raw")
    api = root_of(service)
    interrupted = 0
    for step, delay in MOMENTS:
        job_id, name = submit(api, url)
        wait_for_step(api, job_id, step)
        time.sleep(delay)
        interrupted += not ended(api, job_id)
        tools = descendants(main_pid(service))
        service.kill()
        assert_gone(tools)
        service.restart()
        assert_one_good_image(api, job_id, name, busy_disk, tmp_path)
        assert_clean(service)
    assert interrupted >= 4, "too few kills met a running job: make the disk larger"
    assert len(api.ims_images()) == len(MOMENTS)


@pytest.mark.heavy
def test_an_export_survives_kill_9_and_its_object_appears_whole(
    fresh_service: FreshService, busy_disk: Disk, tmp_path: Path
) -> None:
    service = fresh_service()
    url = service.bucket_put(busy_disk.path, "busy.raw")
    api = root_of(service)
    image_id = api.import_file(url, "source")
    bucket = service.credentials["bucket"]
    for number, step in enumerate(("queue", "convert", "write")):
        target = f"{bucket}:out/{number}.vhd"
        body = {"bucket_url": target, "file_format": "vhd"}
        job_id = api.submit(f"/v1/cloudimages/{image_id}/file", body)
        wait_for_step(api, job_id, step)
        service.kill()
        service.restart()
        api.done(job_id, 120)
        file = service.bucket_get(target, tmp_path / f"{number}.vhd")
        assert same_content(file, "vhd", busy_disk.raw, "raw")
        assert_clean(service)
    assert service.bucket_keys() == {"busy.raw", "out/0.vhd", "out/1.vhd", "out/2.vhd"}


@pytest.mark.heavy
def test_an_upload_that_the_service_dies_in_leaves_a_queued_image_that_can_be_filled(
    fresh_service: FreshService,
) -> None:
    service = fresh_service()
    api = root_of(service)
    image_id = api.make(name="broken")
    content = random.Random(43).randbytes(8 * MIB)

    def half() -> Any:
        yield content[: 4 * MIB]
        for _ in until(30, 0.02):
            if root_of(service).native(image_id)["status"] == "saving":
                break
        service.kill()
        yield content[4 * MIB :]

    with contextlib.suppress(httpx.TransportError):
        api.upload(image_id, half())
    let_leases_expire(service)
    service.restart()
    for _ in until(30, 0.1):
        if api.native(image_id)["status"] == "queued":
            break
    assert api.upload(image_id, content).status_code == 204
    assert api.download(image_id).content == content
    assert_clean(service)


@pytest.mark.heavy
def test_a_cancel_in_the_middle_of_a_conversion_kills_the_tool_and_leaves_nothing(
    fresh_service: FreshService, tmp_path: Path
) -> None:
    service = fresh_service()
    disk = make_disk(tmp_path, "raw", 256 * MIB, seed=44, dense=0.5)
    url = service.bucket_put(disk.path, "disk.raw")
    api = root_of(service)
    tools: dict[int, str] = {}

    def converting() -> bool:
        tools.clear()
        tools.update(descendants(main_pid(service)))
        return "qemu-img" in tools.values()

    body = {"name": "cancelled", "image_url": url, "min_disk": 1}
    job = api.cancelled(body, ("convert",), converting)
    assert_gone(tools)
    assert job["error_code"] == "IMG.0061"
    assert job["fail_reason"].startswith("CANCELLED")
    (image,) = api.ims_images(id=job["entities"]["image_id"])
    assert image["status"] == "killed"
    assert_clean(service)


@pytest.mark.heavy
def test_sigterm_in_the_middle_of_an_import_hands_it_over_and_exits_with_0(
    fresh_service: FreshService, busy_disk: Disk, tmp_path: Path
) -> None:
    service = fresh_service(DRAIN_SECONDS="0.2")
    url = service.bucket_put(busy_disk.path, "busy.raw")
    api = root_of(service)
    job_id, name = submit(api, url)
    wait_for_step(api, job_id, "convert")
    service.stop()
    service.restart()
    assert_one_good_image(api, job_id, name, busy_disk, tmp_path)
    assert_clean(service)


# ---- two workers on PostgreSQL and S3


def worker_of(service: Service) -> str:
    """Return the worker that runs a tool or holds bytes now."""
    for _ in until(60, 0.005):
        for name in ("worker-0", "worker-1"):
            scratch = service.root / f"scratch-{name}"
            if scratch.exists() and any(scratch.iterdir()):
                return name
    raise AssertionError("unreachable")


@pytest.mark.heavy
@pytest.mark.xdist_group("cluster")
def test_a_killed_worker_is_replaced_by_the_other(
    start_cluster: Any, busy_disk: Disk, tmp_path: Path
) -> None:
    cluster = start_cluster()
    service = cluster.service
    api = root_of(service)
    url = service.bucket_put(busy_disk.path, "busy.raw")
    job_id, name = submit(api, url)
    dead = worker_of(service)
    service.kill(dead)
    assert_one_good_image(api, job_id, name, busy_disk, tmp_path)
    service.restart()  # the bytes that the dead worker had on its own disk go when it is back
    assert_clean(service, cluster.stored, 40)


@pytest.mark.heavy
@pytest.mark.xdist_group("cluster")
def test_a_frozen_worker_that_wakes_up_later_publishes_nothing(
    start_cluster: Any, busy_disk: Disk, tmp_path: Path
) -> None:
    cluster = start_cluster()
    service = cluster.service
    api = root_of(service)
    url = service.bucket_put(busy_disk.path, "busy.raw")
    job_id, name = submit(api, url)
    frozen = worker_of(service)
    part = service.parts[frozen]
    part.send(signal.SIGSTOP)
    try:
        image = assert_one_good_image(api, job_id, name, busy_disk, tmp_path)
    finally:
        part.send(signal.SIGCONT)
    # The sleeper notices that its attempt is over, gives up and works on with the next job.
    second, other = submit(api, url)
    assert_one_good_image(api, second, other, busy_disk, tmp_path)
    assert_clean(service, cluster.stored, 40)
    (again,) = api.ims_images(name=name)
    assert again == image, "the image changed after it was published"
    assert rows(service, "SELECT count(*) FROM images") == [(2,)]
