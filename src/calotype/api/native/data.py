# SPDX-License-Identifier: Apache-2.0
"""`glance.upload`, `glance.download`: headers in and out, bytes by the flows (native.md 13)."""

from __future__ import annotations

import asyncio

from calotype.api.native import data_headers
from calotype.api.native.images import image_of
from calotype.errors import NotAllowed
from calotype.flows.core import Core
from calotype.flows.download import check_prefer, open_download
from calotype.flows.upload import Uploads, Wanted
from calotype.gate.request import Answer, FileBody, Handler, Request, waits
from calotype.images.states import Status

OCTETS = "application/octet-stream"


def handlers(core: Core) -> dict[str, Handler]:
    """Return the handlers of this chapter."""
    uploads = Uploads(core)

    async def upload(request: Request) -> Answer:
        return await _upload(uploads, request)

    async def download(request: Request) -> Answer:
        return await _download(core, request)

    return {"glance.upload": waits(upload), "glance.download": waits(download)}


async def _upload(uploads: Uploads, request: Request) -> Answer:
    assert request.stream is not None
    data_headers.check_length(request.headers)
    wanted = Wanted(
        size=data_headers.expected_size(request.headers),
        store=(request.headers.get("x-image-meta-store") or "").strip() or None,
    )
    await uploads.upload(image_of(request), wanted, request.stream, request.accepted(204))
    return Answer(204)


async def _download(core: Core, request: Request) -> Answer:
    image = image_of(request)
    prefer = [one.strip() for one in (request.last("prefer") or "").split(",") if one.strip()]
    check_prefer(core, prefer)
    if image.status == Status.DEACTIVATED and not request.caller.principal.is_operator:
        raise NotAllowed("The requested image has been deactivated.", rule="deactivated")
    if image.status not in (Status.ACTIVE, Status.DEACTIVATED):
        return Answer(204)
    size = image.size or 0
    part = data_headers.wanted_part(request.headers, size, data_headers.etag_of(image))
    headers = data_headers.part_headers(image, part)
    status = 206 if part.partial else 200
    if part.count == 0:
        return Answer(status, content=b"", content_type=OCTETS, headers=headers)
    opened = await asyncio.to_thread(
        open_download, core, image, prefer, start=part.start, count=part.count
    )
    body = FileBody(part.count, opened.descriptor, part.start, opened.blocks)
    return Answer(status, content_type=OCTETS, headers=headers, file=body)
