# SPDX-License-Identifier: Apache-2.0
"""Downloads of 1 GiB by one reader and by eight, beside nginx with one worker and the same file."""

from __future__ import annotations

from bench.limits import (
    Series,
    cpu_seconds,
    download,
    interleaved,
    nginx,
    nginx_program,
    paired,
    random_file,
    together,
    upload,
)
from bench.report import Row
from bench.scenario import GIB, Missing, Outcome, Place
from bench.scenarios.upload import OCTETS
from bench.service import service

TITLE = "Download"
READERS = 8


def run(place: Place) -> Outcome:
    """Measure readers of the file that the service stored; nginx serves that very file."""
    if nginx_program() is None:
        raise Missing("nginx is not installed (apt-get install nginx-light)")
    with place.in_memory(3 * GIB) as directory, service(directory / "data") as ours:
        source = random_file(directory / "source", GIB)
        image = ours.image()
        token = {"X-Auth-Token": ours.token}
        url = f"{ours.url}/v2/images/{image}/file"
        upload(url, source, token | OCTETS)
        source.unlink()
        stored = ours.stored(image)
        with nginx(stored.parent) as limit:
            theirs = f"{limit.url}/{stored.name}"
            found = interleaved(
                {
                    "ours": lambda: download(url, token).rate,
                    "nginx": lambda: download(theirs).rate,
                    "ours 8": lambda: together(READERS, lambda _: download(url, token)),
                    "nginx 8": lambda: together(READERS, lambda _: download(theirs)),
                },
                rounds=5,
            )
            seconds = cpu_seconds(ours.pid)
            together(READERS, lambda _: download(url, token))
            seconds = (cpu_seconds(ours.pid) - seconds) / READERS
    return Outcome(
        [
            _row("download of 1 GiB, one reader, nginx", found, "", 0.9),
            _row("download of 1 GiB, eight readers, nginx with one worker", found, " 8", 1.0),
        ],
        [
            f"Download: pairs of rounds reach {paired(found, 'ours', 'nginx'):.2f} (one reader) and"
            f" {paired(found, 'ours 8', 'nginx 8'):.2f} (eight) of nginx;"
            f" {seconds:.2f} s of processor time for 1 GiB with eight readers."
        ],
    )


def _row(what: str, found: dict[str, Series], suffix: str, target: float) -> Row:
    why = "sendfile in both; the readers copy on the same cores"
    mine, theirs = found["ours" + suffix].median, found["nginx" + suffix].median
    return Row(what, mine, "MB/s", theirs, target, why)
