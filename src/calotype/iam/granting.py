# SPDX-License-Identifier: Apache-2.0
"""Granting and revoking: what may meet in one grant (contract iam.md 1.1, 2.5).

Principal, policy and scope must be of one account; what is not there is NotFound, as is what
belongs to another account. Only Version 1.1 policies may be granted on an enterprise project, and
users directly only there. A role whose dependencies are missing is granted with a warning.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import Connection

from calotype.errors import Invalid, NotFound
from calotype.iam import (
    agencies,
    builtin,
    enterprise_projects,
    grants_store,
    groups,
    policies_store,
    projects,
    users,
)
from calotype.iam.grants import Grant, ScopeKind, missing_role
from calotype.iam.grants_store import GrantKey
from calotype.iam.policy import CompiledPolicy, compile_policy

_COVERING: Mapping[str, frozenset[str]] = {
    ScopeKind.PROJECT: frozenset({ScopeKind.PROJECT, ScopeKind.ALL_PROJECTS}),
    ScopeKind.ALL_PROJECTS: frozenset({ScopeKind.ALL_PROJECTS}),
    ScopeKind.GLOBAL: frozenset({ScopeKind.GLOBAL, ScopeKind.ALL_PROJECTS}),
    ScopeKind.ENTERPRISE_PROJECT: frozenset({ScopeKind.ENTERPRISE_PROJECT}),
}


def grant(connection: Connection, account_id: str, key: GrantKey) -> tuple[str, ...]:
    """Grant; granting twice changes nothing. Return warnings for people.

    Raises NotFound, Invalid with rule `policy_on_enterprise_project`.
    """
    policy = find_policy(connection, account_id, key.policy_id)
    require_principal(connection, account_id, key.principal_kind, key.principal_id)
    require_scope(connection, account_id, key.scope, key.scope_id)
    on_ep = key.scope == ScopeKind.ENTERPRISE_PROJECT
    if on_ep and policy.language != "1.1":
        raise Invalid(
            f"{policy.name} is a Version {policy.language} role; only Version 1.1 policies can be "
            "granted on an enterprise project",
            rule="policy_on_enterprise_project",
            field="role_id",
            value=policy.id,
        )
    if key.principal_kind == "user" and not on_ep:
        raise Invalid(
            "a policy is granted to a user on an enterprise project only",
            rule="field_wrong",
            field="scope",
        )
    grants_store.add(connection, account_id, [key])
    missing = _missing(connection, account_id, key, policy)
    return () if missing is None else (f"missing dependency: {missing}",)


def revoke(connection: Connection, account_id: str, key: GrantKey) -> None:
    """Take a grant back. Raises NotFound when there is none."""
    require_scope(connection, account_id, key.scope, key.scope_id)
    if not grants_store.remove(connection, account_id, key):
        raise NotFound("there is no such grant", kind="grant", id=key.policy_id)


def is_granted(connection: Connection, account_id: str, key: GrantKey) -> bool:
    """Tell whether exactly this grant is there."""
    return grants_store.find(connection, account_id, key) is not None


def find_policy(connection: Connection, account_id: str, policy_id: str) -> CompiledPolicy:
    """Return a built-in policy or a custom one of the account. Raises NotFound."""
    known = builtin.compiled_by_id().get(policy_id)
    if known is not None:
        return known
    row = policies_store.get(connection, account_id, policy_id)
    return compile_policy(row.id, row.display_name, row.number, json.loads(row.document))


def require_principal(
    connection: Connection, account_id: str, kind: str, principal_id: str
) -> None:
    """Raise NotFound unless the group, user or agency is of the account."""
    if kind == "group":
        groups.get(connection, account_id, principal_id)
    elif kind == "user":
        users.get(connection, account_id, principal_id)
    elif all(one.id != principal_id for one in agencies.of_account(connection, account_id)):
        raise NotFound(f"no agency {principal_id}", kind="agency", id=principal_id)


def require_scope(connection: Connection, account_id: str, scope: str, scope_id: str) -> None:
    """Raise NotFound unless the project, enterprise project or account is the account's own."""
    if scope == ScopeKind.PROJECT:
        projects.get(connection, account_id, scope_id)
    elif scope == ScopeKind.ENTERPRISE_PROJECT:
        enterprise_projects.get(connection, account_id, scope_id)
    elif scope_id != account_id:
        raise NotFound(f"no account {scope_id}", kind="account", id=scope_id)


def _missing(
    connection: Connection, account_id: str, key: GrantKey, policy: CompiledPolicy
) -> str | None:
    """Return a role that `policy` needs and this principal lacks in a scope that covers it."""
    if not policy.depends:
        return None
    roles = builtin.compiled_by_id()
    held = [
        Grant(
            row.id,
            (row.key.principal_kind, row.key.principal_id),
            roles[row.key.policy_id],
            ScopeKind(row.key.scope),
            row.key.scope_id,
        )
        for row in grants_store.of_account(connection, account_id)
        if (row.key.principal_kind, row.key.principal_id) == (key.principal_kind, key.principal_id)
        and row.key.policy_id in roles
        and row.key.scope in _COVERING[key.scope]
        and (row.key.scope != ScopeKind.PROJECT or row.key.scope_id == key.scope_id)
    ]
    return missing_role(policy, held)
