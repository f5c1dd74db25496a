# SPDX-License-Identifier: Apache-2.0
"""`ims.export`: an image becomes a file in a bucket (contract ims.md)."""

from __future__ import annotations

import asyncio

from calotype.api.ims import creations, fields, objects
from calotype.api.ims.refusal import IMSRefusal, refuse
from calotype.disks.formats import Format
from calotype.flows.core import Core
from calotype.flows.export_submit import Target, submit_export
from calotype.gate.request import Answer, Handler, Request, waits
from calotype.images.model import Image

KNOWN = ("bucket_url", "file_format", "is_quick_export")
FORMATS = ("qcow2", "vhd", "vmdk", "raw")


def handlers(core: Core) -> dict[str, Handler]:
    """Return the handlers of this chapter."""

    async def export(request: Request) -> Answer:
        job_id = await asyncio.to_thread(_submit, core, request)
        return Answer(200, json={"job_id": job_id})

    return {"ims.export": waits(export)}


def read_target(body: object) -> Target:
    """Read and check the body. Raises IMSRefusal."""
    values = creations.as_object(body, KNOWN)
    if values.get("bucket_url") is None:
        raise IMSRefusal("IMG.0068", "bucket_url is missing", field="bucket_url")
    address = objects.target(values["bucket_url"])
    file_format = fields.text("file_format", values.get("file_format"))
    quick = fields.boolean("is_quick_export", values.get("is_quick_export"))
    if quick:
        # `zvhd2` is tolerated: one vendor client cannot leave the field out.
        if file_format not in (None, "zvhd2"):
            raise refuse(
                fields.MALFORMED, "file_format", file_format, "absent with is_quick_export"
            )
        return Target(bucket=address.bucket, key=address.key, format=None)
    if file_format is None:
        raise IMSRefusal(fields.MALFORMED, f"file_format is missing; allowed: {', '.join(FORMATS)}")
    if file_format not in FORMATS:
        raise refuse("IMG.0072", "file_format", file_format, f"allowed: {', '.join(FORMATS)}")
    return Target(bucket=address.bucket, key=address.key, format=Format(file_format))


def _submit(core: Core, request: Request) -> str:
    target = read_target(request.body)
    image = request.rows[request.params["image_id"].lower()]
    assert isinstance(image, Image)
    return submit_export(core, request.caller, image, target, request.accepted(200))
