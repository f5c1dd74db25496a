# SPDX-License-Identifier: Apache-2.0
"""Acceptance of exports: the state checks of ims.export in their order, then one transaction.

An accepted export holds a reference to the image's blob, so the bytes stay whatever happens to the
image meanwhile. Synchronous: call from a worker thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from calotype.blobs import store as blobs
from calotype.disks.formats import FORMATS, Format
from calotype.errors import Conflict, Invalid, TooLarge, WrongState
from calotype.flows.core import Also, Core, nothing
from calotype.flows.import_submit import caller_document, submitter_of
from calotype.flows.sources import open_for
from calotype.images import states
from calotype.images import store as images
from calotype.images.model import Image
from calotype.jobs import store as jobs
from calotype.jobs.model import Job, NewJob
from calotype.jobs.states import Kind
from calotype.principal import Caller

FLOW = "export"
EXPORT = "export"
QUICK_EXPORT = "export_quick"
QUICK_EXPORT_PART = "quick_export_part"
LICENSED = frozenset({"Windows", "SUSE", "RedHat", "Ubuntu", "Oracle Linux"})
_CHARGED = ("__account_code", "__productcode")
_PARENT = "__originalimagename"
_LONGEST_CHAIN = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where an export goes. `format` None: the stored bytes as they are (quick)."""

    bucket: str
    key: str
    format: Format | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOrder:
    """What the job's row says about its work."""

    bucket: str
    key: str
    blob_id: str
    found: Format
    wanted: Format

    def document(self) -> dict[str, Any]:
        """Return it as JSON for the job's row."""
        return {
            "bucket": self.bucket,
            "key": self.key,
            "blob_id": self.blob_id,
            "found": str(self.found),
            "wanted": str(self.wanted),
        }


def order_of(job: Job) -> ExportOrder:
    """Return what a job's row says about its work."""
    request = job.request
    return ExportOrder(
        bucket=request["bucket"],
        key=request["key"],
        blob_id=request["blob_id"],
        found=Format(request["found"]),
        wanted=Format(request["wanted"]),
    )


def submit_export(
    core: Core, caller: Caller, image: Image, target: Target, also: Also = nothing
) -> str:
    """Accept an export and return the job's id.

    Raises, in the order of ims.export: WrongState (`wrong_state`), Conflict or Invalid
    (`export_whole`, `not_for_iso`, `export_public`, `export_charged`, `export_licensed`,
    `export_no_bytes`), TooLarge (`export_too_large`), Conflict (`export_running`), QuotaExceeded
    (`too_many_jobs`), Invalid (`bucket_not_accessible`, `object_key`), Conflict (`object_exists`).
    """
    place = f"{target.bucket}:{target.key}"
    assert caller.project_id is not None  # the gate refuses callers without a project
    project = caller.project_id

    def check(conn: Connection) -> None:
        check_state(core, conn, image, target)
        _check_running(conn, image, place)
        core.jobs.check_room(conn, project, Kind.EXPORT)

    core.db.read(check)
    bucket = open_for(core.buckets, caller.principal.account_id, target.bucket)
    if bucket.stat(target.key) is not None:
        text = f"bucket_url: {place} exists already; choose another name"
        raise Conflict(text, rule="object_exists", field="bucket_url")
    assert image.blob_id is not None  # check_state refuses an image without bytes
    found = Format(image.disk_format or Format.RAW)
    order = ExportOrder(
        bucket=target.bucket,
        key=target.key,
        blob_id=image.blob_id,
        found=found,
        wanted=target.format or found,
    )
    quick = target.format is None
    new = NewJob(
        flow=FLOW,
        variant=QUICK_EXPORT if quick else EXPORT,
        kind=Kind.EXPORT,
        account_id=caller.principal.account_id,
        project_id=project,
        enterprise_project_id=image.enterprise_project_id,
        submitter_id=submitter_of(caller),
        request_id=caller.request_id,
        request=order.document(),
        caller=caller_document(caller),
        image_id=image.id,
        object=place,
        subs=(QUICK_EXPORT_PART,) if quick else (),
    )

    def accept(conn: Connection) -> str:
        if not blobs.refer(conn, order.blob_id):
            raise _no_bytes()
        job_id = core.jobs.submit(conn, new)
        # After the project's lock, so that two equal exports at once do not both pass.
        _check_running(conn, image, place, besides=job_id)
        also(conn)
        return job_id

    job_id = core.db.write(accept)
    core.jobs.wake()
    return job_id


def check_state(core: Core, conn: Connection, image: Image, target: Target) -> None:
    """Raise for the first reason for which an image is not exported."""
    if image.status != states.Status.ACTIVE:
        raise WrongState(f"the image is {image.status}; it must be active", status=image.status)
    if image.is_whole:
        raise Conflict("a whole image is not exported", rule="export_whole")
    if image.disk_format == Format.ISO or image.env_type == "IsoImage":
        raise Invalid("an ISO image is not exported", rule="not_for_iso")
    if image.visibility == "public":
        raise Conflict("a public image is not exported", rule="export_public")
    chain = ancestors(conn, image)
    if any(name in one.properties for one in (image, *chain) for name in _CHARGED):
        raise Conflict("an image that is charged for is not exported", rule="export_charged")
    if any(one.visibility == "public" and one.platform in LICENSED for one in chain):
        text = "the image stems from a public image of a licensed system"
        raise Conflict(text, rule="export_licensed")
    if image.blob_id is None or (image.cmk_id is not None and target.format is None):
        raise _no_bytes()
    if target.format is None:
        _check_size(image, core.settings.quick_limit - 1)
    else:
        _check_size(image, core.settings.upload_limit)
        _check_formats(image, target.format)


def ancestors(conn: Connection, image: Image) -> tuple[Image, ...]:
    """Return the images that this one was made from, nearest first, as far as they exist."""
    found: list[Image] = []
    seen = {image.id}
    parent = image.properties.get(_PARENT)
    while parent and parent not in seen and len(found) < _LONGEST_CHAIN:
        seen.add(parent)
        one = images.get(conn, parent, None)
        if one is None:
            break
        found.append(one)
        parent = one.properties.get(_PARENT)
    return tuple(found)


def _check_running(
    conn: Connection, image: Image, place: str, *, besides: str | None = None
) -> None:
    if jobs.is_writing(conn, image.id, place, besides=besides):
        raise Conflict("an export of this image to this object is running", rule="export_running")


def _check_size(image: Image, limit: int) -> None:
    if (image.size or 0) > limit:
        raise TooLarge(
            f"the image has {image.size} bytes; at most {limit} can be exported",
            rule="export_too_large",
            limit=limit,
            value=image.size,
        )


def _check_formats(image: Image, wanted: Format) -> None:
    if not FORMATS[wanted].exportable:
        names = ", ".join(sorted(str(name) for name, row in FORMATS.items() if row.exportable))
        text = f"file_format: {wanted} is not written; allowed: {names}"
        raise Invalid(text, rule="format_unsupported", field="file_format", value=str(wanted))
    stored = image.disk_format or ""
    if stored not in tuple(Format) or FORMATS[Format(stored)].tool_name is None:
        text = f"an image stored as {stored or 'nothing'} cannot be converted"
        raise Invalid(text, rule="format_unsupported", field="disk_format", value=stored)


def _no_bytes() -> Conflict:
    return Conflict("the image has no bytes that can be exported", rule="export_no_bytes")
