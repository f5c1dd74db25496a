# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="data directory (or CALOTYPE_DATA_DIR)")
]
Json = Annotated[bool, typer.Option("--json", help="print JSON for programs")]
