# SPDX-License-Identifier: Apache-2.0
"""One upload of 1 GiB beside bare sockets that hash and write the same, and beside sha512sum."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from bench.limits import bare_upload_server, interleaved, paired, random_file, upload
from bench.report import Row
from bench.scenario import GIB, Outcome, Place
from bench.service import Service, service

TITLE = "Upload"
OCTETS = {"Content-Type": "application/octet-stream"}


def run(place: Place) -> Outcome:
    """Measure one client at a time, each body into a new file."""
    with place.in_memory(4 * GIB) as directory:
        source = random_file(directory / "source", GIB)
        bare = directory / "bare"
        bare.mkdir()
        with service(directory / "data") as ours, bare_upload_server(bare) as limit:
            found = interleaved(
                {
                    "ours": lambda: upload_once(ours, source),
                    "bare": lambda: _bare(limit.url, source, bare),
                    "sha512sum": lambda: _sha512sum(source),
                }
            )
    mine, theirs, hashing = found["ours"], found["bare"], found["sha512sum"]
    rows = [
        Row(
            "upload of 1 GiB, bare sockets with the same hashes",
            mine.median,
            "MB/s",
            theirs.median,
            0.9,
            "md5 and sha512 side by side on two cores, which the client's sending shares",
        ),
        Row("upload of 1 GiB, `sha512sum` of the file", mine.median, "MB/s", hashing.median),
    ]
    return Outcome(
        rows,
        [
            f"Upload: rounds reach {paired(found, 'ours', 'bare'):.2f} of bare sockets (median of"
            f" pairs); spread ours {mine.spread:.0%}, bare {theirs.spread:.0%}."
            " Ours also inspects, syncs and publishes."
        ],
    )


def upload_once(ours: Service, source: Path) -> float:
    """Upload a file as a new image, delete the image, return MB/s."""
    image = ours.image()
    headers = {"X-Auth-Token": ours.token, **OCTETS}
    done = upload(f"{ours.url}/v2/images/{image}/file", source, headers)
    if done.status != 204:
        raise RuntimeError(f"an upload was answered {done.status}")
    ours.request("DELETE", f"/v2/images/{image}")
    return done.rate


def _bare(url: str, source: Path, directory: Path) -> float:
    done = upload(f"{url}/new", source)
    (directory / "new").unlink()
    return done.rate


def _sha512sum(source: Path) -> float:
    begin = time.perf_counter()
    subprocess.run(["sha512sum", str(source)], check=True, stdout=subprocess.DEVNULL)
    return source.stat().st_size / (time.perf_counter() - begin) / 1e6
