# SPDX-License-Identifier: Apache-2.0
"""Access keys over HTTP (contract iam.md 6.1). The secret is in the answer of its making only."""

from __future__ import annotations

from sqlalchemy import Connection

from calotype.api.identity import shapes
from calotype.api.identity.bodies import Body, read
from calotype.api.identity.parts import Parts
from calotype.gate.request import Answer, Handler, Request, reads, writes
from calotype.iam import access_keys, names, users


class _NewKey(Body):
    user_id: str | None = None
    description: str | None = None


class _NewKeyRequest(Body):
    credential: _NewKey


def handlers(parts: Parts) -> dict[str, Handler]:
    """Return the handlers of this chapter."""
    room = parts.room

    def create(connection: Connection, request: Request) -> Answer:
        wanted = read(_NewKeyRequest, request.body).credential
        user_id = _user(connection, request, wanted.user_id)
        description = names.description(wanted.description or "", "credential.description")
        key, secret = access_keys.create(
            connection,
            room.keys,
            request.caller.principal.account_id,
            user_id,
            description=description,
            limit=room.limits.keys_per_user,
        )
        return Answer(201, json={"credential": shapes.access_key(key, secret)})

    return {
        "iam.key_create": writes(create),
        "iam.key_list": reads(_list),
        "iam.key_show": reads(_show),
        "iam.key_delete": writes(_delete),
    }


def _user(connection: Connection, request: Request, user_id: str | None) -> str:
    """Return whom the request is about, the caller if nobody is named. Raises NotFound."""
    principal = request.caller.principal
    return users.get(connection, principal.account_id, user_id or principal.id).id


def _list(connection: Connection, request: Request) -> Answer:
    user_id = _user(connection, request, request.last("user_id"))
    found = access_keys.of_user(connection, user_id)
    return Answer(200, json={"credentials": [shapes.access_key(key) for key in found]})


def _show(connection: Connection, request: Request) -> Answer:
    account_id = request.caller.principal.account_id
    key = access_keys.get(connection, account_id, request.params["access_key"])
    return Answer(200, json={"credential": shapes.access_key(key)})


def _delete(connection: Connection, request: Request) -> Answer:
    account_id = request.caller.principal.account_id
    access_keys.remove(connection, account_id, request.params["access_key"])
    return Answer(204)
