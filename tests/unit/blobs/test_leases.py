# SPDX-License-Identifier: Apache-2.0
"""Leases, references and the sweep: no crash leaves bytes for ever, nothing in use is removed."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection

from calotype import clock, ids
from calotype.blobs import leases, store
from calotype.blobs.digest import Digest
from calotype.blobs.leases import Lease
from calotype.blobs.scratch import Scratch
from calotype.blobs.store import Copy
from calotype.blobs.stores import Stores
from calotype.blobs.sweep import Sweeper
from calotype.db.session import Database, sqlite_url
from calotype.db.tables import METADATA
from calotype.errors import Invalid, NotFound, Unavailable
from calotype.settings import Settings, StoreSetting

HOUR = timedelta(hours=1)
DIGEST = Digest(5, "0" * 32, "1" * 128)


@dataclass
class Place:
    """Everything a sweep looks at. `open_jobs` are those that have not ended."""

    database: Database
    stores: Stores
    scratch: Scratch
    open_jobs: set[str]
    sweeper: Sweeper

    def leased(self, name: str, holder: str, *, late: timedelta = timedelta(0)) -> Path:
        """Lease a name in scratch and write a file there."""
        lease = self.scratch.lease(name, holder)
        self.database.write(lambda c: leases.take(c, lease, clock.now() - late))
        path = self.scratch.path(name)
        path.write_bytes(b"bytes")
        return path

    def stored(self, name: str) -> None:
        """Put a small object into the default store."""
        source = self.scratch.root.parent / "source"
        source.write_bytes(b"bytes")
        self.stores.get("default").put(name, source, move=True)

    def blob(self, name: str) -> str:
        """Store bytes and a blob that is them."""
        self.stored(name)
        blob_id = ids.new_uuid()
        copies = (Copy("default", name),)
        self.database.write(lambda c: store.add(c, blob_id, DIGEST, copies, 1, clock.now()))
        return blob_id

    def rows(self) -> set[str]:
        """Return the names that are leased anywhere."""
        places = (self.scratch.place, *self.stores.ids())
        return {
            lease.name
            for place in places
            for lease in self.database.read(partial(leases.held_in, place=place))
        }


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    database = Database(sqlite_url(tmp_path))
    METADATA.create_all(database.engine)
    stores = Stores(Settings(data_dir=tmp_path))
    scratch = Scratch(tmp_path / "scratch")
    scratch.prepare()
    open_jobs: set[str] = set()

    def alive(conn: Connection, wanted: Collection[str]) -> set[str]:
        return set(wanted) & open_jobs

    yield Place(database, stores, scratch, open_jobs, Sweeper(database, stores, scratch, alive))
    database.close()


def age(path: Path, by: timedelta) -> None:
    moment = (clock.now() - by).timestamp()
    os.utime(path, (moment, moment))


def test_bytes_of_a_living_holder_stay(place: Place) -> None:
    job, upload = ids.new_hex(), "u-" + ids.new_hex()
    place.open_jobs.add(job)
    kept = place.leased(f"{job}-1", job), place.leased(upload, upload)
    assert place.sweeper.sweep().leased == 0
    assert all(path.exists() for path in kept)


def test_bytes_whose_lease_expired_go_with_the_lease(place: Place) -> None:
    upload = "u-" + ids.new_hex()
    gone = place.leased(upload, upload, late=HOUR)
    assert place.sweeper.sweep().leased == 1
    assert not gone.exists()
    assert place.rows() == set()


def test_a_renewed_lease_does_not_expire(place: Place) -> None:
    upload = "u-" + ids.new_hex()
    kept = place.leased(upload, upload, late=HOUR)
    place.database.write(lambda c: leases.renew(c, [upload], clock.now()))
    assert place.sweeper.sweep().leased == 0
    assert kept.exists()


def test_bytes_of_an_ended_job_go_before_their_lease_expires(place: Place) -> None:
    job = ids.new_hex()
    directory = place.scratch.directory(place.database, f"{job}-2", job)
    (directory / "source").write_bytes(b"bytes")
    name = f"{job}-1"
    place.database.write(lambda c: leases.take(c, Lease("default", name, job), clock.now()))
    place.stored(name)
    assert place.sweeper.sweep().leased == 2
    assert not directory.exists()
    assert place.stores.get("default").stat(name) is None
    assert place.rows() == set()


def test_releasing_a_holder_leaves_what_was_published(place: Place) -> None:
    job = ids.new_hex()
    published, scratch = f"{job}-1", place.leased(f"{job}-2", job)
    blob_id = place.blob(published)
    assert place.sweeper.release(job) == 1
    assert not scratch.exists()
    assert place.stores.get("default").stat(published) is not None
    assert place.database.read(lambda c: store.get(c, blob_id)) is not None


def test_a_lease_that_somebody_else_has_cannot_be_given_up(place: Place) -> None:
    job = ids.new_hex()
    lease = Lease("default", f"{job}-1", job)
    place.database.write(lambda c: leases.take(c, lease, clock.now()))
    assert place.database.write(lambda c: leases.condemn(c, lease))
    assert not place.database.write(lambda c: leases.release(c, lease))


def test_old_files_without_a_lease_are_strays_and_young_ones_are_not(place: Place) -> None:
    old, young = place.scratch.root / "core", place.scratch.root / "young"
    deep = place.scratch.root / "dir with spaces"
    deep.mkdir()
    (deep / "inside").write_bytes(b"x")
    for path in (old, young):
        path.write_bytes(b"x")
    age(old, 2 * HOUR)
    age(deep, 2 * HOUR)
    assert place.sweeper.sweep().strays == 2
    assert young.exists() and not old.exists() and not deep.exists()


def test_a_blob_lives_as_long_as_it_is_referred_to(place: Place) -> None:
    name = f"{ids.new_hex()}-1"
    blob_id = place.blob(name)
    assert place.database.write(lambda c: store.refer(c, blob_id))
    assert not place.database.write(lambda c: store.drop(c, blob_id))
    assert place.sweeper.collect() == 0
    assert place.database.write(lambda c: store.drop(c, blob_id))
    assert not place.database.write(lambda c: store.refer(c, blob_id))
    assert place.sweeper.collect() == 1
    assert place.stores.get("default").stat(name) is None
    assert place.database.read(lambda c: store.get(c, blob_id)) is None
    assert place.sweeper.collect() == 0


def test_a_reference_more_than_there_are_is_not_dropped(place: Place) -> None:
    blob_id = place.blob(f"{ids.new_hex()}-1")
    assert place.database.write(lambda c: store.drop(c, blob_id))
    assert not place.database.write(lambda c: store.drop(c, blob_id))


def test_strays_in_a_store_are_ours_old_and_unknown(place: Place, tmp_path: Path) -> None:
    stray, known, leased, young = (f"{ids.new_hex()}-1" for _ in range(4))
    foreign = "somebody/elses-object"
    for name in (stray, leased, foreign, young):
        place.stored(name)
    place.blob(known)
    place.database.write(lambda c: leases.take(c, Lease("default", leased, "j"), clock.now()))
    for path in (tmp_path / "blobs" / "data").rglob("*"):
        if path.is_file() and path.name != young:
            age(path, timedelta(days=2))
    assert place.sweeper.store_strays() == 1
    left = {found.name for found in place.stores.get("default").list()}
    assert left == {known, leased, young, foreign}


def test_a_copy_in_a_store_that_is_no_longer_configured_is_kept(place: Place) -> None:
    blob_id = ids.new_uuid()
    copies = (Copy("elsewhere", "name"),)
    place.database.write(lambda c: store.add(c, blob_id, DIGEST, copies, 1, clock.now()))
    place.database.write(lambda c: store.drop(c, blob_id))
    assert place.sweeper.collect() == 0
    assert place.database.read(lambda c: store.get(c, blob_id)) is not None


def test_copies_are_kept_in_their_order(place: Place) -> None:
    blob_id = place.blob(f"{ids.new_hex()}-1")
    place.database.write(lambda c: store.add_copy(c, blob_id, Copy("second", "b")))
    blob = place.database.read(lambda c: store.get(c, blob_id))
    assert blob is not None
    assert [copy.store for copy in blob.copies] == ["default", "second"]
    assert place.database.write(lambda c: store.remove_copy(c, blob_id, "default"))
    assert not place.database.write(lambda c: store.remove_copy(c, blob_id, "default"))


def test_content_that_killed_tools_three_times_is_poison(place: Place) -> None:
    sha512 = "a" * 128
    for expected in (False, False, True):
        place.database.write(lambda c: store.note_killed(c, sha512, 77, clock.now()))
        assert place.database.read(lambda c: store.is_poisoned(c, sha512)) is expected
        assert place.database.read(lambda c: store.may_be_poisoned(c, 77)) is expected
    assert not place.database.read(lambda c: store.may_be_poisoned(c, 78))


def test_scratch_refuses_names_that_are_not_one_segment(place: Place) -> None:
    for name in ("a/b", "..", "", "/etc"):
        with pytest.raises(Invalid):
            place.scratch.path(name)
        with pytest.raises(Invalid):
            place.scratch.remove(name)


def test_scratch_without_room_is_full(place: Place) -> None:
    place.scratch.check_room()
    with pytest.raises(Unavailable) as refused:
        place.scratch.check_room(1 << 60)
    assert refused.value.rule == "store_full"


def test_the_default_store_is_the_one_that_says_so(tmp_path: Path) -> None:
    two = [
        StoreSetting(id="one", url=f"file://{tmp_path}/one", weight=1),
        StoreSetting(id="two", url=f"file://{tmp_path}/two", default=True, weight=5),
        StoreSetting(id="old", url=f"file://{tmp_path}/old", read_only=True, weight=3),
    ]
    stores = Stores(Settings(data_dir=tmp_path, stores=two))
    assert stores.default == "two"
    assert stores.by_weight(("one", "old", "unknown", "two")) == ("two", "old", "one")
    with pytest.raises(NotFound):
        stores.get("three")
    with pytest.raises(Invalid):
        stores.writable("old")
    assert stores.get("two") is stores.get("two")
