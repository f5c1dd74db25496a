# SPDX-License-Identifier: Apache-2.0
"""`glance.member_add`, `update`, `show`, `list`, `delete` (native.md 16).

Who sees which record is decided before: the owner and the operator all, a member its own.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection

from calotype import clock, ids
from calotype.api.native import fields
from calotype.api.native.images import image_of
from calotype.errors import Invalid, NotAllowed, WrongState
from calotype.flows.core import Core
from calotype.gate.request import Answer, Handler, Request, reads, writes
from calotype.images import members
from calotype.images.members import Member, MemberStatus
from calotype.images.model import Image

SCHEMA = "/v2/schemas/member"
LIST_SCHEMA = "/v2/schemas/members"
NAME_LIMIT = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]|[\ud800-\udfff]")


def handlers(core: Core) -> dict[str, Handler]:
    """Return the handlers of this chapter."""
    limit = core.settings.members_per_image

    def add(connection: Connection, request: Request) -> Answer:
        image, member = image_of(request), read_member(request.body)
        made = members.add(connection, image, member, clock.now(), limit)
        return Answer(200, json=member_body(made))

    return {
        "glance.member_add": writes(add),
        "glance.member_update": writes(_update),
        "glance.member_show": reads(_show),
        "glance.member_list": reads(_list),
        "glance.member_delete": writes(_delete),
    }


def member_body(member: Member) -> dict[str, Any]:
    """Return a member as this dialect shows it."""
    return {
        "member_id": member.member,
        "image_id": member.image_id,
        "status": member.status,
        "created_at": clock.to_seconds(member.created_at),
        "updated_at": clock.to_seconds(member.updated_at),
        "schema": SCHEMA,
    }


def member_id(text: str) -> str:
    """Return the stored form of a member's name: project ids as 32 hex digits."""
    return ids.project_id(text) or text


def read_member(body: object) -> str:
    """Return the member that a body names. Raises Invalid."""
    name = _object(body).get("member")
    if not isinstance(name, str) or not 1 <= len(name) <= NAME_LIMIT or _CONTROL.search(name):
        fields.wrong("member", name, f"a project id: 1 to {NAME_LIMIT} characters, no control ones")
    return member_id(name)


def read_status(body: object) -> MemberStatus:
    """Return the status that a body sets. Raises Invalid."""
    status = _object(body).get("status")
    if not isinstance(status, str) or status not in list(MemberStatus):
        fields.wrong("status", status, f"allowed: {', '.join(MemberStatus)}")
    return MemberStatus(status)


def _object(body: object) -> dict[str, object]:
    if not isinstance(body, dict):
        raise Invalid("the body must be an object", field="body")
    return body


def _update(connection: Connection, request: Request) -> Answer:
    image, status = image_of(request), read_status(request.body)
    if image.visibility != "shared":
        raise WrongState(
            f"the image is {image.visibility}; only a shared one has members",
            rule="state_forbidden",
        )
    member = member_id(request.params["member_id"])
    stored = members.set_status(connection, image.id, member, status, clock.now())
    return Answer(200, json=member_body(stored))


def _show(connection: Connection, request: Request) -> Answer:
    member = member_id(request.params["member_id"])
    for found in _shown(connection, request):
        if found.member == member:
            return Answer(200, json=member_body(found))
    raise members.missing(member)


def _list(connection: Connection, request: Request) -> Answer:
    found = [member_body(member) for member in _shown(connection, request)]
    body = {"members": found, "schema": LIST_SCHEMA}
    return Answer(200, json=body, listed=(len(found), len(found)))


def _shown(connection: Connection, request: Request) -> tuple[Member, ...]:
    image = image_of(request)
    if image.visibility in ("public", "community"):
        raise NotAllowed(f"a {image.visibility} image has no members", rule="share_public")
    return members.shown(connection, image, _viewer(image, request))


def _viewer(image: Image, request: Request) -> str | None:
    """Return whose record is shown; None: everybody's."""
    caller = request.caller
    if image.owner == caller.project_id or caller.principal.is_operator:
        return None
    return caller.project_id


def _delete(connection: Connection, request: Request) -> Answer:
    member = member_id(request.params["member_id"])
    members.remove(connection, image_of(request).id, member, clock.now())
    return Answer(204)
