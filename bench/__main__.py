# SPDX-License-Identifier: Apache-2.0
"""`python -m bench [NAME …]`: run scenarios, print their table and write it to `bench/results`.

Every scenario takes its limit in the same run. One that fails or lacks a program is named in the
table's remarks, and the others go on; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Protocol

from bench.report import Row, machine, table, write
from bench.scenario import Missing, Outcome, Place

NAMES = ("start", "requests", "upload", "download", "memory", "imports")
RESULTS = Path(__file__).parent / "results"


class Scenario(Protocol):
    """A module of `bench.scenarios`."""

    TITLE: str

    def run(self, place: Place) -> Outcome:
        """Measure."""


def main() -> int:
    """Run what the command line names; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)}")
    parser.add_argument("--disk", type=Path, default=Path(tempfile.gettempdir()), help="directory")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(NAMES))
    if unknown:
        parser.error(f"there is no scenario {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    place = Place(given.disk)
    RESULTS.mkdir(exist_ok=True)
    rows: list[Row] = []
    notes: list[str] = []
    failed = False
    print(machine(), flush=True)
    for name in given.names or NAMES:
        begin = time.monotonic()
        outcome, good = _run(name, place)
        failed = failed or not good
        rows += outcome.rows
        notes += outcome.notes
        print(f"\n{name}, {time.monotonic() - begin:.0f} s\n{table(outcome.rows)}", flush=True)
        print("\n".join(outcome.notes), flush=True)
        write(RESULTS / f"{name}.md", _title(name), outcome.rows, outcome.notes)
    if len(given.names) != 1:
        write(RESULTS / "figures.md", f"Figures of {time.strftime('%Y-%m-%d')}", rows, notes)
    return int(failed)


def _run(name: str, place: Place) -> tuple[Outcome, bool]:
    scenario = _scenario(name)
    try:
        outcome = scenario.run(place)
        return Outcome(outcome.rows, outcome.notes + _remarks(scenario, place)), True
    except Missing as missing:
        return Outcome([], [f"{scenario.TITLE}: left out, {missing}."]), False
    except Exception as error:
        traceback.print_exc()
        return Outcome([], [f"{scenario.TITLE}: failed, {error}."]), False


def _remarks(scenario: Scenario, place: Place) -> list[str]:
    found = [f"{scenario.TITLE}: {remark}." for remark in place.remarks]
    place.remarks.clear()
    return found


def _scenario(name: str) -> Scenario:
    module: Scenario = import_module(f"bench.scenarios.{name}")
    return module


def _title(name: str) -> str:
    return f"{_scenario(name).TITLE}, {time.strftime('%Y-%m-%d')}"


if __name__ == "__main__":
    sys.exit(main())
