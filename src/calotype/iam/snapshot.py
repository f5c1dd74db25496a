# SPDX-License-Identifier: Apache-2.0
"""All that decisions of one account ask, read once and kept until the account's version moves.

A snapshot is immutable and shared by threads. It is found by (account, version); the version comes
with each credential in its one statement, so a change counts from the next request on, everywhere,
and an unchanged account costs no statement (contract iam.md 1.1). Passwords and keys are not in it.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from calotype.errors import Invalid, NotFound, Unavailable
from calotype.iam import (
    accounts,
    builtin,
    enterprise_projects,
    grants_store,
    groups,
    policies_store,
    projects,
    users,
)
from calotype.iam.accounts import Account
from calotype.iam.enterprise_projects import EnterpriseProject
from calotype.iam.grants import Grant, GrantSet, Place, Reach, ScopeKind
from calotype.iam.grants_store import StoredGrant
from calotype.iam.groups import Group
from calotype.iam.policies_store import StoredPolicy
from calotype.iam.policy import CompiledPolicy, compile_policy
from calotype.iam.projects import Project
from calotype.principal import Principal, PrincipalType

CAPACITY = 256
_TRIES = 3
_NONE = GrantSet()
_BUILTIN_NAMES = {row.id: row.name for row in builtin.BUILTIN}


@dataclass(frozen=True, slots=True)
class Member:
    """A user as decisions see it."""

    id: str
    name: str
    enabled: bool
    is_root: bool
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """One account at one version. Everything is by id; `grants` is by (kind, principal id)."""

    account: Account
    members: Mapping[str, Member]
    groups: Mapping[str, Group]
    projects: Mapping[str, Project]
    enterprise_projects: Mapping[str, EnterpriseProject]
    policies: Mapping[str, CompiledPolicy]  # custom and built-in
    policy_names: Mapping[str, str]  # the internal name of each
    grants: Mapping[tuple[str, str], tuple[Grant, ...]]
    _memo: dict[tuple[str, str], GrantSet] = field(default_factory=dict, compare=False, repr=False)

    @property
    def version(self) -> int:
        """The version of the account that this is a picture of."""
        return self.account.iam_version

    @property
    def default_project(self) -> Project | None:
        """The account's project of the serving region."""
        return next((one for one in self.projects.values() if one.is_default), None)


def applicable(snapshot: AccountSnapshot, principal: Principal) -> GrantSet:
    """Return every grant of a principal, its groups' included, whatever the scope.

    Empty for the operator's token, for nobody, and for a principal of another account. Made once
    for each principal of a snapshot.
    """
    if principal.account_id != snapshot.account.id:
        return _NONE
    memo_key = (principal.type.value, principal.id)
    known = snapshot._memo.get(memo_key)
    if known is None:
        known = GrantSet(_collect(snapshot, principal))
        snapshot._memo[memo_key] = known
    return known


def is_operator(snapshot: AccountSnapshot, principal: Principal) -> bool:
    """Tell whether a person is an operator: Platform Administrator, granted globally to a group of
    the first account (contract iam.md 6.5)."""
    if not snapshot.account.is_first or principal.type is not PrincipalType.USER:
        return False
    return any(
        grant.policy.makes_operator
        and grant.scope is ScopeKind.GLOBAL
        and grant.principal[0] == "group"
        for grant in applicable(snapshot, principal)
    )


def effective_roles(
    snapshot: AccountSnapshot, principal: Principal, project_id: str | None
) -> list[tuple[str, str]]:
    """Return (id, name) of the policies that count in a token's scope, for people to read.

    Id `0` for those without a row of their own. Never used for a decision.
    """
    reach = Reach.GLOBAL if project_id is None else Reach.PROJECT
    found: dict[str, str] = {"member": "0", "reader": "0"}
    if principal.is_root:
        found |= {"te_admin": "0", "secu_admin": "0"}
    for grant in applicable(snapshot, principal).applicable(Place(reach, project_id, None)):
        policy = grant.policy
        found[snapshot.policy_names[policy.id]] = "0" if policy.builtin else policy.id
    return [(role_id, name) for name, role_id in found.items()]


class Snapshots:
    """The snapshots of this process, the latest of each account; bounded, safe for threads."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[str, AccountSnapshot] = OrderedDict()
        self._guard = threading.Lock()

    def get(self, connection: Connection, account_id: str, version: int) -> AccountSnapshot:
        """Return the account at `version` or later. Raises NotFound for no account.

        Costs no statement while the version stands still.
        """
        with self._guard:
            kept = self._kept.get(account_id)
            if kept is not None:
                self._kept.move_to_end(account_id)
        if kept is not None and kept.version == version:
            return kept
        fresh, whole = _load_whole(connection, account_id, kept)
        if whole:
            self._keep(fresh)
        return fresh

    def _keep(self, fresh: AccountSnapshot) -> None:
        with self._guard:
            kept = self._kept.get(fresh.account.id)
            if kept is None or kept.version < fresh.version:
                self._kept[fresh.account.id] = fresh
                self._kept.move_to_end(fresh.account.id)
            if len(self._kept) > self._capacity:
                self._kept.popitem(last=False)


def _load_whole(
    connection: Connection, account_id: str, kept: AccountSnapshot | None
) -> tuple[AccountSnapshot, bool]:
    """Read until no change fell between the statements; tell whether that was reached."""
    for _ in range(_TRIES):
        snapshot = load(connection, account_id, kept)
        if accounts.version(connection, account_id) == snapshot.version:
            return snapshot, True
    return snapshot, False


def load(
    connection: Connection, account_id: str, kept: AccountSnapshot | None = None
) -> AccountSnapshot:
    """Read the account, in eight statements. Policies that `kept` has compiled are taken over."""
    account = accounts.get(connection, account_id)
    custom = policies_store.of_account(connection, account_id)
    policies = _policies(custom, kept)
    known_groups = {group.id: group for group in groups.of_account(connection, account_id)}
    stored = grants_store.of_account(connection, account_id)
    return AccountSnapshot(
        account=account,
        members=_members(connection, account_id),
        groups=known_groups,
        projects={one.id: one for one in projects.of_account(connection, account_id)},
        enterprise_projects={
            one.id: one for one in enterprise_projects.of_account(connection, account_id)
        },
        policies=policies,
        policy_names=_BUILTIN_NAMES | {row.id: row.name for row in custom},
        grants=_grants(stored, policies, known_groups),
    )


def _members(connection: Connection, account_id: str) -> dict[str, Member]:
    of_user: dict[str, list[str]] = {}
    for group_id, user_id in groups.memberships(connection, account_id):
        of_user.setdefault(user_id, []).append(group_id)
    return {
        user.id: Member(
            user.id, user.name, user.enabled, user.is_root, tuple(of_user.get(user.id, ()))
        )
        for user in users.of_account(connection, account_id)
    }


def _policies(
    stored: Sequence[StoredPolicy], kept: AccountSnapshot | None
) -> dict[str, CompiledPolicy]:
    compiled = dict(builtin.compiled_by_id())
    for row in stored:
        before = kept.policies.get(row.id) if kept is not None else None
        if before is not None and (before.number, before.name) == (row.number, row.display_name):
            compiled[row.id] = before
            continue
        try:
            compiled[row.id] = compile_policy(
                row.id, row.display_name, row.number, json.loads(row.document)
            )
        except Invalid as error:
            # Leaving it out would drop its Deny as well.
            raise Unavailable(
                f"the stored policy {row.id} can no longer be read: {error.message}",
                rule="policy_unreadable",
            ) from error
    return compiled


def _grants(
    stored: Sequence[StoredGrant],
    policies: Mapping[str, CompiledPolicy],
    known_groups: Mapping[str, Group],
) -> dict[tuple[str, str], tuple[Grant, ...]]:
    found: dict[tuple[str, str], list[Grant]] = {}
    for row in stored:
        policy = policies.get(row.key.policy_id)
        if policy is None:
            raise NotFound(f"no policy {row.key.policy_id}", kind="policy", id=row.key.policy_id)
        principal = (row.key.principal_kind, row.key.principal_id)
        group = known_groups.get(row.key.principal_id)
        found.setdefault(principal, []).append(
            Grant(
                id=row.id,
                principal=principal,
                policy=policy,
                scope=ScopeKind(row.key.scope),
                scope_id=row.key.scope_id,
                via=group.name if group is not None else "",
            )
        )
    return {principal: tuple(grants) for principal, grants in found.items()}


def _collect(snapshot: AccountSnapshot, principal: Principal) -> tuple[Grant, ...]:
    if principal.type is PrincipalType.AGENCY:
        return snapshot.grants.get(("agency", principal.id), ())
    member = snapshot.members.get(principal.id)
    if principal.type is not PrincipalType.USER or member is None:
        return ()
    keys = [("user", principal.id), *(("group", group) for group in member.groups)]
    return tuple(grant for key in keys for grant in snapshot.grants.get(key, ()))
