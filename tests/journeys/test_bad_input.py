# SPDX-License-Identifier: Apache-2.0
"""What a wrong request gets: the contract's error with field, value and what is allowed.

And what it leaves: no image, no job, no byte. One table for requests that are refused at once, one
for files that are looked at first, and a full disk.
"""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FreshService
from tests.leftovers import assert_clean
from tests.made_disks import MIB, break_qcow2, convert, make_disk, raw_bytes
from tests.people import Account, fresh
from tests.service import Service
from tests.wire import Api, ims_error, root_of

CREATE = "/v2/cloudimages/action"
QUICK = "/v2/cloudimages/quickimport/action"
DATA = "/v1/cloudimages/dataimages/action"
UBUNTU = "Ubuntu 22.04 server 64bit"


@dataclass(frozen=True)
class Shop:
    """An account with one bucket; `url` names a good raw disk of 1 MiB."""

    account: Account
    bucket: str
    url: str

    @property
    def api(self) -> Api:
        return self.account.root

    def put(self, file: Path, key: str) -> str:
        return self.account.put(file, self.bucket, key)


@pytest.fixture(scope="module")
def shop(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    account = Account.make(service)
    bucket = account.bucket()
    file = tmp_path_factory.mktemp("shop") / "good.raw"
    file.write_bytes(raw_bytes())
    return Shop(account, bucket, account.put(file, bucket, "good.raw"))


@pytest.fixture
def unchanged(shop: Shop) -> Iterator[None]:
    """No image appears or changes while the test runs."""
    before = shop.api.ims_images()
    yield
    assert shop.api.ims_images() == before


# path, what differs from a good body, code, words that the message must have
FIELDS: list[tuple[str, dict[str, Any], str, list[str]]] = [
    (CREATE, {"name": "x" * 129}, "IMG.0002", ["name", "128"]),
    (CREATE, {"name": " lead"}, "IMG.0003", ["name", " lead"]),
    (CREATE, {"name": "a/b"}, "IMG.0003", ["name", "a/b"]),
    (CREATE, {"name": ""}, "IMG.0013", ["name"]),
    (CREATE, {"name": None}, "IMG.0013", ["name"]),
    (CREATE, {"name": 7}, "IMG.0001", ["name"]),
    (CREATE, {"description": "x" * 1025}, "IMG.0004", ["description", "1024"]),
    (CREATE, {"description": "a\nb"}, "IMG.0054", ["description"]),
    (CREATE, {"min_disk": None}, "IMG.0055", ["min_disk"]),
    (CREATE, {"min_disk": 0}, "IMG.0055", ["min_disk", "0", "1024"]),
    (CREATE, {"min_disk": 1025}, "IMG.0055", ["min_disk", "1025", "1024"]),
    (CREATE, {"min_disk": "40"}, "IMG.0055", ["min_disk", "40"]),
    (CREATE, {"min_disk": 40.0}, "IMG.0055", ["min_disk"]),
    (CREATE, {"min_disk": True}, "IMG.0055", ["min_disk"]),
    (CREATE, {"min_ram": -1}, "IMG.0055", ["min_ram", "-1"]),
    (CREATE, {"min_ram": 8, "max_ram": 4}, "IMG.0055", ["max_ram", "4"]),
    (CREATE, {"os_version": "Plan 9"}, "IMG.0056", ["os_version", "Plan 9"]),
    (CREATE, {"os_type": "BeOS"}, "IMG.0122", ["os_type", "BeOS", "Windows"]),
    (CREATE, {"os_type": "Windows", "os_version": UBUNTU}, "IMG.0122", ["os_type", "Windows"]),
    (CREATE, {"type": "Moon"}, "IMG.0024", ["type", "Moon", "FusionCompute"]),
    (CREATE, {"architecture": "ARM"}, "IMG.0212", ["architecture", "ARM", "x86"]),
    (CREATE, {"hw_firmware_type": "efi"}, "IMG.0141", ["hw_firmware_type", "efi", "uefi"]),
    (CREATE, {"tags": ["a b"]}, "IMG.0115", ["tags"]),
    (CREATE, {"tags": ["k.1", "k.2"]}, "IMG.0115", ["k"]),
    (CREATE, {"tags": [f"k{n}.v" for n in range(11)]}, "IMG.0116", ["10"]),
    (CREATE, {"image_tags": [{"key": "a=b", "value": ""}]}, "IMG.0115", ["image_tags"]),
    (CREATE, {"image_tags": [{"key": "a"}]}, "IMG.0115", ["image_tags"]),
    (CREATE, {"checksum": "md5:00"}, "IMG.0001", ["checksum", "sha512"]),
    (CREATE, {"is_config": "yes"}, "IMG.0001", ["is_config"]),
    (CREATE, {"colour": "blue"}, "IMG.0001", ["colour"]),
    (CREATE, {"image_url": None}, "IMG.0001", ["image_url"]),
    (CREATE, {"image_url": "nocolon.raw"}, "IMG.0068", ["image_url", "nocolon.raw"]),
    (CREATE, {"image_url": "Bad_Bucket:x.raw"}, "IMG.0109", ["image_url", "Bad_Bucket"]),
    (CREATE, {"image_url": "127.0.0.1:x.raw"}, "IMG.0109", ["image_url"]),
    (CREATE, {"image_url": "bucket:"}, "IMG.0075", ["image_url"]),
    (CREATE, {"image_url": "bucket:a b.raw"}, "IMG.0175", ["image_url"]),
    (CREATE, {"image_url": "bucket:../x.raw"}, "IMG.0075", ["image_url"]),
    (CREATE, {"image_url": f"bucket:{'x' * 129}.raw"}, "IMG.0074", ["image_url", "128"]),
    (CREATE, {"image_url": "bucket:x.exe"}, "IMG.0072", ["image_url", "qcow2"]),
    (CREATE, {"image_url": "bucket:x.zvhd2"}, "IMG.0072", ["image_url", "qcow2"]),
    (CREATE, {"instance_id": "x"}, "IMG.0001", ["instance_id", "image_url"]),
    (CREATE, {"enterprise_project_id": "nope"}, "IMG.0155", ["enterprise_project_id", "nope"]),
    (CREATE, {"enterprise_project_id": "all_granted_eps"}, "IMG.0155", ["all_granted_eps"]),
    (
        CREATE,
        {"is_quick_import": True, "image_url": "bucket:x.vmdk", "os_version": UBUNTU},
        "IMG.0072",
        ["is_quick_import"],
    ),
    (QUICK, {"os_version": None}, "IMG.0056", ["os_version"]),
    (QUICK, {"image_url": None}, "IMG.0068", ["image_url"]),
    (QUICK, {"image_url": "bucket:x.qcow2"}, "IMG.0072", ["image_url", "raw"]),
    (QUICK, {"type": "Ironic"}, "IMG.0024", ["type", "Ironic"]),
    (QUICK, {"license_type": "mine"}, "IMG.0001", ["license_type", "byol"]),
    (QUICK, {"type": "DataImage", "min_disk": 2049}, "IMG.0055", ["min_disk", "2048"]),
    (DATA, {"min_disk": 2049}, "IMG.0055", ["min_disk", "2049", "2048"]),
    (DATA, {"os_type": "Other"}, "IMG.0122", ["os_type", "Other"]),
    (DATA, {"image_url": "bucket:x.iso"}, "IMG.0072", ["image_url"]),
    (DATA, {"image_url": None}, "IMG.0068", ["image_url"]),
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("path", "change", "code", "words"), FIELDS)
def test_a_wrong_field_is_named_with_its_value_and_what_is_allowed(
    shop: Shop, path: str, change: dict[str, Any], code: str, words: list[str]
) -> None:
    body: dict[str, Any] = {"name": "x", "image_url": shop.url, "min_disk": 1}
    if path == QUICK:
        body["os_version"] = UBUNTU
    answer = shop.api.call("POST", path, body | change)
    status, found, message = ims_error(answer)
    assert (status, found) == (400, code), message
    assert [word for word in words if word not in message] == []


@pytest.mark.usefixtures("unchanged")
def test_a_missing_object_and_buckets_that_are_not_ours_are_refused(
    service: Service, shop: Shop
) -> None:
    foreign = Account.make(service)
    theirs = foreign.bucket()
    file = service.root / "foreign.raw"
    file.write_bytes(raw_bytes())
    url = foreign.put(file, theirs, "x.raw")

    def refused(image_url: str) -> tuple[int, str, str]:
        body = {"name": "x", "image_url": image_url, "min_disk": 1}
        return ims_error(shop.api.call("POST", CREATE, body))

    assert refused(f"{shop.bucket}:missing.raw")[:2] == (400, "IMG.0057")
    missing, other = refused("no-such-bucket-here:x.raw"), refused(url)
    assert missing[:2] == other[:2] == (400, "IMG.0069")
    assert missing[2].replace("no-such-bucket-here", "B") == other[2].replace(theirs, "B")


@pytest.mark.usefixtures("unchanged")
def test_without_the_right_on_the_object_the_bucket_stays_unknown(shop: Shop) -> None:
    user = shop.account.user()
    shop.account.allow(user, ["ims:serverImages:create"])
    for url in (shop.url, f"{shop.bucket}:missing.raw", "no-such-bucket-here:x.raw"):
        body = {"name": "x", "image_url": url, "min_disk": 1}
        status, code, message = ims_error(user.api.call("POST", CREATE, body))
        assert (status, code) == (403, "IMG.0026")
        assert "obs:object:GetObject" in message


# ---- files


def _text(directory: Path) -> Path:
    file = directory / "notes.qcow2"
    file.write_bytes(b"this is no disk\n" * 100)
    return file


def _truncated(directory: Path) -> Path:
    disk = make_disk(directory, "qcow2")
    file = directory / "cut.qcow2"
    file.write_bytes(disk.path.read_bytes()[: MIB // 2])
    return file


def _backed(directory: Path) -> Path:
    base = make_disk(directory, "qcow2", 4 * MIB, name="base")
    file = directory / "child.qcow2"
    os.system(f"qemu-img create -q -f qcow2 -b {base.path} -F qcow2 {file}")
    return file


def _absurd(directory: Path) -> Path:
    disk = make_disk(directory, "qcow2", 4 * MIB)
    with disk.path.open("r+b") as file:
        file.seek(24)
        file.write(struct.pack(">Q", 2**63 - 512))
    return disk.path


def _large(directory: Path) -> Path:
    file = directory / "large.qcow2"
    os.system(f"qemu-img create -q -f qcow2 {file} 3G")
    return file


def _lying(directory: Path) -> Path:
    disk = make_disk(directory, "qcow2", 4 * MIB)
    return disk.path.rename(directory / "really-qcow2.vmdk")


def _broken_inside(directory: Path) -> Path:
    disk = make_disk(directory, "qcow2", 4 * MIB)
    break_qcow2(disk.path)
    return disk.path


def _empty(directory: Path) -> Path:
    file = directory / "empty.raw"
    file.touch()
    return file


def _bad_gzip(directory: Path) -> Path:
    file = directory / "cut.raw.gz"
    file.write_bytes(gzip.compress(raw_bytes())[:-40])
    return file


def _fixed_child(directory: Path) -> Path:
    disk = make_disk(directory, "raw", 4 * MIB)
    file = directory / "differencing.vhd"
    convert(disk.path, "raw", file, "vhd")
    content = bytearray(file.read_bytes())
    for footer in (0, len(content) - 512):
        content[footer + 60 : footer + 64] = struct.pack(">I", 4)
        content[footer + 64 : footer + 68] = bytes(4)
        total = ~sum(content[footer : footer + 512]) & 0xFFFFFFFF
        content[footer + 64 : footer + 68] = struct.pack(">I", total)
    file.write_bytes(content)
    return file


Maker = Callable[[Path], Path]
FILES: list[tuple[Maker, str, set[str]]] = [
    (_text, "IMG.0057", {"FORMAT_MISMATCH"}),
    (_truncated, "IMG.0057", {"TRUNCATED", "CORRUPT"}),
    (_backed, "IMG.0057", {"BACKING_FILE"}),
    (_absurd, "IMG.0059", {"SIZE_LIMIT", "CORRUPT"}),
    (_large, "IMG.0111", {"min_disk"}),
    (_lying, "IMG.0057", {"FORMAT_MISMATCH"}),
    (_broken_inside, "IMG.0057", {"TRUNCATED", "CORRUPT"}),
    (_empty, "IMG.0057", {"EMPTY"}),
    (_bad_gzip, "IMG.0057", {"TRUNCATED", "CORRUPT"}),
    (_fixed_child, "IMG.0057", {"BACKING_FILE"}),
]


@pytest.mark.parametrize(
    ("make", "code", "reasons"), FILES, ids=[make.__name__.strip("_") for make, _, _ in FILES]
)
def test_a_bad_file_becomes_no_image_and_the_reason_is_told(
    shop: Shop, tmp_path: Path, make: Maker, code: str, reasons: set[str]
) -> None:
    file = make(tmp_path)
    url = shop.put(file, f"{fresh('bad')}/{file.name}")
    name = fresh("bad")
    body = {"name": name, "image_url": url, "min_disk": 1}
    answer = shop.api.call("POST", CREATE, body)
    if answer.status_code == 200:
        job = shop.api.wait(answer.json()["job_id"])
        assert job["status"] == "FAIL"
        found, message = job["error_code"], job["fail_reason"]
        (image,) = shop.api.ims_images(name=name)
        assert (image["status"], image["size"]) == ("killed", 0)
    else:
        status, found, message = ims_error(answer)
        assert status == 400
        assert shop.api.ims_images(name=name) == []
    allowed = {code, "IMG.0057"} if make is _absurd else {code}
    assert found in allowed, message
    assert any(reason in message for reason in reasons), message
    assert str(tmp_path) not in message
    assert str(shop.account.service.root) not in message


def test_a_checksum_that_is_not_met_fails_the_job_before_anything_is_published(shop: Shop) -> None:
    name = fresh("sum")
    body = {"name": name, "image_url": shop.url, "min_disk": 1, "checksum": "sha512:" + "0" * 128}
    job = shop.api.wait(shop.api.submit(CREATE, body))
    assert (job["status"], job["error_code"]) == ("FAIL", "IMG.0057")
    assert job["fail_reason"].startswith("CHECKSUM_MISMATCH")
    assert shop.api.ims_images(name=name)[0]["status"] == "killed"


def test_registering_a_bad_file_frees_the_row_for_another_attempt(
    shop: Shop, tmp_path: Path
) -> None:
    image_id = shop.api.make(disk_format="qcow2")
    bad = shop.put(_broken_inside(tmp_path), f"{fresh('bad')}.qcow2")
    path = f"/v1/cloudimages/{image_id}/upload"
    job = shop.api.wait(shop.api.submit(path, {"image_url": bad}, "PUT"))
    assert (job["status"], job["error_code"]) == ("FAIL", "IMG.1075")
    assert job["fail_reason"].split(":")[0] in ("TRUNCATED", "CORRUPT")
    assert shop.api.native(image_id)["status"] == "queued"
    shop.api.done(shop.api.submit(path, {"image_url": shop.url}, "PUT"))
    assert shop.api.native(image_id)["status"] == "active"


@pytest.mark.parametrize("make", [_text, _backed, _broken_inside, _truncated, _absurd])
def test_a_bad_upload_is_refused_and_the_image_is_queued_again(
    shop: Shop, tmp_path: Path, make: Maker
) -> None:
    image_id = shop.api.make(disk_format="qcow2")
    answer = shop.api.upload(image_id, make(tmp_path).read_bytes())
    assert answer.status_code in (413, 415), answer.text
    image = shop.api.native(image_id)
    assert (image["status"], image["size"], image["checksum"]) == ("queued", None, None)
    assert shop.api.download(image_id).status_code == 204


@pytest.mark.parametrize("where", ["scratch", "reserve"])
@pytest.mark.heavy
def test_a_full_disk_ends_the_job_at_once_and_leaves_nothing(
    fresh_service: FreshService, tmp_path: Path, where: str
) -> None:
    if where == "scratch":
        small = tmp_path / "small"
        small.mkdir()
        mount = f"mount -t tmpfs -o size=24m tmpfs {small}"
        own = ("unshare", "-m") if os.geteuid() == 0 else ("unshare", "-r", "-m")
        wrap = (*own, "sh", "-c", f'{mount} && exec "$@"', "sh")
        service = fresh_service(wrap, SCRATCH_DIR=str(small), SCRATCH_RESERVE="0")
    else:
        service = fresh_service(SCRATCH_RESERVE=str(10**15))
    api = root_of(service)
    disk = make_disk(tmp_path, "raw", 64 * MIB, seed=51, dense=0.9)
    url = service.bucket_put(disk.path, "disk.raw")
    body = {"name": "full", "image_url": url, "min_disk": 1}
    answer = api.call("POST", CREATE, body)
    if answer.status_code == 200:
        job = api.wait(answer.json()["job_id"], 60)
        assert (job["status"], job["error_code"]) == ("FAIL", "IMG.0503")
        assert job["fail_reason"].startswith("STORE_FULL")
    else:
        assert ims_error(answer)[:2] == (503, "IMG.0503")
    image_id = api.make(name="full")
    refused = api.upload(image_id, disk.path.read_bytes())
    assert refused.status_code == 503, refused.text
    assert api.native(image_id)["status"] == "queued"
    assert [image["status"] for image in api.ims_images(status="active")] == []
    if where == "reserve":
        assert_clean(service)
    else:
        process = service.parts["serve"].process
        assert process is not None
        inside = Path(f"/proc/{process.pid}/root{small}")
        assert list(inside.iterdir()) == []
