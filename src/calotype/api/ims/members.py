# SPDX-License-Identifier: Apache-2.0
"""Members: `ims.members_list`, `show`, and the batches `add`, `update`, `delete` as jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from calotype import clock, ids
from calotype.api.ims import creations, fields
from calotype.api.ims.query import QUERY, read_values
from calotype.api.ims.refusal import IMSRefusal, refuse
from calotype.errors import Invalid, Unsupported
from calotype.flows import member_submit
from calotype.flows.core import Core
from calotype.flows.member_order import Change, MemberOrder
from calotype.gate.request import Answer, Handler, Request, reads, waits
from calotype.images import members
from calotype.images.members import Member, MemberStatus
from calotype.images.model import Image

AT_ONCE = 100
PAGE_LIMIT = 1000
ANSWERS = ("accepted", "rejected")
_NOT_OFFERED = ("domains", "organizations")
_SHARING = ("images", "projects", *_NOT_OFFERED)
_ANSWERING = ("images", "project_id", "status", "vault_id")


def handlers(core: Core) -> dict[str, Handler]:
    """Return the handlers of this chapter."""

    def submitting(read: Callable[[Core, Request], MemberOrder]) -> Handler:
        def submit(request: Request) -> str:
            order = read(core, request)
            return member_submit.submit(core, request.caller, order, request.accepted(200))

        async def work(request: Request) -> Answer:
            return Answer(200, json={"job_id": await asyncio.to_thread(submit, request)})

        return waits(work)

    return {
        "ims.members_add": submitting(_addition),
        "ims.members_update": submitting(_answer),
        "ims.members_delete": submitting(_removal),
        "ims.members_list": reads(_list),
        "ims.members_show": reads(_show),
    }


def member_body(member: Member) -> dict[str, Any]:
    """Return a member as this dialect shows it."""
    return {
        "image_id": member.image_id,
        "member_id": member.member,
        "status": member.status,
        "created_at": clock.to_seconds(member.created_at),
        "updated_at": clock.to_seconds(member.updated_at),
        "schema": "/v2/schemas/member",
        "member_type": "project",
    }


def _addition(core: Core, request: Request) -> MemberOrder:
    projects, offered = _shared_with(request)
    images = _images(request)
    core.db.read(lambda conn: member_submit.check_addition(core, conn, images, projects))
    _require_offered(offered)
    return MemberOrder(change=Change.ADD, images=_ids(images), projects=projects)


def _removal(core: Core, request: Request) -> MemberOrder:
    del core
    projects, offered = _shared_with(request)
    _require_offered(offered)
    return MemberOrder(change=Change.DELETE, images=_ids(_images(request)), projects=projects)


def _answer(core: Core, request: Request) -> MemberOrder:
    del core
    body = creations.as_object(request.body, _ANSWERING)
    status = fields.text("status", body.get("status"))
    if status not in ANSWERS:
        raise refuse(fields.MALFORMED, "status", status, f"allowed: {', '.join(ANSWERS)}")
    vault = fields.uuid("vault_id", body.get("vault_id"), "IMG.0031")
    images = _images(request)
    if status == MemberStatus.ACCEPTED and any(image.is_whole for image in images):
        if vault is None:
            raise Invalid("vault_id: a whole image needs one", rule="vault_missing")
        raise Unsupported("vault_id: there is no backup service here")
    assert request.caller.project_id is not None
    return MemberOrder(
        change=Change.UPDATE,
        images=_ids(images),
        projects=(request.caller.project_id,),
        status=MemberStatus(status),
    )


def _shared_with(request: Request) -> tuple[tuple[str, ...], bool]:
    """Return the projects of a body, and whether it names no member of a kind not offered here."""
    body = creations.as_object(request.body, _SHARING)
    items = fields.array("projects", body.get("projects"))
    if not 1 <= len(items) <= AT_ONCE:
        raise IMSRefusal(
            fields.MALFORMED, f"projects: an array of 1 to {AT_ONCE} project ids", field="projects"
        )
    texts = [_string(f"projects[{at}]", one) for at, one in enumerate(items)]
    projects = [_project(f"projects[{at}]", one) for at, one in enumerate(texts)]
    others = [_strings(body, name) for name in _NOT_OFFERED]
    return tuple(dict.fromkeys(projects)), not any(others)


def _string(field: str, value: object) -> str:
    text = fields.text(field, value)
    if text is None:
        raise refuse(fields.MALFORMED, field, value, "it must be a string")
    return text


def _strings(body: dict[str, object], name: str) -> list[str]:
    items = fields.array(name, body.get(name))
    return [_string(f"{name}[{at}]", one) for at, one in enumerate(items)]


def _project(field: str, text: str) -> str:
    project = ids.project_id(text)
    if project is None:
        raise refuse("IMG.0067", field, text, "32 hexadecimal digits or a UUID")
    return project


def _require_offered(offered: bool) -> None:
    if not offered:
        raise Unsupported(f"{', '.join(_NOT_OFFERED)}: only projects can be members here")


def _images(request: Request) -> tuple[Image, ...]:
    """Return the images of the body, each once, in its order; the gate has found them all."""
    assert isinstance(request.body, dict)
    named = dict.fromkeys(ids.image_id(text) or "" for text in request.body["images"])
    found = [request.rows[one] for one in named]
    return tuple(one for one in found if isinstance(one, Image))


def _ids(images: tuple[Image, ...]) -> tuple[str, ...]:
    return tuple(image.id for image in images)


def _list(connection: Connection, request: Request) -> Answer:
    asked = read_values(request.query, ("limit", "marker"), ())
    limit, marker = asked.integer("limit", QUERY), asked.single.get("marker")
    if limit is not None and not 1 <= limit <= PAGE_LIMIT:
        raise refuse(QUERY, "limit", asked.single["limit"], f"an integer from 1 to {PAGE_LIMIT}")
    found = {member.member: member for member in _shown(connection, request)}
    rest = sorted(found)
    if marker is not None:
        after = ids.project_id(marker) or marker
        if ids.project_id(marker) is None and after not in found:
            raise refuse(QUERY, "marker", marker, "the id of a member")
        rest = [name for name in rest if name > after]
    page = rest[: limit or PAGE_LIMIT]
    info = {
        "current_count": len(page),
        "next_marker": page[-1] if len(page) < len(rest) else None,
    }
    body = {
        "members": [member_body(found[name]) for name in page],
        "schema": "/v2/schemas/members",
        "page_info": info,
    }
    return Answer(200, json=body, listed=(len(found), len(page)))


def _show(connection: Connection, request: Request) -> Answer:
    text = request.params["member_id"]
    name = ids.project_id(text) or text
    for member in _shown(connection, request):
        if member.member == name:
            return Answer(200, json=member_body(member))
    raise members.missing(name)


def _shown(connection: Connection, request: Request) -> tuple[Member, ...]:
    """Return what the caller sees: the owner everything, a member its own record."""
    image = request.rows[request.params["image_id"].lower()]
    assert isinstance(image, Image)
    own = image.owner == request.caller.project_id
    return members.shown(connection, image, None if own else request.caller.project_id)
