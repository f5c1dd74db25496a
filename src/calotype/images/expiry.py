# SPDX-License-Identifier: Apache-2.0
"""Killed images that nobody needs any more: kept some days for their reason, then deleted.

Contract values.md 7 and 14.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Connection, bindparam, select

from calotype.db.tables.images import images
from calotype.images.model import to_microseconds


def killed_before(conn: Connection, moment: datetime, limit: int) -> tuple[str, ...]:
    """Return ids of images that were killed before a moment, oldest first."""
    values = {"moment": to_microseconds(moment), "limit": limit}
    return tuple(conn.execute(_KILLED, values).scalars())


_KILLED = (
    select(images.c.id)
    .where(
        images.c.status == "killed",
        images.c.ended_at < bindparam("moment", type_=BigInteger),
    )
    .order_by(images.c.ended_at)
    .limit(bindparam("limit"))
)
