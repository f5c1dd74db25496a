# SPDX-License-Identifier: Apache-2.0
"""Conversion and comparison by qemu-img: pure argument builders and the runs that use them.

The tool is never allowed to guess: source, driver and protocol are spelled out, a parent is
switched off where a driver could have one, and the source was accepted by the inspector before
(security contract, C1). Limits are set for every run; a tool killed for them means
EXPANSION_LIMIT, a source it cannot read means CORRUPT. Synchronous: call from a worker thread.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from calotype import programs
from calotype.disks.formats import FORMATS
from calotype.disks.verdict import Format
from calotype.errors import BadImage, ProgramFailed, Reason, Unavailable, Unsupported
from calotype.sandbox import INPUT_ROOT

Progress = Callable[[float], None]
Cancel = Callable[[], bool]

_MEMORY = 2 << 30
_PERCENT = re.compile(r"\((\d{1,3}\.\d\d)/100%\)")
# Four requests in flight, kept in order: as fast as out of order here, and the file stays in the
# order of the disk, which its later readers profit from.
_COROUTINES = "4"
# Some drivers cannot say where a disk is empty: two tebibytes of nothing take them minutes.
_BASE_SECONDS = 2400
_SLOWEST = 4 << 20
_LARGEST_WRITE = 2 << 20


@dataclass(frozen=True, slots=True)
class Tools:
    """What `calotype check` shows: the converter's version, or None, and what holds programs."""

    qemu_img: str | None
    sandbox: programs.SandboxKind


def source_argument(found: Format, number: int = 0) -> str:
    """Return the full description of input `number` for the tool: driver, protocol, no parent."""
    row = FORMATS[found]
    if row.tool_name is None:
        raise Unsupported(f"{found} is a container; its disks are converted", rule="format")
    place = {"driver": "file", "filename": f"{INPUT_ROOT}/{number}"}
    options: dict[str, object] = {"driver": row.tool_name, "file": place}
    options.update(row.open_options)
    if row.has_backing:
        options["backing"] = None
    return "json:" + json.dumps(options, separators=(",", ":"))


def convert_args(found: Format, wanted: Format, name: str) -> tuple[str, ...]:
    """Return the command line that converts input 0 to the file `name` of the work place."""
    row = FORMATS[wanted]
    if row.tool_name is None or not row.writable:
        raise Unsupported(f"{wanted} is not written; choose another format", rule="format")
    options = ("-o", ",".join(row.write_options)) if row.write_options else ()
    return (
        *("qemu-img", "convert", "-p"),
        *("-m", _COROUTINES),
        *("-O", row.tool_name),
        *options,
        source_argument(found),
        name,
    )


def compare_args(first: Format, second: Format) -> tuple[str, ...]:
    """Return the command line that compares what guests see of inputs 0 and 1."""
    return ("qemu-img", "compare", "-p", source_argument(first, 0), source_argument(second, 1))


def convert(  # noqa: PLR0913 the shape is fixed by the plan of the rooms; flows name each argument
    source: Path,
    found: Format,
    target: Path,
    wanted: Format,
    *,
    size_limit: int,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> None:
    """Convert an inspected file to `target`, a new file in an existing work directory.

    `size_limit` bounds the bytes of the target (its length for raw), `progress` receives percent.
    Holes stay holes. On any error nothing is left at `target`. Raises BadImage, Cancelled,
    Unavailable (`work_full`), ProgramFailed (missing, or a write error).
    """
    arguments = convert_args(found, wanted, target.name)
    target.touch(mode=0o600, exist_ok=False)
    command = programs.Command(arguments, inputs=(source,), work=target, accept=(0, 1))
    allocated = source.stat().st_blocks * 512
    unpacked = min(size_limit, max(1 << 30, 20 * allocated))
    with contextlib.ExitStack() as undo:
        undo.callback(target.unlink, missing_ok=True)
        done = _run(command, allocated + unpacked, size_limit, (progress, cancel))
        if done.code != 0:
            raise _failure(done.stderr, target.stat().st_size + _LARGEST_WRITE >= size_limit)
        undo.pop_all()


def compare(
    first: tuple[Path, Format],
    second: tuple[Path, Format],
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> bool:
    """Tell whether guests see the same content in two inspected files.

    A longer disk counts as equal when what it has more is zero; compare sizes for more. Raises
    BadImage, Cancelled, ProgramFailed.
    """
    (here, one), (there, other) = first, second
    command = programs.Command(
        compare_args(one, other), inputs=(here, there), accept=(0, 1, 2, 3, 4)
    )
    work = 2 * max(1 << 30, *(20 * path.stat().st_blocks * 512 for path in (here, there)))
    done = _run(command, work, 0, (progress, cancel))
    if done.code > 1:
        raise BadImage(Reason.CORRUPT, "the content could not be read to the end")
    return done.code == 0


def check_tools() -> Tools:
    """Return what conversions on this host would run with; raises nothing."""
    limits = programs.Limits(wall=10, cpu=5, memory=_MEMORY, output=0)
    version = None
    with contextlib.suppress(ProgramFailed):
        done = programs.run(programs.Command(("qemu-img", "--version")), limits)
        found = re.search(rb"version (\d+(\.\d+)+)", done.stdout)
        version = found[1].decode() if found else None
    return Tools(version, programs.sandbox_kind())


def _run(
    command: programs.Command,
    work: int,
    output: int,
    callbacks: tuple[Progress | None, Cancel | None],
) -> programs.Completed:
    """Run the tool with limits for `work` bytes read and written."""
    progress, cancel = callbacks
    seconds = _BASE_SECONDS + work // _SLOWEST
    limits = programs.Limits(
        wall=2.0 * seconds, cpu=seconds, memory=_MEMORY, output=output, niceness=5
    )

    def percent(line: str) -> None:
        found = _PERCENT.search(line)
        if found and progress is not None:
            progress(min(float(found[1]), 100.0))

    try:
        return programs.run(command, limits, progress=percent, cancel=cancel)
    except ProgramFailed as error:
        if error.how in ("limit", "timeout"):
            text = "the content needed more than the allowed size, memory or time"
            raise BadImage(Reason.EXPANSION_LIMIT, text) from error
        if error.how == "signal":
            text = "the content could not be converted: the tool failed on it"
            raise BadImage(Reason.CORRUPT, text) from error
        raise


def _failure(stderr: bytes, at_limit: bool) -> Exception:
    """Name what made a conversion end early; some drivers lose the reason of a failed write."""
    if b"No space left on device" in stderr:
        return Unavailable("the work area is full", rule="work_full")
    writing = b"error while writing" in stderr
    limits = (b"File too large", b"Cannot allocate memory")
    if (writing and at_limit) or any(word in stderr for word in limits):
        text = "the content needed more than the allowed size, memory or time"
        return BadImage(Reason.EXPANSION_LIMIT, text)
    if writing:
        return ProgramFailed("the converted file could not be written", how="exit")
    return BadImage(Reason.CORRUPT, "the content could not be read to the end")
