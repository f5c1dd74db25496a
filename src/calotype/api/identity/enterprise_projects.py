# SPDX-License-Identifier: Apache-2.0
"""Enterprise projects over HTTP (contract iam.md 6.4).

The list shows those for which the caller is allowed to list: the gate has decided which.
"""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Connection

from calotype import clock, ids
from calotype.api.identity import bodies, shapes
from calotype.api.identity.bodies import Body, read
from calotype.api.identity.parts import Parts
from calotype.flows.enterprise_projects import delete_enterprise_project
from calotype.gate.request import Answer, Handler, Request, reads, writes
from calotype.iam import enterprise_projects, names
from calotype.iam.enterprise_projects import TYPES, EnterpriseProject

PAGE = 1000
_FAR = 2**31 - 1


class _New(Body):
    name: str
    description: str | None = None
    type: Literal["prod", "poc"] = "prod"


def handlers(parts: Parts) -> dict[str, Handler]:
    """Return the handlers of this chapter."""
    limit = parts.room.limits.enterprise_projects

    def create(connection: Connection, request: Request) -> Answer:
        wanted = read(_New, request.body)
        now = clock.now()
        project = EnterpriseProject(
            account_id=request.caller.principal.account_id,
            id=ids.new_uuid(),
            name=names.enterprise_project(wanted.name, "name"),
            description=names.description(wanted.description or "", "description", 512),
            enabled=True,
            type=wanted.type,
            created_at=now,
            updated_at=now,
        )
        enterprise_projects.add(connection, project, limit)
        return Answer(201, json={"enterprise_project": shapes.enterprise_project(project)})

    def delete(connection: Connection, request: Request) -> Answer:
        account_id = request.caller.principal.account_id
        delete_enterprise_project(connection, account_id, _id(request))
        return Answer(204)

    return {
        "eps.list": reads(_list),
        "eps.create": writes(create),
        "eps.show": reads(_show),
        "eps.delete": writes(delete),
    }


def _id(request: Request) -> str:
    text = request.params["enterprise_project_id"]
    return ids.enterprise_project_id(text) or text


def _show(connection: Connection, request: Request) -> Answer:
    account_id = request.caller.principal.account_id
    project = enterprise_projects.get(connection, account_id, _id(request))
    return Answer(200, json={"enterprise_project": shapes.enterprise_project(project)})


def _list(connection: Connection, request: Request) -> Answer:
    size = bodies.number(request, "limit", (1, PAGE), PAGE, "limit")
    start = bodies.number(request, "offset", (0, _FAR), 0, "offset")
    sort_key = bodies.one_of(request, "sort_key", ("created_at", "updated_at"), "created_at")
    descending = bodies.one_of(request, "sort_dir", ("asc", "desc"), "desc") == "desc"
    status = bodies.one_of(request, "status", ("", "1", "2"), "")
    kind = bodies.one_of(request, "type", ("", *TYPES), "")
    name, wanted = request.last("name"), request.last("id")
    visible = request.verdict.eps
    found = [
        project
        for project in enterprise_projects.of_account(
            connection, request.caller.principal.account_id
        )
        if (visible is None or project.id in visible)
        and (not wanted or project.id == wanted.lower())
        and (not name or name in project.name)
        and (not status or project.enabled == (status == "1"))
        and (not kind or project.type == kind)
    ]
    # By id first: a stable sort keeps that order among equal moments.
    found.sort(key=lambda project: project.id)
    found.sort(key=lambda project: getattr(project, sort_key), reverse=descending)
    page = [shapes.enterprise_project(project) for project in found[start : start + size]]
    return Answer(
        200,
        json={"enterprise_projects": page, "total_count": len(found)},
        listed=(len(found), len(page)),
    )
