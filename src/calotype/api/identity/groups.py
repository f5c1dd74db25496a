# SPDX-License-Identifier: Apache-2.0
"""Groups and their members over HTTP (contract iam.md 6.1)."""

from __future__ import annotations

from sqlalchemy import Connection

from calotype import clock, ids
from calotype.api.identity import shapes
from calotype.api.identity.bodies import Body, read, require_own_account
from calotype.api.identity.parts import Parts
from calotype.errors import NotFound
from calotype.gate.request import Answer, Handler, Request, reads, writes
from calotype.iam import groups, names
from calotype.iam.groups import Group


class _NewGroup(Body):
    name: str
    domain_id: str | None = None
    description: str | None = None


class _NewGroupRequest(Body):
    group: _NewGroup


class _Change(Body):
    name: str | None = None
    domain_id: str | None = None
    description: str | None = None


class _ChangeRequest(Body):
    group: _Change


def handlers(parts: Parts) -> dict[str, Handler]:
    """Return the handlers of this chapter."""
    limits = parts.room.limits

    def create(connection: Connection, request: Request) -> Answer:
        wanted = read(_NewGroupRequest, request.body).group
        require_own_account(request, wanted.domain_id, "group.domain_id")
        group = Group(
            id=ids.new_hex(),
            account_id=request.caller.principal.account_id,
            name=names.group(wanted.name, "group.name"),
            description=names.description(wanted.description or "", "group.description"),
            created_at=clock.now(),
        )
        groups.add(connection, group, limits.groups)
        return Answer(201, json={"group": shapes.group(group, request.base_url)})

    def add_user(connection: Connection, request: Request) -> Answer:
        groups.add_user(connection, *_membership(request), limits.groups_per_user)
        return Answer(204)

    return {
        "iam.group_list": reads(_list),
        "iam.group_create": writes(create),
        "iam.group_show": reads(_show),
        "iam.group_update": writes(_change),
        "iam.group_delete": writes(_delete),
        "iam.group_user_add": writes(add_user),
        "iam.group_user_check": reads(_check_user),
        "iam.group_user_remove": writes(_remove_user),
        "iam.group_users": reads(_users),
        "iam.user_groups": reads(_groups_of_user),
    }


def _membership(request: Request) -> tuple[str, str, str]:
    account_id = request.caller.principal.account_id
    return account_id, request.params["group_id"], request.params["user_id"]


def _list(connection: Connection, request: Request) -> Answer:
    account_id = request.caller.principal.account_id
    found = groups.of_account(connection, account_id, name=request.last("name") or None)
    if request.last("domain_id") not in (None, "", account_id):
        found = []
    items = [shapes.group(group, request.base_url) for group in found]
    return Answer(200, json=shapes.listed("groups", items, f"{request.base_url}/v3/groups"))


def _show(connection: Connection, request: Request) -> Answer:
    account_id = request.caller.principal.account_id
    group = groups.get(connection, account_id, request.params["group_id"])
    return Answer(200, json={"group": shapes.group(group, request.base_url)})


def _change(connection: Connection, request: Request) -> Answer:
    wanted = read(_ChangeRequest, request.body).group
    require_own_account(request, wanted.domain_id, "group.domain_id")
    columns: dict[str, str] = {}
    if wanted.name is not None:
        columns["name"] = names.group(wanted.name, "group.name")
    if wanted.description is not None:
        columns["description"] = names.description(wanted.description, "group.description")
    account_id = request.caller.principal.account_id
    group = groups.change(connection, account_id, request.params["group_id"], **columns)
    return Answer(200, json={"group": shapes.group(group, request.base_url)})


def _delete(connection: Connection, request: Request) -> Answer:
    groups.remove(connection, request.caller.principal.account_id, request.params["group_id"])
    return Answer(204)


def _check_user(connection: Connection, request: Request) -> Answer:
    account_id, group_id, user_id = _membership(request)
    if not groups.has_user(connection, account_id, group_id, user_id):
        raise NotFound(f"user {user_id} is not in group {group_id}", kind="membership")
    return Answer(204)


def _remove_user(connection: Connection, request: Request) -> Answer:
    groups.remove_user(connection, *_membership(request))
    return Answer(204)


def _users(connection: Connection, request: Request) -> Answer:
    group_id = request.params["group_id"]
    found = groups.users_of(connection, request.caller.principal.account_id, group_id)
    items = [shapes.user(user, request.base_url) for user in found]
    url = f"{request.base_url}/v3/groups/{group_id}/users"
    return Answer(200, json=shapes.listed("users", items, url))


def _groups_of_user(connection: Connection, request: Request) -> Answer:
    user_id = request.params["user_id"]
    found = groups.groups_of(connection, request.caller.principal.account_id, user_id)
    items = [shapes.group(group, request.base_url) for group in found]
    url = f"{request.base_url}/v3/users/{user_id}/groups"
    return Answer(200, json=shapes.listed("groups", items, url))
