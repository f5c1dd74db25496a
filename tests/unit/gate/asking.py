# SPDX-License-Identifier: Apache-2.0
"""A small world, a caller, and short forms to ask enforcement with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from calotype.cli.policy_world import FileWorld, made_id
from calotype.contract import load_operations
from calotype.gate.enforce import Asked, Verdict, enforce
from calotype.gate.routes import Router
from calotype.iam.builtin import compiled
from calotype.iam.grants import Grant, GrantSet, ScopeKind
from calotype.principal import Caller, Credential, Principal, PrincipalType
from tests.unit.gate.moments import NOON

ROWS = load_operations()
ROUTER = Router(ROWS)
WORLD = FileWorld(
    {
        "accounts": {
            "acme": {
                "root": "acme-root",
                "projects": ["acme-r1"],
                "enterprise_projects": ["0", "ep-a", "ep-b"],
            },
            "globex": {"root": "globex-root", "projects": ["globex-r1"]},
        },
        "users": {"alice": {"account": "acme", "groups": []}},
        "images": {
            "img-a": {"owner": "acme-r1", "ep": "ep-a", "tags": {"env": "dev"}},
            "img-b": {"owner": "acme-r1", "ep": "ep-b"},
            "img-key": {"owner": "acme-r1", "cmk_id": "key-1"},
            "img-gold": {"owner": "globex-r1", "visibility": "public", "imagetype": "gold"},
        },
    }
)
PROJECT = made_id("projects", "acme-r1")
ACME = made_id("accounts", "acme")
IMAGE = made_id("images", "img-a")
ALICE = Caller(
    principal=Principal(PrincipalType.USER, made_id("users", "alice"), "alice", ACME, "acme"),
    credential=Credential("token"),
    project_id=PROJECT,
    project_name="region-1",
    eps_enabled=True,
    source_ip="198.51.100.7",
    user_agent="",
    request_id="req-1",
    arrived_at=NOON,
)
ROOT = replace(ALICE, principal=replace(ALICE.principal, is_root=True))
NOTHING = GrantSet()


def holds(*names: str, on: str = "") -> GrantSet:
    """Return built-in policies granted on the project, or on an enterprise project."""
    scope = ScopeKind.ENTERPRISE_PROJECT if on else ScopeKind.PROJECT
    return GrantSet(
        Grant(name, ("group", "g"), compiled()[name], scope, on or PROJECT, via="devs")
        for name in names
    )


def asked(
    method: str,
    path: str,
    body: object = None,
    query: Sequence[tuple[str, str]] = (),
    caller: Caller = ALICE,
) -> Asked:
    """Return a request, not decided yet."""
    match = ROUTER.match(method, path.encode())
    return Asked(match.operation, caller, match.params, query, body)


def decide(ask: Asked, grants: GrantSet = NOTHING, **options: Any) -> Verdict:
    """Decide a request in the world of this module."""
    return enforce(ask, WORLD, grants, **options)
