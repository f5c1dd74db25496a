# SPDX-License-Identifier: Apache-2.0
"""The inspector without its child process, for the mass of files; the service never does this."""

from __future__ import annotations

import os
from pathlib import Path

from calotype.disks import worker
from calotype.disks.inspect import DEFAULT_VIRTUAL_LIMIT
from calotype.disks.reader import Reader
from calotype.disks.verdict import Finding


def examine(path: Path, claim: str | None = None, limit: int = DEFAULT_VIRTUAL_LIMIT) -> Finding:
    """Inspect a file in this process."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        reader = Reader(descriptor, os.fstat(descriptor).st_size)
        return worker.examine(reader, worker.Wish(claim or "", limit))
    finally:
        os.close(descriptor)
