# SPDX-License-Identifier: Apache-2.0
"""Hostile disks through every entrance: none becomes an image, and nothing of this host gets out.

The corpus is `tests/corpus`. Each file is sent by native upload and by every IMS operation that
reads a file, out of a bucket that is attached from an S3 server. A canary file lies where the
hostile files point at; its text must appear in no answer, no stored byte and no log. Honest files
go the same ways, so that refusing everything does not pass. `make test` takes a sample.
"""

from __future__ import annotations

import json
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.backends.conftest import BUCKET, KEYS, S3Server
from tests.conftest import FreshService
from tests.corpus import honest_files, hostile_files
from tests.corpus.hostile import FAMILIES
from tests.corpus.image import Hostile
from tests.leftovers import assert_clean, files_below
from tests.made_disks import MIB, convert, make_disk
from tests.people import fresh
from tests.service import Service
from tests.wire import Api, root_of

LARGEST = 48 * 2**20
AT_ONCE = 12  # unfinished jobs
CANARY = "canary-5f0c1d7e-must-not-get-out"
NATIVE_ONLY = {"ami", "ari", "aki", "ploop", "ova"}  # OVA imports come with their own issue
REFERS = {"BACKING_FILE", "EXTERNAL_DATA"}
REFUSALS = {"IMG.0057", "IMG.0059", "IMG.0072", "IMG.0111", "IMG.0055", "IMG.1075"}
UBUNTU = "Ubuntu 22.04 server 64bit"


@dataclass(frozen=True)
class File:
    """One file of the corpus, as an object in the attached bucket."""

    name: str
    path: Path
    claim: str | None
    reasons: frozenset[str]

    @property
    def word(self) -> str:
        return self.claim or "raw"

    @property
    def extension(self) -> str:
        return self.claim or "img"


@dataclass(frozen=True)
class Gatehouse:
    """A service with an attached bucket."""

    service: Service
    api: Api
    s3: S3Server
    bucket: str

    def put(self, file: File, extension: str) -> str:
        key = f"{fresh('object')}.{extension}"
        with file.path.open("rb") as body:
            self.s3.client.put_object(Bucket=BUCKET, Key=f"{self.bucket}/{key}", Body=body)
        return f"{self.bucket}:{key}"

    def remove(self, url: str) -> None:
        self.s3.client.delete_object(Bucket=BUCKET, Key=url.replace(":", "/", 1))


@pytest.fixture
def gatehouse(fresh_service: FreshService, moto: S3Server, tmp_path: Path) -> Gatehouse:
    service = fresh_service(IMAGES_PER_PROJECT="5000", CREATION_JOBS_PER_PROJECT="2000")
    bucket = fresh("hostile")
    secret = tmp_path / "credentials.json"
    secret.write_text(
        json.dumps({"endpoint": moto.endpoint, "region": "us-east-1", **KEYS}), "utf-8"
    )
    url = f"s3://{BUCKET}/{bucket}"
    done = service.cli("bucket", "attach", bucket, "--url", url, "--credentials", secret)
    assert done.returncode == 0, done.stderr
    return Gatehouse(service, root_of(service), moto, bucket)


Outcome = tuple[str, str]
"""`active` or `refused`, and what was said."""
Sent = Callable[[], Outcome]
Entrance = Callable[[Gatehouse, File], Sent]


def job_outcome(api: Api, answer: httpx.Response) -> Outcome:
    if answer.status_code != 200:
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["code"] in REFUSALS, answer.text
        return "refused", answer.text
    job = api.wait(answer.json()["job_id"], 120)
    if job["status"] == "SUCCESS":
        return "active", ""
    assert job["error_code"] in REFUSALS, job
    return "refused", json.dumps(job)


def native_upload(house: Gatehouse, file: File) -> Sent:
    image_id = house.api.make(disk_format=file.word)
    answer = house.api.upload(image_id, file.path.read_bytes())
    image = house.api.native(image_id)
    house.api.call("DELETE", f"/v2/images/{image_id}")
    if answer.status_code == 204:
        assert image["status"] == "active"
        return lambda: ("active", "")
    assert answer.status_code in (400, 413, 415), answer.text
    assert (image["status"], image["size"], image["checksum"]) == ("queued", None, None)
    return lambda: ("refused", answer.text)


def creation(path: str, extension: str | None = None, **more: Any) -> Entrance:
    def enter(house: Gatehouse, file: File) -> Sent:
        url = house.put(file, extension or file.extension)
        body = {"name": fresh("x"), "image_url": url, "min_disk": 1024, **more}
        answer = house.api.call("POST", path, body)

        def outcome() -> Outcome:
            found = job_outcome(house.api, answer)
            house.remove(url)
            return found

        return outcome

    return enter


def register(house: Gatehouse, file: File) -> Sent:
    image_id = house.api.make(disk_format="qcow2")
    url = house.put(file, file.extension)
    answer = house.api.call("PUT", f"/v1/cloudimages/{image_id}/upload", {"image_url": url})

    def outcome() -> Outcome:
        found = job_outcome(house.api, answer)
        status = house.api.native(image_id)["status"]
        assert status == ("active" if found[0] == "active" else "queued")
        house.api.call("DELETE", f"/v2/images/{image_id}")
        house.remove(url)
        return found

    return outcome


SYSTEM = "/v2/cloudimages/action"
ENTRANCES: dict[str, Entrance] = {
    "native upload": native_upload,
    "system": creation(SYSTEM, os_version=UBUNTU),
    "data": creation("/v1/cloudimages/dataimages/action"),
    "iso": creation(SYSTEM, "iso", type="IsoImage", os_version=UBUNTU),
    "quick": creation("/v2/cloudimages/quickimport/action", "raw", os_version=UBUNTU),
    "register": register,
}


def fits(entrance: str, file: File) -> bool:
    """Tell whether a file is as hostile in an entrance as under its own claim."""
    if entrance == "native upload":
        return True
    if file.claim in NATIVE_ONLY:
        return False
    if entrance == "iso":
        return file.claim == "iso" or not file.reasons <= {"FORMAT_MISMATCH"}
    if entrance == "quick":  # as raw: a file that was cut may be an honest raw disk
        return file.claim == "raw" or bool(file.reasons & REFERS)
    return file.claim != "iso" or entrance == "system"


def pointing_at(canary: Path, directory: Path) -> Iterator[File]:
    """Yield files that name another file of this host in every way that qemu-img follows."""
    raw = make_disk(directory, "raw", MIB, seed=71, name="pointing")
    size = 16 * MIB
    for name, target in (("plain", str(canary)), ("json", f'json:{{"file.filename":"{canary}"}}')):
        path = directory / f"backing-{name}.qcow2"
        options = ["-b", target, "-F", "raw", str(path), str(size)]
        qemu_img("create", "-q", "-u", "-f", "qcow2", *options)
        yield File(path.name, path, "qcow2", frozenset({"BACKING_FILE"}))
    path = directory / "backing.qed"
    qemu_img("create", "-q", "-u", "-f", "qed", "-b", str(canary), "-F", "raw", str(path), "16M")
    yield File(path.name, path, "qed", frozenset({"BACKING_FILE"}))
    path = directory / "external.qcow2"
    stand_in = canary.with_name("x" * len(canary.name))  # qemu-img would overwrite the canary
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"data_file={stand_in}", str(path), "1M")
    path.write_bytes(path.read_bytes().replace(bytes(stand_in), bytes(canary)))
    yield File(path.name, path, "qcow2", frozenset({"EXTERNAL_DATA"}))
    path = directory / "flat.vmdk"
    path.write_text(
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
        f'createType="monolithicFlat"\nRW 2048 FLAT "{canary}" 0\n'
        'ddb.adapterType = "ide"\n'
    )
    yield File(path.name, path, "vmdk", frozenset({"EXTERNAL_DATA", "FORMAT_UNSUPPORTED"}))
    path = directory / "parent.vmdk"
    convert(raw.path, "raw", path, "vmdk")
    content = path.read_bytes().replace(b"parentCID=ffffffff", b"parentCID=00000001")
    hint = f'\nparentFileNameHint="{canary}"\n'.encode()
    at = content.index(b"createType")
    path.write_bytes(content[:at] + hint.lstrip(b"\n") + content[at : -len(hint)] + b"\0")
    yield File(path.name, path, "vmdk", frozenset({"BACKING_FILE"}))


def qemu_img(*arguments: str) -> None:
    subprocess.run(["qemu-img", *arguments], check=True, capture_output=True, timeout=60)


def every_hostile(directory: Path) -> Iterator[File]:
    yield from corpus(hostile_files(directory))


def sample(directory: Path) -> Iterator[File]:
    """Yield some files of each family; only the first ones, so that the rest is never made."""
    directory.mkdir()
    for family in FAMILIES:
        yield from corpus(islice(family.files(directory), 0, 90, 17))


def corpus(found: Iterable[Hostile]) -> Iterator[File]:
    """Yield the hostile files that are not too large to send around."""
    for name, path, claim, reasons in found:
        if path.stat().st_size <= LARGEST:
            yield File(name, path, claim, frozenset(str(reason) for reason in reasons))
        path.unlink(missing_ok=True)


def run(house: Gatehouse, files: Iterator[File], wanted: str, entrances: Iterable[str]) -> int:
    """Send files through entrances; each must end as `wanted`. Return how many were sent."""
    wrong: list[str] = []
    waiting: deque[tuple[str, Sent]] = deque()
    count = 0

    def settle(left: int) -> None:
        while len(waiting) > left:
            what, outcome = waiting.popleft()
            found, said = outcome()
            if found != wanted:
                wrong.append(f"{what}: {found} {said}")
            assert CANARY not in said, f"{what} told the canary"

    for file in files:
        for entrance in entrances:
            if wanted == "active" or fits(entrance, file):
                count += 1
                waiting.append((f"{file.name} by {entrance}", ENTRANCES[entrance](house, file)))
                settle(AT_ONCE)
    settle(0)
    assert not wrong, wrong
    return count


def assert_nothing_got_in_or_out(house: Gatehouse) -> None:
    assert house.api.ims_images(status="active", limit=1000) == []
    assert CANARY not in house.service.logs()
    for page in ("/v2/cloudimages?limit=1000", "/v2/images?limit=1000&status=killed"):
        assert CANARY not in house.api.call("GET", page).text
    assert_clean(house.service)
    for path in files_below(house.service.data_dir):
        assert CANARY.encode() not in path.read_bytes(), path


@pytest.mark.heavy
@pytest.mark.xdist_group("cluster")
def test_files_that_point_at_a_file_of_this_host_are_refused_everywhere(
    gatehouse: Gatehouse, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    canary.write_text(f"{CANARY}\n" * 20_000)
    files = pointing_at(canary, tmp_path)
    assert run(gatehouse, files, "refused", ENTRANCES) > 30
    assert_nothing_got_in_or_out(gatehouse)


@pytest.mark.heavy
@pytest.mark.xdist_group("cluster")
def test_a_sample_of_the_hostile_corpus_is_refused_everywhere(
    gatehouse: Gatehouse, tmp_path: Path
) -> None:
    files = sample(tmp_path / "corpus")
    assert run(gatehouse, files, "refused", ENTRANCES) > 30
    assert_nothing_got_in_or_out(gatehouse)


@pytest.mark.long
def test_the_whole_hostile_corpus_is_refused_everywhere(
    gatehouse: Gatehouse, tmp_path: Path
) -> None:
    assert run(gatehouse, every_hostile(tmp_path / "corpus"), "refused", ENTRANCES) > 1000
    assert_nothing_got_in_or_out(gatehouse)


def honest(directory: Path, every: int) -> Iterator[File]:
    """Yield every n-th honest file whose disk fits into min_disk and is quickly converted."""
    for number, (name, path, claim, size) in enumerate(honest_files(directory)):
        if number % every == 0 and path.stat().st_size <= LARGEST and size <= 2**30:
            if claim not in NATIVE_ONLY | {None, "iso"}:
                yield File(name, path, claim, frozenset())


@pytest.mark.heavy
@pytest.mark.xdist_group("cluster")
def test_a_sample_of_honest_files_is_let_in(gatehouse: Gatehouse, tmp_path: Path) -> None:
    files = honest(tmp_path / "corpus", 13)
    assert run(gatehouse, files, "active", ("native upload", "system", "register")) > 9
    assert_clean(gatehouse.service)


@pytest.mark.long
def test_all_honest_files_are_let_in(gatehouse: Gatehouse, tmp_path: Path) -> None:
    files = honest(tmp_path / "corpus", 1)
    assert run(gatehouse, files, "active", ("native upload", "system", "register")) > 150
    assert_clean(gatehouse.service)
