# SPDX-License-Identifier: Apache-2.0
"""Resident memory of the whole process tree while eight transfers of 1 GiB run at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.limits import (
    Memory,
    Transfer,
    download,
    random_file,
    resident,
    together,
    until_still,
    upload,
)
from bench.report import Row
from bench.scenario import GIB, Outcome, Place
from bench.scenarios.upload import OCTETS
from bench.service import Service, service

TITLE = "Memory"
AT_ONCE = 8
MB = 1_000_000


def run(place: Place) -> Outcome:
    """Measure uploads, then downloads, above what the idle service holds."""
    with place.on_disk() as directory, service(directory / "data") as ours:
        source = random_file(directory / "source", GIB)
        images = [ours.image() for _ in range(AT_ONCE)]
        idle = until_still(lambda: float(resident(ours.pid)))
        up, up_rate = _measured(ours, lambda number: _send(ours, images[number], source))
        down, down_rate = _measured(ours, lambda number: _receive(ours, images[number]))
    blocks = "eight blocks of 1 MiB for each upload, and its three threads"
    return Outcome(
        [
            _row("memory above idle, eight uploads of 1 GiB", up - idle, blocks),
            _row("memory above idle, eight downloads of 1 GiB", down - idle, "the kernel sends"),
        ],
        [
            f"Memory: {idle / MB:.0f} MB resident when idle; together the uploads ran at"
            f" {up_rate:.0f} MB/s onto the disk and the downloads at {down_rate:.0f} MB/s."
        ],
    )


def _row(what: str, size: float, why: str) -> Row:
    return Row(what, round(size / MB, 1), "MB", None, 150, why, smaller_is_better=True)


def _measured(ours: Service, one: Callable[[int], Transfer]) -> tuple[float, float]:
    """Run the transfers at once; return the highest resident bytes and their common MB/s."""
    with Memory(ours.pid) as memory:
        rate = together(AT_ONCE, one)
    return float(memory.peak), rate


def _send(ours: Service, image: str, source: Path) -> Transfer:
    headers = {"X-Auth-Token": ours.token, **OCTETS}
    return upload(f"{ours.url}/v2/images/{image}/file", source, headers)


def _receive(ours: Service, image: str) -> Transfer:
    return download(f"{ours.url}/v2/images/{image}/file", {"X-Auth-Token": ours.token})
