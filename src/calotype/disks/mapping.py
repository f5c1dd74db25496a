# SPDX-License-Identifier: Apache-2.0
"""Where the content of a disk lies inside its file, as the tool that reads the format says.

Only places are asked for, no content: with them, bytes can be copied without being parsed. Content
that is compressed lies nowhere plainly, and one in too many pieces has no map. The tool runs in
the sandbox and its answer is checked against the file (security contract, C1 and C2).
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from calotype import programs
from calotype.disks.convert import source_argument
from calotype.disks.verdict import Format
from calotype.errors import ProgramFailed

_CAPTURED = 16 << 20
_LIMITS = programs.Limits(
    wall=240.0, cpu=120, memory=2 << 30, output=0, captured=_CAPTURED, niceness=2
)


@dataclass(frozen=True, slots=True)
class Extent:
    """`length` bytes that a guest reads at `start` lie at `place` of the file. Bytes."""

    start: int
    length: int
    place: int

    @property
    def end(self) -> int:
        """Where the guest's bytes end."""
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Span:
    """`length` bytes with content that a guest reads at `start`, wherever they lie. Bytes."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Map:
    """Where a disk has content: `extents` when all of it lies plainly in the file, else None."""

    spans: tuple[Span, ...]
    extents: tuple[Extent, ...] | None


def map_file(
    source: Path, found: Format, *, cancel: Callable[[], bool] | None = None
) -> Map | None:
    """Return where a disk has content, in order; the rest reads as zero. None: it has no map.

    Raises Cancelled, and ProgramFailed (`missing`) when the tool is not there.
    """
    command = programs.Command(
        ("qemu-img", "map", "--output=json", source_argument(found)), inputs=(source,)
    )
    try:
        done = programs.run(command, _LIMITS, cancel=cancel)
    except ProgramFailed as error:
        if error.how == "missing":
            raise
        return None
    return _read(done.stdout, source.stat().st_size)


def pieces(extents: Sequence[Extent], start: int, length: int) -> Iterator[Extent]:
    """Yield the parts of extents inside a range of what the guest reads, in order."""
    at = max(0, bisect_right(extents, start, key=lambda extent: extent.start) - 1)
    while at < len(extents) and extents[at].start < start + length:
        extent = extents[at]
        begin, end = max(start, extent.start), min(start + length, extent.end)
        if begin < end:
            yield Extent(begin, end - begin, extent.place + begin - extent.start)
        at += 1


def read_into(descriptor: int, extents: Sequence[Extent], start: int, view: memoryview) -> None:
    """Fill `view` with what the guest reads at `start`. Raises EOFError for a shortened file."""
    done = start
    for piece in pieces(extents, start, len(view)):
        _clear(view[done - start : piece.start - start])
        _fill(descriptor, view[piece.start - start : piece.end - start], piece.place)
        done = piece.end
    _clear(view[done - start :])


def _fill(descriptor: int, view: memoryview, place: int) -> None:
    while view:
        got = os.preadv(descriptor, [view], place)
        if not got:
            raise EOFError
        view, place = view[got:], place + got


def _clear(view: memoryview) -> None:
    if view:
        view[:] = bytes(len(view))


def _read(answer: bytes, size: int) -> Map | None:
    """Take the tool's answer apart; it may come from code that was taken over."""
    try:
        rows = json.loads(answer)
    except ValueError:
        return None  # also an answer that was cut
    if not isinstance(rows, list):
        return None
    spans: list[Span] = []
    extents: list[Extent] | None = []
    last = 0
    for row in rows:
        if not isinstance(row, dict) or not row.get("data") or row.get("zero"):
            continue
        start, length, place = (_number(row, name) for name in ("start", "length", "offset"))
        if start < last or length <= 0:
            return None
        last = start + length
        spans.append(Span(start, length))
        if row.get("compressed") or place < 0 or place + length > size:
            extents = None
        if extents is not None:
            extents.append(Extent(start, length, place))
    return Map(tuple(spans), None if extents is None else tuple(extents))


def _number(row: dict[str, object], name: str) -> int:
    """Return a member that is a number, else one that nothing accepts."""
    value = row.get(name)
    return value if type(value) is int else -1
