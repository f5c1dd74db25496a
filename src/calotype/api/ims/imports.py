# SPDX-License-Identifier: Apache-2.0
"""Handlers of creations from a file, of whole images, and of registering (contract ims.md).

After the gate: the other fields, then whether the enterprise project takes images, then what the
flow checks (quota, concurrency, backend), then acceptance. The answer is the job's id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from calotype import clock
from calotype.api.ims import creations, objects, wholes
from calotype.api.ims.creations import Creation, Limits, Unserved
from calotype.api.ims.images import require_free_name, require_project
from calotype.api.ims.refusal import IMSRefusal, refuse
from calotype.flows import import_submit
from calotype.flows.core import Core
from calotype.flows.sources import Source
from calotype.gate.request import Answer, Draft, Handler, Request, waits
from calotype.images import tags
from calotype.images.model import Image
from calotype.principal import Caller

Submit = Callable[[Request], str]


def handlers(core: Core) -> dict[str, Handler]:
    """Return the handlers of this chapter."""
    limits = Limits(
        tags=core.settings.tags_per_image, strict_os_versions=core.settings.strict_os_versions
    )

    def create(request: Request) -> str:
        return _make(core, request, creations.read_create(request.body, limits))

    def quick(request: Request) -> str:
        return _make(core, request, creations.read_quick(request.body, limits))

    def data(request: Request) -> str:
        return _make(core, request, creations.read_data(request.body, limits))

    def whole(request: Request) -> str:
        return _refuse_whole(core, request, limits)

    def register(request: Request) -> str:
        return _register(core, request)

    return {
        "ims.create": waits(_answer(create), _form),
        "ims.quickimport": waits(_answer(quick), _quick_form),
        "ims.create_data": waits(_answer(data), _form),
        "ims.create_whole": waits(_answer(whole), _form),
        "ims.register": waits(_answer(register)),
    }


def _answer(submit: Submit) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Answer:
        job_id = await asyncio.to_thread(submit, request)
        return Answer(200, json={"job_id": job_id})

    return handle


def _form(draft: Draft) -> None:
    creations.check_form(draft.body)


def _quick_form(draft: Draft) -> None:
    creations.check_quick_form(draft.body)


def _make(core: Core, request: Request, wanted: Creation | Unserved) -> str:
    caller = request.caller
    _check_project(core, caller, wanted.enterprise_project_id)
    if isinstance(wanted, Unserved):
        require_room(core, caller, wanted.images)
        raise wanted.refusal()
    if wanted.cmk_id is not None:
        require_room(core, caller, 1)
        raise IMSRefusal("IMG.0105", "encryption needs a key provider, none is configured")
    if core.settings.unique_names:
        project = caller.project_id or ""
        core.db.read(lambda connection: require_free_name(connection, project, wanted.name))
    made = import_submit.submit_creation(
        core,
        caller,
        image_of(wanted),
        source_of(wanted),
        _variant(wanted),
        _accepting(request, wanted.enterprise_project_id),
    )
    return made.job_id


def _accepting(request: Request, project_id: str) -> Callable[[Connection], None]:
    """Look at the enterprise project once more where the image is made, and record the request."""
    caller, record = request.caller, request.accepted(200)

    def also(connection: Connection) -> None:
        require_project(
            connection,
            caller.principal.account_id,
            project_id,
            eps_enabled=caller.eps_enabled,
        )
        record(connection)

    return also


def _refuse_whole(core: Core, request: Request, limits: Limits) -> str:
    whole = wholes.read(request.body, limits)
    _check_project(core, request.caller, whole.enterprise_project_id)
    project = request.caller.project_id or ""
    core.db.read(lambda connection: wholes.require_unused(connection, project, whole.backup_id))
    require_room(core, request.caller, 1)
    raise IMSRefusal("IMG.0105", "whole images need a backup service, none is configured")


def _register(core: Core, request: Request) -> str:
    body = creations.as_object(request.body, ("image_url",))
    if body.get("image_url") is None:
        raise IMSRefusal("IMG.0068", "image_url is missing", field="image_url")
    address = objects.source(body["image_url"])
    if address.extension in ("iso", "ova"):
        raise refuse("IMG.0072", "image_url", body["image_url"], "a disk file, no iso or ova")
    image = request.rows[request.params["image_id"].lower()]
    assert isinstance(image, Image)
    source, accepted = _source(address, None), request.accepted(200)
    return import_submit.submit_register(core, request.caller, image, source, accepted).job_id


def _check_project(core: Core, caller: Caller, project_id: str) -> None:
    core.db.read(
        lambda connection: require_project(
            connection,
            caller.principal.account_id,
            project_id,
            eps_enabled=caller.eps_enabled,
        )
    )


def require_room(core: Core, caller: Caller, count: int) -> None:
    """Refuse what quota or concurrency refuse. Raises QuotaExceeded."""
    project = caller.project_id or ""
    core.db.read(lambda connection: import_submit.check_room(core, connection, project, count))


def image_of(wanted: Creation) -> Image:
    """Return the image of a creation, but for what its acceptance sets."""
    now = clock.now()
    properties: dict[str, str | None] = {
        "__data_origin": f"file,{wanted.source.bucket}:{wanted.source.key}",
        "__root_origin": "file",
    }
    if wanted.description is not None:
        properties["__description"] = wanted.description
    if not wanted.is_data:
        properties["__is_config_init"] = "false"
    if wanted.is_quick:
        properties["__lazyloading"] = "true"
    return Image(
        id="",
        owner="",
        account_id="",
        created_at=now,
        updated_at=now,
        enterprise_project_id=wanted.enterprise_project_id,
        origin="ims",
        name=wanted.name,
        visibility="private",
        min_disk=wanted.min_disk,
        min_ram=wanted.min_ram,
        max_ram=None if wanted.max_ram is None else str(wanted.max_ram),
        env_type=wanted.env_type,
        os_type=wanted.os_type,
        os_version=wanted.os.os_version if wanted.os else None,
        platform=wanted.os.platform if wanted.os else "Other",
        os_bit=str(wanted.os.bits) if wanted.os else None,
        is_arm=wanted.is_arm,
        firmware=wanted.firmware,
        tags=tags.normal(tags.join(key, value) for key, value in wanted.tags),
        properties=properties,
    )


def source_of(wanted: Creation) -> Source:
    """Return the object that a creation reads."""
    return _source(wanted.source, wanted.checksum)


def _source(address: objects.ObjectAddress, checksum: str | None) -> Source:
    return Source(
        bucket=address.bucket,
        key=address.key,
        extension=address.extension,
        compression=address.compression,
        checksum=checksum,
    )


def _variant(wanted: Creation) -> str:
    if wanted.is_iso:
        return import_submit.ISO
    if wanted.is_quick:
        return import_submit.QUICK_DATA if wanted.is_data else import_submit.QUICK
    return import_submit.DATA if wanted.is_data else import_submit.SYSTEM
