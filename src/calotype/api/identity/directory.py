# SPDX-License-Identifier: Apache-2.0
"""What clients ask before their first image call: projects, domains, catalog, regions, services.

Nothing here needs a right: a caller sees its own account only (contract iam.md 5.1, 5.3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from calotype import ids
from calotype.api.identity import bodies, catalog, shapes
from calotype.api.identity.parts import Parts
from calotype.errors import NotFound
from calotype.gate.request import Answer, Handler, Request, reads
from calotype.iam import projects, users

Json = dict[str, Any]
Make = Callable[[str], list[Json]]


def handlers(parts: Parts) -> dict[str, Handler]:
    """Return the handlers of this chapter."""
    region = parts.room.region

    def show_catalog(connection: Connection, request: Request) -> Answer:
        del connection
        url = f"{request.base_url}/v3/auth/catalog"
        return Answer(
            200,
            json=shapes.listed("catalog", catalog.catalog(request.base_url, region), url),
        )

    return {
        "iam.catalog": reads(show_catalog),
        "iam.auth_projects": reads(_auth_projects),
        "iam.auth_domains": reads(_auth_domains),
        "iam.project_list": reads(_project_list),
        "iam.project_show": reads(_project_show),
        "iam.user_projects": reads(_user_projects),
        **_resource("region", "regions", lambda base_url: catalog.regions(base_url, region)),
        **_resource("service", "services", catalog.services),
        **_resource("endpoint", "endpoints", lambda base_url: catalog.endpoints(base_url, region)),
    }


def _resource(one: str, many: str, make: Make) -> dict[str, Handler]:
    """Return the two handlers of something that comes from the configuration.

    A query parameter that is a field of it narrows the list.
    """

    def show_list(connection: Connection, request: Request) -> Answer:
        del connection
        found = [item for item in make(request.base_url) if _fits(item, request)]
        return Answer(200, json=shapes.listed(many, found, f"{request.base_url}/v3/{many}"))

    def show(connection: Connection, request: Request) -> Answer:
        del connection
        wanted = request.params[f"{one}_id"]
        for item in make(request.base_url):
            if item["id"] == wanted:
                return Answer(200, json={one: item})
        raise NotFound(f"no {one} {wanted}", kind=one, id=wanted)

    return {f"iam.{one}_list": reads(show_list), f"iam.{one}_show": reads(show)}


def _fits(item: Json, request: Request) -> bool:
    return all(str(item[name]) == value for name, value in request.query if name in item and value)


def _auth_projects(connection: Connection, request: Request) -> Answer:
    account_id = request.caller.principal.account_id
    return _projects(connection, request, account_id, "/v3/auth/projects")


def _user_projects(connection: Connection, request: Request) -> Answer:
    account_id = request.caller.principal.account_id
    user = users.get(connection, account_id, request.params["user_id"])
    return _projects(connection, request, account_id, f"/v3/users/{user.id}/projects")


def _projects(connection: Connection, request: Request, account_id: str, path: str) -> Answer:
    found = [
        shapes.project(row, request.base_url)
        for row in projects.of_account(connection, account_id)
        if row.enabled
    ]
    return Answer(200, json=shapes.listed("projects", found, request.base_url + path))


def _auth_domains(connection: Connection, request: Request) -> Answer:
    del connection
    principal = request.caller.principal
    name = request.last("name")
    found = []
    if not name or name == principal.account_name:
        found.append(shapes.domain(principal.account_id, principal.account_name, request.base_url))
    url = f"{request.base_url}/v3/auth/domains"
    return Answer(200, json=shapes.listed("domains", found, url))


def _project_list(connection: Connection, request: Request) -> Answer:
    enabled = bodies.flag(request, "enabled")
    name = request.last("name")
    owners = [request.last(key) for key in ("domain_id", "parent_id")]
    found = [
        shapes.project(row, request.base_url)
        for row in projects.of_account(connection, request.caller.principal.account_id)
        if (not name or row.name == name)
        and (enabled is None or row.enabled == enabled)
        and all(not owner or row.account_id == owner for owner in owners)
    ]
    return Answer(200, json=shapes.listed("projects", found, f"{request.base_url}/v3/projects"))


def _project_show(connection: Connection, request: Request) -> Answer:
    text = request.params["project_id"]
    account_id = request.caller.principal.account_id
    row = projects.get(connection, account_id, ids.project_id(text) or text)
    return Answer(200, json={"project": shapes.project(row, request.base_url)})
