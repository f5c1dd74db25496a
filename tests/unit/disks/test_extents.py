# SPDX-License-Identifier: Apache-2.0
"""Overlap is found exactly when there is one, in any order and for any mixture of lengths."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calotype.disks.extents import USES, RangeList, UnitMap
from calotype.disks.families.qcow2_tables import saturated_counts
from calotype.errors import BadImage

_MIB = 1 << 20
_LENGTHS = st.one_of(st.integers(1, 2000), st.integers(1, 64 * _MIB))
_RANGES = st.lists(st.tuples(st.integers(0, 1 << 30), _LENGTHS), max_size=12)


def overlapping(ranges: list[tuple[int, int]]) -> bool:
    ordered = sorted(ranges)
    return any(a + n > b for (a, n), (b, _) in pairwise(ordered))


def judged(ranges: list[tuple[int, int]], loose: bool) -> bool:
    used = RangeList("test")
    try:
        for start, length in ranges:
            if loose and length < 4 * _MIB - 1:
                used.add_loose([(start, start + length)])
            else:
                used.add(start, start + length)
        used.check()
    except BadImage:
        return True
    return False


@given(_RANGES, st.booleans())
def test_ranges_overlap_when_they_do(ranges: list[tuple[int, int]], loose: bool) -> None:
    assert judged(ranges, loose) == overlapping(ranges)


@given(st.lists(_LENGTHS, max_size=12), st.randoms(use_true_random=False), st.booleans())
def test_neighbours_in_any_order_do_not_overlap(
    lengths: list[int], chance: object, loose: bool
) -> None:
    ranges, start = [], 0
    for length in lengths:
        ranges.append((start, length))
        start += length
    chance.shuffle(ranges)  # type: ignore[attr-defined]  # hypothesis' random
    assert not judged(ranges, loose)
    if ranges:
        first, length = ranges[0]
        assert judged([*ranges, (first + length - 1, 1)], loose)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 4)), max_size=10))
def test_units_are_used_once(claims: list[tuple[int, int]]) -> None:
    units, seen = UnitMap(40, "test"), set[int]()
    for first, count in claims:
        wanted = set(range(first, first + count))
        if wanted & seen:
            with pytest.raises(BadImage):
                units.exclusive(first, count)
            return
        units.exclusive(first, count)
        seen |= wanted


@given(st.integers(0, 400))
def test_shared_uses_are_counted_up_to_the_most_a_byte_holds(times: int) -> None:
    units = UnitMap(2, "test")
    for _ in range(times):
        units.share(0, 1)
    assert USES[units.units[1]] == min(times, 254)
    if times:
        with pytest.raises(BadImage):
            units.exclusive(0)


@given(st.sampled_from((1, 2, 4, 8, 16, 32, 64)), st.binary(min_size=64, max_size=64))
def test_reference_counts_of_every_width_are_read(bits: int, block: bytes) -> None:
    if bits >= 8:
        width = bits // 8
        counts = [int.from_bytes(block[p : p + width]) for p in range(0, 64, width)]
    else:
        whole = int.from_bytes(block, "little")
        counts = [whole >> p & ((1 << bits) - 1) for p in range(0, 512, bits)]
    saturated = saturated_counts(block, bits)
    assert len(saturated) == len(counts)
    # Larger counts only ever read as at least 255 or as what they are; never as too few uses.
    for read, count in zip(saturated, counts, strict=True):
        assert read == count if count < 256 else read == 255
