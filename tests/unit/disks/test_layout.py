# SPDX-License-Identifier: Apache-2.0
"""The plan of a qcow2: counts are enough, places are those that the tables name, at any size."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as some

from calotype.disks.layout import CLUSTER, Layout, data_runs, plan, tables

TIB = 1 << 40


@some.composite
def disks(draw: some.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """Draw a virtual size and runs of clusters inside it."""
    clusters = draw(some.integers(1, 60_000))
    edges = sorted(draw(some.sets(some.integers(0, clusters), max_size=12)))
    runs = [(first, last - first) for first, last in zip(edges[::2], edges[1::2], strict=False)]
    return clusters * CLUSTER - draw(some.integers(0, CLUSTER - 1)), runs


def follow(layout: Layout) -> dict[int, int]:
    """Read the tables as a reader of the format does: cluster of the disk -> place in the file."""
    front = b"".join(tables(layout))
    assert len(front) == layout.data_at
    words = struct.unpack_from(">4sIQIIQIIQQIIQ", front)
    assert words[0] == b"QFI\xfb" and words[1] == 3 and words[2] == 0 and words[4] == 16
    assert words[5] >= layout.virtual_size - 511 and words[5] % 512 == 0
    l1_entries, l1_at, counts_at, counts_clusters = words[7], words[8], words[9], words[10]
    found = {}
    for slot in range(l1_entries):
        (entry,) = struct.unpack_from(">Q", front, l1_at + 8 * slot)
        if not entry:
            continue
        assert entry >> 63 == 1
        second = struct.unpack_from(">8192Q", front, entry & ~(1 << 63))
        for number, place in enumerate(second):
            if place:
                assert place >> 63 == 1
                found[slot * 8192 + number] = place & ~(1 << 63)
    counted = 0
    for number in range(counts_clusters * 8192):
        (block,) = struct.unpack_from(">Q", front, counts_at + 8 * number)
        if block:
            counts = struct.unpack_from(">32768H", front, block)
            assert set(counts) <= {0, 1}
            assert counts[: sum(counts)] == (1,) * sum(counts)
            counted += sum(counts)
    assert counted * CLUSTER == layout.size
    return found


@settings(max_examples=40, deadline=None)
@given(disk=disks())
def test_tables_name_exactly_the_clusters_with_content_in_the_order_of_the_file(
    disk: tuple[int, list[tuple[int, int]]],
) -> None:
    size, runs = disk
    layout = plan(size, runs)
    found = follow(layout)
    wanted = [cluster for first, count in runs for cluster in range(first, first + count)]
    assert sorted(found) == wanted
    assert [found[cluster] for cluster in wanted] == [
        layout.data_at + number * CLUSTER for number in range(len(wanted))
    ]
    assert [(start // CLUSTER, length // CLUSTER) for start, length in data_runs(layout)] == runs


@settings(max_examples=200, deadline=None)
@given(
    size=some.integers(1, 64 * TIB),
    parts=some.lists(some.tuples(some.integers(1, 1 << 20), some.integers(1, 1 << 24)), max_size=5),
)
def test_counts_are_enough_for_a_file_of_any_size_and_not_much_more(
    size: int, parts: list[tuple[int, int]]
) -> None:
    clusters = -(-size // CLUSTER)
    runs, at = [], 0
    for gap, count in parts:
        first = at + gap
        if first >= clusters:
            break
        runs.append((first, min(count, clusters - first)))
        at = sum(runs[-1])
    layout = plan(size, runs)
    used = layout.size // CLUSTER
    assert layout.counts_clusters * 32768 >= used
    assert layout.counts_table_clusters * 8192 >= layout.counts_clusters
    assert layout.counts_clusters <= used // 32768 + 2
    assert layout.l1_entries * 8192 >= clusters
