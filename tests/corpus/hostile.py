# SPDX-License-Identifier: Apache-2.0
"""All hostile files, family by family."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.corpus import hostile_mixed, hostile_other, hostile_qcow2, hostile_vhd, hostile_vmdk
from tests.corpus.image import Hostile

FAMILIES = (hostile_qcow2, hostile_vmdk, hostile_vhd, hostile_other, hostile_mixed)


def hostile_files(directory: Path) -> Iterator[Hostile]:
    """Yield every hostile file; the caller may remove each as soon as it is done with it."""
    directory.mkdir(parents=True, exist_ok=True)
    for family in FAMILIES:
        yield from family.files(directory)
