# SPDX-License-Identifier: Apache-2.0
"""Proves that two files hold the same disk: both maps are asked of the tool, the bytes compared.

The places are those that the sandboxed tool names, not those that a writer planned, and the result
is inspected like a stranger's file (security contract, section 7).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Event

from calotype import clock
from calotype.disks.formats import Format
from calotype.disks.inspect import inspect_file
from calotype.disks.mapping import Extent, map_file, pieces, read_into
from calotype.errors import BadImage, Cancelled
from calotype.flows.side_by_side import side_by_side

_LOG = logging.getLogger(__name__)
_BLOCK = 1 << 20
_PROOFS = 2  # comparisons at once


class Differs(Exception):
    """The result is not what its source is."""


def prove(
    reading: int,
    extents: Sequence[Extent],
    target: Path,
    virtual_size: int,
    stop: Callable[[], bool],
) -> None:
    """Compare what guests read of both files, and have the result inspected like a stranger's.

    Raises Differs, Cancelled. Logs how long it took.
    """
    begin = clock.monotonic()
    made = map_file(target, Format.QCOW2, cancel=stop)
    if made is None or made.extents is None:
        raise Differs("the result has no plain map")
    theirs = made.extents
    failed = Event()

    def ended() -> bool:
        return failed.is_set() or stop()

    with ExitStack() as stack:
        written = os.open(target, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        stack.callback(os.close, written)
        sides = (reading, extents), (written, theirs)
        part = -(-virtual_size // _PROOFS // _BLOCK) * _BLOCK
        ranges = [
            (first, min(first + part, virtual_size)) for first in range(0, virtual_size, part or 1)
        ]
        works = [_comparison(sides, one, ended) for one in ranges]
        side_by_side(failed, *works, lambda: _inspected(target, virtual_size, ended))
    seconds = round(clock.monotonic() - begin, 3)
    _LOG.info("a made file is what its source is", extra={"seconds": seconds, "size": virtual_size})


def _comparison(
    sides: tuple[tuple[int, Sequence[Extent]], tuple[int, Sequence[Extent]]],
    where: tuple[int, int],
    stop: Callable[[], bool],
) -> Callable[[], object]:
    """Return the comparison of one range of the disk."""

    def work() -> None:
        mine, theirs = bytearray(_BLOCK), bytearray(_BLOCK)
        (one, one_map), (other, other_map) = sides
        at = where[0]
        for begin, end in _touched((one_map, other_map), *where):
            at = begin
            while at < end:
                if stop():
                    raise Cancelled("comparing was given up")
                length = min(_BLOCK, end - at)
                with memoryview(mine) as left, memoryview(theirs) as right:
                    read_into(one, one_map, at, left[:length])
                    read_into(other, other_map, at, right[:length])
                    same = left[:length] == right[:length] if length < _BLOCK else None
                if same is False or (same is None and mine != theirs):
                    raise Differs("the content differs")
                at += length

    return work


def _touched(
    maps: tuple[Sequence[Extent], Sequence[Extent]], begin: int, end: int
) -> Iterator[tuple[int, int]]:
    """Yield the ranges in which either file has content; elsewhere both read as zero."""
    spans = sorted(
        (piece.start, piece.end) for one in maps for piece in pieces(one, begin, end - begin)
    )
    merged_begin = merged_end = -1
    for first, last in spans:
        if first <= merged_end:
            merged_end = max(merged_end, last)
            continue
        if merged_end > merged_begin:
            yield merged_begin, merged_end
        merged_begin, merged_end = first, last
    if merged_end > merged_begin:
        yield merged_begin, merged_end


def _inspected(target: Path, virtual_size: int, stop: Callable[[], bool]) -> None:
    try:
        found = inspect_file(target, claim=Format.QCOW2, cancel=stop)
    except BadImage as error:
        raise Differs(f"the result is refused: {error.message}") from error
    if found.virtual_size != virtual_size:
        raise Differs("the result has another size")
