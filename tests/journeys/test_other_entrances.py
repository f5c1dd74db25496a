# SPDX-License-Identifier: Apache-2.0
"""Every other way in and out: quick import, data image, register, native bytes, job queries.

One account for the file; bodies and words are those of ims.md, jobs.md and native.md.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.made_disks import MIB, make_disk, raw_bytes, real_format, same_content
from tests.people import fresh
from tests.service import Service
from tests.wire import Api, ims_error

JOB_MEMBERS = {
    "status",
    "job_id",
    "job_type",
    "begin_time",
    "end_time",
    "error_code",
    "fail_reason",
    "entities",
}
UBUNTU = "Ubuntu 22.04 server 64bit"


@pytest.fixture
def raw_url(service: Service, tmp_path: Path) -> str:
    """A raw disk of 16 MiB in the first account's bucket; its file is disk.raw."""
    disk = make_disk(tmp_path, "raw", seed=11)
    return service.bucket_put(disk.path, f"in/{fresh('disk')}.raw")


def the_image(root: Api, image_id: str) -> dict[str, Any]:
    found = root.ims_images(id=image_id)
    assert len(found) == 1
    return found[0]


def test_a_quick_import_keeps_a_raw_system_disk_byte_for_byte(
    root: Api, raw_url: str, tmp_path: Path
) -> None:
    body = {"name": fresh("quick"), "image_url": raw_url, "min_disk": 1, "os_version": UBUNTU}
    job_id = root.submit("/v2/cloudimages/quickimport/action", body)
    entities = root.done(job_id)
    job = root.job(job_id)
    assert job["job_type"] == "imsImportImageJob"
    assert [sub["job_type"] for sub in entities["sub_jobs_result"]] == ["imsImportBigFileImageJob"]
    assert entities["sub_jobs_list"] == [sub["job_id"] for sub in entities["sub_jobs_result"]]
    assert entities["sub_jobs_result"][0]["entities"]["image_id"] == entities["image_id"]
    image = the_image(root, entities["image_id"])
    assert (image["disk_format"], image["__lazyloading"]) == ("raw", "true")
    assert image["virtual_env_type"] == "FusionCompute"
    assert root.download(image["id"]).content == (tmp_path / "disk.raw").read_bytes()


def test_a_quick_import_makes_a_data_disk_image(root: Api, raw_url: str) -> None:
    body = {"name": fresh("quick-data"), "image_url": raw_url, "min_disk": 1, "type": "DataImage"}
    job_id = root.submit("/v2/cloudimages/quickimport/action", body)
    image = the_image(root, root.done(job_id)["image_id"])
    assert root.job(job_id)["job_type"] == "imsImportDataImageJob"
    assert (image["virtual_env_type"], image["__os_type"]) == ("DataImage", "Linux")
    assert "__os_version" not in image
    assert "__os_bit" not in image


def test_a_file_becomes_a_data_disk_image(service: Service, root: Api, tmp_path: Path) -> None:
    disk = make_disk(tmp_path, "vmdk", seed=12)
    url = service.bucket_put(disk.path, f"in/{fresh('data')}.vmdk")
    body = {"name": fresh("data"), "image_url": url, "min_disk": 1, "os_type": "Windows"}
    job_id = root.submit("/v1/cloudimages/dataimages/action", body)
    image = the_image(root, root.done(job_id)["image_id"])
    assert root.job(job_id)["job_type"] == "imsImportDataImageJob"
    assert (image["virtual_env_type"], image["__os_type"]) == ("DataImage", "Windows")
    assert image["disk_format"] == "qcow2"
    file = tmp_path / "downloaded.qcow2"
    file.write_bytes(root.download(image["id"]).content)
    assert same_content(file, "qcow2", disk.raw, "raw")


@pytest.mark.parametrize("wanted", ["qcow2", "raw", "vmdk", "vhd"])
def test_registering_fills_a_native_row_in_the_format_the_row_asked_for(
    service: Service, root: Api, tmp_path: Path, wanted: str
) -> None:
    disk = make_disk(tmp_path, "qcow2", seed=13)
    url = service.bucket_put(disk.path, f"in/{fresh('register')}.qcow2")
    name = fresh("row")
    image_id = root.make(name=name, disk_format=wanted, tags=["kept"], flavour="blue")
    job_id = root.submit(f"/v1/cloudimages/{image_id}/upload", {"image_url": url}, "PUT")
    entities = root.done(job_id)
    assert entities["image_id"] == image_id
    assert "image_name" not in entities
    assert root.job(job_id)["job_type"] == "imsNativeImportImageJob"
    image = root.native(image_id)
    assert (image["status"], image["disk_format"], image["name"]) == ("active", wanted, name)
    assert (image["tags"], image["flavour"], image["min_disk"]) == (["kept"], "blue", 1)
    file = tmp_path / f"downloaded.{wanted}"
    file.write_bytes(root.download(image_id).content)
    assert hashlib.sha512(file.read_bytes()).hexdigest() == image["os_hash_value"]
    assert real_format(file) == wanted
    assert same_content(file, wanted, disk.raw, "raw")


def test_registering_twice_is_refused(root: Api, raw_url: str) -> None:
    image_id = root.make(raw_bytes())
    answer = root.call("PUT", f"/v1/cloudimages/{image_id}/upload", {"image_url": raw_url})
    assert ims_error(answer)[:2] == (400, "IMG.0046")


def test_a_quick_export_hands_out_the_stored_bytes(
    service: Service, root: Api, tmp_path: Path
) -> None:
    content = raw_bytes()
    image_id = root.make(content)
    url = f"{service.credentials['bucket']}:out/{fresh('quick')}.bin"
    body = {"bucket_url": url, "is_quick_export": True}
    job_id = root.submit(f"/v1/cloudimages/{image_id}/file", body)
    subs = root.done(job_id)["sub_jobs_result"]
    assert [sub["job_type"] for sub in subs] == ["imsQuickExportImageJob"]
    assert service.bucket_get(url, tmp_path / "out").read_bytes() == content
    again = root.call("POST", f"/v1/cloudimages/{image_id}/file", body)
    assert ims_error(again)[:2] == (400, "IMG.0070"), "an export never overwrites"


# ---- bytes of the native dialect

RANGES = [
    ("bytes=0-0", 0, 1),
    ("bytes=0-", 0, MIB),
    ("bytes=100-199", 100, 200),
    ("bytes=1048575-", MIB - 1, MIB),
    ("bytes=-10", MIB - 10, MIB),
    ("bytes=-99999999", 0, MIB),
    ("bytes=1000000-99999999", 1000000, MIB),
]
NOT_SATISFIABLE = ["bytes=1048576-", "bytes=-0", "pages=0-1", "bytes=9-3", "bytes=x-", "bytes="]


def test_uploaded_bytes_come_back_whole_with_their_hashes(root: Api) -> None:
    content = raw_bytes()
    image_id = root.make(content, name=fresh("native"))
    image = root.native(image_id)
    assert (image["status"], image["size"]) == ("active", MIB)
    assert image["checksum"] == hashlib.md5(content).hexdigest()
    assert (image["os_hash_algo"], image["os_hash_value"]) == (
        "sha512",
        hashlib.sha512(content).hexdigest(),
    )
    answer = root.download(image_id)
    assert (answer.status_code, answer.content) == (200, content)
    assert answer.headers["Content-MD5"] == image["checksum"]
    assert answer.headers["ETag"] == f'"{image["os_hash_value"]}"'
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Length"] == str(MIB)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")


@pytest.fixture(scope="module")
def one_mib(root: Api) -> str:
    """An active image of 1 MiB, `raw_bytes()`."""
    return root.make(raw_bytes(), name=fresh("ranges"))


@pytest.mark.parametrize(("header", "start", "end"), RANGES)
def test_a_range_gives_exactly_its_bytes(
    root: Api, one_mib: str, header: str, start: int, end: int
) -> None:
    answer = root.download(one_mib, Range=header)
    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{MIB}"
    assert answer.content == raw_bytes()[start:end]


@pytest.mark.parametrize("header", NOT_SATISFIABLE)
def test_a_range_that_cannot_be_is_416_with_the_size(root: Api, one_mib: str, header: str) -> None:
    answer = root.download(one_mib, Range=header)
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{MIB}"


def test_other_forms_of_ranges(root: Api, one_mib: str) -> None:
    several = root.download(one_mib, Range="bytes=0-1,5-6")
    assert several.status_code == 400
    tag = f'"{root.native(one_mib)["os_hash_value"]}"'
    matching = root.download(one_mib, **{"Range": "bytes=0-1", "If-Range": tag})
    assert matching.status_code == 206
    other = root.download(one_mib, **{"Range": "bytes=0-1", "If-Range": '"other"'})
    assert (other.status_code, len(other.content)) == (200, MIB)
    legacy = root.download(one_mib, **{"Content-Range": f"bytes 3-8/{MIB}"})
    assert (legacy.status_code, legacy.content) == (206, raw_bytes()[3:9])


def test_an_image_without_bytes_downloads_as_nothing(root: Api) -> None:
    answer = root.download(root.make())
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_deleted_image_is_gone_from_both_dialects_and_its_job_stays(
    root: Api, raw_url: str
) -> None:
    body = {"name": fresh("gone"), "image_url": raw_url, "min_disk": 1}
    job_id = root.submit("/v2/cloudimages/action", body)
    image_id = root.done(job_id)["image_id"]
    assert root.call("DELETE", f"/v2/images/{image_id}").status_code == 204
    assert root.ims_images(id=image_id) == []
    assert root.call("GET", f"/v2/images/{image_id}").status_code == 404
    assert root.call("GET", f"/v2/images/{image_id}/file").status_code == 404
    assert root.call("DELETE", f"/v2/images/{image_id}").status_code == 404
    assert root.call("POST", "/v2/images", {"id": image_id}).status_code == 409
    assert root.job(job_id)["status"] == "SUCCESS"


def test_a_protected_image_is_not_deleted(root: Api) -> None:
    image_id = root.make(protected=True)
    assert root.call("DELETE", f"/v2/images/{image_id}").status_code == 403
    changed = root.patch(image_id, {"op": "replace", "path": "/protected", "value": False})
    assert changed.status_code == 200
    assert root.call("DELETE", f"/v2/images/{image_id}").status_code == 204


# ---- jobs


def test_both_job_queries_tell_the_same_with_their_own_entities(root: Api, raw_url: str) -> None:
    name = fresh("job")
    job_id = root.submit(
        "/v2/cloudimages/action", {"name": name, "image_url": raw_url, "min_disk": 1}
    )
    first = root.job(job_id)
    assert set(first) == JOB_MEMBERS
    assert first["entities"]["image_name"] == name
    image_id = first["entities"]["image_id"]
    running = root.ok("GET", f"/v1/cloudimages/job/{job_id}")
    assert set(running) == JOB_MEMBERS
    assert {"current_task", "process_percent"} <= set(running["entities"])
    root.done(job_id)
    ended, progress = root.job(job_id), root.ok("GET", f"/v1/cloudimages/job/{job_id}")
    assert ended["entities"] == {"image_id": image_id, "image_name": name}
    assert progress["entities"] == {
        "image_id": image_id,
        "image_name": name,
        "current_task": "publish",
        "process_percent": 100.0,
    }
    for body in (ended, progress):
        assert (body["error_code"], body["fail_reason"]) == (None, None)
        for moment in (body["begin_time"], body["end_time"]):
            assert len(moment) == len("2026-11-24T05:00:00.123Z")
            assert (moment[10], moment[19], moment[-1]) == ("T", ".", "Z")


def test_a_job_that_is_not_ours_is_the_same_400_as_a_missing_one(root: Api) -> None:
    unknown = ims_error(root.call("GET", f"/v1/{root.project_id}/jobs/{'0' * 32}"))
    malformed = ims_error(root.call("GET", f"/v1/{root.project_id}/jobs/xyz"))
    assert unknown[:2] == malformed[:2] == (400, "IMG.0023")
    assert unknown[2] == malformed[2]
    other = ims_error(root.call("GET", f"/v1/{'0' * 32}/jobs/{'0' * 32}"))
    assert other[:2] == (400, "IMG.0030")


@pytest.mark.heavy
def test_a_cancelled_job_ends_with_its_image_killed_and_a_second_cancel_changes_nothing(
    service: Service, root: Api, tmp_path: Path
) -> None:
    disk = make_disk(tmp_path, "raw", 128 * MIB, seed=14, dense=0.6)
    url = service.bucket_put(disk.path, f"in/{fresh('cancel')}.raw")
    body = {"name": fresh("cancel"), "image_url": url, "min_disk": 1}
    ended = root.cancelled(body, ("fetch", "inspect", "convert"))
    assert ended["error_code"] == "IMG.0061"
    assert ended["fail_reason"].startswith("CANCELLED")
    assert the_image(root, ended["entities"]["image_id"])["status"] == "killed"
    again = root.call("DELETE", f"/v1/{root.project_id}/jobs/{ended['job_id']}")
    assert again.status_code == 202
    assert root.job(ended["job_id"]) == ended
