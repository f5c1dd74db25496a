# SPDX-License-Identifier: Apache-2.0
"""What the handlers of identity work with."""

from __future__ import annotations

from dataclasses import dataclass

from calotype.contract.loader import Operation
from calotype.db.session import Database
from calotype.iam.room import IamRoom


@dataclass(frozen=True, slots=True)
class Parts:
    """References only."""

    database: Database
    room: IamRoom
    operations: tuple[Operation, ...]
