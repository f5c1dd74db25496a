# SPDX-License-Identifier: Apache-2.0
"""Import of a 2 GiB vmdk to the stored form, beside what the same work costs by itself.

The limit is the slower of two: `qemu-img convert` of the same file, and reading the converted file
once for md5 beside sha512 while it is written again. The comparison of both disks, which the import
also makes, is measured by itself (`qemu-img compare`) and reported apart.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from bench.limits import MIB, interleaved, random_file
from bench.report import Row
from bench.scenario import GIB, Missing, Outcome, Place
from bench.service import PROGRAM, Service, service

TITLE = "Import"
SIZE = 2 * GIB
_PAUSE = 0.1  # a poll costs the processor time that is measured
_PROOF = "a made file is what its source is"


def run(place: Place) -> Outcome:
    """Measure with files in memory where there is room, so that a disk does not decide."""
    with place.in_memory(12 * GIB) as directory:
        disk = _vmdk(directory)
        with service(directory / "data") as ours:
            key = f"{ours.bucket}:in/disk.vmdk"
            subprocess.run(
                [str(PROGRAM), "bucket", "put", str(disk), key],
                check=True,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "CALOTYPE_DATA_DIR": str(ours.directory)},
            )
            made = directory / "made.qcow2"
            found = interleaved(
                {
                    "ours": lambda: _import(ours, key),
                    "convert": lambda: _timed(lambda: _convert(disk, made)),
                    "hash": lambda: _timed(lambda: _hash_and_write(made, directory / "again")),
                    "compare": lambda: _timed(lambda: _compare(disk, made)),
                },
                rounds=3,
            )
            proofs = [line["seconds"] for line in ours.logged(_PROOF)[1:]]
    seconds = {name: series.median for name, series in found.items()}
    slower = max(("convert", "hash"), key=seconds.__getitem__)
    words = {"convert": "`qemu-img convert`", "hash": "md5 beside sha512 beside the write"}
    proof = statistics.median(proofs)
    limit = seconds[slower]
    rows = [
        Row(
            f"import of a 2 GiB vmdk without its comparison; slower limit: {words[slower]}",
            seconds["ours"] - proof,
            "s",
            limit,
            0.8,
            "hashing and writing on two cores; to fetch, look, store and publish",
            smaller_is_better=True,
        ),
        Row(
            "the comparison of source and result, beside `qemu-img compare`",
            proof,
            "s",
            seconds["compare"],
            None,
            "two readers of files in memory",
            smaller_is_better=True,
        ),
        Row("import of a 2 GiB vmdk, whole", seconds["ours"], "s", limit, smaller_is_better=True),
    ]
    parts = ", ".join(f"{name} {seconds[name]:.2f} s" for name in ("convert", "hash", "compare"))
    return Outcome(
        rows, [f"Import: by themselves {parts}. A ratio of 0.8 is 1.25 times the limit's time."]
    )


def _vmdk(directory: Path) -> Path:
    raw = random_file(directory / "disk.raw", SIZE)
    target = directory / "disk.vmdk"
    _qemu_img("convert", "-f", "raw", "-O", "vmdk", str(raw), str(target))
    raw.unlink()
    return target


def _import(ours: Service, key: str) -> float:
    """Import the object as a new image, delete the image; return seconds from call to active."""
    begin = time.perf_counter()
    wanted = {
        "name": f"bench-{time.monotonic_ns()}",
        "image_url": key,
        "os_version": "Ubuntu 22.04 server 64bit",
        "min_disk": 2,
    }
    job = ours.request("POST", "/v2/cloudimages/action", wanted)["job_id"]
    while True:
        state = ours.request("GET", f"/v1/{ours.project}/jobs/{job}")
        if state["status"] == "SUCCESS":
            break
        if state["status"] == "FAIL":
            raise RuntimeError(f"the import failed: {state}")
        time.sleep(_PAUSE)
    seconds = time.perf_counter() - begin
    ours.request("DELETE", f"/v2/images/{state['entities']['image_id']}")
    return seconds


def _convert(disk: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    _qemu_img("convert", "-f", "vmdk", "-O", "qcow2", str(disk), str(target))


def _compare(disk: Path, made: Path) -> None:
    _qemu_img("compare", "-f", "vmdk", "-F", "qcow2", str(disk), str(made))


def _hash_and_write(source: Path, target: Path) -> None:
    """Read a file once; md5, sha512 and a copy of it, each in its thread."""
    md5, sha512 = hashlib.md5(usedforsecurity=False), hashlib.sha512()
    with source.open("rb") as file, target.open("wb", buffering=0) as copy:
        works: tuple[Callable[[bytes], object], ...] = (md5.update, sha512.update, copy.write)
        lanes = [SimpleQueue[bytes | None]() for _ in works]
        places = threading.Semaphore(8 * len(works))

        def work(lane: SimpleQueue[bytes | None], step: Callable[[bytes], object]) -> None:
            while (block := lane.get()) is not None:
                step(block)
                places.release()

        threads = [
            threading.Thread(target=work, args=pair) for pair in zip(lanes, works, strict=True)
        ]
        for thread in threads:
            thread.start()
        while block := file.read(MIB):
            for lane in lanes:
                places.acquire()
                lane.put(block)
        for lane in lanes:
            lane.put(None)
        for thread in threads:
            thread.join()
    target.unlink()


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _qemu_img(*arguments: str) -> None:
    try:
        subprocess.run(["qemu-img", *arguments], check=True, stdout=subprocess.DEVNULL)
    except FileNotFoundError:
        raise Missing("qemu-img is not installed (apt-get install qemu-utils)") from None
