# SPDX-License-Identifier: Apache-2.0
"""Each test on both databases, each with a database of its own and one account in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from calotype import clock, ids
from calotype.db.session import Database, normalise_url, sqlite_url
from calotype.db.tables import METADATA
from calotype.iam import accounts, users
from calotype.iam.accounts import Account
from calotype.iam.passwords import Cost, Passwords
from calotype.iam.users import User
from calotype.keys import KeyProvider

CHEAP = Cost(memory=8, passes=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = sqlite_url(tmp_path)
    else:
        url = normalise_url(request.getfixturevalue("postgres").fresh_url())
    database = Database(url)
    METADATA.create_all(database.engine)
    yield database
    database.close()


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords(CHEAP)
    yield passwords
    passwords.close()


@pytest.fixture
def keys(tmp_path: Path) -> KeyProvider:
    return KeyProvider.open(tmp_path / "master.key", create=True)


def account_row(name: str = "acme", **changes: bool) -> Account:
    return Account(
        id=ids.new_hex(),
        name=name,
        enabled=True,
        eps_enabled=True,
        iam_version=1,
        is_first=changes.get("is_first", False),
        created_at=clock.now(),
    )


def user_row(account: Account, name: str = "alice", **changes: object) -> User:
    values: dict[str, object] = {
        "id": ids.new_hex(),
        "account_id": account.id,
        "name": name,
        "enabled": True,
        "is_root": False,
        "password_hash": None,
        "password_expires_at": None,
        "access_mode": "default",
        "description": "",
        "email": "",
        "created_at": clock.now(),
    }
    return User(**(values | changes))  # type: ignore[arg-type]  # values of mixed types


@pytest.fixture
def acme(database: Database) -> Account:
    account = account_row()
    database.write(lambda connection: accounts.add(connection, account))
    return account


@pytest.fixture
def alice(database: Database, acme: Account) -> User:
    user = user_row(acme)
    database.write(lambda connection: users.add(connection, user, 50))
    return user
