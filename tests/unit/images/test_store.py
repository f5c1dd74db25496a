# SPDX-License-Identifier: Apache-2.0
"""Rows of images: once-only ids, conditional moves, deletion in one statement."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from calotype import ids
from calotype.db.session import Database
from calotype.db.tables.images import image_members, image_properties, image_tags, project_usage
from calotype.errors import Conflict, NotFound, ReadOnly, WrongState
from calotype.images import members, quota, store
from calotype.images.store import Stored
from tests.unit.images.making import ALICE, BOB, START, image, save, share

LATER = START + timedelta(seconds=5)
TOKEN = "u-" + "1" * 32
BYTES = Stored(ids.new_uuid(), 100, 1000, "m" * 32, "s" * 128, ("default", "fast"))


def test_a_stored_image_is_read_back_equal(database: Database) -> None:
    made = image(
        name="wéb",
        tags=("a", "b=c"),
        properties={"x": "", "kernel_id": None, "p": "y" * 70000},
        service_properties={"os_glance_failed_import": ""},
        native_names=frozenset({"max_ram"}),
        max_ram="12",
        stores=("one", "two"),
        active_at=LATER,
        size=2**50,
    )
    database.write(lambda conn: save(conn, made))
    assert database.read(lambda conn: store.get(conn, made.id, ALICE)) == made


def test_reading_gives_the_member_status_of_the_asking_project(database: Database) -> None:
    made = image(visibility="shared")
    database.write(lambda conn: (save(conn, made), share(conn, made, BOB, "rejected")))
    for lock in (False, True):
        seen = database.write(lambda conn, lock=lock: store.get(conn, made.id, BOB, lock=lock))
        assert seen is not None
        assert seen.member_status == "rejected"
        own = database.write(lambda conn, lock=lock: store.get(conn, made.id, ALICE, lock=lock))
        assert own is not None
        assert own.member_status is None


def test_an_id_can_be_chosen_once_and_never_again(database: Database) -> None:
    made = image()
    database.write(lambda conn: store.insert_image(conn, made, id_given=True))
    with pytest.raises(Conflict) as living:
        database.write(lambda conn: store.insert_image(conn, image(id=made.id), id_given=True))
    database.write(lambda conn: store.delete_image(conn, made.id, LATER))
    with pytest.raises(Conflict) as deleted:
        database.write(
            lambda conn: store.insert_image(conn, image(id=made.id, owner=BOB), id_given=True)
        )
    assert living.value.rule == deleted.value.rule == "id_taken"
    assert living.value.message == deleted.value.message
    assert database.read(lambda conn: store.get(conn, made.id, None)) is None


def test_an_update_stores_the_differences_and_their_side_rows(database: Database) -> None:
    before = image(tags=("a", "b"), properties={"x": "1", "y": "2", "z": None})
    after = replace(before, name="n", tags=("b", "c"), properties={"x": "1", "y": "3", "q": "4"})
    database.write(lambda conn: save(conn, before))
    stored = database.write(lambda conn: store.update_image(conn, before, after, LATER))
    assert stored == replace(after, updated_at=LATER)
    assert database.read(lambda conn: store.get(conn, before.id, None)) == stored
    tags = select(image_tags.c.tag).order_by(image_tags.c.tag)
    assert database.read(lambda conn: conn.execute(tags).scalars().all()) == ["b", "c"]
    names = select(image_properties.c.name, image_properties.c.value_key)
    rows = database.read(lambda conn: conn.execute(names).all())
    assert sorted((row[0], row[1]) for row in rows) == [("q", "=4"), ("x", "=1"), ("y", "=3")]


def test_an_update_without_difference_does_not_move_updated_at(database: Database) -> None:
    made = image()
    database.write(lambda conn: save(conn, made))
    same = database.write(lambda conn: store.update_image(conn, made, replace(made), LATER))
    assert same.updated_at == START


def test_an_update_on_an_old_value_is_refused(database: Database) -> None:
    made = image()
    database.write(lambda conn: save(conn, made))
    database.write(lambda conn: store.update_image(conn, made, replace(made, name="first"), START))
    with pytest.raises(Conflict) as refusal:
        database.write(
            lambda conn: store.update_image(conn, made, replace(made, name="second"), START)
        )
    assert refusal.value.rule == "changed_meanwhile"


def test_bytes_are_published_once_and_only_by_their_holder(database: Database) -> None:
    made = image()
    database.write(lambda conn: save(conn, made))
    move = ("queued", "saving")
    assert database.write(lambda conn: store.begin(conn, made.id, TOKEN, move, LATER))
    assert not database.write(lambda conn: store.begin(conn, made.id, "u-2", move, LATER))
    assert not database.write(lambda conn: store.publish(conn, made.id, "u-2", BYTES, LATER))
    assert database.write(lambda conn: store.publish(conn, made.id, TOKEN, BYTES, LATER))
    assert not database.write(lambda conn: store.publish(conn, made.id, TOKEN, BYTES, LATER))
    seen = database.read(lambda conn: store.get(conn, made.id, None))
    assert seen is not None
    assert (seen.status, seen.size, seen.stores) == ("active", 100, ("default", "fast"))
    assert (seen.job_id, seen.active_at, seen.updated_at) == (None, LATER, LATER)


def test_a_failed_upload_leaves_a_queued_image_without_bytes(database: Database) -> None:
    made = image()
    database.write(lambda conn: save(conn, made))
    database.write(lambda conn: store.begin(conn, made.id, TOKEN, ("queued", "saving"), LATER))
    assert database.write(lambda conn: store.requeue(conn, made.id, TOKEN, broken=True))
    seen = database.read(lambda conn: store.get(conn, made.id, None))
    assert seen is not None
    assert (seen.status, seen.size, seen.job_id, seen.broken_upload) == ("queued", None, None, True)


def test_a_failed_creation_is_killed_and_leaves_the_quota(database: Database) -> None:
    made = image(job_id="f" * 32, status="saving")

    def create(conn):  # type: ignore[no-untyped-def]  # three statements of one transaction
        quota.reserve_image(conn, ALICE, 10)
        save(conn, made)
        assert store.fail(conn, made.id, "f" * 32, LATER)
        assert not store.fail(conn, made.id, "f" * 32, LATER)

    database.write(create)
    seen = database.read(lambda conn: store.get(conn, made.id, None))
    assert seen is not None
    assert (seen.status, seen.ended_at) == ("killed", LATER)
    assert database.read(lambda conn: quota.read(conn, ALICE)).images == 0
    database.write(lambda conn: store.delete_image(conn, made.id, LATER))
    assert database.read(lambda conn: quota.read(conn, ALICE)).images == 0


def test_a_deletion_takes_all_rows_and_gives_quota_back(database: Database) -> None:
    made = image(
        tags=("a",),
        properties={"x": "1"},
        visibility="shared",
        status="active",
        blob_id="blob",
        size=100,
        stores=("one", "two"),
    )

    def create(conn):  # type: ignore[no-untyped-def]  # statements of one transaction
        quota.reserve_image(conn, ALICE, 10)
        quota.reserve_bytes(conn, ALICE, 300, None)
        save(conn, made)
        share(conn, made, BOB, "accepted")

    database.write(create)
    gone = database.write(lambda conn: store.delete_image(conn, made.id, LATER))
    assert (gone.blob_id, gone.status, gone.owner) == ("blob", "active", ALICE)
    for table in (image_tags, image_properties, image_members):
        assert database.read(lambda conn, table=table: conn.execute(select(table)).all()) == []
    usage = database.read(lambda conn: quota.read(conn, ALICE))
    assert (usage.images, usage.bytes) == (0, 100)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"protected": True, "status": "active"}, ReadOnly),
        ({"job_id": "f" * 32, "status": "saving"}, WrongState),
        ({"job_id": "f" * 32, "status": "active"}, WrongState),
    ],
)
def test_protected_and_held_images_are_not_deleted(
    database: Database, values: dict[str, object], error: type[Exception]
) -> None:
    made = image(**values)
    database.write(lambda conn: save(conn, made))
    with pytest.raises(error):
        database.write(lambda conn: store.delete_image(conn, made.id, LATER))
    assert database.read(lambda conn: store.get(conn, made.id, None)) == made


@pytest.mark.parametrize(
    "values",
    [
        {"job_id": TOKEN, "status": "saving"},
        {"job_id": "f" * 32, "status": "importing"},
        {"job_id": "f" * 32, "status": "uploading"},
    ],
)
def test_native_work_gives_way_to_a_deletion(database: Database, values: dict[str, object]) -> None:
    made = image(**values)
    database.write(lambda conn: save(conn, made))
    gone = database.write(lambda conn: store.delete_image(conn, made.id, LATER))
    assert gone.job_id == values["job_id"]


def test_deleting_a_missing_image_says_so(database: Database) -> None:
    with pytest.raises(NotFound):
        database.write(lambda conn: store.delete_image(conn, ids.new_uuid(), LATER))


def test_the_first_member_shares_an_image_and_the_last_takes_it_back(database: Database) -> None:
    made = image()
    database.write(lambda conn: save(conn, made))
    database.write(lambda conn: members.add(conn, made, BOB, LATER, 256))
    shared = database.read(lambda conn: store.get(conn, made.id, BOB))
    assert shared is not None
    assert (shared.visibility, shared.turned_shared, shared.member_count) == ("shared", True, 1)
    assert shared.member_status == "pending"
    database.write(lambda conn: members.remove(conn, made.id, BOB, LATER))
    back = database.read(lambda conn: store.get(conn, made.id, BOB))
    assert back is not None
    assert (back.visibility, back.turned_shared, back.member_count) == ("private", False, 0)


def test_an_image_shared_by_its_owner_stays_shared_without_members(database: Database) -> None:
    made = image(visibility="shared")
    database.write(lambda conn: save(conn, made))
    database.write(lambda conn: members.add(conn, made, BOB, LATER, 256))
    database.write(lambda conn: members.remove(conn, made.id, BOB, LATER))
    back = database.read(lambda conn: store.get(conn, made.id, BOB))
    assert back is not None
    assert back.visibility == "shared"


def test_members_are_refused_twice_over_the_limit_and_on_public_images(
    database: Database,
) -> None:
    made = image(visibility="shared")
    public = image(visibility="public")
    database.write(lambda conn: save(conn, made, public))
    database.write(lambda conn: members.add(conn, made, BOB, LATER, 1))
    refusals = []
    for one, member, limit in ((made, BOB, 2), (made, "e" * 32, 1), (public, BOB, 2)):
        with pytest.raises(Exception) as refusal:
            now = database.read(lambda conn, one=one: store.get(conn, one.id, None))
            assert now is not None
            database.write(
                lambda conn, now=now, member=member, limit=limit: members.add(
                    conn, now, member, LATER, limit
                )
            )
        refusals.append(refusal.value.rule)  # type: ignore[attr-defined]  # all are ours
    assert refusals == ["member_exists", "members_too_many", "share_public"]
    assert len(database.read(lambda conn: members.list_of(conn, made.id))) == 1


def test_usage_of_an_unknown_project_is_zero(database: Database) -> None:
    assert database.read(lambda conn: quota.read(conn, "nobody")).images == 0
    assert database.read(lambda conn: conn.execute(select(project_usage)).all()) == []
