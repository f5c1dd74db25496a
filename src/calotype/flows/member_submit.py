# SPDX-License-Identifier: Apache-2.0
"""Acceptance of members jobs: the checks of ims.members_* in their order, then one transaction.

Nothing is done unless every check of every image passes. Synchronous: call from a worker thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from calotype.errors import Invalid, WrongState
from calotype.flows.core import Also, Core, nothing
from calotype.flows.import_submit import caller_document, submitter_of
from calotype.flows.member_order import FLOW, MemberOrder
from calotype.iam import projects as iam_projects
from calotype.images import members
from calotype.images.model import Image
from calotype.images.states import Status
from calotype.jobs.model import NewJob
from calotype.jobs.states import Kind
from calotype.principal import Caller


def check_addition(
    core: Core, conn: Connection, images: Sequence[Image], projects: Sequence[str]
) -> None:
    """Raise for the first reason for which images are not shared with projects.

    Per image: Invalid (`share_self`, `project_unknown`), WrongState (`wrong_state`), NotAllowed
    (`share_public`, `share_whole`, `share_encrypted`), QuotaExceeded (`members_too_many`).
    """
    enabled = iam_projects.enabled_among(conn, projects)
    known = members.known_among(conn, [image.id for image in images], projects)
    for image in images:
        for project in projects:
            members.require_other(image, project)
        _require_known(projects, enabled)
        if image.status != Status.ACTIVE:
            raise WrongState(
                f"image {image.id} is {image.status}; it must be active", status=image.status
            )
        members.require_shareable(image)
        more = sum((image.id, project) not in known for project in projects)
        members.require_room(image, more, core.settings.members_per_image)


def submit(core: Core, caller: Caller, order: MemberOrder, also: Also = nothing) -> str:
    """Accept a members job and return its id."""
    assert caller.project_id is not None  # the gate refuses callers without a project
    new = NewJob(
        flow=FLOW,
        variant=str(order.change),
        kind=Kind.MEMBERS,
        account_id=caller.principal.account_id,
        project_id=caller.project_id,
        submitter_id=submitter_of(caller),
        request_id=caller.request_id,
        request=order.document(),
        caller=caller_document(caller),
    )

    def accept(conn: Connection) -> str:
        job_id = core.jobs.submit(conn, new)
        also(conn)
        return job_id

    job_id = core.db.write(accept)
    core.jobs.wake()
    return job_id


def _require_known(projects: Sequence[str], enabled: frozenset[str]) -> None:
    for project in projects:
        if project not in enabled:
            raise Invalid(
                f"projects: there is no project {project} that can be shared with",
                rule="project_unknown",
                field="projects",
                value=project,
            )
