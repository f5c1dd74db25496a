# SPDX-License-Identifier: Apache-2.0
"""Grants over HTTP: each scope has the same four calls (contract iam.md 6.3).

One line of `_SCOPES` is one family of addresses: who receives the policy, on what kind of scope,
and which path parameter names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from calotype import ids
from calotype.api.identity import shapes
from calotype.api.identity.parts import Parts
from calotype.api.identity.policies import role, warning_headers
from calotype.errors import NotFound
from calotype.gate.request import Answer, Handler, Request, reads, writes
from calotype.iam import granting, grants_store, groups
from calotype.iam.grants import ScopeKind
from calotype.iam.grants_store import GrantKey


@dataclass(frozen=True, slots=True)
class _Family:
    principal: str  # group, user
    scope: ScopeKind
    parameter: str

    def principal_id(self, request: Request) -> str:
        return request.params[f"{self.principal}_id"].lower()

    def scope_id(self, request: Request) -> str:
        text = request.params[self.parameter]
        return ids.project_id(text) or text if self.parameter == "project_id" else text.lower()

    def key(self, request: Request) -> GrantKey:
        return GrantKey(
            self.principal,
            self.principal_id(request),
            request.params["role_id"],
            self.scope.value,
            self.scope_id(request),
        )


_SCOPES: Mapping[str, _Family] = {
    "iam.project_group": _Family("group", ScopeKind.PROJECT, "project_id"),
    "iam.inherit_group": _Family("group", ScopeKind.ALL_PROJECTS, "domain_id"),
    "iam.domain_group": _Family("group", ScopeKind.GLOBAL, "domain_id"),
    "iam.ep_group": _Family("group", ScopeKind.ENTERPRISE_PROJECT, "enterprise_project_id"),
    "iam.ep_user": _Family("user", ScopeKind.ENTERPRISE_PROJECT, "enterprise_project_id"),
}
# Addresses that the vendor's table does not have.
_ABSENT = frozenset({"iam.ep_group_check", "iam.ep_user_check", "iam.ep_user_roles"})


def handlers(parts: Parts) -> dict[str, Handler]:
    """Return the handlers of this chapter."""
    del parts
    found: dict[str, Handler] = {"iam.ep_groups": reads(_groups_on_ep)}
    for name, family in _SCOPES.items():
        found |= {
            row: handler for row, handler in _family(name, family).items() if row not in _ABSENT
        }
    return found


def _family(name: str, family: _Family) -> dict[str, Handler]:
    def grant(connection: Connection, request: Request) -> Answer:
        account_id = request.caller.principal.account_id
        warnings = granting.grant(connection, account_id, family.key(request))
        return Answer(204, headers=warning_headers(warnings))

    def check(connection: Connection, request: Request) -> Answer:
        account_id = request.caller.principal.account_id
        if not granting.is_granted(connection, account_id, family.key(request)):
            raise NotFound("there is no such grant", kind="grant")
        return Answer(204)

    def revoke(connection: Connection, request: Request) -> Answer:
        granting.revoke(connection, request.caller.principal.account_id, family.key(request))
        return Answer(204)

    def list_roles(connection: Connection, request: Request) -> Answer:
        return _roles(connection, request, family)

    return {
        f"{name}_grant": writes(grant),
        f"{name}_check": reads(check),
        f"{name}_revoke": writes(revoke),
        f"{name}_roles": reads(list_roles),
    }


def _roles(connection: Connection, request: Request, family: _Family) -> Answer:
    account_id = request.caller.principal.account_id
    principal_id, scope_id = family.principal_id(request), family.scope_id(request)
    granting.require_principal(connection, account_id, family.principal, principal_id)
    granting.require_scope(connection, account_id, family.scope.value, scope_id)
    held = grants_store.on_scope(connection, account_id, family.scope.value, scope_id)
    found = [
        role(connection, account_id, grant.key.policy_id, request.base_url)
        for grant in held
        if (grant.key.principal_kind, grant.key.principal_id) == (family.principal, principal_id)
    ]
    path = request.operation.path
    for parameter, value in request.params.items():
        path = path.replace(f"{{{parameter}}}", value)
    return Answer(200, json=shapes.listed("roles", found, request.base_url + path))


def _groups_on_ep(connection: Connection, request: Request) -> Answer:
    account_id = request.caller.principal.account_id
    ep_id = request.params["enterprise_project_id"].lower()
    scope = ScopeKind.ENTERPRISE_PROJECT.value
    granting.require_scope(connection, account_id, scope, ep_id)
    held = {
        grant.key.principal_id
        for grant in grants_store.on_scope(connection, account_id, scope, ep_id)
        if grant.key.principal_kind == "group"
    }
    found = [
        shapes.group_on_ep(group)
        for group in groups.of_account(connection, account_id)
        if group.id in held
    ]
    return Answer(200, json={"groups": found})
