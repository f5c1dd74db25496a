# SPDX-License-Identifier: Apache-2.0
"""Requests a second: lists among 100 and 100,000 images, one image shown, one created.

Two services run beside each other and are asked in turn, so that what the machine does meanwhile is
felt by both. Requests come on one connection, then on 32.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

from bench import load
from bench.filling import fill
from bench.limits import cpu_seconds, interleaved, paired
from bench.report import Row
from bench.scenario import GIB, Outcome, Place
from bench.service import Service, service

TITLE = "Requests"
FEW, MANY = 100, 100_000
QUOTA = {"IMAGES_PER_PROJECT": "10000000"}
BODY = json.dumps(
    {
        "name": "bench",
        "disk_format": "qcow2",
        "container_format": "bare",
        "min_disk": 10,
        "tags": ["lts"],
        "os_distro": "ubuntu",
        "hw_disk_bus": "virtio",
    }
)


def run(place: Place) -> Outcome:
    """Measure on one connection (the targets) and on 32."""
    with (
        place.in_memory(GIB) as directory,
        service(directory / "few", QUOTA) as few,
        service(directory / "many", QUOTA) as many,
    ):
        shown = fill(few, FEW)[FEW // 2]
        fill(many, MANY)
        rates: dict[str, Callable[[], float]] = {}
        for count in (1, 32):
            for name, ours in (("few", few), ("many", many)):
                for dialect, path in (
                    ("native", "/v2/images"),
                    ("ims", "/v2/cloudimages?limit=25"),
                ):
                    rates[f"{dialect} {name} {count}"] = partial(
                        load.get, ours.url + path, ours.token, connections=count, seconds=2
                    )
            rates[f"show {count}"] = partial(
                load.get, f"{few.url}/v2/images/{shown}", few.token, connections=count, seconds=2
            )
        found = interleaved(rates, rounds=3)
        costs = [_cost(few, "/v2/images", "list"), _cost(few, f"/v2/images/{shown}", "show")]
        # Last, because it adds images to what the lists are about.
        made = interleaved(
            {
                f"create {count}": partial(
                    load.post, f"{few.url}/v2/images", few.token, BODY, connections=count, seconds=2
                )
                for count in (1, 32)
            }
        )
    median = {name: series.median for name, series in (found | made).items()}
    python = "Python: rows to objects to JSON, one statement for the caller and one for the list"
    rows = [
        Row(
            f"list of 25 among {MANY:,} images ({dialect}), among {FEW}",
            median[f"{dialect} many 1"],
            "req/s",
            median[f"{dialect} few 1"],
            0.8,
            "the same statements with the same indexes",
        )
        for dialect in ("native", "ims")
    ]
    rows += [
        Row(
            "list of 25 (native), one connection",
            median["native few 1"],
            "req/s",
            None,
            440,
            python,
        ),
        Row("list of 25 (native), 32 connections", median["native few 32"], "req/s"),
        Row("list of 25 (ims), one connection", median["ims few 1"], "req/s"),
        Row("show (native), one connection", median["show 1"], "req/s", None, 1000, "as above"),
        Row("show (native), 32 connections", median["show 32"], "req/s"),
        Row(
            "create (native), one connection",
            median["create 1"],
            "req/s",
            None,
            460,
            "six statements and one commit; here the commit costs no disk",
        ),
        Row(
            "create (native), 32 connections",
            median["create 32"],
            "req/s",
            None,
            None,
            "one writer",
        ),
    ]
    ratio = paired(found, "native many 1", "native few 1")
    return Outcome(
        rows,
        [
            f"Requests: pairs of rounds give {ratio:.2f} for {MANY:,} images against {FEW};"
            f" processor time of the service: {', '.join(costs)}. Both logs are written."
        ],
    )


def _cost(ours: Service, path: str, name: str) -> str:
    seconds = 3
    before = cpu_seconds(ours.pid)
    rate = load.get(ours.url + path, ours.token, connections=1, seconds=seconds)
    micros = load.cost(before, cpu_seconds(ours.pid), rate, seconds)
    return f"{name} {micros:.0f} µs"
