# SPDX-License-Identifier: Apache-2.0
"""Statuses of an image, the moves that exist, and what each status permits (native.md 4).

Any other move does not exist. `HELD` names operations that an unfinished job of the IMS dialect
forbids in every status. Words only; what a face answers to a refusal is the face's matter.
"""

from __future__ import annotations

from enum import StrEnum

from calotype.errors import WrongState
from calotype.images.model import Image


class Status(StrEnum):
    """Core states of an image; a deleted one has no row."""

    QUEUED = "queued"
    SAVING = "saving"
    UPLOADING = "uploading"
    IMPORTING = "importing"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    KILLED = "killed"


Q, S, U, I, A, D, K = Status  # noqa: E741 - one letter a state keeps the tables readable
MOVES: dict[Status, frozenset[Status]] = {
    Q: frozenset({S, U, I, K}),
    S: frozenset({A, Q, K}),
    U: frozenset({I, Q}),
    I: frozenset({A, Q}),
    A: frozenset({D}),
    D: frozenset({A}),
    K: frozenset(),
}
WITH_BYTES = frozenset({A, D})
UNCOUNTED = frozenset({K})

PERMITTED: dict[str, frozenset[Status]] = {
    "formats": frozenset({Q}),
    "upload": frozenset({Q}),
    "stage": frozenset({Q}),
    "import_staged": frozenset({U}),
    "import_web": frozenset({Q}),
    "copy_stores": frozenset({A}),
    "deactivate": frozenset({A, D}),
    "reactivate": frozenset({A, D}),
    "add_location": frozenset({Q}),
    "delete_copy": frozenset({A}),
    "cache": frozenset({A}),
    "register": frozenset({Q}),
    "export": frozenset({A}),
    "copy": frozenset({A}),
    "update": frozenset({A}),
}
HELD = frozenset({"formats", "upload", "stage", "import_staged", "import_web", "register"})
UPLOAD_PREFIX = "u-"


def may_move(before: str, after: str) -> bool:
    """Tell whether an image may go from one status to another in one step."""
    return Status(after) in MOVES[Status(before)]


def is_upload_token(job_id: str | None) -> bool:
    """Tell a native upload from an IMS job: an upload gives way to a deletion."""
    return job_id is not None and job_id.startswith(UPLOAD_PREFIX)


def is_held(image: Image) -> bool:
    """Tell whether an unfinished IMS job holds the image; native work gives way."""
    if image.job_id is None or is_upload_token(image.job_id):
        return False
    return image.status not in (Status.UPLOADING, Status.IMPORTING)


def require(image: Image, operation: str) -> None:
    """Refuse an operation that the status, or an unfinished job, forbids.

    Raises WrongState with `status`, `operation`, and rule `image_busy` when a job is the reason.
    """
    if operation in HELD and is_held(image):
        raise WrongState(
            "an unfinished job holds the image",
            rule="image_busy",
            status=image.status,
            operation=operation,
            job_id=image.job_id,
        )
    allowed = PERMITTED[operation]
    if Status(image.status) not in allowed:
        words = " or ".join(sorted(allowed))
        raise WrongState(
            f"the image is {image.status}; it must be {words}",
            status=image.status,
            operation=operation,
            allowed=words,
        )
