# SPDX-License-Identifier: Apache-2.0
"""Makes a qcow2 of a file with a plain map in one pass: read, hash and write side by side.

Where the content lies is asked of the sandboxed tool, for the source before and for the result
afterwards; the bytes between are copied and never parsed. The proof is a comparison of both files
at the places that the tool names for each of them, block by block, and not at those that were
planned. A file without a plain map is left to the converter. Measured: a dense 2 GiB disk costs
what hashing and writing it costs; converting and then hashing and comparing it costs 1.8 times.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Event

from calotype.blobs.digest import Digest
from calotype.disks.formats import Format
from calotype.disks.inspect import inspect_file
from calotype.disks.layout import CLUSTER, Layout, Run, data_runs, plan, tables
from calotype.disks.mapping import Extent, map_file, pieces, read_into
from calotype.errors import BadImage, Cancelled, Reason
from calotype.flows.pipeline import Pipeline
from calotype.flows.side_by_side import side_by_side
from calotype.flows.workspace import Workspace, sync

_BLOCK = 1 << 20
_PEEK = 4096
_ZEROS = bytes(CLUSTER)
_SYNC_EVERY = 256 << 20
_ROOM_EVERY = 64 << 20
_WRITTEN = 0.9  # part of the step that writing is
_PROOFS = 2


class Differs(Exception):
    """The result is not what its source is."""


def stream(
    source: Path, found: Format, target: Path, limits: tuple[int, int], space: Workspace
) -> Digest | None:
    """Make `target`, a new qcow2, of an inspected file; return its size and hashes.

    `limits`: virtual size of the disk, and most bytes of the result. None, and nothing at
    `target`, when the source has no plain map. Raises BadImage (EXPANSION_LIMIT), Cancelled,
    Unavailable (`store_full`), and Differs when the proof fails.
    """
    virtual_size, size_limit = limits
    stop = space.attempt.stopping
    extents = map_file(source, found, cancel=stop)
    if extents is None:
        return None
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        layout = plan(virtual_size, filled_runs(reading, extents, virtual_size, stop))
        if layout.size > size_limit:
            text = "the content needs more than the allowed size"
            raise BadImage(Reason.EXPANSION_LIMIT, text)
        space.check_room(layout.size)
        digest = _write(reading, extents, layout, target, space)
        prove(reading, extents, target, layout.virtual_size, stop)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    finally:
        os.close(reading)
    return digest


def filled_runs(
    reading: int, extents: Sequence[Extent], virtual_size: int, stop: Callable[[], bool]
) -> list[Run]:
    """Return the clusters of the disk that are not all zero, as runs.

    Most clusters with content show it in their first bytes, so few are read whole.
    """
    runs: list[Run] = []
    whole = memoryview(bytearray(CLUSTER))
    last = -1
    for extent in extents:
        end = min(extent.end, virtual_size)
        for cluster in range(max(last + 1, extent.start // CLUSTER), -(-end // CLUSTER)):
            last = cluster
            if not cluster % 1024 and stop():
                raise Cancelled("planning was given up")
            if not _is_zero(reading, extents, cluster, whole):
                if runs and sum(runs[-1]) == cluster:
                    runs[-1] = (runs[-1][0], runs[-1][1] + 1)
                else:
                    runs.append((cluster, 1))
    return runs


def prove(
    reading: int,
    extents: Sequence[Extent],
    target: Path,
    virtual_size: int,
    stop: Callable[[], bool],
) -> None:
    """Compare what guests read of both files, and have the result inspected like a stranger's.

    Raises Differs, Cancelled.
    """
    made = map_file(target, Format.QCOW2, cancel=stop)
    if made is None:
        raise Differs("the result has no plain map")
    failed = Event()

    def ended() -> bool:
        return failed.is_set() or stop()

    with ExitStack() as stack:
        written = os.open(target, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        stack.callback(os.close, written)
        sides = (reading, extents), (written, made)
        part = -(-virtual_size // _PROOFS // _BLOCK) * _BLOCK
        ranges = [
            (begin, min(begin + part, virtual_size)) for begin in range(0, virtual_size, part or 1)
        ]
        works = [_comparison(sides, one, ended) for one in ranges]
        side_by_side(failed, *works, lambda: _inspected(target, virtual_size, ended))


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


def _write(
    reading: int,
    extents: Sequence[Extent],
    layout: Layout,
    target: Path,
    space: Workspace,
) -> Digest:
    """Write and hash the file from its begin to its end."""
    attempt = space.attempt
    with ThreadPoolExecutor(1, thread_name_prefix="syncing") as syncing, Pipeline(target) as file:
        for table in tables(layout):
            file.put(len(table), _copy_of(table))
        next_sync, next_room = _SYNC_EVERY, _ROOM_EVERY
        for start, length in data_runs(layout):
            for at in range(start, start + length, _BLOCK):
                attempt.check()
                count = min(_BLOCK, start + length - at)
                file.put(count, partial(read_into, reading, extents, at))
                if file.size >= next_sync:
                    # Begin to write back now, so that little is left when the file is whole.
                    next_sync = file.size + _SYNC_EVERY
                    syncing.submit(sync, target)
                if file.size >= next_room:
                    next_room = file.size + _ROOM_EVERY
                    space.check_room(0)
                attempt.progress(_WRITTEN * file.size / layout.size)
        return file.finish()


def _copy_of(content: bytes) -> Callable[[memoryview], None]:
    def fill(view: memoryview) -> None:
        view[:] = content

    return fill


def _is_zero(reading: int, extents: Sequence[Extent], cluster: int, buffer: memoryview) -> bool:
    start = cluster * CLUSTER
    for step in (_PEEK, CLUSTER):
        view = buffer[:step]
        read_into(reading, extents, start, view)
        if view != _ZEROS[:step]:
            return False
    return True
