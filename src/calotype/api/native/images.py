# SPDX-License-Identifier: Apache-2.0
"""`glance.list`, `create`, `show`, `update`, `delete` (native.md 12)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from calotype import clock, ids
from calotype.api.native import fields, filters, patch, shapes
from calotype.api.native.names import Kind, kind
from calotype.contract import catalogue
from calotype.errors import Conflict, Invalid, NotAllowed, QuotaExceeded
from calotype.flows.core import Core
from calotype.flows.delete_image import delete_image
from calotype.gate.request import Answer, Handler, Pairs, Request, reads, writes
from calotype.iam import projects
from calotype.images import admission, listing, quota, store, tags, writing
from calotype.images.model import Image
from calotype.images.states import Status

# An owner that is no project here: no rule of an account applies to such an image.
NO_ACCOUNT = ""


def handlers(core: Core) -> dict[str, Handler]:
    """Return the handlers of this chapter."""

    def list_images(connection: Connection, request: Request) -> Answer:
        return _list(core, connection, request)

    def create(connection: Connection, request: Request) -> Answer:
        return _create(core, connection, request)

    def show(connection: Connection, request: Request) -> Answer:
        del connection
        return _show(core, request)

    def update(connection: Connection, request: Request) -> Answer:
        return _update(core, connection, request)

    def delete(connection: Connection, request: Request) -> Answer:
        return _delete(core, connection, request)

    return {
        "glance.list": reads(list_images),
        "glance.create": writes(create),
        "glance.show": reads(show),
        "glance.update": writes(update),
        "glance.delete": writes(delete),
    }


def image_of(request: Request) -> Image:
    """Return the image that the gate read for its decision."""
    found = request.rows[request.params["image_id"].lower()]
    assert isinstance(found, Image)
    return found


def body_of(core: Core, image: Image, request: Request) -> dict[str, object]:
    """Return an image as the caller sees it."""
    return shapes.image_body(image, request.caller.project_id, core.stores.by_weight)


def _list(core: Core, connection: Connection, request: Request) -> Answer:
    settings = core.settings
    wanted = filters.read_filter(request.query, request.caller.project_id)
    paging = filters.read_paging(request.query, settings.page_default, settings.page_limit)
    narrowed, keep = admission.admit(wanted, request.verdict.list_filter)
    page = listing.page(connection, narrowed, paging, keep)
    body: dict[str, object] = {
        "images": [body_of(core, image, request) for image in page.images],
        "first": filters.first_link(request.query),
        "schema": "/v2/schemas/images",
    }
    if page.more and page.images:
        body["next"] = filters.next_link(request.query, page.images[-1].id)
    return Answer(200, json=body, listed=(None, len(page.images)))


def _create(core: Core, connection: Connection, request: Request) -> Answer:
    if not isinstance(request.body, dict):
        raise Invalid("the body must be an object", field="body")
    image = _placed(connection, new_image(core, request, request.body), request)
    _require_free_name(core, connection, image)
    quota.reserve_image(connection, image.owner, core.settings.images_per_project)
    store.insert_image(connection, image, id_given="id" in request.body)
    headers = (
        ("Location", shapes.location(image)),
        *shapes.queued_headers(core.settings, core.stores.ids()),
    )
    return Answer(201, json=body_of(core, image, request), headers=headers)


def new_image(core: Core, request: Request, body: dict[str, object]) -> Image:
    """Return the image that a creation body describes. Raises Invalid, ReadOnly, QuotaExceeded."""
    caller = request.caller
    project_id = caller.project_id or ""
    now = clock.now()
    system = catalogue.default_for(None)
    image = Image(
        id=fields.image_id("id", body["id"]) if "id" in body else ids.new_uuid(),
        owner=project_id,
        account_id=caller.principal.account_id,
        created_at=now,
        updated_at=now,
        visibility="shared",
        os_version=system.os_version,
        os_type=system.os_type,
        platform=system.platform,
        os_bit=str(system.bits),
    )
    properties: dict[str, str | None] = {}
    base: dict[str, Any] = {}
    for name, value in body.items():
        if name != "id":
            image = _with(image, properties, base, (name, value))
    image = replace(image, properties={**image.properties, **properties}, **base)
    _check_new(core, request, image)
    return image


def _with(
    image: Image,
    properties: dict[str, str | None],
    base: dict[str, Any],
    given: tuple[str, object],
) -> Image:
    """Read one member of the body into the properties, the base attributes or the image."""
    name, value = given
    found = kind(name)
    if found is Kind.CUSTOM:
        properties[name] = fields.custom(name, value)
    elif found is Kind.SYSTEM:
        return writing.set_system(image, name, fields.system(name, value), natively=True)
    elif found is Kind.BASE:
        if name != "owner" or value is not None:
            base[name] = fields.base(name, value)
    elif not isinstance(value, str):
        # read-only attributes come back from clients that copy a base image (M32)
        fields.wrong(name, value, "the value of a property is a string")
    return image


def _check_new(core: Core, request: Request, image: Image) -> None:
    settings = core.settings
    principal = request.caller.principal
    if image.visibility == "public" and not principal.is_operator:
        raise NotAllowed("an image is published by the operator only", rule="operator_only")
    if image.owner != request.caller.project_id and not principal.is_operator:
        raise NotAllowed("owner: only the operator may name another project", rule="operator_only")
    fields.check_community(image.visibility, enabled=settings.community_images)
    tags.check_limit((), image.tags, settings.native_tags_per_image)
    count = writing.custom_count(image.properties)
    if count > settings.properties_per_image:
        raise QuotaExceeded(
            f"an image has at most {settings.properties_per_image} properties, not {count}",
            rule="property_quota",
            quota="properties",
            limit=settings.properties_per_image,
            used=count,
        )
    pair = writing.excluded(image.properties)
    if pair is not None:
        raise Invalid(
            f"{pair[0]} and {pair[1]} exclude each other", rule="attribute_conflict", field=pair[0]
        )


def _show(core: Core, request: Request) -> Answer:
    image = image_of(request)
    headers: Pairs = ()
    if image.status == Status.QUEUED:
        headers = shapes.queued_headers(core.settings, core.stores.ids())
    return Answer(200, json=body_of(core, image, request), headers=headers)


def _update(core: Core, connection: Connection, request: Request) -> Answer:
    before = image_of(request)
    media_type = (request.headers.get("content-type") or "").split(";")[0].strip().lower()
    changes = patch.read(media_type, request.body)
    limits = patch.Limits.of(core.settings)
    after = patch.apply(before, changes, limits, request.caller.project_id)
    if after.owner != before.owner:
        after = _placed(connection, after, request)
        _change_owner(core, connection, before, after)
    if after.name != before.name:
        _require_free_name(core, connection, after)
    stored = store.update_image(connection, before, after, clock.now())
    return Answer(200, json=body_of(core, stored, request))


def _require_free_name(core: Core, connection: Connection, image: Image) -> None:
    if core.settings.unique_names and image.name:
        if store.has_name(connection, image.owner, image.name):
            raise Conflict(
                f"the project has an image named {image.name}", rule="name_in_use", field="name"
            )


def _placed(connection: Connection, image: Image, request: Request) -> Image:
    """Put an image into its owner's account; in another one it lies in no project of the former."""
    if image.owner == request.caller.project_id:
        account_id = request.caller.principal.account_id
    else:
        account_id = projects.account_of(connection, image.owner) or NO_ACCOUNT
    if account_id == image.account_id:
        return image
    return replace(image, account_id=account_id, enterprise_project_id="0")


def _change_owner(core: Core, connection: Connection, before: Image, after: Image) -> None:
    """Count the image for its new owner; only the operator comes here."""
    settings = core.settings
    stored = (before.size or 0) * len(before.stores)
    if before.status != Status.KILLED:
        quota.reserve_image(connection, after.owner, settings.images_per_project)
        quota.release_image(connection, before.owner)
    if stored:
        quota.reserve_bytes(connection, after.owner, stored, settings.bytes_per_project)
        quota.release_bytes(connection, before.owner, stored)


def _delete(core: Core, connection: Connection, request: Request) -> Answer:
    left = remove(connection, request)
    return Answer(204, after=core.sweeper.collect if left else None)


def remove(connection: Connection, request: Request) -> bool:
    """Delete the addressed image; True when bytes are left to be collected.

    A body may say `delete_backup`, which concerns whole images only.
    """
    body = request.body
    if body is not None:
        if not isinstance(body, dict):
            raise Invalid("the body must be an object", field="body")
        wanted = body.get("delete_backup")
        if "delete_backup" in body and not isinstance(wanted, bool):
            fields.wrong("delete_backup", wanted, "it must be true or false")
    operator = request.caller.principal.is_operator
    return delete_image(connection, image_of(request), clock.now(), by_operator=operator)
