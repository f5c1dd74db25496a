# SPDX-License-Identifier: Apache-2.0
"""Moments as the tables hold them: integer microseconds since 1970, UTC, without rounding."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from calotype import clock

_START = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_stored(moment: datetime) -> int:
    """Return the microseconds of an aware moment."""
    return (moment - _START) // _MICROSECOND


def from_stored(value: int) -> datetime:
    """Return the moment, aware, UTC."""
    return _START + timedelta(microseconds=value)


def from_nullable(value: int | None) -> datetime | None:
    """Return the moment, or None for a null column."""
    return None if value is None else from_stored(value)


def now() -> int:
    """Return the current moment as the tables hold it."""
    return to_stored(clock.now())
