# SPDX-License-Identifier: Apache-2.0
"""Policies over HTTP: custom ones, and the built-in ones to look at (contract iam.md 6.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from sqlalchemy import Connection

from calotype.api.identity import bodies, shapes
from calotype.api.identity.bodies import Body, read
from calotype.api.identity.parts import Parts
from calotype.gate.request import Answer, Handler, Pairs, Request, reads, writes
from calotype.iam import builtin, custom_policies, policies_store
from calotype.iam.custom_policies import PolicyDraft

Json = dict[str, Any]
WARNING = "X-Policy-Warning"
_EXACT = ("name", "display_name", "catalog", "type")
_PAGE = 300


class _NewRole(Body):
    display_name: str
    type: Literal["AX", "XA"]
    description: str | None = None
    description_cn: str | None = None
    policy: dict[str, object]


class _NewRoleRequest(Body):
    role: _NewRole


class _Change(Body):
    display_name: str | None = None
    type: Literal["AX", "XA"] | None = None
    description: str | None = None
    description_cn: str | None = None
    policy: dict[str, object] | None = None


class _ChangeRequest(Body):
    role: _Change


def handlers(parts: Parts) -> dict[str, Handler]:
    """Return the handlers of this chapter."""
    limit = parts.room.limits.policies

    def create(connection: Connection, request: Request) -> Answer:
        wanted = read(_NewRoleRequest, request.body).role
        draft = PolicyDraft(wanted.display_name, wanted.type, wanted.description, wanted.policy)
        account_id = request.caller.principal.account_id
        policy, warnings = custom_policies.create(connection, account_id, draft, limit)
        body = {"role": shapes.custom_policy(policy, request.base_url)}
        return Answer(201, json=body, headers=warning_headers(warnings))

    return {
        "iam.policy_list": reads(_list_custom),
        "iam.policy_create": writes(create),
        "iam.policy_show": reads(_show_custom),
        "iam.policy_update": writes(_change),
        "iam.policy_delete": writes(_delete),
        "iam.role_list": reads(_list_roles),
        "iam.role_show": reads(_show_role),
    }


def warning_headers(warnings: Iterable[str]) -> Pairs:
    """Return one header line for each warning."""
    return tuple((WARNING, warning) for warning in warnings)


def role(connection: Connection, account_id: str, policy_id: str, base_url: str) -> Json:
    """Return a built-in policy or one of the account's. Raises NotFound."""
    for row in builtin.BUILTIN:
        if row.id == policy_id:
            return shapes.builtin_policy(row, base_url)
    return shapes.custom_policy(policies_store.get(connection, account_id, policy_id), base_url)


def _custom(connection: Connection, request: Request) -> list[Json]:
    account_id = request.caller.principal.account_id
    return [
        shapes.custom_policy(row, request.base_url)
        for row in policies_store.of_account(connection, account_id)
    ]


def _list_custom(connection: Connection, request: Request) -> Answer:
    return _page(request, _custom(connection, request), "/v3.0/OS-ROLE/roles")


def _list_roles(connection: Connection, request: Request) -> Answer:
    """Without `domain_id` the built-in ones, with it the account's own."""
    domain_id = request.last("domain_id")
    kind = bodies.one_of(request, "permission_type", ("policy", "role", ""), "")
    if not domain_id:
        found = [shapes.builtin_policy(row, request.base_url) for row in builtin.BUILTIN]
    elif domain_id == request.caller.principal.account_id:
        found = _custom(connection, request)
    else:
        found = []
    wanted = [(name, request.last(name)) for name in _EXACT]
    found = [
        item
        for item in found
        if all(not value or item[name] == value for name, value in wanted)
        and (not kind or (item["policy"]["Version"] == "1.1") == (kind == "policy"))
    ]
    return _page(request, found, "/v3/roles")


def _page(request: Request, found: list[Json], path: str) -> Answer:
    size = bodies.number(request, "per_page", (1, _PAGE), _PAGE)
    page = bodies.number(request, "page", (1, 10**6), 1)
    start = (page - 1) * size
    body = shapes.listed("roles", found[start : start + size], request.base_url + path)
    return Answer(200, json={**body, "total_number": len(found)})


def _show_custom(connection: Connection, request: Request) -> Answer:
    account_id = request.caller.principal.account_id
    row = policies_store.get(connection, account_id, request.params["role_id"])
    return Answer(200, json={"role": shapes.custom_policy(row, request.base_url)})


def _show_role(connection: Connection, request: Request) -> Answer:
    account_id = request.caller.principal.account_id
    found = role(connection, account_id, request.params["role_id"], request.base_url)
    return Answer(200, json={"role": found})


def _change(connection: Connection, request: Request) -> Answer:
    wanted = read(_ChangeRequest, request.body).role
    draft = PolicyDraft(wanted.display_name, wanted.type, wanted.description, wanted.policy)
    account_id = request.caller.principal.account_id
    policy, warnings = custom_policies.change(
        connection, account_id, request.params["role_id"], draft
    )
    body = {"role": shapes.custom_policy(policy, request.base_url)}
    return Answer(200, json=body, headers=warning_headers(warnings))


def _delete(connection: Connection, request: Request) -> Answer:
    account_id = request.caller.principal.account_id
    custom_policies.remove(connection, account_id, request.params["role_id"])
    return Answer(200)
