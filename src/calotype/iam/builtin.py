# SPDX-License-Identifier: Apache-2.0
"""The built-in policies and roles: immutable, of every account (contract iam.md 2.5).

A carve-out narrows the Allow of its own role; it is no Deny and touches no other policy. Ids are
fixed, so that a grant names the same policy in every deployment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from calotype.iam.grants import Grant, GrantSet, ScopeKind
from calotype.iam.matching import read_action
from calotype.iam.policy import CompiledPolicy, parse_policy
from calotype.iam.statement import Statement

PLATFORM_ADMINISTRATOR = "Platform Administrator"


@dataclass(frozen=True, slots=True)
class Builtin:
    """One row of the table. `excepted` are the carve-outs of its only statement."""

    display_name: str
    name: str
    version: str
    type: str
    catalog: str
    actions: tuple[str, ...]
    excepted: tuple[str, ...] = ()
    depends: tuple[tuple[str, str], ...] = ()

    @property
    def id(self) -> str:
        """32 hex digits made from the internal name."""
        return hashlib.sha256(f"calotype built-in {self.name}".encode()).hexdigest()[:32]

    def document(self) -> dict[str, object]:
        """Return the policy document as the API shows it; carve-outs are not part of it."""
        statements = [{"Effect": "Allow", "Action": list(self.actions)}] if self.actions else []
        document: dict[str, object] = {"Version": self.version, "Statement": statements}
        if self.depends:
            document["Depends"] = [
                {"catalog": catalog, "display_name": name} for catalog, name in self.depends
            ]
        return document


_IMS_OF_SERVERS = (
    "ims:images:get",
    "ims:images:list",
    "ims:images:create",
    "ims:images:update",
    "ims:images:delete",
    "ims:images:upload",
    "ims:serverImages:create",
    "ims:dataImages:create",
    "ims:wholeImages:create",
    "ecs:*:*",
)
_READ_IMS = ("ims:*:get*", "ims:*:list*")
_READ_EPS = ("eps:*:get*", "eps:*:list*")
_READ_IAM = ("iam:*:get*", "iam:*:list*", "iam:*:check*")
_NOT_IAM = ("iam:*:*",)
_ASSUME = "iam:agencies:assume"

BUILTIN = (
    Builtin("FullAccess", "system_all_0", "1.1", "AA", "BASE", ("*:*:*",)),
    Builtin("IMS FullAccess", "system_all_11", "1.1", "XA", "IMS", ("ims:*:*",)),
    Builtin("IMS ReadOnlyAccess", "system_all_12", "1.1", "XA", "IMS", _READ_IMS),
    Builtin("EPS FullAccess", "system_all_21", "1.1", "AX", "EPS", ("eps:*:*",)),
    Builtin("EPS ReadOnlyAccess", "system_all_22", "1.1", "AX", "EPS", _READ_EPS),
    Builtin("IAM ReadOnlyAccess", "system_all_31", "1.1", "AX", "IAM", _READ_IAM),
    Builtin("Tenant Administrator", "te_admin", "1.0", "AA", "BASE", ("*:*:*",), _NOT_IAM),
    Builtin("Tenant Guest", "readonly", "1.0", "AA", "BASE", ("*:*:get*", "*:*:list*"), _NOT_IAM),
    Builtin("Security Administrator", "secu_admin", "1.0", "AX", "BASE", _NOT_IAM, (_ASSUME,)),
    Builtin("Agent Operator", "te_agency", "1.0", "AX", "BASE", (_ASSUME, "iam:tokens:assume")),
    Builtin(
        "IMS Administrator",
        "ims_adm",
        "1.0",
        "XA",
        "IMS",
        ("ims:*:*",),
        depends=(("BASE", "Tenant Administrator"),),
    ),
    Builtin(PLATFORM_ADMINISTRATOR, "platform_adm", "1.0", "AX", "BASE", ()),
    Builtin("OBS Administrator", "obs_adm", "1.0", "XA", "OBS", ("obs:*:*",)),
    Builtin("CBR Admin", "cbr_adm", "1.0", "XA", "CBR", ("cbr:*:*",)),
    Builtin("CSBS Administrator", "csbs_adm", "1.0", "XA", "CSBS", ("csbs:*:*",)),
    Builtin(
        "Server Administrator",
        "server_adm",
        "1.0",
        "XA",
        "ECS",
        _IMS_OF_SERVERS,
        depends=(("IMS", "IMS Administrator"),),
    ),
)


@cache
def compiled() -> Mapping[str, CompiledPolicy]:
    """Return every built-in policy, compiled, by display name."""
    return {row.display_name: _compile(row) for row in BUILTIN}


@cache
def compiled_by_id() -> Mapping[str, CompiledPolicy]:
    """Return every built-in policy, compiled, by id."""
    return {policy.id: policy for policy in compiled().values()}


@cache
def root_grants() -> GrantSet:
    """Return what an account owner holds in its own account: everything, and no Deny."""
    policy = compiled()["FullAccess"]
    return GrantSet([Grant("root", ("user", ""), policy, ScopeKind.ALL_PROJECTS, "")])


def _compile(row: Builtin) -> CompiledPolicy:
    statements: tuple[Statement, ...] = ()
    if row.actions:
        parsed = parse_policy(row.document(), custom=False)
        statements = tuple(_narrowed(one, row.excepted) for one in parsed.statements)
    return CompiledPolicy(
        id=row.id,
        name=row.display_name,
        number=1,
        language=row.version,
        statements=statements,
        depends=tuple(name for _, name in row.depends),
        builtin=True,
        makes_operator=row.display_name == PLATFORM_ADMINISTRATOR,
    )


def _narrowed(statement: Statement, excepted: tuple[str, ...]) -> Statement:
    patterns = tuple(pattern for text in excepted if (pattern := read_action(text)) is not None)
    return Statement(statement.index, statement.effect, statement.actions, patterns)
