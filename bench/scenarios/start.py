# SPDX-License-Identifier: Apache-2.0
"""From the start of the process to its first ready answer: on nothing, and on data of a run before.

Also names the packages whose import costs most, because imports are most of a start.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from collections import Counter

from bench.report import Row
from bench.scenario import GIB, Outcome, Place
from bench.service import service

TITLE = "Start"
ROUNDS = 5
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")


def run(place: Place) -> Outcome:
    """Start new and used services in turn."""
    first: list[float] = []
    again: list[float] = []
    with place.in_memory(GIB // 4) as directory:
        for number in range(ROUNDS):
            data = directory / f"data-{number}"
            for seconds in (first, again):
                with service(data) as running:
                    seconds.append(running.seconds)
    limits = "imports of Python modules"
    return Outcome(
        [
            _row("start to ready, data of a run before", again, limits),
            _row("start to ready, nothing there (schema, first account)", first, limits),
        ],
        [f"Start: imports of the service under a tracer: {_imports()}."],
    )


def _row(what: str, seconds: list[float], why: str) -> Row:
    return Row(what, statistics.median(seconds), "s", None, 2, why, smaller_is_better=True)


def _imports(count: int = 8) -> str:
    """Return the packages whose own modules take longest to import."""
    command = [sys.executable, "-X", "importtime", "-c", "import calotype.app"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    spent: Counter[str] = Counter()
    for own, name in _IMPORT.findall(done.stderr):
        package = name.partition(".")[0]
        spent["standard library" if package in sys.stdlib_module_names else package] += int(own)
    named = [f"{name} {micros / 1000:.0f} ms" for name, micros in spent.most_common(count)]
    return f"{sum(spent.values()) / 1000:.0f} ms in all; {', '.join(named)}"
