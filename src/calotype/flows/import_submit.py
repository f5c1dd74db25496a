# SPDX-License-Identifier: Apache-2.0
"""Acceptance of imports: checks that need the database and the bucket, then one transaction.

The order is that of ims.md C1: state, quota, concurrency, backend (bucket, object, size, first
bytes, virtual size), acceptance. Whatever is wrong before the transaction leaves nothing; in it
image row, quota and job appear together (jobs.md 4). Synchronous: call from a worker thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection

from calotype import clock, ids
from calotype.disks.formats import Format
from calotype.errors import QuotaExceeded, WrongState
from calotype.flows.core import Also, Core, nothing
from calotype.flows.import_file import FLOW, REGISTER, Order
from calotype.flows.sources import Source, Wanted, examine
from calotype.images import quota, states
from calotype.images import store as images
from calotype.images.model import Image
from calotype.jobs.model import NewJob
from calotype.jobs.states import Kind
from calotype.principal import Caller

SYSTEM = "import_system"
DATA = "import_data"
ISO = "import_iso"
QUICK = "import_quick"
QUICK_DATA = "import_quick_data"
QUICK_PART = "quick_part"
ISO_PART = "iso_part"
_SUBS = {ISO: (ISO_PART,), QUICK: (QUICK_PART,), QUICK_DATA: (QUICK_PART,)}
_REGISTERED = {
    str(found): found
    for found in (Format.RAW, Format.QCOW2, Format.VMDK, Format.VHD, Format.VHDX, Format.VDI)
}


@dataclass(frozen=True, slots=True)
class Made:
    """What an accepted submission made."""

    job_id: str
    image_id: str


def submit_creation(
    core: Core,
    caller: Caller,
    image: Image,
    source: Source,
    variant: str,
    also: Also = nothing,
) -> Made:
    """Accept the making of an image from an object.

    `image` is complete but for its bytes; its id, owner, account, status and times are set here.
    `variant` is one of SYSTEM, DATA, ISO, QUICK, QUICK_DATA. Raises QuotaExceeded (`quota`,
    `too_many_jobs`), what `sources.examine` raises, Unavailable.
    """
    project = _project(caller)
    core.db.read(lambda conn: check_room(core, conn, project))
    wanted = wanted_of(core, variant, image.min_disk)
    examined = examine(core.buckets, caller.principal.account_id, source, wanted)
    job_id, image_id, now = ids.new_hex(), ids.new_uuid(), clock.now()
    row = replace(
        image,
        id=image_id,
        owner=project,
        account_id=caller.principal.account_id,
        created_at=now,
        updated_at=now,
        status="queued",
        origin="ims",
        container_format="bare",
        disk_format=str(wanted.format),
        job_id=job_id,
    )
    order = Order(examined, wanted, core.stores.default)
    new = _new_job(caller, FLOW, variant, row, order)

    def accept(conn: Connection) -> None:
        quota.reserve_image(conn, project, core.settings.images_per_project)
        images.insert_image(conn, row)
        core.jobs.submit(conn, new, job_id=job_id)
        also(conn)

    core.db.write(accept)
    core.jobs.wake()
    return Made(job_id, image_id)


def submit_register(
    core: Core, caller: Caller, image: Image, source: Source, also: Also = nothing
) -> Made:
    """Accept bytes for a native row (`ims.register`).

    Raises WrongState (`wrong_state`, `held`), QuotaExceeded (`too_many_jobs`), what
    `sources.examine` raises, Unavailable.
    """
    states.require(image, "register")
    project = _project(caller)
    core.db.read(lambda conn: core.jobs.check_room(conn, project, Kind.CREATION))
    wanted = Wanted(
        format=_REGISTERED.get(image.disk_format or "", Format.QCOW2),
        byte_limit=core.settings.upload_limit,
    )
    examined = examine(core.buckets, caller.principal.account_id, source, wanted)
    wanted = replace(wanted, min_disk=image.min_disk or None)
    job_id = ids.new_hex()
    order = Order(examined, wanted, core.stores.default)
    new = _new_job(caller, REGISTER, REGISTER, image, order)

    def accept(conn: Connection) -> None:
        if not images.begin(conn, image.id, job_id, ("queued", "queued"), clock.now()):
            raise WrongState(
                "the image is not queued any more, or a job holds it",
                status=image.status,
                operation="register",
            )
        core.jobs.submit(conn, new, job_id=job_id)
        also(conn)

    core.db.write(accept)
    core.jobs.wake()
    return Made(job_id, image.id)


def wanted_of(core: Core, variant: str, min_disk: int) -> Wanted:
    """Return what a creation of this variant makes of its file."""
    if variant == ISO:
        limit = core.settings.upload_limit
        return Wanted(format=Format.ISO, only=Format.ISO, byte_limit=limit)
    if variant in (QUICK, QUICK_DATA):
        return Wanted(
            format=Format.RAW,
            only=Format.RAW,
            byte_limit=core.settings.quick_limit,
            min_disk=min_disk,
        )
    return Wanted(
        format=Format.QCOW2,
        byte_limit=core.settings.upload_limit,
        min_disk=min_disk,
        disk_rule="system_disk_too_large" if variant == SYSTEM else "disk_too_small",
    )


def caller_document(caller: Caller) -> Mapping[str, Any]:
    """Return a caller as JSON for a job's row: the identity, never a credential's secret."""
    principal = asdict(caller.principal)
    principal["type"] = str(caller.principal.type)
    return {
        "principal": principal,
        "credential": {"kind": caller.credential.kind, "id": caller.credential.id},
        "project_id": caller.project_id,
        "project_name": caller.project_name,
        "eps_enabled": caller.eps_enabled,
        "source_ip": caller.source_ip,
        "request_id": caller.request_id,
    }


def submitter_of(caller: Caller) -> str:
    """Return who submits: the same user or the same agency may read the job without a grant."""
    return caller.principal.id


def check_room(core: Core, conn: Connection, project: str, count: int = 1) -> None:
    """Refuse early what the transaction would refuse anyway; the bucket may be slow."""
    usage = quota.read(conn, project)
    limit = usage.image_limit
    if limit is None:
        limit = core.settings.images_per_project
    if usage.images + count > limit:
        raise QuotaExceeded(
            f"the project may have at most {limit} images",
            quota="images",
            limit=limit,
            used=usage.images,
        )
    core.jobs.check_room(conn, project, Kind.CREATION)


def _new_job(caller: Caller, flow: str, variant: str, image: Image, order: Order) -> NewJob:
    return NewJob(
        flow=flow,
        variant=variant,
        kind=Kind.CREATION,
        account_id=caller.principal.account_id,
        project_id=_project(caller),
        enterprise_project_id=image.enterprise_project_id,
        submitter_id=submitter_of(caller),
        request_id=caller.request_id,
        request=order.document(),
        caller=caller_document(caller),
        image_id=image.id,
        image_name=None if flow == REGISTER else image.name,
        subs=_SUBS.get(variant, ()),
    )


def _project(caller: Caller) -> str:
    assert caller.project_id is not None  # the gate refuses callers without a project
    return caller.project_id
