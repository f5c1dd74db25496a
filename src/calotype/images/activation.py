# SPDX-License-Identifier: Apache-2.0
"""Locks the bytes of an image away and gives them back (native.md 4, 15).

Only an active or a deactivated image takes part; bytes, hashes and members stay as they are.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from calotype.errors import WrongState
from calotype.images import locking, states, store
from calotype.images.model import Image
from calotype.images.states import Status


def deactivate(conn: Connection, image: Image, at: datetime) -> Image:
    """Make the bytes unavailable; nothing changes when they are. See `_turn` for errors."""
    return _turn(conn, image, Status.DEACTIVATED, at)


def reactivate(conn: Connection, image: Image, at: datetime) -> Image:
    """Make the bytes available; nothing changes when they are. See `_turn` for errors."""
    return _turn(conn, image, Status.ACTIVE, at)


def _turn(conn: Connection, image: Image, status: Status, at: datetime) -> Image:
    """Set the status. Raises WrongState (`state_forbidden`) for an image in any third status."""
    fresh = locking.locked(conn, image)
    if fresh.status not in states.WITH_BYTES:
        raise WrongState(
            f"the image is {fresh.status}; it must be active or deactivated",
            rule="state_forbidden",
            status=fresh.status,
        )
    return store.update_image(conn, fresh, replace(fresh, status=status.value), at)
