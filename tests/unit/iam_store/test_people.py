# SPDX-License-Identifier: Apache-2.0
"""Users and groups: names, limits, membership, and what deleting takes along."""

from __future__ import annotations

import pytest

from calotype import clock, ids
from calotype.db.session import Database
from calotype.errors import Conflict, NotFound, QuotaExceeded, ReadOnly
from calotype.iam import accounts, grants_store, groups, users
from calotype.iam.accounts import Account
from calotype.iam.grants_store import GrantKey
from calotype.iam.groups import Group
from calotype.iam.users import User
from tests.unit.iam_store.conftest import account_row, user_row


def group_row(account: Account, name: str = "devs") -> Group:
    return Group(ids.new_hex(), account.id, name, "", clock.now())


def add_group(database: Database, group: Group, limit: int = 20) -> Group:
    database.write(lambda connection: groups.add(connection, group, limit))
    return group


def test_a_user_is_read_back_as_it_was_stored(
    database: Database, acme: Account, alice: User
) -> None:
    found = database.read(lambda connection: users.get(connection, acme.id, alice.id))
    assert found == alice


def test_a_user_of_another_account_does_not_exist(database: Database, alice: User) -> None:
    other = account_row("globex")
    database.write(lambda connection: accounts.add(connection, other))
    with pytest.raises(NotFound):
        database.read(lambda connection: users.get(connection, other.id, alice.id))


def test_two_users_of_one_account_do_not_share_a_name(
    database: Database, acme: Account, alice: User
) -> None:
    with pytest.raises(Conflict):
        database.write(lambda connection: users.add(connection, user_row(acme), 50))
    bob = user_row(acme, "bob")
    database.write(lambda connection: users.add(connection, bob, 50))
    with pytest.raises(Conflict):
        database.write(lambda connection: users.change(connection, acme.id, bob.id, name="alice"))


def test_the_limit_of_users_does_not_count_the_root_user(database: Database, acme: Account) -> None:
    root = user_row(acme, "acme", is_root=True)
    database.write(lambda connection: users.insert_row(connection, root))
    for name in ("a", "b"):
        row = user_row(acme, name)
        database.write(lambda connection, row=row: users.add(connection, row, 2))
    with pytest.raises(QuotaExceeded):
        database.write(lambda connection: users.add(connection, user_row(acme, "c"), 2))


@pytest.mark.parametrize("what", ["disable", "delete"])
def test_the_root_user_stays(database: Database, acme: Account, what: str) -> None:
    root = user_row(acme, "acme", is_root=True)
    database.write(lambda connection: users.insert_row(connection, root))
    with pytest.raises(ReadOnly):
        if what == "disable":
            database.write(
                lambda connection: users.change(connection, acme.id, root.id, enabled=False)
            )
        else:
            database.write(lambda connection: users.remove(connection, acme.id, root.id))


def test_a_login_finds_a_user_by_id_or_by_name_in_its_account(
    database: Database, acme: Account, alice: User
) -> None:
    ways = (
        {"user_id": alice.id},
        {"name": "alice", "account_name": "acme"},
        {"name": "alice", "account_id": acme.id},
    )
    for way in ways:
        found = database.read(lambda connection, way=way: users.find_for_login(connection, **way))
        assert found is not None
        assert (found.user, found.account_name, found.account_enabled) == (alice, "acme", True)
    wrong = (
        {"name": "alice"},
        {"name": "alice", "account_name": "globex"},
        {"user_id": alice.id, "account_name": "globex"},
        {},
    )
    for way in wrong:
        assert (
            database.read(lambda connection, way=way: users.find_for_login(connection, **way))
            is None
        )


def test_membership_is_checked_added_once_and_removed(
    database: Database, acme: Account, alice: User
) -> None:
    group = add_group(database, group_row(acme))

    def has() -> bool:
        return database.read(
            lambda connection: groups.has_user(connection, acme.id, group.id, alice.id)
        )

    def put() -> bool:
        return database.write(
            lambda connection: groups.add_user(connection, acme.id, group.id, alice.id, 10)
        )

    assert (has(), put(), put(), has()) == (False, True, False, True)
    members = database.read(lambda connection: groups.users_of(connection, acme.id, group.id))
    assert members == [alice]
    assert database.read(lambda connection: groups.groups_of(connection, acme.id, alice.id)) == [
        group
    ]
    database.write(lambda connection: groups.remove_user(connection, acme.id, group.id, alice.id))
    assert not has()
    with pytest.raises(NotFound):
        database.write(
            lambda connection: groups.remove_user(connection, acme.id, group.id, alice.id)
        )


def test_a_user_is_in_no_more_groups_than_the_limit(
    database: Database, acme: Account, alice: User
) -> None:
    made = [add_group(database, group_row(acme, f"g{number}")) for number in range(3)]
    for group in made[:2]:
        database.write(
            lambda connection, group=group: groups.add_user(
                connection, acme.id, group.id, alice.id, 2
            )
        )
    with pytest.raises(QuotaExceeded):
        database.write(
            lambda connection: groups.add_user(connection, acme.id, made[2].id, alice.id, 2)
        )


def test_the_limit_of_groups_does_not_count_the_reserved_one(
    database: Database, acme: Account
) -> None:
    database.write(lambda connection: groups.insert_row(connection, group_row(acme, "admin")))
    add_group(database, group_row(acme, "a"), limit=1)
    with pytest.raises(QuotaExceeded):
        add_group(database, group_row(acme, "b"), limit=1)


def test_the_reserved_group_is_neither_renamed_nor_deleted(
    database: Database, acme: Account
) -> None:
    admin = group_row(acme, "admin")
    database.write(lambda connection: groups.insert_row(connection, admin))
    with pytest.raises(ReadOnly):
        database.write(
            lambda connection: groups.change(connection, acme.id, admin.id, name="other")
        )
    with pytest.raises(ReadOnly):
        database.write(lambda connection: groups.remove(connection, acme.id, admin.id))


def test_deleting_a_group_takes_its_grants_and_memberships_along(
    database: Database, acme: Account, alice: User
) -> None:
    group = add_group(database, group_row(acme))
    key = GrantKey("group", group.id, "p", "global", acme.id)
    database.write(lambda connection: grants_store.add(connection, acme.id, [key]))
    database.write(lambda connection: groups.add_user(connection, acme.id, group.id, alice.id, 10))
    database.write(lambda connection: groups.remove(connection, acme.id, group.id))
    assert database.read(lambda connection: grants_store.of_account(connection, acme.id)) == []
    assert database.read(lambda connection: groups.memberships(connection, acme.id)) == []


def test_a_grant_is_unique_and_granting_twice_changes_nothing(
    database: Database, acme: Account
) -> None:
    key = GrantKey("group", ids.new_hex(), "p", "project", ids.new_hex())
    for expected in (1, 0):
        added = database.write(lambda connection: grants_store.add(connection, acme.id, [key]))
        assert added == expected
    for expected_removal in (True, False):
        gone = database.write(lambda connection: grants_store.remove(connection, acme.id, key))
        assert gone is expected_removal
