# SPDX-License-Identifier: Apache-2.0
"""Grants of one caller: which of them apply to a question, and which statements can decide it.

A GrantSet is made once for a principal and asked for many decisions. It sorts grants by scope, and
for each (scope, action) that was asked it keeps the statements that speak of the action, so that a
thousand grants cost what the few relevant ones cost. Source: contract iam.md 1.1, 2.5, 4.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from calotype.iam.policy import CompiledPolicy
from calotype.iam.statement import Effect, Statement

MEMO_LIMIT = 4096


class ScopeKind(StrEnum):
    """Where a grant holds."""

    PROJECT = "project"
    ALL_PROJECTS = "all_projects"
    ENTERPRISE_PROJECT = "enterprise_project"
    GLOBAL = "global"


class Reach(StrEnum):
    """Which scopes a service looks at besides enterprise projects."""

    PROJECT = "project"  # project-level services: the request's project, or all projects
    GLOBAL = "global"  # account-level services: the account, or all projects


@dataclass(frozen=True, slots=True)
class Grant:
    """One policy for one principal on one scope. `via` is the group's name, empty if direct."""

    id: str
    principal: tuple[str, str]  # kind (group, agency, user) and id
    policy: CompiledPolicy
    scope: ScopeKind
    scope_id: str
    via: str = ""


class Place(NamedTuple):
    """Where a question is asked: it selects the grants that exist for it.

    `ep` is None when grants on enterprise projects do not count.
    """

    reach: Reach
    project_id: str | None
    ep: str | None


class Matched(NamedTuple):
    """A statement of a policy that came by a grant."""

    grant: Grant
    statement: Statement


class Candidates(NamedTuple):
    """The statements that speak of an action, those that the action alone decides first."""

    denies: tuple[Matched, ...]
    allows: tuple[Matched, ...]


class GrantSet:
    """The grants of one caller (all his groups, and direct ones), immutable."""

    __slots__ = ("_applicable", "_by_scope", "_candidates", "_eps", "_grants")

    def __init__(self, grants: Iterable[Grant] = ()) -> None:
        self._grants = tuple(grants)
        by_scope: dict[tuple[ScopeKind, str], list[Grant]] = {}
        for grant in self._grants:
            # Every project, and the account, mean the same whatever id stands beside them.
            wide = grant.scope in (ScopeKind.ALL_PROJECTS, ScopeKind.GLOBAL)
            key = (grant.scope, "" if wide else grant.scope_id)
            by_scope.setdefault(key, []).append(grant)
        self._by_scope = by_scope
        self._eps = tuple(name for scope, name in by_scope if scope is ScopeKind.ENTERPRISE_PROJECT)
        self._applicable: dict[Place, tuple[Grant, ...]] = {}
        self._candidates: dict[tuple[Place, str], Candidates] = {}

    def __len__(self) -> int:
        return len(self._grants)

    def __iter__(self) -> Iterator[Grant]:
        return iter(self._grants)

    @property
    def eps(self) -> tuple[str, ...]:
        """Enterprise projects on which the caller holds a grant."""
        return self._eps

    def applicable(self, place: Place) -> tuple[Grant, ...]:
        """Return the grants that count at `place`, roles without their dependencies left out."""
        place = self._narrowed(place)
        known = self._applicable.get(place)
        if known is None:
            known = with_dependencies(self._at(place))
            if len(self._applicable) >= MEMO_LIMIT:
                self._applicable.clear()
            self._applicable[place] = known
        return known

    def candidates(self, place: Place, action: str) -> Candidates:
        """Return the statements that speak of `action` at `place`."""
        key = (self._narrowed(place), action)
        known = self._candidates.get(key)
        if known is None:
            found = [
                Matched(grant, statement)
                for grant in self.applicable(place)
                for statement in grant.policy.speaking_of(action)
            ]
            found.sort(key=lambda one: not one.statement.plain)
            known = Candidates(
                tuple(one for one in found if one.statement.effect is Effect.DENY),
                tuple(one for one in found if one.statement.effect is Effect.ALLOW),
            )
            if len(self._candidates) >= MEMO_LIMIT:
                self._candidates.clear()
            self._candidates[key] = known
        return known

    def _narrowed(self, place: Place) -> Place:
        # Ids come from requests: only those that a grant names may make new entries.
        project, ep = place.project_id, place.ep
        if project is not None and (ScopeKind.PROJECT, project) not in self._by_scope:
            project = None
        if ep is not None and (ScopeKind.ENTERPRISE_PROJECT, ep) not in self._by_scope:
            ep = None
        return Place(place.reach, project, ep)

    def _at(self, place: Place) -> list[Grant]:
        found: list[Grant] = []
        if place.reach is Reach.GLOBAL:
            found += self._by_scope.get((ScopeKind.GLOBAL, ""), ())
        elif place.project_id is not None:
            found += self._by_scope.get((ScopeKind.PROJECT, place.project_id), ())
        found += self._by_scope.get((ScopeKind.ALL_PROJECTS, ""), ())
        if place.ep is not None:
            found += self._by_scope.get((ScopeKind.ENTERPRISE_PROJECT, place.ep), ())
        return found


def as_grant_set(grants: GrantSet | Sequence[Grant]) -> GrantSet:
    """Return `grants` as a GrantSet."""
    return grants if isinstance(grants, GrantSet) else GrantSet(grants)


def with_dependencies(grants: Sequence[Grant]) -> tuple[Grant, ...]:
    """Drop every role of which a role it depends on, however far down, is not among `grants`."""
    held = {grant.policy.name: grant.policy for grant in grants if grant.policy.builtin}
    good = {name: _complete(policy, held, frozenset()) for name, policy in held.items()}
    return tuple(grant for grant in grants if not grant.policy.depends or good[grant.policy.name])


def missing_role(policy: CompiledPolicy, grants: Sequence[Grant]) -> str | None:
    """Return the first role, down the line, that `policy` needs and `grants` lack."""
    held = {grant.policy.name: grant.policy for grant in grants if grant.policy.builtin}
    for name in policy.depends:
        if name not in held:
            return name
        deeper = missing_role(held[name], grants)
        if deeper is not None:
            return deeper
    return None


def _complete(
    policy: CompiledPolicy, held: dict[str, CompiledPolicy], above: frozenset[str]
) -> bool:
    return all(
        name in held and name not in above and _complete(held[name], held, above | {policy.name})
        for name in policy.depends
    )
