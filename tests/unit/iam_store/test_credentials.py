# SPDX-License-Identifier: Apache-2.0
"""Tokens and access keys: found in one statement, and dead when anything behind them is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Connection, event, text

from calotype import clock, ids
from calotype.db.session import Database
from calotype.errors import NotFound, QuotaExceeded
from calotype.iam import access_keys, accounts, agencies, moments, projects, tokens, users
from calotype.iam.accounts import Account
from calotype.iam.agencies import Agency
from calotype.iam.projects import Project
from calotype.iam.tokens import NewToken, TokenRecord
from calotype.iam.users import User
from calotype.keys import KeyProvider
from calotype.principal import PrincipalType
from tests.unit.iam_store.conftest import account_row, user_row


def new_token(account: Account, user: User, **changes: object) -> NewToken:
    moment = clock.now()
    values: dict[str, object] = {
        "user_id": user.id,
        "agency_id": None,
        "assumed_by": None,
        "account_id": account.id,
        "project_id": None,
        "methods": ("password",),
        "issued_at": moment,
        "expires_at": moment + timedelta(hours=24),
    }
    return NewToken(**(values | changes))  # type: ignore[arg-type]  # values of mixed types


def issue(database: Database, token: NewToken) -> str:
    return database.write(lambda connection: tokens.issue(connection, token))


def find(database: Database, token: str) -> TokenRecord | None:
    sha256 = tokens.fingerprint(token)
    return database.read(lambda connection: tokens.find(connection, sha256))


def statements(database: Database) -> list[str]:
    seen: list[str] = []
    for engine in database.engines:
        event.listen(
            engine,
            "before_cursor_execute",
            lambda conn, cursor, statement, *rest: seen.append(statement),
        )
    return seen


def test_a_token_comes_with_user_account_and_project_in_one_statement(
    database: Database, acme: Account, alice: User
) -> None:
    project = Project(ids.new_hex(), acme.id, "region-1", "", True, True, clock.now())
    database.write(lambda connection: projects.add(connection, project))
    token = issue(database, new_token(acme, alice, project_id=project.id))
    seen = statements(database)
    found = find(database, token)
    assert len(seen) == 1
    assert found is not None
    assert found.project is not None
    assert (found.project.name, found.project.enabled) == ("region-1", True)
    assert (found.holder.name, found.holder.account_name) == ("alice", "acme")
    principal = found.holder.principal()
    assert (principal.type, principal.id, principal.is_root) == (
        PrincipalType.USER,
        alice.id,
        False,
    )
    version = database.read(lambda connection: accounts.version(connection, acme.id))
    assert found.holder.iam_version == version


def test_a_token_text_is_not_stored_and_has_enough_random_bits(
    database: Database, acme: Account, alice: User
) -> None:
    token = issue(database, new_token(acme, alice))
    rows = database.read(lambda connection: connection.execute(text("SELECT * FROM tokens")).all())
    assert token not in repr(rows)
    assert len(token) >= 43
    assert token.replace("-", "").replace("_", "").isalnum()


def test_a_token_of_a_suspended_project_is_found_and_says_so(
    database: Database, acme: Account, alice: User
) -> None:
    project = Project(ids.new_hex(), acme.id, "region-1", "", True, True, clock.now())
    database.write(lambda connection: projects.add(connection, project))
    token = issue(database, new_token(acme, alice, project_id=project.id))
    database.write(
        lambda connection: projects.change(connection, acme.id, project.id, enabled=False)
    )
    found = find(database, token)
    assert found is not None
    assert found.project is not None
    assert not found.project.enabled


Change = Callable[[Connection, Account, User], object]
ENDINGS: dict[str, Change] = {
    "password": lambda c, a, u: users.change(c, a.id, u.id, password_hash="new"),
    "disabled": lambda c, a, u: users.change(c, a.id, u.id, enabled=False),
    "deleted": lambda c, a, u: users.remove(c, a.id, u.id),
    "account": lambda c, a, u: accounts.change(c, a.id, enabled=False),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_token_ends_at_once_with(
    database: Database, acme: Account, alice: User, ending: str
) -> None:
    token = issue(database, new_token(acme, alice))
    assert find(database, token) is not None
    database.write(lambda connection: ENDINGS[ending](connection, acme, alice))
    assert find(database, token) is None


def test_a_token_ends_with_its_time(database: Database, acme: Account, alice: User) -> None:
    past = clock.now() - timedelta(seconds=1)
    token = issue(database, new_token(acme, alice, expires_at=past))
    assert find(database, token) is None
    assert database.write(tokens.drop_expired) == 1


def test_a_revoked_token_is_gone(database: Database, acme: Account, alice: User) -> None:
    token = issue(database, new_token(acme, alice))
    sha256 = tokens.fingerprint(token)
    assert database.write(lambda connection: tokens.revoke(connection, sha256))
    assert find(database, token) is None


def test_a_disabled_user_does_not_get_its_token_back(
    database: Database, acme: Account, alice: User
) -> None:
    token = issue(database, new_token(acme, alice))
    for enabled in (False, True):
        database.write(
            lambda connection, enabled=enabled: users.change(
                connection, acme.id, alice.id, enabled=enabled
            )
        )
    assert find(database, token) is None


def agency_of(database: Database, owner: Account, trusted: Account, **changes: object) -> Agency:
    values: dict[str, object] = {
        "id": ids.new_hex(),
        "account_id": owner.id,
        "name": "ops",
        "trust_account_id": trusted.id,
        "description": "",
        "duration": "FOREVER",
        "created_at": clock.now(),
        "expires_at": None,
    }
    agency = Agency(**(values | changes))  # type: ignore[arg-type]  # values of mixed types
    database.write(lambda connection: agencies.insert_row(connection, agency))
    return agency


def test_an_agency_token_acts_in_the_delegating_account_and_is_never_root(
    database: Database, acme: Account
) -> None:
    globex = account_row("globex")
    root = user_row(globex, "boss", is_root=True)
    database.write(lambda connection: accounts.add(connection, globex))
    database.write(lambda connection: users.insert_row(connection, root))
    agency = agency_of(database, acme, globex)
    token = issue(
        database,
        new_token(acme, root, user_id=None, agency_id=agency.id, assumed_by=root.id),
    )
    found = find(database, token)
    assert found is not None
    principal = found.holder.principal()
    assert (principal.type, principal.name, principal.account_id, principal.is_root) == (
        PrincipalType.AGENCY,
        "acme/ops",
        acme.id,
        False,
    )
    assert principal.assumed_by == root.id
    assert found.holder.person is not None
    assert found.holder.person.account_name == "globex"


def test_an_agency_token_ends_when_the_agency_or_the_trust_does(
    database: Database, acme: Account
) -> None:
    globex = account_row("globex")
    carol = user_row(globex, "carol")
    database.write(lambda connection: accounts.add(connection, globex))
    database.write(lambda connection: users.add(connection, carol, 50))
    soon = clock.now() - timedelta(seconds=1)
    ended = agency_of(database, acme, globex, name="ended", expires_at=soon)
    elsewhere = agency_of(database, acme, acme, name="elsewhere")
    good = agency_of(database, acme, globex, name="good")
    found = {
        agency.name: find(
            database,
            issue(
                database,
                new_token(acme, carol, user_id=None, agency_id=agency.id, assumed_by=carol.id),
            ),
        )
        for agency in (ended, elsewhere, good)
    }
    assert {name for name, record in found.items() if record} == {"good"}


def test_the_operator_token_names_the_account_of_its_project(
    database: Database, acme: Account
) -> None:
    first = account_row("calotype", is_first=True)
    project = Project(ids.new_hex(), acme.id, "region-1", "", True, True, clock.now())
    token = tokens.new_operator_token()
    database.write(lambda connection: accounts.add(connection, first))
    database.write(lambda connection: projects.add(connection, project))
    database.write(lambda connection: tokens.set_operator(connection, token))
    sha256 = tokens.fingerprint(token)
    seen = statements(database)
    in_project = database.read(
        lambda connection: tokens.find_operator(connection, sha256, project.id)
    )
    assert len(seen) == 1
    assert in_project is not None
    assert (in_project.account_id, in_project.project) == (
        acme.id,
        tokens.ScopeProject(project.id, "region-1", True),
    )
    for missing in (None, ids.new_hex()):
        alone = database.read(
            lambda connection, missing=missing: tokens.find_operator(connection, sha256, missing)
        )
        assert alone is not None
        assert (alone.account_id, alone.project) == (first.id, None)


def test_a_renewed_operator_token_ends_the_old_one(database: Database) -> None:
    first = account_row("calotype", is_first=True)
    database.write(lambda connection: accounts.add(connection, first))
    made = [tokens.new_operator_token() for _ in range(2)]
    for token in made:
        database.write(lambda connection, token=token: tokens.set_operator(connection, token))
    found = [
        database.read(
            lambda connection, token=token: tokens.find_operator(
                connection, tokens.fingerprint(token), None
            )
        )
        for token in made
    ]
    assert [record is not None for record in found] == [False, True]


def test_a_key_is_found_with_its_secret_in_one_statement(
    database: Database, acme: Account, alice: User, keys: KeyProvider
) -> None:
    key, secret = database.write(
        lambda connection: access_keys.create(
            connection, keys, acme.id, alice.id, description="d", limit=2
        )
    )
    seen = statements(database)
    found = database.read(lambda connection: access_keys.find(connection, key.access, keys))
    assert len(seen) == 1
    assert found is not None
    assert found.secret == secret.encode()
    assert found.holder.id == alice.id
    assert secret not in repr(found)
    stored = database.read(
        lambda connection: connection.execute(text("SELECT secret FROM access_keys")).scalar_one()
    )
    assert secret not in stored


def test_a_secret_moved_to_another_row_does_not_open(
    database: Database, acme: Account, alice: User, keys: KeyProvider
) -> None:
    made = [
        database.write(
            lambda connection: access_keys.create(
                connection, keys, acme.id, alice.id, description="", limit=2
            )
        )[0]
        for _ in range(2)
    ]
    steal = text(
        "UPDATE access_keys SET secret = (SELECT secret FROM access_keys WHERE access = :a)"
        " WHERE access = :b"
    )
    database.write(
        lambda connection: connection.execute(steal, {"a": made[0].access, "b": made[1].access})
    )
    with pytest.raises(Exception, match="cannot be unwrapped"):
        database.read(lambda connection: access_keys.find(connection, made[1].access, keys))


def test_a_user_has_no_more_keys_than_the_limit(
    database: Database, acme: Account, alice: User, keys: KeyProvider
) -> None:
    def create() -> None:
        database.write(
            lambda connection: access_keys.create(
                connection, keys, acme.id, alice.id, description="", limit=2
            )
        )

    create()
    create()
    with pytest.raises(QuotaExceeded):
        create()


@pytest.mark.parametrize("ending", ["inactive", "removed", "user disabled", "user deleted"])
def test_a_key_ends_at_once_when_it_is(
    database: Database, acme: Account, alice: User, keys: KeyProvider, ending: str
) -> None:
    key, _ = database.write(
        lambda connection: access_keys.create(
            connection, keys, acme.id, alice.id, description="", limit=2
        )
    )
    changes: dict[str, Callable[[Connection], object]] = {
        "inactive": lambda c: access_keys.change(c, acme.id, key.access, active=False),
        "removed": lambda c: access_keys.remove(c, acme.id, key.access),
        "user disabled": lambda c: users.change(c, acme.id, alice.id, enabled=False),
        "user deleted": lambda c: users.remove(c, acme.id, alice.id),
    }
    database.write(changes[ending])
    assert database.read(lambda connection: access_keys.find(connection, key.access, keys)) is None


def test_a_key_of_another_account_does_not_exist(
    database: Database, acme: Account, alice: User, keys: KeyProvider
) -> None:
    key, _ = database.write(
        lambda connection: access_keys.create(
            connection, keys, acme.id, alice.id, description="", limit=2
        )
    )
    with pytest.raises(NotFound):
        database.read(lambda connection: access_keys.get(connection, ids.new_hex(), key.access))


def test_moments_keep_every_microsecond() -> None:
    moment = clock.now()
    assert moments.from_stored(moments.to_stored(moment)) == moment
