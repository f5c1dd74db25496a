# SPDX-License-Identifier: Apache-2.0
"""Files to send through every entrance: hostile ones that must be refused, honest ones that pass.

Made when a test runs; nothing large is kept. `hostile_files(directory)` yields
`(name, path, claim, reasons)`: any of the reasons is a right refusal, `claim` is a format word or
None. `honest_files(directory)` yields `(name, path, claim, virtual_size)`.
"""

from __future__ import annotations

from tests.corpus.honest_made import honest_files
from tests.corpus.hostile import hostile_files

__all__ = ["honest_files", "hostile_files"]
