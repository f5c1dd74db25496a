# SPDX-License-Identifier: Apache-2.0
"""Making an account with all that every account has (contract iam.md 1, 6.5).

The account, its root user, the default project named like the region, enterprise project 0, and the
reserved group `admin` that holds Tenant Administrator and Security Administrator on all projects
and on the account. Used by the first start and by the operator.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection

from calotype import clock, ids
from calotype.iam import accounts, builtin, enterprise_projects, grants_store, groups, moments
from calotype.iam import projects as project_store
from calotype.iam import users as user_store
from calotype.iam.accounts import Account
from calotype.iam.enterprise_projects import EnterpriseProject
from calotype.iam.grants import ScopeKind
from calotype.iam.grants_store import GrantKey
from calotype.iam.groups import Group
from calotype.iam.projects import Project
from calotype.iam.users import User

ADMIN_ROLES = ("Tenant Administrator", "Security Administrator")


@dataclass(frozen=True, slots=True)
class WantedAccount:
    """What an account is made from; names are checked by the caller."""

    name: str
    root_name: str
    password_hash: str = field(repr=False)
    region: str
    eps_enabled: bool = True
    is_first: bool = False


@dataclass(frozen=True, slots=True)
class MadeAccount:
    """What was made."""

    account: Account
    root: User
    project: Project


def create(connection: Connection, wanted: WantedAccount) -> MadeAccount:
    """Make the account. Raises Conflict for a taken name."""
    now = clock.now()
    account = Account(
        id=ids.new_hex(),
        name=wanted.name,
        enabled=True,
        eps_enabled=wanted.eps_enabled,
        iam_version=moments.to_stored(now),
        is_first=wanted.is_first,
        created_at=now,
    )
    accounts.add(connection, account)
    root = User(
        id=ids.new_hex(),
        account_id=account.id,
        name=wanted.root_name,
        enabled=True,
        is_root=True,
        password_hash=wanted.password_hash,
        password_expires_at=None,
        access_mode="default",
        description="",
        email="",
        created_at=now,
    )
    user_store.insert_row(connection, root)
    project = Project(ids.new_hex(), account.id, wanted.region, "", True, True, now)
    project_store.add(connection, project)
    enterprise_projects.insert_row(
        connection,
        EnterpriseProject(
            account.id, enterprise_projects.DEFAULT, "default", "", True, "prod", now, now
        ),
    )
    _make_admin_group(connection, account)
    return MadeAccount(accounts.get(connection, account.id), root, project)


def _make_admin_group(connection: Connection, account: Account) -> None:
    group = Group(ids.new_hex(), account.id, groups.ADMIN, "", account.created_at)
    groups.insert_row(connection, group)
    keys = [
        GrantKey("group", group.id, builtin.compiled()[role].id, scope.value, account.id)
        for role in ADMIN_ROLES
        for scope in (ScopeKind.ALL_PROJECTS, ScopeKind.GLOBAL)
    ]
    grants_store.add(connection, account.id, keys)
