# SPDX-License-Identifier: Apache-2.0
"""What is left of native uploads whose process died: images in `saving`, and counted uploads."""

from __future__ import annotations

from sqlalchemy import Connection

from calotype.blobs import leases
from calotype.flows.core import Core
from calotype.images import quota, states, store


def recover(core: Core) -> int:
    """Put images back to `queued` whose upload died; return how many.

    An upload is dead when no store has a lease of its token: run this after a sweep.
    """

    def work(conn: Connection) -> int:
        # Images before leases: an upload that begins in between has its lease when we look for it.
        held_images = store.uploading(conn)
        alive = {
            lease.holder
            for store_id in core.stores.ids()
            for lease in leases.held_in(conn, store_id)
            if states.is_upload_token(lease.holder)
        }
        count = 0
        for image_id, owner, token in held_images:
            if token not in alive and store.requeue(conn, image_id, token, broken=True):
                quota.release_upload(conn, owner)
                count += 1
        if not alive:
            quota.clear_uploads(conn)
        return count

    return core.db.write(work)
