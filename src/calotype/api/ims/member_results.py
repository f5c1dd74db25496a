# SPDX-License-Identifier: Apache-2.0
"""What became of the pairs of a members job, with the published codes (contract jobs.md 6)."""

from __future__ import annotations

from typing import Any

from calotype.flows import member_order
from calotype.flows.member_order import Change, Mark, Outcome
from calotype.jobs.model import Job

TYPES = {
    str(Change.ADD): "imsAddImageMembersJob",
    str(Change.UPDATE): "imsUpdateImageMembersJob",
    str(Change.DELETE): "imsDelImageMembersJob",
}
_CODES = {
    Mark.OWNER: "IMG.0106",
    Mark.GONE: "IMG.0027",
    Mark.STATE: "IMG.0046",
    Mark.QUOTA: "IMG.0088",
}
_ADDING_FAILED = "IMG.0112"
_REMOVING_FAILED = "IMG.0113"


def is_batch(job: Job) -> bool:
    """Tell whether a job has results of pairs."""
    return job.flow == member_order.FLOW


def results(job: Job) -> list[dict[str, Any]]:
    """Return one element for each pair that is done, in the order of the request."""
    return [_element(job, one) for one in member_order.outcomes(job)]


def first_code(job: Job) -> str | None:
    """Return the code of the first pair that failed, None when none did."""
    failed = (one for one in member_order.outcomes(job) if one.mark is not Mark.DONE)
    first = next(failed, None)
    return None if first is None else _code(job, first.mark)


def _element(job: Job, one: Outcome) -> dict[str, Any]:
    done = one.mark is Mark.DONE
    body = {
        "image_id": one.image_id,
        "project_id": one.project_id,
        "status": "success" if done else "failed",
    }
    return body if done else body | {"error_code": _code(job, one.mark)}


def _code(job: Job, mark: Mark) -> str:
    failed = _REMOVING_FAILED if job.variant == Change.DELETE else _ADDING_FAILED
    return _CODES.get(mark, failed)
