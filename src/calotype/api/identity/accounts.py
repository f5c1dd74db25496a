# SPDX-License-Identifier: Apache-2.0
"""Accounts, for the operator, and the operation table as data (contract iam.md 6.5, 7)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from calotype.api.identity import shapes
from calotype.api.identity.bodies import Body, read
from calotype.api.identity.parts import Parts
from calotype.errors import ReadOnly
from calotype.flows.accounts import delete_account
from calotype.gate.request import Answer, Handler, Request, reads, waits, writes
from calotype.iam import accounts, names, new_account, projects, users
from calotype.iam.accounts import Account
from calotype.iam.new_account import MadeAccount, WantedAccount

Json = dict[str, Any]


class _Root(Body):
    name: str | None = None
    password: str


class _NewAccount(Body):
    name: str
    eps_enabled: bool = True
    root: _Root


class _NewAccountRequest(Body):
    account: _NewAccount


class _Change(Body):
    enabled: bool | None = None
    eps_enabled: bool | None = None


class _ChangeRequest(Body):
    account: _Change


def handlers(parts: Parts) -> dict[str, Handler]:
    """Return the handlers of this chapter."""
    table = [shapes.operation(row) for row in parts.operations if not row.planned]

    async def create(request: Request) -> Answer:
        return await _create(parts, request)

    def delete(connection: Connection, request: Request) -> Answer:
        delete_account(connection, request.params["account_id"].lower())
        return Answer(204)

    def show_operations(connection: Connection, request: Request) -> Answer:
        del connection, request
        return Answer(200, json={"operations": table})

    return {
        "authz.account_create": waits(create),
        "authz.account_list": reads(_list),
        "authz.account_show": reads(_show),
        "authz.account_update": writes(_change),
        "authz.account_delete": writes(delete),
        "authz.operations": reads(show_operations),
    }


async def _create(parts: Parts, request: Request) -> Answer:
    wanted = read(_NewAccountRequest, request.body).account
    name = names.person(wanted.name, "account.name")
    root_name = names.person(wanted.root.name or name, "account.root.name")
    names.password(wanted.root.password, "account.root.password", root_name)
    draft = WantedAccount(
        name=name,
        root_name=root_name,
        password_hash=await parts.room.passwords.hash(wanted.root.password),
        region=parts.room.region,
        eps_enabled=wanted.eps_enabled,
    )

    def work(connection: Connection) -> MadeAccount:
        created = new_account.create(connection, draft)
        request.record(connection, 201)
        return created

    made = await parts.database.run_write(work)
    body = shapes.account(made.account, made.root.id, [made.project])
    return Answer(201, json={"account": body})


def _shape(connection: Connection, account: Account) -> Json:
    roots = [user.id for user in users.of_account(connection, account.id) if user.is_root]
    owned = projects.of_account(connection, account.id)
    return shapes.account(account, roots[0] if roots else None, owned)


def _list(connection: Connection, request: Request) -> Answer:
    found = accounts.all_accounts(connection, request.last("name") or None)
    return Answer(200, json={"accounts": [_shape(connection, one) for one in found]})


def _show(connection: Connection, request: Request) -> Answer:
    account = accounts.get(connection, request.params["account_id"].lower())
    return Answer(200, json={"account": _shape(connection, account)})


def _change(connection: Connection, request: Request) -> Answer:
    wanted = read(_ChangeRequest, request.body).account
    account = accounts.get(connection, request.params["account_id"].lower())
    if account.is_first and wanted.enabled is False:
        raise ReadOnly("the first account cannot be disabled", rule="first_account")
    columns = {
        name: value
        for name in ("enabled", "eps_enabled")
        if (value := getattr(wanted, name)) is not None
    }
    accounts.change(connection, account.id, **columns)
    changed = accounts.get(connection, account.id)
    return Answer(200, json={"account": _shape(connection, changed)})
