# SPDX-License-Identifier: Apache-2.0
"""A job as a value, what is given to make one, and how both meet the row (contract jobs.md 2).

`request` holds references instead of secrets; `caller` is the identity of the submitter, which a
flow carries and never exceeds. Moments are aware and in UTC; a row holds them in microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping

from calotype.jobs.states import UNFINISHED, Kind, Status

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """What a submission says about its job.

    `variant` is which published type of the flow it is. `subs` are the variants of sub jobs that
    go through the same states as the job itself; they share its image.
    """

    flow: str
    variant: str
    kind: Kind
    account_id: str
    project_id: str
    submitter_id: str
    request_id: str
    request: Document
    caller: Document
    enterprise_project_id: str | None = None
    image_id: str | None = None
    image_name: str | None = None
    object: str | None = None  # bucket:key that an export writes
    subs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job. `percent` is 0 to 100; `step` is the word of `current_task`."""

    id: str
    flow: str
    variant: str
    kind: Kind
    parent_id: str | None
    position: int
    account_id: str
    project_id: str
    enterprise_project_id: str | None
    submitter_id: str
    image_id: str | None
    image_name: str | None
    object: str | None
    status: Status
    step: str
    percent: float
    request: Document = field(repr=False)
    caller: Document = field(repr=False)
    result: Document
    reason: str | None
    error: str | None
    rule: str | None
    runs: int
    attempts: int
    deaths: int
    attempt_token: str | None
    dispatched: bool
    cancel: bool
    request_id: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.status not in UNFINISHED


def from_row(row: RowMapping) -> Job:
    """Return the job of a row."""
    values: dict[str, Any] = {name: row[name] for name in Job.__dataclass_fields__}
    values["kind"] = Kind(row["kind"])
    values["status"] = Status(row["status"])
    for name in ("request", "caller", "result"):
        values[name] = json.loads(row[name])
    for name in ("created_at", "started_at", "ended_at"):
        values[name] = None if row[name] is None else from_microseconds(row[name])
    return Job(**values)


def dump(document: Document) -> str:
    """Return a document as the text of a column."""
    return json.dumps(document, separators=(",", ":"), sort_keys=True)


def to_microseconds(moment: datetime) -> int:
    """Return the stored form of a moment."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    """Return the moment of a stored value."""
    return _EPOCH + value * _MICROSECOND
