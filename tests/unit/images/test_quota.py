# SPDX-License-Identifier: Apache-2.0
"""Quota holds under parallel callers, and limits of a project win over the setting."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from calotype.db.session import Database
from calotype.errors import QuotaExceeded
from calotype.images import quota, store
from tests.unit.images.making import ALICE, BOB, image


def test_fifty_parallel_creators_at_quota_ten_make_exactly_ten(database: Database) -> None:
    def create(index: int) -> bool:
        def work(conn):  # type: ignore[no-untyped-def]  # two statements of one transaction
            quota.reserve_image(conn, ALICE, 10)
            store.insert_image(conn, image(name=str(index)))

        try:
            database.write(work)
        except QuotaExceeded as refusal:
            assert refusal.facts == {"quota": "images", "limit": 10, "used": 10}
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(create, range(50)))
    assert sum(made) == 10
    assert database.read(lambda conn: quota.read(conn, ALICE)).images == 10
    assert database.read(lambda conn: quota.read(conn, BOB)).images == 0


def test_bytes_are_counted_up_to_the_limit_and_given_back(database: Database) -> None:
    database.write(lambda conn: quota.reserve_bytes(conn, ALICE, 2**40, None))
    database.write(lambda conn: quota.reserve_bytes(conn, ALICE, 10, 2**40 + 10))
    with pytest.raises(QuotaExceeded):
        database.write(lambda conn: quota.reserve_bytes(conn, ALICE, 1, 2**40 + 10))
    assert database.read(lambda conn: quota.room(conn, ALICE, 2**40 + 11)) == 1
    assert database.read(lambda conn: quota.room(conn, ALICE, 5)) == 0
    assert database.read(lambda conn: quota.room(conn, ALICE, None)) is None
    database.write(lambda conn: quota.release_bytes(conn, ALICE, 2**41))
    assert database.read(lambda conn: quota.read(conn, ALICE)).bytes == 0


def test_the_limit_of_a_project_wins_over_the_setting(database: Database) -> None:
    database.write(lambda conn: quota.set_limits(conn, ALICE, images=1, stored=5, staged=None))
    database.write(lambda conn: quota.reserve_image(conn, ALICE, 100))
    with pytest.raises(QuotaExceeded) as refusal:
        database.write(lambda conn: quota.reserve_image(conn, ALICE, 100))
    assert refusal.value.facts["limit"] == 1
    with pytest.raises(QuotaExceeded):
        database.write(lambda conn: quota.reserve_bytes(conn, ALICE, 6, None))
    database.write(lambda conn: quota.reserve_staged(conn, ALICE, 6, None))
    database.write(lambda conn: quota.reserve_upload(conn, ALICE, 1))
    with pytest.raises(QuotaExceeded):
        database.write(lambda conn: quota.reserve_upload(conn, ALICE, 1))
    database.write(lambda conn: quota.release_upload(conn, ALICE))
    database.write(lambda conn: quota.reserve_upload(conn, ALICE, 1))
