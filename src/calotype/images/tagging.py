# SPDX-License-Identifier: Apache-2.0
"""Changes the tags of one image; the same for every dialect (native.md 17, values.md 3).

The row is locked and read again, so that changes that meet follow each other and none is lost or
refused. A change that changes nothing leaves `updated_at` alone. No function opens a transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from calotype.images import locking, store, tags
from calotype.images.model import Image
from calotype.images.tags import Tags


def change(
    conn: Connection, image: Image, work: Callable[[Tags], Tags], limit: int, at: datetime
) -> Image:
    """Store what `work` makes of the image's tags; return the image as it is now.

    Raises QuotaExceeded (`tags_too_many`) when the tags would grow beyond `limit`, NotFound when
    the image is gone, and what `work` raises.
    """
    fresh = locking.locked(conn, image)
    after = work(fresh.tags)
    tags.check_limit(fresh.tags, after, limit)
    return store.update_image(conn, fresh, replace(fresh, tags=after), at)
