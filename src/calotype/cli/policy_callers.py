# SPDX-License-Identifier: Apache-2.0
"""Who asks in a vector, and with which grants: the file's names made into callers.

A grant that the service would refuse to make (a user's outside enterprise projects, a Version 1.0
role on one, another account's scope) does not exist. Source: contract iam.md 1.1, 6.5.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from calotype.cli.policy_world import FileWorld, made_id
from calotype.iam.builtin import compiled
from calotype.iam.grants import Grant, GrantSet, ScopeKind
from calotype.iam.policy import CompiledPolicy, compile_policy
from calotype.principal import Caller, Credential, Principal, PrincipalType

_SCOPES = {
    "project": (ScopeKind.PROJECT, "projects"),
    "all_projects": (ScopeKind.ALL_PROJECTS, "accounts"),
    "ep": (ScopeKind.ENTERPRISE_PROJECT, "eps"),
    "global": (ScopeKind.GLOBAL, "accounts"),
}


def moment(text: str) -> datetime:
    """Return an instant of the file. Raises ValueError."""
    return datetime.fromisoformat(text)


class Callers:
    """Makes callers of one world."""

    def __init__(self, world: FileWorld) -> None:
        self.world = world

    def caller(self, raw: Mapping[str, Any], request: Mapping[str, Any]) -> tuple[Caller, GrantSet]:
        """Return who asks `request` in the vector `raw`, and what he holds."""
        kind, _, name = str(request["as"]).partition(":")
        context = request.get("context") or {}
        policies = self._policies(raw)
        grants, operator = self._grants(raw, policies, kind, name)
        principal = self._principal(kind, name, operator)
        arrived = moment(self.world.filled(context.get("time", "2026-11-24T05:00:00Z")))
        age = timedelta(seconds=float(context.get("mfa_age", 60)))
        session = request.get("session_policy")
        project = request.get("project")
        account = self.world.names.get(("accounts", principal.account_id), "")
        caller = Caller(
            principal=principal,
            credential=Credential(
                kind="token",
                mfa_at=arrived - age if context.get("mfa") else None,
                session_policy=json.dumps(self.world.filled(session)) if session else None,
            ),
            project_id=None if project is None else self.world.id_of("projects", project),
            project_name=None if project is None else self.world.project_name(project),
            eps_enabled=bool(self.world.accounts.get(account, {}).get("eps_enabled", True)),
            source_ip=str(context.get("source_ip", "198.51.100.7")),
            user_agent="",
            request_id="",
            arrived_at=arrived,
        )
        return caller, grants

    def _principal(self, kind: str, name: str, operator: bool) -> Principal:
        world = self.world
        if kind == "operator":
            return Principal(
                PrincipalType.OPERATOR, "operator", "operator", "", "", is_operator=True
            )
        if kind == "root":
            name, kind = world.accounts[name]["root"], "user"
        account = world.account_of(kind, name)
        is_agency = kind == "agency"
        return Principal(
            type=PrincipalType.AGENCY if is_agency else PrincipalType.USER,
            id=world.id_of("agencies" if is_agency else "users", name),
            name=f"{account}/{name}" if is_agency else name,
            account_id=world.id_of("accounts", account),
            account_name=account,
            is_root=not is_agency and world.accounts[account]["root"] == name,
            is_operator=operator,
        )

    def _policies(self, raw: Mapping[str, Any]) -> Mapping[str, CompiledPolicy]:
        custom = {
            name: compile_policy(made_id("policies", name), name, 1, self.world.filled(document))
            for name, document in (raw.get("policies") or {}).items()
        }
        return {**compiled(), **custom}

    def _grants(
        self, raw: Mapping[str, Any], policies: Mapping[str, CompiledPolicy], kind: str, name: str
    ) -> tuple[GrantSet, bool]:
        """Return the grants of one principal, and whether one of them makes an operator."""
        groups = (self.world.users.get(name) or {}).get("groups") or () if kind == "user" else ()
        mine = {f"{kind}:{name}", *(f"group:{group}" for group in groups)}
        grants: list[Grant] = []
        operator = False
        for index, item in enumerate(raw.get("grants") or ()):
            if item["to"] not in mine:
                continue
            grant = self._grant(index, item, policies)
            if grant is None:
                continue
            grants.append(grant)
            first = made_id("accounts", self.world.first_account)
            is_global = grant.scope is ScopeKind.GLOBAL and grant.scope_id == first
            operator = operator or (grant.policy.makes_operator and is_global)
        return GrantSet(grants), operator

    def _grant(
        self, index: int, item: Mapping[Any, Any], policies: Mapping[str, CompiledPolicy]
    ) -> Grant | None:
        """Return a grant, or None when the service would refuse to make it."""
        to_kind, _, to = str(item["to"]).partition(":")
        on_kind, _, on = str(item.get("on", item.get(True))).partition(":")
        scope, id_kind = _SCOPES[on_kind]
        policy = policies[item["policy"]]
        account = self.world.account_of(to_kind, to)
        if not self._in_account(on_kind, on, account):
            return None
        on_ep = scope is ScopeKind.ENTERPRISE_PROJECT
        if (to_kind == "user" and not on_ep) or (on_ep and policy.language == "1.0"):
            return None
        return Grant(
            str(index), (to_kind, to), policy, scope, self.world.id_of(id_kind, on), via=to
        )

    def _in_account(self, kind: str, name: str, account: str) -> bool:
        if kind == "ep":
            return name in self.world.ep_accounts[account]
        return (self.world.account_of("project", name) if kind == "project" else name) == account
