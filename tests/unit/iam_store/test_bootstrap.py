# SPDX-License-Identifier: Apache-2.0
"""The first start: what it makes, that it runs once, that an end at any moment loses nothing."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from sqlalchemy import Connection

from calotype.db.session import Database
from calotype.errors import Invalid
from calotype.iam import access_keys, accounts, bootstrap, credentials_file, tokens, users
from calotype.iam.bootstrap import FirstStart
from calotype.iam.credentials_file import Credentials
from calotype.iam.login_words import AccountRef, Scope, UserRef
from calotype.iam.new_account import MadeAccount
from calotype.iam.room import IamRoom, open_room
from calotype.keys import KeyProvider
from calotype.settings import Settings
from tests.unit.iam_store.conftest import CHEAP

BASE = "http://127.0.0.1:9292"
KEYS = {
    "auth_url",
    "username",
    "password",
    "domain_name",
    "domain_id",
    "project_name",
    "project_id",
    "region",
    "access_key",
    "secret_key",
    "image_endpoint",
    "bucket",
    "operator_token",
}


class Killed(BaseException):
    """Stands for the end of the process at this very place."""


@pytest.fixture
def room(database: Database, keys: KeyProvider) -> Iterator[IamRoom]:
    room = open_room(Settings(), database, keys, cost=CHEAP)
    yield room
    room.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


def wanted(directory: Path, **changes: object) -> FirstStart:
    values: dict[str, object] = {"directory": directory, "base_url": BASE, "bucket": "images"}
    return FirstStart(**(values | changes))  # type: ignore[arg-type]  # values of mixed types


def read(directory: Path) -> Credentials:
    found = credentials_file.read(directory)
    assert found is not None
    return found


async def _login(room: IamRoom, known: Credentials) -> str:
    user = UserRef(None, known.username, AccountRef(name=known.domain_name))
    scope = Scope(project_name=known.project_name, account=AccountRef(name=known.domain_name))
    return (await room.login.by_password(user, known.password, scope, "127.0.0.1")).text


def assert_works(database: Database, room: IamRoom, known: Credentials) -> None:
    """Every secret of the file is the one that counts."""
    assert asyncio.run(_login(room, known))
    key = database.read(lambda c: access_keys.find(c, known.access_key, room.keys))
    assert key is not None
    assert key.secret.decode() == known.secret_key
    assert key.holder.is_root
    fingerprint = tokens.fingerprint(known.operator_token)
    assert database.read(lambda c: tokens.find_operator(c, fingerprint, None)) is not None


def test_a_first_start_makes_an_account_that_works_and_says_where(
    database: Database, room: IamRoom, directory: Path
) -> None:
    assert bootstrap.first_start(database, room, wanted(directory))
    path = directory / "credentials.json"
    values = json.loads(path.read_text())
    assert set(values) == KEYS
    assert values["auth_url"] == f"{BASE}/v3"
    assert (values["image_endpoint"], values["bucket"]) == (BASE, "images")
    assert (values["domain_name"], values["username"]) == ("calotype", "admin")
    assert values["project_name"] == values["region"] == "region-1"
    for name in ("credentials.json", "clouds.yaml"):
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600
    assert sorted(one.name for one in directory.iterdir()) == ["clouds.yaml", "credentials.json"]
    assert_works(database, room, read(directory))


def test_the_clouds_file_names_the_cloud_for_openstack_clients(
    database: Database, room: IamRoom, directory: Path
) -> None:
    bootstrap.first_start(database, room, wanted(directory, password="given by me"))
    cloud = yaml.safe_load((directory / "clouds.yaml").read_text())["clouds"]["calotype"]
    assert cloud["auth"] == {
        "auth_url": f"{BASE}/v3",
        "username": "admin",
        "password": "given by me",
        "user_domain_name": "calotype",
        "project_name": "region-1",
        "project_domain_name": "calotype",
    }
    assert (cloud["region_name"], cloud["image_api_version"]) == ("region-1", "2")


def test_a_second_start_changes_nothing(database: Database, room: IamRoom, directory: Path) -> None:
    bootstrap.first_start(database, room, wanted(directory))
    before = (directory / "credentials.json").read_bytes()
    assert not bootstrap.first_start(database, room, wanted(directory, bucket="other"))
    assert (directory / "credentials.json").read_bytes() == before
    assert len(database.read(accounts.all_accounts)) == 1


def test_a_new_address_goes_into_both_files_and_nothing_else_changes(
    database: Database, room: IamRoom, directory: Path
) -> None:
    bootstrap.first_start(database, room, wanted(directory))
    before = json.loads((directory / "credentials.json").read_text())
    assert bootstrap.refresh_endpoints(directory, "https://images.example")
    after = json.loads((directory / "credentials.json").read_text())
    assert after == before | {
        "auth_url": "https://images.example/v3",
        "image_endpoint": "https://images.example",
    }
    assert "https://images.example/v3" in (directory / "clouds.yaml").read_text()


def test_files_that_a_person_took_away_are_not_written_again(
    database: Database, room: IamRoom, directory: Path
) -> None:
    bootstrap.first_start(database, room, wanted(directory))
    (directory / "credentials.json").unlink()
    assert not bootstrap.first_start(database, room, wanted(directory))
    assert not bootstrap.refresh_endpoints(directory, BASE)
    assert not (directory / "credentials.json").exists()


def test_a_password_that_is_not_allowed_stops_the_first_start(
    database: Database, room: IamRoom, directory: Path
) -> None:
    with pytest.raises(Invalid, match="CALOTYPE_ADMIN_PASSWORD") as refusal:
        bootstrap.first_start(database, room, wanted(directory, password="a\nb" * 3))
    assert "a\nb" not in str(refusal.value)
    assert database.read(accounts.first) is None


def test_an_end_before_the_commit_leaves_nothing_that_counts(
    database: Database, room: IamRoom, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = credentials_file.write_draft

    def killed(directory: Path, credentials: Credentials) -> Path:
        write(directory, credentials)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(credentials_file, "write_draft", killed)
        with pytest.raises(Killed):
            bootstrap.first_start(database, room, wanted(directory))
    assert database.read(accounts.first) is None
    assert bootstrap.first_start(database, room, wanted(directory))
    assert sorted(one.name for one in directory.iterdir()) == ["clouds.yaml", "credentials.json"]
    assert_works(database, room, read(directory))


@pytest.mark.parametrize("moment", ["before the name", "between the files"])
def test_an_end_after_the_commit_is_finished_by_the_next_start(
    database: Database,
    room: IamRoom,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        where = "publish" if moment == "before the name" else "_as_clouds"
        patch.setattr(credentials_file, where, killed)
        with pytest.raises(Killed):
            bootstrap.first_start(database, room, wanted(directory))
    assert not bootstrap.first_start(database, room, wanted(directory))
    assert bootstrap.refresh_endpoints(directory, BASE)
    assert sorted(one.name for one in directory.iterdir()) == ["clouds.yaml", "credentials.json"]
    assert_works(database, room, read(directory))


def test_a_draft_that_was_not_written_to_its_end_is_swept_away(
    database: Database, room: IamRoom, directory: Path
) -> None:
    directory.mkdir()
    (directory / ".credentials-00.json").write_text('{"auth_url": "http')
    bootstrap.first_start(database, room, wanted(directory))
    assert sorted(one.name for one in directory.iterdir()) == ["clouds.yaml", "credentials.json"]


def test_what_other_rooms_begin_with_is_made_in_the_same_transaction(
    database: Database, room: IamRoom, directory: Path
) -> None:
    def fail(connection: Connection, made: MadeAccount) -> None:
        assert users.get(connection, made.account.id, made.root.id).is_root
        raise RuntimeError

    with pytest.raises(RuntimeError):
        bootstrap.first_start(database, room, wanted(directory, also=fail))
    assert database.read(accounts.first) is None


def test_processes_that_start_at_once_make_one_account(
    database: Database, room: IamRoom, directory: Path
) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(
            pool.map(lambda _: bootstrap.first_start(database, room, wanted(directory)), range(4))
        )
    assert made.count(True) == 1
    assert len(database.read(accounts.all_accounts)) == 1
    assert sorted(one.name for one in directory.iterdir()) == ["clouds.yaml", "credentials.json"]
    assert_works(database, room, read(directory))


def test_a_renewed_operator_token_is_in_the_file_and_the_old_one_is_dead(
    database: Database, room: IamRoom, directory: Path
) -> None:
    bootstrap.first_start(database, room, wanted(directory))
    old = read(directory).operator_token
    new = bootstrap.renew_operator_token(database, directory)
    assert read(directory).operator_token == new != old
    assert_works(database, room, read(directory))
    fingerprint = tokens.fingerprint(old)
    assert database.read(lambda c: tokens.find_operator(c, fingerprint, None)) is None
