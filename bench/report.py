# SPDX-License-Identifier: Apache-2.0
"""Writes measured figures as one markdown table: what, ours, limit, ratio, target, what limits it.

A row's ratio is always "how much of the limit is reached", so 1.0 is the limit and more is better,
also for times and memory (limit / ours). A row without a limit has no ratio and its target is said
in the row's own unit.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. `target` is a ratio where there is a `limit`, else a value in `unit`.

    `smaller_is_better` for times and memory; `limited_by` says in words what stops us.
    """

    what: str
    ours: float
    unit: str
    limit: float | None = None
    target: float | None = None
    limited_by: str = ""
    smaller_is_better: bool = False

    @property
    def ratio(self) -> float | None:
        """Part of the limit that is reached; None without a limit or with a zero."""
        if not self.limit or not self.ours:
            return None
        return self.limit / self.ours if self.smaller_is_better else self.ours / self.limit

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if self.target is None:
            return None
        if self.limit is not None:
            return self.ratio is not None and self.ratio >= self.target
        return self.ours <= self.target if self.smaller_is_better else self.ours >= self.target


def table(rows: Sequence[Row]) -> str:
    """Return the markdown table of the rows."""
    lines = [
        "| what | ours | limit | ratio | target | what limits it |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = (
            row.what,
            f"{_figure(row.ours)} {row.unit}",
            "-" if row.limit is None else f"{_figure(row.limit)} {row.unit}",
            "-" if row.ratio is None else f"{row.ratio:.2f}",
            _target(row),
            row.limited_by or "-",
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def write(path: Path, title: str, rows: Sequence[Row], notes: Sequence[str] = ()) -> None:
    """Write a page with the machine, the table and the notes; replaces what was there."""
    parts = [f"# {title}\n", machine() + "\n", table(rows)]
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes) + "\n")
    path.write_text("\n".join(parts), encoding="utf-8")


def machine() -> str:
    """Return one line about the machine that the figures belong to."""
    cpu = "unknown CPU"
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    memory = 0
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemTotal"):
            memory = int(line.split()[1]) // 1024 // 1024
            break
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores of {cpu}, {memory} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; client and server share the cores."
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _figure(value: float) -> str:
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _target(row: Row) -> str:
    if row.target is None:
        return "-"
    sign = "≤" if row.smaller_is_better and row.limit is None else "≥"
    unit = f" {row.unit}" if row.limit is None else ""
    verdict = {True: "met", False: "**missed**", None: ""}[row.met]
    return f"{sign} {_figure(row.target)}{unit}, {verdict}"
