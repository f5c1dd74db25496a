# SPDX-License-Identifier: Apache-2.0
"""Opens the stored bytes of an image for reading, from the best store that has them.

Stores named by the caller come first, then the others by weight. A copy that a store lost is passed
over; when none is left the store is at fault, not the caller. Nothing here knows HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from calotype.blobs import store as blobs
from calotype.blobs.store import Copy
from calotype.errors import Invalid, NotFound, Unavailable
from calotype.flows.core import Core
from calotype.images.model import Image


@dataclass(frozen=True, slots=True)
class Opened:
    """Bytes that can be read: a local descriptor (the taker closes it), or blocks up to 1 MiB."""

    descriptor: int | None
    blocks: Callable[[], Iterator[bytes]] | None


def check_prefer(core: Core, store_ids: Sequence[str]) -> None:
    """Refuse store ids that no setting has. Raises Invalid (`store_unknown`)."""
    for store_id in store_ids:
        if store_id not in core.stores.ids():
            raise Invalid(
                f"there is no store {store_id[:80]}",
                rule="store_unknown",
                field="prefer",
                value=store_id[:80],
            )


def open_download(
    core: Core, image: Image, prefer: Sequence[str] = (), *, start: int = 0, count: int = 0
) -> Opened:
    """Open `count` bytes from `start` of an image that has bytes; for a worker thread.

    Raises Unavailable (`stored_object_missing`) when no store has them.
    """
    blob_id = image.blob_id
    blob = None if blob_id is None else core.db.read(lambda conn: blobs.get(conn, blob_id))
    copies = () if blob is None else blob.copies
    by_store = {copy.store: copy for copy in copies}
    order = core.stores.by_weight(tuple(by_store))
    chosen = dict.fromkeys((*(one for one in prefer if one in by_store), *order))
    away: Unavailable | None = None
    for store_id in chosen:
        try:
            return _open(core, by_store[store_id], start, count)
        except NotFound:
            continue
        except Unavailable as error:
            away = error
    raise away or Unavailable(
        "the stored bytes of the image cannot be found", rule="stored_object_missing"
    )


def _open(core: Core, copy: Copy, start: int, count: int) -> Opened:
    backend = core.stores.get(copy.store)
    descriptor = backend.open(copy.name)
    if descriptor is not None:
        return Opened(descriptor, None)
    # `read` looks for the object before it returns, so a missing one is found here.
    blocks = backend.read(copy.name, start, count)
    return Opened(None, lambda: blocks)
