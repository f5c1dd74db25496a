# SPDX-License-Identifier: Apache-2.0
"""Bodies of creations for tests: a good one of each kind, and how it is read."""

from __future__ import annotations

from typing import Any

from calotype.api.ims import creations
from calotype.api.ims.creations import Creation, Limits
from tests.unit.api_ims.refusals import code_of

LIMITS = Limits(tags=10, strict_os_versions=True)
LAX = Limits(tags=10, strict_os_versions=False)
UBUNTU = "Ubuntu 22.04 server 64bit"
WINDOWS = "Windows Server 2019 Standard 64bit"
EP = "9b27efab-4a17-4c06-bfa2-3e0cf021d3c3"
KEY = "c5df0d52-7a0e-4d4b-9d0e-2f8f1c6b7a90"

GOOD: dict[str, dict[str, Any]] = {
    "file": {"name": "x", "image_url": "disks:a.qcow2", "min_disk": 40},
    "iso": {"name": "x", "image_url": "disks:a.iso", "min_disk": 40, "os_version": UBUNTU},
    "quick": {"name": "x", "image_url": "disks:a.raw", "min_disk": 40, "os_version": UBUNTU},
    "quick data": {"name": "x", "image_url": "disks:a.raw", "min_disk": 40, "type": "DataImage"},
    "data": {"name": "x", "image_url": "disks:a.vmdk", "min_disk": 40},
}
READERS = {
    "file": creations.read_create,
    "iso": creations.read_create,
    "quick": creations.read_quick,
    "quick data": creations.read_quick,
    "data": creations.read_data,
}


def read(kind: str, limits: Limits = LIMITS, /, **change: Any) -> Creation:
    found = READERS[kind](GOOD[kind] | change, limits)
    assert isinstance(found, Creation)
    return found


def code(kind: str, change: dict[str, Any], limits: Limits = LIMITS) -> str:
    return code_of(READERS[kind], GOOD[kind] | change, limits)
