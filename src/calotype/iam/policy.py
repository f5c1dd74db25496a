# SPDX-License-Identifier: Apache-2.0
"""Policies, compiled once and asked often.

`parse_policy` checks a document and returns its statements with warnings; a CompiledPolicy
remembers, for each action that was asked, which of its statements speak of it, so that a decision
never compares patterns twice. Source: contract iam.md 2.1, 2.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from calotype.iam.grammar import concrete_actions, read_document
from calotype.iam.matching import action_parts
from calotype.iam.statement import Statement

# The actions of the image dialects; a test compares them with the operation table.
IMS_ACTIONS = (
    "ims:dataImages:create",
    "ims:images:copy",
    "ims:images:create",
    "ims:images:delete",
    "ims:images:export",
    "ims:images:get",
    "ims:images:list",
    "ims:images:share",
    "ims:images:update",
    "ims:images:upload",
    "ims:quotas:get",
    "ims:serverImages:create",
    "ims:wholeImages:create",
)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document that the grammar accepts."""

    language: str
    statements: tuple[Statement, ...]
    depends: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """One policy as the evaluator uses it. `number` counts its changes; `name` is for people.

    `depends` holds display names of built-in roles that must count as well (Version 1.0 only).
    """

    id: str
    name: str
    number: int
    language: str
    statements: tuple[Statement, ...]
    depends: tuple[str, ...] = ()
    builtin: bool = False
    makes_operator: bool = False
    _memo: dict[str, tuple[Statement, ...]] = field(default_factory=dict, compare=False, repr=False)

    def speaking_of(self, action: str) -> tuple[Statement, ...]:
        """Return the statements that speak of `action`, an action of the operation table."""
        known = self._memo.get(action)
        if known is None:
            parts = action_parts(action)
            known = tuple(one for one in self.statements if one.speaks_of(parts))
            self._memo[action] = known
        return known


def parse_policy(document: object, *, custom: bool = True, kind: str | None = None) -> Parsed:
    """Check a policy document (the parsed JSON).

    `kind` is the declared type of a custom policy, AX (global services) or XA; None: that of its
    first action. Raises Invalid with rule `policy_invalid` and the fact `pointer`.
    """
    language, statements, depends = read_document(document, custom=custom, kind=kind)
    return Parsed(language, statements, depends, _unknown_actions(statements))


def compile_policy(policy_id: str, name: str, number: int, document: object) -> CompiledPolicy:
    """Return a stored custom policy ready for decisions. Raises Invalid."""
    parsed = parse_policy(document)
    return CompiledPolicy(policy_id, name, number, parsed.language, parsed.statements)


def missing_dependencies(policy: CompiledPolicy, held: Iterable[CompiledPolicy]) -> tuple[str, ...]:
    """Return the display names of roles that `policy` depends on and that are not held."""
    names = {one.name for one in held if one.builtin}
    return tuple(name for name in policy.depends if name not in names)


def _unknown_actions(statements: Sequence[Statement]) -> tuple[str, ...]:
    known = [action_parts(action) for action in IMS_ACTIONS]
    return tuple(
        f"unknown action: {pattern.text}"
        for _, pattern in concrete_actions(statements)
        if pattern.service == "ims" and not any(pattern.matches(parts) for parts in known)
    )
