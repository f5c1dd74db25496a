# SPDX-License-Identifier: Apache-2.0
"""Snapshots: read once, shared, and replaced with the first request after a change."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection

from calotype import clock, ids
from calotype.db.session import Database
from calotype.errors import Invalid, NotFound, Unavailable
from calotype.iam import (
    accounts,
    builtin,
    custom_policies,
    enterprise_projects,
    granting,
    groups,
    new_account,
    policies_store,
    users,
)
from calotype.iam.custom_policies import PolicyDraft
from calotype.iam.enterprise_projects import EnterpriseProject
from calotype.iam.grants_store import GrantKey
from calotype.iam.groups import Group
from calotype.iam.new_account import MadeAccount, WantedAccount
from calotype.iam.snapshot import (
    AccountSnapshot,
    Snapshots,
    applicable,
    effective_roles,
    is_operator,
)
from calotype.iam.users import User
from calotype.principal import Principal, PrincipalType
from tests.unit.iam_store.conftest import user_row
from tests.unit.iam_store.test_credentials import statements

DOCUMENT = {"Version": "1.1", "Statement": [{"Effect": "Allow", "Action": ["ims:images:list"]}]}


@pytest.fixture
def made(database: Database) -> MadeAccount:
    wanted = WantedAccount("acme", "acme", "hash", "region-1", is_first=True)
    return database.write(lambda connection: new_account.create(connection, wanted))


@pytest.fixture
def devs(database: Database, made: MadeAccount) -> Group:
    group = Group(ids.new_hex(), made.account.id, "devs", "", clock.now())
    database.write(lambda connection: groups.add(connection, group, 20))
    return group


@pytest.fixture
def bob(database: Database, made: MadeAccount, devs: Group) -> User:
    user = user_row(made.account, "bob")

    def work(connection: Connection) -> None:
        users.add(connection, user, 50)
        groups.add_user(connection, made.account.id, devs.id, user.id, 10)

    database.write(work)
    return user


def current(database: Database, snapshots: Snapshots, account_id: str) -> AccountSnapshot:
    def work(connection: Connection) -> AccountSnapshot:
        version = accounts.version(connection, account_id)
        assert version is not None
        return snapshots.get(connection, account_id, version)

    return database.read(work)


def as_principal(user: User, kind: PrincipalType = PrincipalType.USER) -> Principal:
    return Principal(kind, user.id, user.name, user.account_id, "acme", is_root=user.is_root)


def role(name: str) -> str:
    return builtin.compiled()[name].id


def test_a_new_account_has_project_enterprise_project_and_the_reserved_group(
    database: Database, made: MadeAccount
) -> None:
    snapshot = current(database, Snapshots(), made.account.id)
    assert [one.name for one in snapshot.projects.values()] == ["region-1"]
    assert snapshot.default_project == made.project
    assert [one.name for one in snapshot.enterprise_projects.values()] == ["default"]
    assert list(snapshot.enterprise_projects) == ["0"]
    assert [one.name for one in snapshot.groups.values()] == ["admin"]
    held = {
        (grant.policy.name, grant.scope.value, grant.via)
        for grants in snapshot.grants.values()
        for grant in grants
    }
    assert held == {
        (name, scope, "admin")
        for name in ("Tenant Administrator", "Security Administrator")
        for scope in ("all_projects", "global")
    }
    root = snapshot.members[made.root.id]
    assert root.is_root
    assert root.groups == ()


def test_an_unchanged_account_costs_no_statement(database: Database, made: MadeAccount) -> None:
    snapshots = Snapshots()
    first = current(database, snapshots, made.account.id)
    seen = statements(database)
    again = database.read(
        lambda connection: snapshots.get(connection, made.account.id, first.version)
    )
    assert again is first
    assert seen == []


Change = Callable[[Connection, MadeAccount, Group, User], object]
CHANGES: dict[str, Change] = {
    "grant": lambda c, m, g, u: granting.grant(
        c,
        m.account.id,
        GrantKey("group", g.id, role("IMS FullAccess"), "project", m.project.id),
    ),
    "user": lambda c, m, g, u: users.change(c, m.account.id, u.id, enabled=False),
    "member": lambda c, m, g, u: groups.remove_user(c, m.account.id, g.id, u.id),
    "policy": lambda c, m, g, u: custom_policies.create(
        c, m.account.id, PolicyDraft("p", "XA", "", DOCUMENT), 200
    ),
    "account": lambda c, m, g, u: accounts.change(c, m.account.id, eps_enabled=False),
    "enterprise project": lambda c, m, g, u: enterprise_projects.add(
        c,
        EnterpriseProject(
            m.account.id, ids.new_uuid(), "e", "", True, "prod", clock.now(), clock.now()
        ),
        100,
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_next_request_after_a_change_sees_another_picture(
    database: Database, made: MadeAccount, devs: Group, bob: User, what: str
) -> None:
    snapshots = Snapshots()
    before = current(database, snapshots, made.account.id)
    database.write(lambda connection: CHANGES[what](connection, made, devs, bob))
    after = current(database, snapshots, made.account.id)
    assert after != before
    assert after.version > before.version


def test_a_user_holds_the_grants_of_its_groups_and_its_own(
    database: Database, made: MadeAccount, devs: Group, bob: User
) -> None:
    account = made.account.id
    policy = role("IMS FullAccess")

    def work(connection: Connection) -> None:
        granting.grant(
            connection, account, GrantKey("group", devs.id, policy, "all_projects", account)
        )
        granting.grant(
            connection, account, GrantKey("user", bob.id, policy, "enterprise_project", "0")
        )

    database.write(work)
    snapshot = current(database, Snapshots(), account)
    held = applicable(snapshot, as_principal(bob))
    assert {(one.scope.value, one.via) for one in held} == {
        ("all_projects", "devs"),
        ("enterprise_project", ""),
    }
    assert applicable(snapshot, as_principal(bob)) is held


def test_a_revoked_grant_is_gone_with_the_next_picture(
    database: Database, made: MadeAccount, devs: Group, bob: User
) -> None:
    snapshots = Snapshots()
    account = made.account.id
    key = GrantKey("group", devs.id, role("IMS FullAccess"), "project", made.project.id)
    database.write(lambda connection: granting.grant(connection, account, key))
    assert len(applicable(current(database, snapshots, account), as_principal(bob))) == 1
    database.write(lambda connection: granting.revoke(connection, account, key))
    assert len(applicable(current(database, snapshots, account), as_principal(bob))) == 0


@pytest.mark.parametrize("kind", [PrincipalType.OPERATOR, PrincipalType.ANONYMOUS])
def test_the_operator_token_and_nobody_hold_no_grants(
    database: Database, made: MadeAccount, devs: Group, bob: User, kind: PrincipalType
) -> None:
    key = GrantKey("group", devs.id, role("IMS FullAccess"), "project", made.project.id)
    database.write(lambda connection: granting.grant(connection, made.account.id, key))
    snapshot = current(database, Snapshots(), made.account.id)
    assert len(applicable(snapshot, as_principal(bob, kind))) == 0


def test_a_principal_of_another_account_holds_nothing_here(
    database: Database, made: MadeAccount, devs: Group, bob: User
) -> None:
    key = GrantKey("group", devs.id, role("IMS FullAccess"), "project", made.project.id)
    database.write(lambda connection: granting.grant(connection, made.account.id, key))
    snapshot = current(database, Snapshots(), made.account.id)
    stranger = Principal(PrincipalType.USER, bob.id, "bob", ids.new_hex(), "globex")
    assert len(applicable(snapshot, stranger)) == 0


@pytest.mark.parametrize(
    ("is_first", "scope", "expected"),
    [(True, "global", True), (True, "all_projects", False), (False, "global", False)],
)
def test_an_operator_holds_platform_administrator_globally_in_the_first_account(
    database: Database, is_first: bool, scope: str, expected: bool
) -> None:
    wanted = WantedAccount("acme", "acme", "hash", "region-1", is_first=is_first)
    user_id = ids.new_hex()

    def work(connection: Connection) -> tuple[str, User]:
        made = new_account.create(connection, wanted)
        user = user_row(made.account, "ops", id=user_id)
        group = Group(ids.new_hex(), made.account.id, "operators", "", clock.now())
        users.add(connection, user, 50)
        groups.add(connection, group, 20)
        groups.add_user(connection, made.account.id, group.id, user.id, 10)
        key = GrantKey("group", group.id, role("Platform Administrator"), scope, made.account.id)
        granting.grant(connection, made.account.id, key)
        return made.account.id, user

    account_id, user = database.write(work)
    snapshot = current(database, Snapshots(), account_id)
    assert is_operator(snapshot, as_principal(user)) is expected


def test_roles_of_a_token_name_what_counts_in_its_scope(
    database: Database, made: MadeAccount, devs: Group, bob: User
) -> None:
    account = made.account.id

    def work(connection: Connection) -> str:
        policy, _ = custom_policies.create(
            connection, account, PolicyDraft("mine", "XA", "", DOCUMENT), 200
        )
        for key in (
            GrantKey("group", devs.id, policy.id, "project", made.project.id),
            GrantKey("group", devs.id, role("IMS FullAccess"), "all_projects", account),
            GrantKey("group", devs.id, role("IAM ReadOnlyAccess"), "global", account),
            GrantKey("group", devs.id, role("IMS Administrator"), "all_projects", account),
        ):
            granting.grant(connection, account, key)
        return policy.id

    custom = database.write(work)
    snapshot = current(database, Snapshots(), account)
    principal = as_principal(bob)
    in_project = set(effective_roles(snapshot, principal, made.project.id))
    assert in_project == {
        ("0", "member"),
        ("0", "reader"),
        (custom, f"custom_{account}_0"),
        ("0", "system_all_11"),
    }
    in_account = set(effective_roles(snapshot, principal, None))
    assert ("0", "system_all_31") in in_account
    assert custom not in {role_id for role_id, _ in in_account}


def test_policies_are_compiled_again_only_when_they_change(
    database: Database, made: MadeAccount
) -> None:
    snapshots = Snapshots()
    account = made.account.id
    draft = PolicyDraft("p", "XA", "", DOCUMENT)
    policy, _ = database.write(lambda c: custom_policies.create(c, account, draft, 200))
    first = current(database, snapshots, account).policies[policy.id]
    database.write(lambda connection: accounts.bump(connection, account))
    second = current(database, snapshots, account).policies[policy.id]
    assert second is first
    change = PolicyDraft(description="d")
    database.write(lambda c: custom_policies.change(c, account, policy.id, change))
    third = current(database, snapshots, account).policies[policy.id]
    assert third is not first
    assert third.number == first.number + 1


def test_a_stored_policy_that_cannot_be_read_refuses_instead_of_losing_its_deny(
    database: Database, made: MadeAccount
) -> None:
    account = made.account.id
    draft = PolicyDraft("p", "XA", "", DOCUMENT)
    policy, _ = database.write(lambda c: custom_policies.create(c, account, draft, 200))
    database.write(lambda c: policies_store.change(c, account, policy.id, document='{"a": 1}'))
    with pytest.raises(Unavailable, match="can no longer be read"):
        current(database, Snapshots(), account)


def test_an_account_that_does_not_exist_has_no_picture(database: Database) -> None:
    with pytest.raises(NotFound):
        database.read(lambda connection: Snapshots().get(connection, ids.new_hex(), 1))


def test_pictures_are_bounded_in_number(database: Database) -> None:
    snapshots = Snapshots(capacity=2)
    names = ("a", "b", "c")
    made = {
        name: database.write(
            lambda connection, name=name: new_account.create(
                connection, WantedAccount(name, name, "h", "region-1")
            )
        )
        for name in names
    }
    versions = {name: current(database, snapshots, made[name].account.id).version for name in names}
    seen = statements(database)

    def cost(name: str) -> int:
        before = len(seen)
        account_id = made[name].account.id
        database.read(lambda c: snapshots.get(c, account_id, versions[name]))
        return len(seen) - before

    assert (cost("c"), cost("b")) == (0, 0)
    assert cost("a") > 0


def test_many_threads_see_no_picture_older_than_their_credential(
    database: Database, made: MadeAccount
) -> None:
    snapshots = Snapshots()

    def look(_: int) -> bool:
        version = database.read(lambda c: accounts.version(c, made.account.id))
        assert version is not None
        found = database.read(lambda c: snapshots.get(c, made.account.id, version))
        return found.version >= version

    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(look, range(40))
        for _ in range(5):
            database.write(lambda connection: accounts.bump(connection, made.account.id))
        assert all(answers)


@pytest.mark.parametrize(
    "key",
    [
        GrantKey("group", "0" * 32, role("IMS FullAccess"), "global", ""),
        GrantKey("group", "", "0" * 32, "global", ""),
        GrantKey("group", "", role("IMS FullAccess"), "project", "0" * 32),
        GrantKey("group", "", role("IMS FullAccess"), "global", "0" * 32),
        GrantKey("group", "", role("IMS FullAccess"), "enterprise_project", ids.new_uuid()),
    ],
    ids=["group", "policy", "project", "account", "enterprise project"],
)
def test_a_grant_of_something_that_is_not_of_the_account_is_not_found(
    database: Database, made: MadeAccount, devs: Group, key: GrantKey
) -> None:
    whole = GrantKey(
        key.principal_kind,
        key.principal_id or devs.id,
        key.policy_id,
        key.scope,
        key.scope_id or made.account.id,
    )
    with pytest.raises(NotFound):
        database.write(lambda connection: granting.grant(connection, made.account.id, whole))


def test_a_version_one_role_is_refused_on_an_enterprise_project(
    database: Database, made: MadeAccount, devs: Group
) -> None:
    key = GrantKey("group", devs.id, role("Tenant Guest"), "enterprise_project", "0")
    with pytest.raises(Invalid) as refusal:
        database.write(lambda connection: granting.grant(connection, made.account.id, key))
    assert refusal.value.rule == "policy_on_enterprise_project"


def test_a_role_without_its_dependency_is_granted_with_a_warning(
    database: Database, made: MadeAccount, devs: Group
) -> None:
    account = made.account.id

    def grant(name: str, scope: str, scope_id: str) -> tuple[str, ...]:
        key = GrantKey("group", devs.id, role(name), scope, scope_id)
        return database.write(lambda connection: granting.grant(connection, account, key))

    assert grant("IMS Administrator", "project", made.project.id) == (
        "missing dependency: Tenant Administrator",
    )
    assert grant("Server Administrator", "project", made.project.id) == (
        "missing dependency: Tenant Administrator",
    )
    assert grant("Tenant Administrator", "all_projects", account) == ()
    assert grant("IMS Administrator", "project", made.project.id) == ()


def test_a_policy_document_is_kept_as_it_was_given(database: Database, made: MadeAccount) -> None:
    document = {
        "Statement": [{"Action": ["IMS:images:LIST"], "Effect": "Deny"}],
        "Version": "1.1",
    }
    draft = PolicyDraft("p", "XA", "", document)
    policy, warnings = database.write(
        lambda c: custom_policies.create(c, made.account.id, draft, 200)
    )
    assert list(json.loads(policy.document)) == ["Statement", "Version"]
    assert json.loads(policy.document) == document
    assert (policy.name, warnings) == (f"custom_{made.account.id}_0", ())


def test_an_unknown_action_is_accepted_with_a_warning(
    database: Database, made: MadeAccount
) -> None:
    document = {
        "Version": "1.1",
        "Statement": [{"Effect": "Allow", "Action": ["ims:images:bake"]}],
    }
    draft = PolicyDraft("p", "XA", "", document)
    _, warnings = database.write(lambda c: custom_policies.create(c, made.account.id, draft, 200))
    assert warnings == ("unknown action: ims:images:bake",)


def test_deleting_a_policy_takes_its_grants_along(
    database: Database, made: MadeAccount, devs: Group
) -> None:
    account = made.account.id
    draft = PolicyDraft("p", "XA", "", DOCUMENT)
    policy, _ = database.write(lambda c: custom_policies.create(c, account, draft, 200))
    key = GrantKey("group", devs.id, policy.id, "project", made.project.id)
    database.write(lambda connection: granting.grant(connection, account, key))
    database.write(lambda connection: custom_policies.remove(connection, account, policy.id))
    assert not database.read(lambda connection: granting.is_granted(connection, account, key))
