# SPDX-License-Identifier: Apache-2.0
"""`ims.list` and `ims.update` (contract ims.md)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from calotype import clock
from calotype.api.ims import fields, filters, flavors, patch, shapes
from calotype.api.ims.flavors import Flavors
from calotype.api.ims.refusal import IMSRefusal, refuse
from calotype.errors import NotFound
from calotype.flows.core import Core
from calotype.gate.request import Answer, Draft, Handler, Request, reads, writes
from calotype.iam import enterprise_projects
from calotype.images import admission, listing, store
from calotype.images.filters import Filter, Scope
from calotype.images.listing import Paging
from calotype.images.model import Image


def handlers(core: Core) -> dict[str, Handler]:
    """Return the handlers of this chapter."""

    known = flavors.load(core.settings.flavors_file)

    def list_images(connection: Connection, request: Request) -> Answer:
        return _list(known, connection, request)

    def update(connection: Connection, request: Request) -> Answer:
        return _update(core, connection, request)

    return {
        "ims.list": reads(list_images, _list_form),
        "ims.update": writes(update, _update_form),
    }


def body_of(image: Image, request: Request) -> dict[str, Any]:
    """Return an image as the caller sees it."""
    caller = request.caller
    return shapes.image_body(
        image,
        project_id=caller.project_id or "",
        account_id=caller.principal.account_id,
        eps_enabled=caller.eps_enabled,
    )


def require_project(
    connection: Connection, account_id: str, project_id: str, *, eps_enabled: bool
) -> None:
    """Refuse an enterprise project that does not exist or takes no images (IMG.0155)."""
    if project_id == "0":
        return
    field = "enterprise_project_id"
    if not eps_enabled:
        raise refuse("IMG.0155", field, project_id, "the account has enterprise projects off: 0")
    try:
        found = enterprise_projects.get(connection, account_id, project_id)
    except NotFound:
        raise refuse("IMG.0155", field, project_id, "an existing enterprise project") from None
    if not found.enabled:
        raise refuse("IMG.0155", field, project_id, "an enabled enterprise project")


def _list_form(draft: Draft) -> None:
    value = next((value for name, value in draft.query if name == "enterprise_project_id"), None)
    if value and value != "all_granted_eps":
        fields.enterprise_project(value)


def _list(known: Flavors, connection: Connection, request: Request) -> Answer:
    project_id = request.caller.project_id or ""
    wanted = filters.read_filter(request.query, project_id, flavors=known)
    narrowed, keep = admission.admit(wanted, request.verdict.list_filter)
    paging = filters.read_paging(request.query)
    page = listing.page(connection, narrowed, paging, keep)
    images = [body_of(image, request) for image in page.images]
    return Answer(200, json={"images": images}, listed=(None, len(images)))


def _update_form(draft: Draft) -> None:
    if isinstance(draft.body, list):  # the id of the path comes behind the JSON (C1)
        fields.uuid("image_id", draft.params["image_id"], "IMG.0066")
    patch.check_form(draft.body)


def _update(core: Core, connection: Connection, request: Request) -> Answer:
    before = request.rows[request.params["image_id"].lower()]
    assert isinstance(before, Image) and isinstance(request.body, list)
    operations = patch.read(request.body)
    target = next(
        (one.value for one in reversed(operations) if one.name == "enterprise_project_id"), None
    )
    moves = target is not None and target != before.enterprise_project_id
    if target is not None and moves:
        require_project(
            connection,
            request.caller.principal.account_id,
            target,
            eps_enabled=request.caller.eps_enabled,
        )
    if before.status != "active":
        raise IMSRefusal(
            "IMG.0046", f"the image is {before.status}; only an active one can be updated"
        )
    if moves and before.visibility == "public":
        raise IMSRefusal("IMG.0083", "a public image lies in no enterprise project")
    after = patch.apply(before, operations, core.settings.properties_per_image)
    if core.settings.unique_names and after.name != before.name:
        require_free_name(connection, before.owner, after.name or "")
    stored = store.update_image(connection, before, after, clock.now())
    return Answer(200, json=body_of(stored, request))


def require_free_name(connection: Connection, project_id: str, name: str) -> None:
    """Refuse a name that another image of the project has, where names are unique (IMG.0009)."""
    own = Filter(
        scope=Scope(project_id, public=False, shared_in=frozenset()), one_of=(("name", (name,)),)
    )
    if listing.page(connection, own, Paging(1)).images:
        raise refuse("IMG.0009", "name", name, "a name that no image of the project has")
