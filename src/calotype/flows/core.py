# SPDX-License-Identifier: Apache-2.0
"""What the flows and the faces work with: the rooms of one process, made once by `app.py`.

Only references; nothing here opens or starts anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from calotype.blobs.scratch import Scratch
from calotype.blobs.stores import Stores
from calotype.blobs.sweep import Sweeper
from calotype.buckets.room import BucketRoom
from calotype.contract.error_table import ErrorTable
from calotype.db.session import Database
from calotype.iam.room import IamRoom
from calotype.jobs.queue import JobQueue
from calotype.keys.provider import KeyProvider
from calotype.settings import Settings

Also = Callable[[Connection], None]
"""What a caller adds to the transaction that accepts work: the record of who asked for it."""


def nothing(connection: Connection) -> None:
    """Add nothing."""


@dataclass(frozen=True, slots=True)
class Core:
    """The rooms of one process."""

    settings: Settings
    db: Database
    stores: Stores
    scratch: Scratch
    sweeper: Sweeper
    buckets: BucketRoom
    jobs: JobQueue
    keys: KeyProvider
    iam: IamRoom
    errors: ErrorTable
