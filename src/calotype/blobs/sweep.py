# SPDX-License-Identifier: Apache-2.0
"""Removes bytes that nothing refers to: expired or orphaned leases, strays, dropped blobs.

Bytes go first, rows afterwards: a sweep that dies is repeated and finds the same again. Only names
that this service makes are ever touched in a store; everything else there is somebody's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import islice

from sqlalchemy import Connection

from calotype import clock
from calotype.blobs import leases, store
from calotype.blobs.leases import Lease
from calotype.blobs.scratch import Scratch
from calotype.blobs.stores import Stores
from calotype.db.session import Database
from calotype.errors import NotFound

JOB_HOLDER = re.compile(r"[0-9a-f]{32}\Z")
_OUR_NAME = re.compile(r"(?:u-)?[0-9a-f]{32}(?:-[0-9]+)?\Z")
_STRAY_AGE = timedelta(hours=1)
_STORE_STRAY_AGE = timedelta(days=1)
_BATCH = 500

OpenJobs = Callable[[Connection, Collection[str]], set[str]]
"""Tells which of these jobs have not ended."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep removed: leased names, strays, blobs."""

    leased: int = 0
    strays: int = 0
    blobs: int = 0


class Sweeper:
    """Sweeps the stores and the scratch of this host."""

    def __init__(
        self,
        db: Database,
        stores: Stores,
        scratch: Scratch,
        open_jobs: OpenJobs,
        others: Mapping[str, Callable[[str], object]] | None = None,
    ) -> None:
        """`others`: further places of leases, with what removes a name there."""
        self._others = dict(others or {})
        self._db = db
        self._stores = stores
        self._scratch = scratch
        self._open_jobs = open_jobs

    def sweep(self) -> Swept:
        """Remove what is expired, orphaned, stray in scratch, and blobs without references."""
        leased = self._expired() + self._orphaned()
        return Swept(leased, self._scratch_strays(), self.collect())

    def release(self, holder: str) -> int:
        """Remove all bytes that an ended holder left here and in the stores; return how many."""
        found = self._db.read(lambda conn: leases.held_by(conn, holder))
        return sum(self._drop(lease) for lease in found if self._reaches(lease))

    def discard(self, lease: Lease) -> bool:
        """Remove the bytes of one lease and the lease. False when somebody else has it now."""
        return self._drop(lease)

    def collect(self) -> int:
        """Remove the bytes and rows of blobs that nothing refers to; return how many."""
        removed = 0
        for blob_id in self._db.read(lambda conn: store.unreferenced(conn, _BATCH)):
            removed += self._collect(blob_id)
        return removed

    def store_strays(self) -> int:
        """Remove names of ours in the stores that no row knows for a day; return how many.

        Reads the whole listing, so it is run once a day. What makes such strays is a frozen worker
        that wakes up after its job went on elsewhere.
        """
        removed = 0
        limit = clock.now() - _STORE_STRAY_AGE
        for store_id in self._stores.ids():
            backend = self._stores.get(store_id)
            backend.sweep(_STORE_STRAY_AGE)
            old = (
                found.name
                for found in backend.list()
                if found.modified < limit and _OUR_NAME.match(found.name)
            )
            while batch := tuple(islice(old, _BATCH)):
                for name in self._unknown(store_id, batch):
                    removed += backend.delete(name)
        return removed

    def _unknown(self, store_id: str, names: tuple[str, ...]) -> Iterator[str]:
        known = self._db.read(lambda conn: store.named(conn, store_id, names))
        known |= {lease.name for lease in self._db.read(lambda c: leases.held_in(c, store_id))}
        return (name for name in names if name not in known)

    def _places(self) -> tuple[str, ...]:
        return (self._scratch.place, *self._stores.ids(), *self._others)

    def _reaches(self, lease: Lease) -> bool:
        return lease.place in self._places()

    def _expired(self) -> int:
        now = clock.now()
        found = self._db.read(lambda conn: leases.expired(conn, self._places(), now))
        return sum(self._drop(lease, expired=True) for lease in found)

    def _orphaned(self) -> int:
        removed = 0
        for place in self._places():
            held = self._db.read(_held_in(place))
            holders = {lease.holder for lease in held if JOB_HOLDER.match(lease.holder)}
            alive = self._db.read(partial(self._open_jobs_of, holders))
            removed += sum(self._drop(x) for x in held if x.holder in holders - alive)
        return removed

    def _open_jobs_of(self, ids: Collection[str], conn: Connection) -> set[str]:
        return self._open_jobs(conn, ids)

    def _drop(self, lease: Lease, *, expired: bool = False) -> bool:
        moment = clock.now() if expired else None
        if not self._db.write(lambda conn: leases.condemn(conn, lease, moment)):
            return False
        if lease.place == self._scratch.place:
            self._scratch.remove(lease.name)
        elif lease.place in self._others:
            self._others[lease.place](lease.name)
        else:
            self._stores.get(lease.place).delete(lease.name)
        condemned = Lease(lease.place, lease.name, leases.SWEEPER)
        self._db.write(lambda conn: leases.release(conn, condemned))
        return True

    def _scratch_strays(self) -> int:
        # Files first: whatever is made after this look has its lease before it has its name.
        limit = (clock.now() - _STRAY_AGE).timestamp()
        found = [name for name, changed in self._scratch.names().items() if changed < limit]
        held = {lease.name for lease in self._db.read(_held_in(self._scratch.place))}
        strays = [name for name in found if name not in held]
        for name in strays:
            self._scratch.remove(name)
        return len(strays)

    def _collect(self, blob_id: str) -> int:
        blob = self._db.read(lambda conn: store.get(conn, blob_id))
        if blob is None or blob.refs:
            return 0
        for copy in blob.copies:
            try:
                self._stores.get(copy.store).delete(copy.name)
            except NotFound:
                return 0  # a store that was taken out of the settings; its bytes are still there
        self._db.write(lambda conn: store.remove(conn, blob_id))
        return 1


def _held_in(place: str) -> Callable[[Connection], tuple[Lease, ...]]:
    return lambda conn: leases.held_in(conn, place)
