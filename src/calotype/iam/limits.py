# SPDX-License-Identifier: Apache-2.0
"""Counts that an account may reach (contract iam.md 1.2), from the settings."""

from __future__ import annotations

from dataclasses import dataclass

from calotype.errors import QuotaExceeded


@dataclass(frozen=True, slots=True)
class Limits:
    """The counted limits of one account or user."""

    users: int = 50
    groups: int = 20
    groups_per_user: int = 10
    policies: int = 200
    keys_per_user: int = 2
    enterprise_projects: int = 100


def require_room(quota: str, used: int, limit: int) -> None:
    """Raise QuotaExceeded when one more would pass the limit. `quota` names it for people."""
    if used >= limit:
        raise QuotaExceeded(
            f"the limit of {limit} {quota} is reached",
            rule="count_quota",
            quota=quota,
            limit=limit,
            used=used,
        )
