# SPDX-License-Identifier: Apache-2.0
"""The only place that reads the time. Everything is UTC and carries a zone."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the current instant, aware, in UTC, with microseconds."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Return seconds of a clock that never goes back; only differences mean something."""
    return time.monotonic()


def to_seconds(moment: datetime) -> str:
    """Render as `YYYY-MM-DDThh:mm:ssZ` (images, members, tasks)."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")[:19] + "Z"


def to_milliseconds(moment: datetime) -> str:
    """Render as `YYYY-MM-DDThh:mm:ss.sssZ` (jobs, audit)."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def to_microseconds(moment: datetime) -> str:
    """Render as `YYYY-MM-DDThh:mm:ss.ffffffZ` (tokens)."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"
