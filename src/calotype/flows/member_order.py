# SPDX-License-Identifier: Apache-2.0
"""What a members job is about: its pairs, and what became of those that are done (jobs.md 6).

A pair is an image and a project, images first. Pairs are worked on in their order, so what the job
keeps is one letter for each that is done; ten thousand pairs are ten thousand letters.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from calotype.images.members import MemberStatus
from calotype.jobs.model import Document, Job

FLOW = "members"
_MARKS = "marks"


class Change(StrEnum):
    """What a job does to its pairs; the variants of the flow."""

    ADD = "members_add"
    UPDATE = "members_update"
    DELETE = "members_delete"


class Mark(StrEnum):
    """What became of one pair."""

    DONE = "+"
    OWNER = "o"  # the image has another owner by now
    GONE = "g"  # the image, or for an update the record, is not there any more
    STATE = "s"  # the image is not active any more
    QUOTA = "q"  # the image would have too many members
    FAILED = "x"  # anything else


@dataclass(frozen=True, slots=True)
class Outcome:
    """One pair that is done."""

    image_id: str
    project_id: str
    mark: Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberOrder:
    """What a job does. `status` belongs to an update, whose one project is the caller's."""

    change: Change
    images: tuple[str, ...]
    projects: tuple[str, ...]
    status: MemberStatus | None = None

    def pairs(self) -> list[tuple[str, str]]:
        """Return the pairs in their order."""
        return [(image, project) for image in self.images for project in self.projects]

    def document(self) -> dict[str, Any]:
        """Return it as JSON for the job's row."""
        return {
            "images": list(self.images),
            "projects": list(self.projects),
            "status": None if self.status is None else str(self.status),
        }


def order_of(job: Job) -> MemberOrder:
    """Return what a job's row says about its work."""
    request = job.request
    status = request["status"]
    return MemberOrder(
        change=Change(job.variant),
        images=tuple(request["images"]),
        projects=tuple(request["projects"]),
        status=None if status is None else MemberStatus(status),
    )


def marks_of(job: Job) -> str:
    """Return the letters of the pairs that are done."""
    return str(job.result.get(_MARKS, ""))


def kept(marks: str) -> Document:
    """Return letters as the document that the job keeps."""
    return {_MARKS: marks}


def outcomes(job: Job) -> tuple[Outcome, ...]:
    """Return what became of the pairs that are done, in their order."""
    done = zip(order_of(job).pairs(), marks_of(job), strict=False)
    return tuple(Outcome(image, project, Mark(mark)) for (image, project), mark in done)
