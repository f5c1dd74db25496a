# SPDX-License-Identifier: Apache-2.0
"""Mutations of honest files: whatever the bytes, the only thing that escapes is a verdict."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from calotype.errors import BadImage
from tests.corpus import hostile_qcow2, hostile_vhd, hostile_vmdk
from tests.corpus.build import iso
from tests.corpus.hostile_other import converted
from tests.corpus.image import Image, save
from tests.unit.disks.inprocess import examine

_NUMBERS = (
    *(0, 1, 2, 7, 8, 9, 255, 511, 512, 513, 4095, 4096, 65535, 65536),
    *(1 << bits for bits in (20, 31, 32, 40, 56, 62, 63)),
    *((1 << bits) - 1 for bits in (31, 32, 63, 64)),
)


def seeds(directory: Path) -> list[Image]:
    """Return honest images of every format; those with checksums mend them."""
    return [
        hostile_qcow2.base(directory),
        hostile_qcow2.base(directory, "compat=0.10", "-c"),
        hostile_qcow2.base(directory, "extended_l2=on,cluster_size=16k", "-c"),
        hostile_qcow2.base(directory, "cluster_size=512,refcount_bits=1"),
        hostile_vmdk.base(directory),
        hostile_vmdk.base(directory, "subformat=streamOptimized"),
        hostile_vmdk.footed(hostile_vmdk.base(directory, "subformat=streamOptimized")),
        hostile_vhd.vhd(directory, "force_size=on"),
        hostile_vhd.vhd(directory, "subformat=fixed,force_size=on"),
        hostile_vhd.vhdx(directory),
        converted(directory, "vdi"),
        converted(directory, "qed"),
        converted(directory, "qcow"),
        converted(directory, "qcow", "-c"),
        Image(iso()),
    ]


def _words(image: Image) -> list[int]:
    """Return the places of metadata: 8 byte words of the sectors that are mostly zero or text."""
    places = []
    data = bytes(image.data)
    for start in range(0, len(data), 512):
        sector = data[start : start + 512]
        if sector.strip(b"\0") and (start < 1 << 17 or sector.count(0) > 128):
            places += [start + p for p in range(0, 512, 4) if sector[p : p + 8].strip(b"\0")]
    return places[:20_000]


def mutations(images: list[Image], chance: random.Random) -> Iterator[bytes]:
    """Yield mutated files for ever."""
    places = [_words(image) for image in images]
    while True:
        number = chance.randrange(len(images))
        image = images[number].copy()
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            place = chance.choice(places[number])
            where = chance.choice((place, place, place + 4, chance.randrange(512)))
            code = chance.choice(("<I", ">I", "<Q", ">Q", "<H", ">H", "<B"))
            size = struct.calcsize(code)
            where = min(where, len(image.data) - size)
            old = image.get(where, code)
            near = (old + 1, old - 1, old << 1, old ^ 1 << chance.randrange(64))
            length = len(image.data)
            far = (chance.choice(_NUMBERS), chance.getrandbits(64), length, length // 512)
            value = chance.choice((*near, *far))
            image.set(where, code, value & ((1 << (8 * size)) - 1))
        data = image.bytes(mended=chance.random() < 0.8)
        yield data[: chance.randrange(len(data))] if chance.random() < 0.05 else data


def run(directory: Path, seconds: float, files: int, seed: int) -> tuple[int, int]:
    """Examine mutated files until time or number is used up; return (refused, accepted)."""
    images = seeds(directory)
    stop = time.monotonic() + seconds
    refused = accepted = 0
    path = directory / "mutated"
    for data in mutations(images, random.Random(seed)):
        save(path, data)
        began = time.process_time()
        try:
            examine(path)
            accepted += 1
        except BadImage:
            refused += 1
        assert time.process_time() - began < 10
        if refused + accepted >= files or time.monotonic() > stop:
            return refused, accepted
    raise AssertionError("mutations never end")


def test_only_verdicts_escape_from_mutated_files(tmp_path: Path) -> None:
    refused, accepted = run(tmp_path, 60, 600, seed=2026)
    assert refused > 100
    assert accepted > 0  # a mutation of guest data changes nothing that is checked


@pytest.mark.long
def test_only_verdicts_escape_in_ten_minutes_of_mutations(tmp_path: Path) -> None:
    refused, _ = run(tmp_path, 600, 1 << 30, seed=int(time.time()))
    assert refused > 1000
