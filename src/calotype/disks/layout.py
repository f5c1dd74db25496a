# SPDX-License-Identifier: Apache-2.0
"""The plan of a qcow2 file whose tables are known before its first byte is written.

All tables lie in front of the data, and the data is in the order of the disk, so the file can be
written, and hashed, from its begin to its end in one go. Version 3, clusters of 64 KiB, 16 bit
counts, no extension, no snapshot, no parent: the plainest file there is. Numbers are bytes unless
they say clusters.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from sys import byteorder

CLUSTER = 1 << 16
_CLUSTER_BITS = 16
_ENTRIES = CLUSTER // 8  # of a table that points to clusters
_COUNTS = CLUSTER // 2  # of a table that counts references
_COPIED = 1 << 63
_SECTOR = 512
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQIIB7x")
_END_OF_EXTENSIONS = bytes(8)

Run = tuple[int, int]
"""First cluster of the disk and how many follow each other, all of them with content."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies. `runs` are the clusters with content, in order."""

    virtual_size: int
    runs: tuple[Run, ...]
    l1_entries: int
    l1_clusters: int
    slots: tuple[int, ...]  # of the first table that have a second one
    counts_table_clusters: int
    counts_clusters: int
    data_clusters: int

    @property
    def data_at(self) -> int:
        """Where the data begins."""
        before = 1 + self.l1_clusters + self.counts_table_clusters
        return (before + self.counts_clusters + len(self.slots)) * CLUSTER

    @property
    def size(self) -> int:
        """How long the file is."""
        return self.data_at + self.data_clusters * CLUSTER


def plan(virtual_size: int, runs: Sequence[Run]) -> Layout:
    """Plan a file for a disk with content in these clusters."""
    clusters = -(-virtual_size // CLUSTER)
    l1_entries = max(1, -(-clusters // _ENTRIES))
    slots = _slots(runs)
    data = sum(count for _, count in runs)
    fixed = 1 + -(-l1_entries * 8 // CLUSTER) + len(slots) + data
    counts = table = 1
    # The tables of counts count themselves, so they are enlarged until they are enough.
    while counts * _COUNTS < fixed + counts + table or table * _ENTRIES < counts:
        counts = -(-(fixed + counts + table) // _COUNTS)
        table = -(-counts // _ENTRIES)
    return Layout(
        virtual_size=-(-virtual_size // _SECTOR) * _SECTOR,
        runs=tuple(runs),
        l1_entries=l1_entries,
        l1_clusters=-(-l1_entries * 8 // CLUSTER),
        slots=slots,
        counts_table_clusters=table,
        counts_clusters=counts,
        data_clusters=data,
    )


def tables(layout: Layout) -> Iterator[bytes]:
    """Yield everything that lies before the data, in pieces of whole clusters."""
    l1_at = CLUSTER
    counts_table_at = l1_at + layout.l1_clusters * CLUSTER
    counts_at = counts_table_at + layout.counts_table_clusters * CLUSTER
    l2_at = counts_at + layout.counts_clusters * CLUSTER
    header = _HEADER.pack(
        *(b"QFI\xfb", 3, 0, 0, _CLUSTER_BITS, layout.virtual_size, 0),
        *(layout.l1_entries, l1_at, counts_table_at, layout.counts_table_clusters),
        *(0, 0, 0, 0, 0, 4, _HEADER.size, 0),
    )
    yield _filled(header + _END_OF_EXTENSIONS, 1)
    first = array("Q", bytes(8 * layout.l1_entries))
    for number, slot in enumerate(layout.slots):
        first[slot] = (l2_at + number * CLUSTER) | _COPIED
    yield _filled(_big_endian(first), layout.l1_clusters)
    places = array("Q", (counts_at + n * CLUSTER for n in range(layout.counts_clusters)))
    yield _filled(_big_endian(places), layout.counts_table_clusters)
    yield from _counts(layout.size // CLUSTER, layout.counts_clusters)
    yield from _second_tables(layout)


def data_runs(layout: Layout) -> Iterator[tuple[int, int]]:
    """Yield (place on the disk, length) of what follows the tables, in the order of the file."""
    for cluster, count in layout.runs:
        yield cluster * CLUSTER, count * CLUSTER


def _slots(runs: Sequence[Run]) -> tuple[int, ...]:
    found: list[int] = []
    for cluster, count in runs:
        first, last = cluster // _ENTRIES, (cluster + count - 1) // _ENTRIES
        begin = max(first, found[-1] + 1 if found else 0)
        found.extend(range(begin, last + 1))
    return tuple(found)


def _counts(used: int, blocks: int) -> Iterator[bytes]:
    """Yield the counts: one for each cluster of the file, none for what lies behind it."""
    for number in range(blocks):
        here = min(_COUNTS, max(0, used - number * _COUNTS))
        yield _filled(b"\0\1" * here, 1)


def _second_tables(layout: Layout) -> Iterator[bytes]:
    """Yield one table for each slot; data lies in the order of the runs."""
    place = layout.data_at
    pending = iter(layout.runs)
    run = next(pending, None)
    for slot in layout.slots:
        table = array("Q", bytes(CLUSTER))
        base = slot * _ENTRIES
        while run is not None and run[0] < base + _ENTRIES:
            cluster, count = run
            here = min(count, base + _ENTRIES - cluster)
            at = cluster - base
            table[at : at + here] = array(
                "Q", ((place + n * CLUSTER) | _COPIED for n in range(here))
            )
            place += here * CLUSTER
            run = (cluster + here, count - here) if here < count else next(pending, None)
        yield _big_endian(table)


def _big_endian(table: array[int]) -> bytes:
    if byteorder == "little":
        table.byteswap()
    return table.tobytes()


def _filled(content: bytes, clusters: int) -> bytes:
    return content.ljust(clusters * CLUSTER, b"\0")
