# SPDX-License-Identifier: Apache-2.0
"""Deletes an image in the caller's transaction: row, side rows, quota, and its blob's reference.

The bytes go when nothing refers to them any more, after the commit. Native work on the image gives
way; an unfinished IMS job holds it (jobs.md 4).
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from calotype.blobs import store as blobs
from calotype.errors import ReadOnly, WrongState
from calotype.images import store
from calotype.images.model import Image
from calotype.jobs import store as jobs


def delete_image(conn: Connection, image: Image, at: datetime, *, by_operator: bool) -> bool:
    """Delete; True when bytes are left for the sweeper to collect.

    Raises ReadOnly (`public_image`, `protected`), WrongState (`image_busy`), NotFound.
    """
    if image.visibility == "public" and not by_operator:
        raise ReadOnly(
            "A public image is deleted by the operator only.", rule="public_image", id=image.id
        )
    if jobs.holds_image(conn, image.id):
        raise WrongState(
            "an unfinished job works on the image",
            rule="image_busy",
            status=image.status,
            operation="delete",
        )
    gone = store.delete_image(conn, image.id, at)
    return gone.blob_id is not None and blobs.drop(conn, gone.blob_id)
