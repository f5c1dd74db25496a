# SPDX-License-Identifier: Apache-2.0
"""Makes a qcow2 of a file with a plain map in one pass: read, hash and write side by side.

Where the content lies is asked of the sandboxed tool; the bytes are copied and never parsed. What
is compressed is decoded by the tool, once, and followed while it decodes. Either way the proof is
a comparison at the places that the tool names afterwards. What has no map is left to the
converter. Measured on two cores: a dense 2 GiB disk costs what hashing and writing it costs;
converting and then hashing and comparing it costs 1.8 times.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from calotype.blobs.digest import Digest
from calotype.disks.formats import Format
from calotype.disks.layout import CLUSTER, Layout, Run, data_runs, plan, tables
from calotype.disks.mapping import Extent, Span, map_file, read_into
from calotype.errors import BadImage, Cancelled, Reason
from calotype.flows.decoding import Decoding
from calotype.flows.pipeline import Pipeline
from calotype.flows.proving import Differs, prove
from calotype.flows.workspace import Workspace, sync

_BLOCK = 1 << 20
_PEEK = 4096
_ZEROS = bytes(CLUSTER)
_SYNC_EVERY = 256 << 20
_ROOM_EVERY = 64 << 20
_WRITTEN = 0.9  # part of the step that writing is
_DECODED = (Format.VMDK, Format.QCOW)  # formats whose maps tell what is compressed
_PLAIN_NAME = "plain"
_RATIO = 8
_SMALL = 64 << 20


def stream(
    source: Path, found: Format, target: Path, limits: tuple[int, int], space: Workspace
) -> Digest | None:
    """Make `target`, a new qcow2, of an inspected file; return its size and hashes.

    `limits`: virtual size of the disk, and most bytes of the result. None, and nothing at
    `target`, when that is left to the converter. Raises BadImage (EXPANSION_LIMIT), Cancelled,
    Unavailable (`store_full`), and Differs when the proof fails.
    """
    found_map = map_file(source, found, cancel=space.attempt.stopping)
    if found_map is None:
        return None
    try:
        if found_map.extents is not None:
            return _stream_plain(source, found_map.extents, target, limits, space)
        if found in _DECODED:
            return _stream_decoded((source, found), found_map.spans, target, limits, space)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return None


def _stream_plain(
    source: Path,
    extents: Sequence[Extent],
    target: Path,
    limits: tuple[int, int],
    space: Workspace,
) -> Digest:
    """Copy the content from where it lies."""
    virtual_size, size_limit = limits
    stop = space.attempt.stopping
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        layout = plan(virtual_size, filled_runs(reading, extents, virtual_size, stop))
        if layout.size > size_limit:
            text = "the content needs more than the allowed size"
            raise BadImage(Reason.EXPANSION_LIMIT, text)
        space.check_room(layout.size)
        digest = write(reading, extents, layout, target, space, _ready)
        prove(reading, extents, target, layout.virtual_size, stop)
    finally:
        os.close(reading)
    return digest


def _stream_decoded(
    source: tuple[Path, Format],
    spans: Sequence[Span],
    target: Path,
    limits: tuple[int, int],
    space: Workspace,
) -> Digest | None:
    """Let the tool decode into a raw file in scratch, and follow it with hashing and writing.

    None when the tables would claim much more than the file can hold: then zeros are looked for by
    the converter.
    """
    virtual_size, size_limit = limits
    layout = plan(virtual_size, touched_runs(spans, virtual_size))
    most = _RATIO * source[0].stat().st_size + _SMALL
    if layout.size > min(size_limit, most):
        return None
    space.check_room(2 * layout.size)
    plain = target.with_name(_PLAIN_NAME)
    plain.unlink(missing_ok=True)
    try:
        with Decoding(source, plain, layout, space) as decoding:
            reading = decoding.open()
            try:
                whole = (Extent(0, virtual_size, 0),)
                digest = write(reading, whole, layout, target, space, decoding.wait_for)
                decoding.finish()
                made = map_file(plain, Format.RAW, cancel=space.attempt.stopping)
                if made is None or made.extents is None:
                    raise Differs("the decoded file has no map")
                prove(reading, made.extents, target, layout.virtual_size, space.attempt.stopping)
            finally:
                os.close(reading)
        return digest
    finally:
        plain.unlink(missing_ok=True)


def touched_runs(spans: Sequence[Span], virtual_size: int) -> list[Run]:
    """Return the clusters of the disk that spans lie in, as runs."""
    runs: list[Run] = []
    for span in spans:
        first = span.start // CLUSTER
        end = -(-min(span.start + span.length, virtual_size) // CLUSTER)
        if runs and first <= sum(runs[-1]):
            begin = runs[-1][0]
            runs[-1] = (begin, max(end, sum(runs[-1])) - begin)
        elif end > first:
            runs.append((first, end - first))
    return runs


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


def write(
    reading: int,
    extents: Sequence[Extent],
    layout: Layout,
    target: Path,
    space: Workspace,
    wait_for: Callable[[int], None],
) -> Digest:
    """Write and hash the file from its begin to its end.

    `wait_for(bytes of data)` returns when so many bytes of the data can be read.
    """
    attempt = space.attempt
    with ThreadPoolExecutor(1, thread_name_prefix="syncing") as syncing, Pipeline(target) as file:
        for table in tables(layout):
            file.put(len(table), _copy_of(table))
        next_sync, next_room = _SYNC_EVERY, _ROOM_EVERY
        for start, length in data_runs(layout):
            for at in range(start, start + length, _BLOCK):
                attempt.check()
                count = min(_BLOCK, start + length - at)
                wait_for(file.size + count - layout.data_at)
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


def _ready(count: int) -> None:
    """Everything can be read."""


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
