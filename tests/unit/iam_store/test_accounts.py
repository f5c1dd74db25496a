# SPDX-License-Identifier: Apache-2.0
"""Accounts: the version that moves with each change, disabling, removing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Connection, func, select

from calotype import clock, ids
from calotype.db.session import Database
from calotype.db.tables import METADATA
from calotype.errors import NotFound
from calotype.iam import (
    access_keys,
    accounts,
    agencies,
    enterprise_projects,
    grants_store,
    groups,
    lockout,
    policies_store,
    projects,
    tokens,
    users,
)
from calotype.iam.accounts import Account
from calotype.iam.agencies import Agency
from calotype.iam.enterprise_projects import EnterpriseProject
from calotype.iam.grants_store import GrantKey
from calotype.iam.groups import Group
from calotype.iam.policies_store import NewPolicy
from calotype.iam.projects import Project
from calotype.iam.tokens import NewToken
from calotype.iam.users import User
from calotype.keys import KeyProvider
from tests.unit.iam_store.conftest import account_row, user_row


def version(database: Database, account: Account) -> int:
    value = database.read(lambda connection: accounts.version(connection, account.id))
    assert value is not None
    return value


def test_every_bump_gives_a_greater_version(database: Database, acme: Account) -> None:
    seen = [version(database, acme)]
    for _ in range(3):
        database.write(lambda connection: accounts.bump(connection, acme.id))
        seen.append(version(database, acme))
    assert seen == sorted(set(seen))


def test_a_clock_that_goes_back_does_not_bring_a_version_back(
    database: Database, acme: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.write(lambda connection: accounts.bump(connection, acme.id))
    before = version(database, acme)
    earlier = clock.now() - timedelta(days=1)
    monkeypatch.setattr(clock, "now", lambda: earlier)
    database.write(lambda connection: accounts.bump(connection, acme.id))
    assert version(database, acme) == before + 1


def test_a_version_that_was_rolled_back_is_not_given_again(
    database: Database, acme: Account
) -> None:
    lost: list[int | None] = []

    def fail(connection: Connection) -> None:
        accounts.bump(connection, acme.id)
        lost.append(accounts.version(connection, acme.id))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        database.write(fail)
    database.write(lambda connection: accounts.bump(connection, acme.id))
    assert version(database, acme) not in lost


def test_a_change_of_an_unknown_account_is_refused(database: Database) -> None:
    with pytest.raises(NotFound):
        database.write(lambda connection: accounts.bump(connection, ids.new_hex()))


def _issue(connection: Connection, account: Account, user: User, **behind: str | None) -> str:
    moment = clock.now()
    return tokens.issue(
        connection,
        NewToken(
            user_id=None if behind.get("agency_id") else user.id,
            agency_id=behind.get("agency_id"),
            assumed_by=user.id if behind.get("agency_id") else None,
            account_id=behind.get("account_id") or account.id,
            project_id=None,
            methods=("password",),
            issued_at=moment,
            expires_at=moment + timedelta(hours=1),
        ),
    )


def _alive(database: Database, text: str) -> bool:
    sha256 = tokens.fingerprint(text)
    return database.read(lambda connection: tokens.find(connection, sha256)) is not None


def test_disabling_an_account_ends_its_tokens_for_good(
    database: Database, acme: Account, alice: User
) -> None:
    text = database.write(lambda connection: _issue(connection, acme, alice))
    assert _alive(database, text)
    database.write(lambda connection: accounts.change(connection, acme.id, enabled=False))
    assert not _alive(database, text)
    database.write(lambda connection: accounts.change(connection, acme.id, enabled=True))
    assert not _alive(database, text)


def test_disabling_the_trusted_account_ends_tokens_of_agencies_its_people_assumed(
    database: Database, acme: Account, alice: User
) -> None:
    globex = account_row("globex")
    agency = Agency(ids.new_hex(), globex.id, "ops", acme.id, "", "FOREVER", clock.now(), None)

    def prepare(connection: Connection) -> str:
        accounts.add(connection, globex)
        agencies.insert_row(connection, agency)
        return _issue(connection, acme, alice, agency_id=agency.id, account_id=globex.id)

    text = database.write(prepare)
    assert _alive(database, text)
    database.write(lambda connection: accounts.change(connection, acme.id, enabled=False))
    assert not _alive(database, text)


def test_removing_an_account_leaves_no_row_of_it_and_touches_no_other(
    database: Database, acme: Account, alice: User, keys: KeyProvider
) -> None:
    other = account_row("globex")
    bob = user_row(other, "bob")
    group = Group(ids.new_hex(), acme.id, "devs", "", clock.now())

    def prepare(connection: Connection) -> None:
        accounts.add(connection, other)
        users.add(connection, bob, 50)
        before = _counts(connection)
        assert before["users"] == 2
        groups.add(connection, group, 20)
        groups.add_user(connection, acme.id, group.id, alice.id, 10)
        projects.add(
            connection,
            Project(ids.new_hex(), acme.id, "region-1", "", True, True, clock.now()),
        )
        enterprise_projects.insert_row(
            connection,
            EnterpriseProject(acme.id, "0", "default", "", True, "prod", clock.now(), clock.now()),
        )
        policies_store.add(connection, NewPolicy(ids.new_hex(), acme.id, "p", "XA", "", "{}"), 200)
        key = GrantKey("group", group.id, "x", "global", acme.id)
        grants_store.add(connection, acme.id, [key])
        access_keys.create(connection, keys, acme.id, alice.id, description="", limit=2)
        lockout.record_failure(connection, alice.id, "192.0.2.1")
        for owner, trusted in ((acme, other), (other, acme)):
            agency = Agency(
                ids.new_hex(), owner.id, "ops", trusted.id, "", "FOREVER", clock.now(), None
            )
            agencies.insert_row(connection, agency)
            person = bob if owner is acme else alice
            _issue(connection, acme, person, agency_id=agency.id, account_id=owner.id)
        _issue(connection, acme, alice)

    database.write(prepare)
    database.write(lambda connection: accounts.remove(connection, acme.id))
    left = database.read(_counts)
    assert {name: count for name, count in left.items() if count} == {"accounts": 1, "users": 1}


def _counts(connection: Connection) -> dict[str, int]:
    return {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in METADATA.sorted_tables
    }
