# SPDX-License-Identifier: Apache-2.0
"""The rules of iam.md 4.2 written down plainly, over raw documents: the oracle of the engine.

Shares nothing with the engine: patterns are regular expressions, grants are walked one by one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RawGrant:
    """A grant of a raw document. `name` is the role's display name for a Version 1.0 one."""

    name: str
    document: Mapping[str, Any]
    scope: str
    scope_id: str
    depends: tuple[str, ...] = ()
    excepted: tuple[str, ...] = ()


@dataclass(frozen=True)
class RawQuestion:
    """What is asked."""

    action: str
    project: str
    ep: str | None
    ep_counts: bool
    image_id: str
    tags: Mapping[str, str]


def decide(grants: Sequence[RawGrant], question: RawQuestion) -> str:
    """Return allowed, explicit_deny or implicit_deny."""
    here = [grant for grant in grants if _exists(grant, question)]
    while True:
        names = {grant.name for grant in here}
        kept = [grant for grant in here if set(grant.depends) <= names]
        if len(kept) == len(here):
            break
        here = kept
    effects = {
        statement["Effect"]
        for grant in here
        for statement in grant.document["Statement"]
        if _applies(grant, statement, question)
    }
    if "Deny" in effects:
        return "explicit_deny"
    return "allowed" if "Allow" in effects else "implicit_deny"


def _exists(grant: RawGrant, question: RawQuestion) -> bool:
    if grant.scope == "project":
        return grant.scope_id == question.project
    if grant.scope == "enterprise_project":
        return question.ep_counts and grant.scope_id == question.ep
    return grant.scope == "all_projects"


def _applies(grant: RawGrant, statement: Mapping[str, Any], question: RawQuestion) -> bool:
    if not any(_action(pattern, question.action) for pattern in statement["Action"]):
        return False
    if any(_action(pattern, question.action) for pattern in grant.excepted):
        return False
    resources = statement.get("Resource")
    if resources is not None and not any(_resource(one, question.image_id) for one in resources):
        return False
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            found = question.tags.get(key.partition("/")[2])
            if found is None:
                if not operator.endswith("IfExists"):
                    return False
                continue
            hit = found in values
            if hit == ("Not" in operator):
                return False
    return True


def _action(pattern: str, action: str) -> bool:
    wanted, found = pattern.split(":"), action.split(":")
    return all(
        re.fullmatch(re.escape(one).replace(r"\*", ".*"), two, re.IGNORECASE)
        for one, two in zip(wanted, found, strict=True)
    )


def _resource(pattern: str, image_id: str) -> bool:
    *head, path = pattern.split(":", 4)
    found = ["ims", "region-1", "acme", "image"]
    return all(
        re.fullmatch(re.escape(one).replace(r"\*", "[^:]*"), two, re.IGNORECASE)
        for one, two in zip(head, found, strict=True)
    ) and bool(re.fullmatch(re.escape(path).replace(r"\*", ".*"), image_id))
