# SPDX-License-Identifier: Apache-2.0
"""One statement of a policy, compiled: does it speak of this action, does it apply here.

A statement applies when one action matches, the resource matches and every condition holds
(contract iam.md 2.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from calotype.iam.conditions import Condition, Lookup
from calotype.iam.matching import ActionPattern, Parts, Resource, ResourcePattern


class Effect(StrEnum):
    """What an applying statement says."""

    ALLOW = "Allow"
    DENY = "Deny"


@dataclass(frozen=True, slots=True)
class Statement:
    """`excepted` are the carve-outs of a built-in role: they narrow this Allow and deny nothing.

    `resources` and `uris` None: every resource.
    """

    index: int
    effect: Effect
    actions: tuple[ActionPattern, ...]
    excepted: tuple[ActionPattern, ...] = ()
    resources: tuple[ResourcePattern, ...] | None = None
    uris: frozenset[str] | None = None
    conditions: tuple[Condition, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether the action alone decides."""
        return self.resources is None and self.uris is None and not self.conditions

    def speaks_of(self, parts: Parts) -> bool:
        """Tell whether an action is one of the statement's."""
        return any(pattern.matches(parts) for pattern in self.actions) and not any(
            pattern.matches(parts) for pattern in self.excepted
        )

    def covers(self, resource: Resource, uri: str | None) -> bool:
        """Tell whether the resource is one of the statement's."""
        if self.uris is not None:
            return uri in self.uris
        return self.resources is None or any(
            pattern.matches(resource) for pattern in self.resources
        )

    def failing(self, lookup: Lookup) -> Condition | None:
        """Return the first condition that does not hold, or None."""
        for condition in self.conditions:
            if not condition.holds(lookup):
                return condition
        return None
