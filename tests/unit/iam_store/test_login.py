# SPDX-License-Identifier: Apache-2.0
"""Logging in, and who a credential turns out to be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from calotype import clock, ids
from calotype.db.session import Database
from calotype.errors import NotAllowed, NotFound, Unauthenticated, Unavailable
from calotype.iam import (
    access_keys,
    accounts,
    agencies,
    authentication,
    builtin,
    granting,
    groups,
    new_account,
    projects,
    tokens,
    users,
)
from calotype.iam.accounts import Account
from calotype.iam.agencies import Agency
from calotype.iam.authentication import Identified
from calotype.iam.grants_store import GrantKey
from calotype.iam.groups import Group
from calotype.iam.lockout import SourceRate
from calotype.iam.login import Issued, Login
from calotype.iam.login_words import AccountRef, AgencyWanted, Scope, UserRef
from calotype.iam.new_account import MadeAccount, WantedAccount
from calotype.iam.passwords import Passwords
from calotype.iam.projects import Project
from calotype.iam.snapshot import Snapshots
from calotype.iam.users import User
from calotype.keys import KeyProvider
from calotype.principal import PrincipalType
from tests.unit.iam_store.conftest import user_row
from tests.unit.iam_store.test_credentials import statements

HERE = "192.0.2.1"
GOOD = "correct horse"


@dataclass(frozen=True)
class World:
    """Two accounts, a user with a password in the first."""

    database: Database
    passwords: Passwords
    snapshots: Snapshots
    login: Login
    acme: MadeAccount
    globex: MadeAccount
    alice: User

    def run(self, attempt: Coroutine[Any, Any, Issued]) -> Issued:
        return asyncio.run(attempt)

    def by_password(
        self,
        password: str = GOOD,
        *,
        name: str = "alice",
        scope: Scope | None = None,
        source: str = HERE,
    ) -> Issued:
        user = UserRef(None, name, AccountRef(name="acme"))
        return self.run(self.login.by_password(user, password, scope or Scope(), source))

    def identify(self, token: str, project_id: str | None = None) -> Identified | None:
        return self.database.read(
            lambda c: authentication.by_token(c, token, self.snapshots, project_id)
        )


@pytest.fixture
def world(database: Database, passwords: Passwords) -> Iterator[World]:
    snapshots = Snapshots()
    stored = passwords.hash_now(GOOD)

    def prepare(connection: Connection) -> tuple[MadeAccount, MadeAccount, User]:
        made = [
            new_account.create(
                connection,
                WantedAccount(name, name, stored, "region-1", is_first=name == "acme"),
            )
            for name in ("acme", "globex")
        ]
        alice = user_row(made[0].account, "alice", password_hash=stored)
        users.add(connection, alice, 50)
        return made[0], made[1], alice

    acme, globex, alice = database.write(prepare)
    login = Login(database, passwords, snapshots, region="region-1", hours=24)
    yield World(database, passwords, snapshots, login, acme, globex, alice)


def test_a_good_password_gives_a_token_for_the_account(world: World) -> None:
    issued = world.by_password()
    assert issued.record.project is None
    assert issued.record.methods == ("password",)
    assert issued.record.holder.id == world.alice.id
    assert issued.record.expires_at - issued.record.issued_at == timedelta(hours=24)
    assert issued.text not in repr(issued)
    found = world.identify(issued.text)
    assert found is not None
    assert (found.principal.type, found.principal.id) == (PrincipalType.USER, world.alice.id)
    assert found.credential.id == tokens.fingerprint(issued.text)[:8]


@pytest.mark.parametrize(
    "scope",
    [
        lambda w: Scope(project_name="region-1"),
        lambda w: Scope(project_id=w.acme.project.id),
        lambda w: Scope(project_name="region-1", account=AccountRef(name="acme")),
        lambda w: Scope(project_name="region-1", account=AccountRef(id=w.acme.account.id)),
    ],
    ids=["name", "id", "name and account name", "name and account id"],
)
def test_a_project_scope_is_found(world: World, scope: Callable[[World], Scope]) -> None:
    issued = world.by_password(scope=scope(world))
    assert issued.record.project is not None
    assert issued.record.project.id == world.acme.project.id


@pytest.mark.parametrize(
    "scope",
    [
        lambda w: Scope(project_name="region-2"),
        lambda w: Scope(project_id=w.globex.project.id),
        lambda w: Scope(project_name="region-1", account=AccountRef(name="globex")),
        lambda w: Scope(account=AccountRef(id=w.globex.account.id)),
    ],
    ids=["unknown project", "foreign project", "project of a foreign account", "foreign account"],
)
def test_a_scope_outside_the_account_is_refused(
    world: World, scope: Callable[[World], Scope]
) -> None:
    with pytest.raises(Unauthenticated):
        world.by_password(scope=scope(world))


def test_a_suspended_project_gives_no_token(world: World) -> None:
    account = world.acme.account.id
    world.database.write(
        lambda c: projects.change(c, account, world.acme.project.id, enabled=False)
    )
    with pytest.raises(Unauthenticated):
        world.by_password(scope=Scope(project_name="region-1"))


def disabled(world: World) -> None:
    account = world.acme.account.id
    world.database.write(lambda c: users.change(c, account, world.alice.id, enabled=False))


def account_disabled(world: World) -> None:
    world.database.write(lambda c: accounts.change(c, world.acme.account.id, enabled=False))


@pytest.mark.parametrize("case", ["wrong password", "unknown user", "disabled", "account disabled"])
def test_every_refusal_has_one_text_and_costs_one_hash(world: World, case: str) -> None:
    if case == "disabled":
        disabled(world)
    elif case == "account disabled":
        account_disabled(world)
    before = world.passwords.computed
    with pytest.raises(Unauthenticated) as refusal:
        if case == "wrong password":
            world.by_password("wrong horse")
        elif case == "unknown user":
            world.by_password(name="mallory")
        else:
            world.by_password()
    assert world.passwords.computed - before == 1
    assert refusal.value.message == (
        "the user name, the password or the account is wrong, or the user may not log in"
    )


def test_after_five_wrong_passwords_the_right_one_is_refused_from_there_only(world: World) -> None:
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            world.by_password("wrong horse")
    with pytest.raises(Unauthenticated):
        world.by_password()
    assert world.by_password(source="198.51.100.1").text


def test_guesses_that_run_at_once_do_not_get_more_than_five_tries(world: World) -> None:
    user = UserRef(None, "alice", AccountRef(name="acme"))
    guesses = [f"wrong {number}" for number in range(12)] + [GOOD]

    async def crowd() -> list[object]:
        tries = (world.login.by_password(user, guess, Scope(), HERE) for guess in guesses)
        return await asyncio.gather(*tries, return_exceptions=True)

    answers = asyncio.run(crowd())
    refused = sum(isinstance(answer, Unauthenticated) for answer in answers)
    assert refused >= 12
    with pytest.raises(Unauthenticated):
        world.by_password()


def test_a_source_that_keeps_failing_is_refused_before_any_hash(world: World) -> None:
    login = Login(
        world.database,
        world.passwords,
        world.snapshots,
        region="region-1",
        hours=24,
        rate=SourceRate(burst=2, per_second=0.001),
    )
    user = UserRef(None, "nobody", AccountRef(name="acme"))
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            asyncio.run(login.by_password(user, "x", Scope(), HERE))
    before = world.passwords.computed
    with pytest.raises(Unavailable) as refusal:
        asyncio.run(login.by_password(user, "x", Scope(), HERE))
    assert refusal.value.rule == "rate_limit"
    assert world.passwords.computed == before


def test_a_password_changed_while_the_old_one_is_verified_gives_no_token(world: World) -> None:
    account = world.acme.account.id

    class Slow(Passwords):
        """Changes the stored password between reading it and answering."""

        async def verify(self, password: str, stored: str | None) -> bool:
            fits = await super().verify(password, stored)
            world.database.write(
                lambda c: users.change(c, account, world.alice.id, password_hash="other")
            )
            return fits

    slow = Slow()
    login = Login(world.database, slow, world.snapshots, region="region-1", hours=24)
    user = UserRef(world.alice.id, None, AccountRef())
    with pytest.raises(Unauthenticated):
        asyncio.run(login.by_password(user, GOOD, Scope(), HERE))
    slow.close()


def test_an_expired_password_is_refused(world: World) -> None:
    past = clock.now() - timedelta(seconds=1)
    late = replace(
        user_row(world.acme.account, "late"),
        password_hash=world.passwords.hash_now(GOOD),
        password_expires_at=past,
    )
    world.database.write(lambda c: users.add(c, late, 50))
    with pytest.raises(Unauthenticated):
        world.by_password(name="late")


def test_a_token_is_rescoped_and_never_lives_longer(world: World) -> None:
    first = world.by_password()
    again = world.run(world.login.by_token(first.text, Scope(project_name="region-1")))
    assert again.record.project is not None
    assert again.record.methods == ("token",)
    assert again.record.expires_at == first.record.expires_at
    assert again.text != first.text


def test_an_unknown_token_is_not_rescoped(world: World) -> None:
    with pytest.raises(Unauthenticated):
        world.run(world.login.by_token("x" * 43, Scope()))


def agency(world: World, **changes: Any) -> Agency:
    row = Agency(
        id=ids.new_hex(),
        account_id=world.globex.account.id,
        name="ops",
        trust_account_id=world.acme.account.id,
        description="",
        duration="FOREVER",
        created_at=clock.now(),
        expires_at=None,
    )
    row = replace(row, **changes)
    world.database.write(lambda c: agencies.insert_row(c, row))
    return row


def assume(world: World, token: str, name: str = "ops", scope: Scope | None = None) -> Issued:
    wanted = AgencyWanted(token, name, AccountRef(name="globex"))
    return world.run(world.login.by_agency(wanted, scope or Scope(), HERE))


def token_of(world: World, name: str) -> str:
    return world.by_password(name=name).text


def may_assume(world: World, scope: str) -> None:
    account = world.acme.account
    group = Group(ids.new_hex(), account.id, f"g-{scope}", "", clock.now())
    scope_id = world.acme.project.id if scope == "project" else account.id
    policy = builtin.compiled()["Agent Operator"].id

    def work(connection: Connection) -> None:
        groups.add(connection, group, 20)
        groups.add_user(connection, account.id, group.id, world.alice.id, 10)
        granting.grant(connection, account.id, GrantKey("group", group.id, policy, scope, scope_id))

    world.database.write(work)


def test_the_root_user_of_the_trusted_account_assumes_an_agency(world: World) -> None:
    row = agency(world)
    issued = assume(world, token_of(world, "acme"), scope=Scope(project_name="region-1"))
    assert issued.record.project is not None
    assert issued.record.project.id == world.globex.project.id
    found = world.identify(issued.text)
    assert found is not None
    assert (found.principal.type, found.principal.id, found.principal.account_id) == (
        PrincipalType.AGENCY,
        row.id,
        world.globex.account.id,
    )
    assert not found.principal.is_root
    assert found.snapshot.account.name == "globex"


@pytest.mark.parametrize("scope", ["global", "all_projects"])
def test_a_user_assumes_an_agency_with_a_wide_grant(world: World, scope: str) -> None:
    agency(world)
    may_assume(world, scope)
    assert assume(world, token_of(world, "alice")).record.holder.is_agency


@pytest.mark.parametrize("scope", [None, "project"])
def test_a_user_without_a_wide_grant_may_not_assume(world: World, scope: str | None) -> None:
    agency(world)
    if scope is not None:
        may_assume(world, scope)
    with pytest.raises(NotAllowed):
        assume(world, token_of(world, "alice"))


@pytest.mark.parametrize("case", ["unknown", "ended", "trusts another", "account disabled"])
def test_an_agency_that_cannot_be_assumed_does_not_exist(world: World, case: str) -> None:
    token = token_of(world, "acme")
    if case == "ended":
        agency(world, expires_at=clock.now() - timedelta(seconds=1))
    elif case == "trusts another":
        agency(world, trust_account_id=world.globex.account.id)
    elif case == "account disabled":
        agency(world)
        world.database.write(lambda c: accounts.change(c, world.globex.account.id, enabled=False))
    with pytest.raises(NotFound):
        assume(world, token)


def test_an_agency_assumes_no_further_agency(world: World) -> None:
    agency(world)
    second = agency(
        world,
        name="back",
        account_id=world.acme.account.id,
        trust_account_id=world.globex.account.id,
    )
    issued = assume(world, token_of(world, "acme"))
    wanted = AgencyWanted(issued.text, second.name, AccountRef(name="acme"))
    with pytest.raises(NotAllowed):
        world.run(world.login.by_agency(wanted, Scope(), HERE))


def test_an_agency_token_lives_no_longer_than_the_agency_or_the_callers_token(
    world: World,
) -> None:
    end = clock.now() + timedelta(hours=2)
    agency(world, expires_at=end)
    agency(world, name="long")
    token = world.by_password(name="acme")
    assert assume(world, token.text).record.expires_at == end
    assert assume(world, token.text, "long").record.expires_at == token.record.expires_at


def test_a_signed_caller_is_put_in_a_project_of_its_account(
    world: World, keys: KeyProvider
) -> None:
    account: Account = world.acme.account
    key, secret = world.database.write(
        lambda c: access_keys.create(c, keys, account.id, world.alice.id, description="", limit=2)
    )
    other = Project(ids.new_hex(), account.id, "region-1_dev", "", False, False, clock.now())
    world.database.write(lambda c: projects.add(c, other))
    found = world.database.read(
        lambda c: authentication.by_key(c, key.access, world.snapshots, keys)
    )
    assert found is not None
    record, identified = found
    assert record.secret == secret.encode()
    assert (identified.credential.kind, identified.credential.id) == ("ak", key.access)
    default = authentication.in_project(identified, None)
    assert default.project is not None
    assert default.project.id == world.acme.project.id
    suspended = authentication.in_project(identified, other.id)
    assert suspended.project is not None
    assert not suspended.project.enabled
    with pytest.raises(NotAllowed) as refusal:
        authentication.in_project(identified, world.globex.project.id)
    assert refusal.value.rule == "foreign_project"


def test_the_operator_token_acts_in_any_project_but_no_unknown_one(world: World) -> None:
    token = tokens.new_operator_token()
    world.database.write(lambda c: tokens.set_operator(c, token))
    found = world.identify(token, world.globex.project.id)
    assert found is not None
    assert (found.principal.type, found.principal.is_operator, found.principal.account_id) == (
        PrincipalType.OPERATOR,
        True,
        world.globex.account.id,
    )
    assert found.credential.kind == "operator"
    without = world.identify(token)
    assert without is not None
    assert (without.project, without.principal.account_name) == (None, "acme")
    with pytest.raises(NotAllowed):
        world.identify(token, ids.new_hex())
    assert world.identify("operator-" + "x" * 43) is None


def test_a_known_caller_costs_one_statement(world: World) -> None:
    token = world.by_password(scope=Scope(project_name="region-1")).text
    world.identify(token)
    seen = statements(world.database)
    assert world.identify(token) is not None
    assert len(seen) == 1
