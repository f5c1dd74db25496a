# SPDX-License-Identifier: Apache-2.0
"""Users over HTTP, in the Keystone and the vendor form (contract iam.md 6.1).

Passwords are hashed in their own pool before the transaction opens, so these calls are
asynchronous.
"""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import Connection

from calotype import clock, ids
from calotype.api.identity import bodies, shapes
from calotype.api.identity.bodies import Body, read, require_own_account
from calotype.api.identity.parts import Parts
from calotype.gate.request import Answer, Handler, Request, reads, waits, writes
from calotype.iam import lockout, names, users
from calotype.iam.login_words import AccountRef, UserRef
from calotype.iam.users import User

AccessMode = Literal["default", "programmatic", "console"]


class _NewUser(Body):
    name: str
    domain_id: str | None = None
    password: str | None = None
    enabled: bool = True
    access_mode: AccessMode = "default"
    description: str | None = None
    email: str | None = None


class _NewUserRequest(Body):
    user: _NewUser


class _Change(Body):
    name: str | None = None
    domain_id: str | None = None
    password: str | None = None
    enabled: bool | None = None
    access_mode: AccessMode | None = None
    description: str | None = None
    email: str | None = None


class _ChangeRequest(Body):
    user: _Change


class _Password(Body):
    password: str
    original_password: str


class _PasswordRequest(Body):
    user: _Password


def handlers(parts: Parts) -> dict[str, Handler]:
    """Return the handlers of this chapter."""

    async def create(request: Request) -> Answer:
        return await _create(parts, request)

    async def change(request: Request) -> Answer:
        return await _change(parts, request)

    async def change_password(request: Request) -> Answer:
        wanted = read(_PasswordRequest, request.body).user
        user = UserRef(
            request.params["user_id"], None, AccountRef(request.caller.principal.account_id)
        )
        await parts.room.login.change_password(
            user,
            wanted.original_password,
            wanted.password,
            request.caller.source_ip,
            request.accepted(204),
        )
        return Answer(204)

    return {
        "iam.user_list": reads(_list),
        "iam.user_show": reads(_show),
        "iam.user_show_os": reads(_show),
        "iam.user_create": waits(create),
        "iam.user_create_os": waits(create),
        "iam.user_update": waits(change),
        "iam.user_update_os": waits(change),
        "iam.user_password": waits(change_password),
        "iam.user_delete": writes(_delete),
    }


def _list(connection: Connection, request: Request) -> Answer:
    account_id = request.caller.principal.account_id
    enabled = bodies.flag(request, "enabled")
    found = users.of_account(
        connection, account_id, name=request.last("name") or None, enabled=enabled
    )
    if request.last("domain_id") not in (None, "", account_id):
        found = []
    items = [shapes.user(user, request.base_url) for user in found]
    return Answer(200, json=shapes.listed("users", items, f"{request.base_url}/v3/users"))


def _show(connection: Connection, request: Request) -> Answer:
    account_id = request.caller.principal.account_id
    user = users.get(connection, account_id, request.params["user_id"])
    return Answer(200, json={"user": shapes.user(user, request.base_url)})


def _delete(connection: Connection, request: Request) -> Answer:
    users.remove(connection, request.caller.principal.account_id, request.params["user_id"])
    return Answer(204)


async def _create(parts: Parts, request: Request) -> Answer:
    wanted = read(_NewUserRequest, request.body).user
    require_own_account(request, wanted.domain_id, "user.domain_id")
    name = names.person(wanted.name, "user.name")
    stored = None
    if wanted.password is not None:
        names.password(wanted.password, "user.password", name)
        stored = await parts.room.passwords.hash(wanted.password)
    user = User(
        id=ids.new_hex(),
        account_id=request.caller.principal.account_id,
        name=name,
        enabled=wanted.enabled,
        is_root=False,
        password_hash=stored,
        password_expires_at=None,
        access_mode=wanted.access_mode,
        description=names.description(wanted.description or "", "user.description"),
        email=names.description(wanted.email or "", "user.email"),
        created_at=clock.now(),
    )
    limit = parts.room.limits.users

    def work(connection: Connection) -> None:
        users.add(connection, user, limit)
        request.record(connection, 201)

    await parts.database.run_write(work)
    return Answer(201, json={"user": shapes.user(user, request.base_url)})


async def _change(parts: Parts, request: Request) -> Answer:
    wanted = read(_ChangeRequest, request.body).user
    require_own_account(request, wanted.domain_id, "user.domain_id")
    account_id = request.caller.principal.account_id
    user_id = request.params["user_id"]
    columns: dict[str, Any] = {}
    if wanted.name is not None:
        columns["name"] = names.person(wanted.name, "user.name")
    for field in ("description", "email"):
        value = getattr(wanted, field)
        if value is not None:
            columns[field] = names.description(value, f"user.{field}")
    for field in ("enabled", "access_mode"):
        if getattr(wanted, field) is not None:
            columns[field] = getattr(wanted, field)
    if wanted.password is not None:
        known = await parts.database.run_read(
            lambda connection: users.get(connection, account_id, user_id)
        )
        name = columns.get("name", known.name)
        names.password(wanted.password, "user.password", name)
        columns["password_hash"] = await parts.room.passwords.hash(wanted.password)

    def work(connection: Connection) -> User:
        if "password_hash" in columns:
            lockout.unlock(connection, user_id)
        changed = users.change(connection, account_id, user_id, **columns)
        request.record(connection, 200)
        return changed

    user = await parts.database.run_write(work)
    return Answer(200, json={"user": shapes.user(user, request.base_url)})
