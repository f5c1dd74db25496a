# SPDX-License-Identifier: Apache-2.0
"""Fixed instants."""

from __future__ import annotations

from datetime import UTC, datetime

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
