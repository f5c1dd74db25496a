# SPDX-License-Identifier: Apache-2.0
"""Reads an image again under a lock, for changes that depend on what the row holds now.

A decision was made on the row as it was read before; if that is still who owns it, the change may
go on. No function opens a transaction.
"""

from __future__ import annotations

from sqlalchemy import Connection

from calotype.errors import Conflict, NotFound
from calotype.images import store
from calotype.images.model import Image


def locked(conn: Connection, image: Image) -> Image:
    """Return the image as it is now, locked until the transaction ends.

    Raises NotFound when it is gone, Conflict (`changed_meanwhile`) when it changed its owner.
    """
    fresh = store.get(conn, image.id, None, lock=True)
    if fresh is None:
        raise NotFound(f"No image found with ID {image.id}", kind="image", id=image.id)
    if fresh.owner != image.owner:
        raise Conflict("the image was changed meanwhile", rule="changed_meanwhile")
    return fresh
