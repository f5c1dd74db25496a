# SPDX-License-Identifier: Apache-2.0
"""What a scenario gets and gives: places to write in, and rows of the table with remarks.

A scenario is a module of `bench.scenarios` with a `TITLE` and a `run(place)`. It takes its limit in
the same run, in turn with what it measures, and removes every file it made as soon as it may.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.report import Row

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Outcome:
    """The rows of a scenario, and what one must know to read them."""

    rows: list[Row]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Place:
    """Where scenarios write: on `disk`, or in `memory`, a file system without a disk.

    Figures of processors are taken in memory, so that a disk does not hide them. Where there is no
    room the disk is taken, and `remarks` says so.
    """

    disk: Path
    memory: Path = Path("/dev/shm")
    remarks: list[str] = field(default_factory=list)

    @contextmanager
    def in_memory(self, room: int) -> Iterator[Path]:
        """Give a directory for `room` bytes in memory for the time of the block."""
        # Half as much again: the machine goes on with other things, and pages are cached.
        if _free(self.memory) >= room * 3 // 2:
            with _directory(self.memory) as path:
                yield path
        else:
            self.remarks.append(f"no {room / GIB:.0f} GiB of memory were free: files on the disk")
            with _directory(self.disk) as path:
                yield path

    @contextmanager
    def on_disk(self) -> Iterator[Path]:
        """Give a directory on the disk for the time of the block."""
        with _directory(self.disk) as path:
            yield path


@contextmanager
def _directory(parent: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="calotype-bench-", dir=parent) as name:
        yield Path(name)


def _free(memory: Path) -> int:
    """Return the bytes that files in memory may take now; 0 where there is no such place."""
    if not memory.is_dir():
        return 0
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return min(shutil.disk_usage(memory).free, int(line.split()[1]) * 1024)
    return 0


class Missing(Exception):
    """A program or room that a scenario needs is not there; it is left out and named."""
