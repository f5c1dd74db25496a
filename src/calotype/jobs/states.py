# SPDX-License-Identifier: Apache-2.0
"""Words of a job: statuses, kinds, reasons, and how an error becomes a reason (jobs.md 4 and 7).

A status never goes back and an ended job never changes; the SQL in `store.py` holds to that. The
text of a failure is for people: one line, without paths, tool output or names from inside a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from calotype.errors import (
    BadImage,
    CalotypeError,
    Cancelled,
    Conflict,
    Gone,
    NotFound,
    ProgramFailed,
    QuotaExceeded,
    Unavailable,
)

TEXT_LIMIT = 480  # leaves room for "REASON: " in a line of 512 characters


class Status(StrEnum):
    """States of a job; the last two are ends."""

    INIT = "INIT"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAIL = "FAIL"


UNFINISHED = (Status.INIT, Status.RUNNING)


class Kind(StrEnum):
    """What a job counts as in the limits of a project."""

    CREATION = "creation"
    EXPORT = "export"  # counts with creations
    COPY = "copy"
    MEMBERS = "members"  # not limited


class JobReason(StrEnum):
    """Reasons that only a job has; content has those of `errors.Reason`."""

    SOURCE_GONE = "SOURCE_GONE"
    SOURCE_CHANGED = "SOURCE_CHANGED"
    SOURCE_FORBIDDEN = "SOURCE_FORBIDDEN"
    TARGET_EXISTS = "TARGET_EXISTS"
    MIN_DISK = "MIN_DISK"
    STATE = "STATE"
    PARTIAL = "PARTIAL"  # some parts of a batch failed; the result says which
    QUOTA = "QUOTA"
    STORE = "STORE"
    STORE_FULL = "STORE_FULL"
    EXPANSION_LIMIT = "EXPANSION_LIMIT"
    INTERNAL = "INTERNAL"
    WORKER_LOST = "WORKER_LOST"
    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed: `reason` is shown first, `rule` tells faces apart what shares a reason."""

    reason: str
    rule: str
    text: str


class JobFailed(CalotypeError):
    """A step ends its job with a reason of its own."""

    default_rule = "job_failed"

    def __init__(self, reason: JobReason, message: str, *, rule: str | None = None) -> None:
        super().__init__(message, rule=rule or reason.value.lower())
        self.reason = reason


def failure_of(error: BaseException) -> Failure:
    """Return what a job says about an error. What nobody expected is INTERNAL, without details."""
    if isinstance(error, BadImage | JobFailed):
        return _failure(error.reason.value, error)
    if isinstance(error, Cancelled):
        return _failure(JobReason.CANCELLED, error, "the job was cancelled")
    if isinstance(error, QuotaExceeded):
        return _failure(JobReason.QUOTA, error)
    if isinstance(error, Unavailable):
        full = error.rule == "store_full"
        return _failure(JobReason.STORE_FULL if full else JobReason.STORE, error)
    if isinstance(error, ProgramFailed) and error.how in ("timeout", "limit"):
        return _failure(JobReason.EXPANSION_LIMIT, error, "the file needs more than is allowed")
    if isinstance(error, NotFound | Gone | Conflict):
        return _failure(JobReason.STATE, error)
    return Failure(JobReason.INTERNAL, "internal", "an unexpected error; the service's log has it")


def _failure(reason: str, error: CalotypeError, text: str | None = None) -> Failure:
    line = " ".join((text or error.message).split())
    return Failure(str(reason), error.rule, line[:TEXT_LIMIT])
