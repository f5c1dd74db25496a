# SPDX-License-Identifier: Apache-2.0
"""Lists: what a decision says about every image of an enterprise project at once.

For each enterprise project the statements that speak of the action are split into those that hold
for all of its images, for none, and for some. What "some" means is handed on as clauses that a
query can use (image ids, tag equality); whatever else depends on the image is marked as not exact
and has to be judged image by image. Source: contract iam.md 4.5.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from calotype.iam.conditions import TAG_PREFIX, Condition
from calotype.iam.evaluate import Question
from calotype.iam.grants import GrantSet
from calotype.iam.policy import CompiledPolicy
from calotype.iam.statement import Effect, Statement

_EXACT_OPERATOR = "StringEquals"


@dataclass(frozen=True, slots=True)
class Part:
    """When one statement applies to an image: all given parts hold.

    `ids` None: any image. `tags`: each key has one of the values. `exact` False: something else
    must hold as well, which only a look at the image tells.
    """

    ids: frozenset[str] | None = None
    tags: tuple[tuple[str, frozenset[str]], ...] = ()
    exact: bool = True

    @property
    def whole(self) -> bool:
        """Whether the statement applies to every image."""
        return self.exact and self.ids is None and not self.tags


@dataclass(frozen=True, slots=True)
class Narrowed:
    """Images of `ep` pass when `always` or one of `allow` holds, and none of `deny` does.

    `exact` False: the clauses only bound the result; each image that is left must be judged.
    """

    ep: str
    always: bool
    allow: tuple[Part, ...] = ()
    deny: tuple[Part, ...] = ()
    exact: bool = True

    @property
    def all(self) -> bool:
        """Whether every image of the enterprise project passes."""
        return self.always and not self.deny and self.exact

    @property
    def nothing(self) -> bool:
        """Whether no image of the enterprise project passes."""
        return not self.always and not self.allow


def narrow(
    grants: GrantSet,
    question: Question,
    eps: Iterable[str],
    session: CompiledPolicy | None = None,
) -> list[Narrowed]:
    """Return, for each enterprise project, which of its images pass `question`.

    The question addresses no image; its context lacks the keys of images.
    """
    return [_narrow_one(grants, replace(question, ep=ep, ep_counts=True), session) for ep in eps]


def _narrow_one(grants: GrantSet, question: Question, session: CompiledPolicy | None) -> Narrowed:
    assert question.ep is not None
    denies, allows = grants.candidates(question.place, question.action)
    deny = _parts((one.statement for one in denies), question)
    allow = _parts((one.statement for one in allows), question)
    exact = True
    if session is not None:
        spoken = session.speaking_of(question.action)
        deny += _parts((one for one in spoken if one.effect is Effect.DENY), question)
        limits = _parts((one for one in spoken if one.effect is Effect.ALLOW), question)
        if not limits:
            allow = []
        exact = any(part.whole for part in limits) or not allow
    if any(part.whole for part in deny) or not allow:
        return Narrowed(question.ep, always=False)
    always = any(part.whole for part in allow)
    parts = [*deny, *(() if always else allow)]
    return Narrowed(
        question.ep,
        always,
        () if always else tuple(allow),
        tuple(deny),
        exact and all(part.exact for part in parts),
    )


def _parts(statements: Iterable[Statement], question: Question) -> list[Part]:
    found: list[Part] = []
    for statement in statements:
        part = _part(statement, question)
        if part is not None:
            found.append(part)
    return found


def _part(statement: Statement, question: Question) -> Part | None:
    if statement.plain:
        return Part()
    part = _resources(statement, question)
    if part is None:
        return None
    tags: list[tuple[str, frozenset[str]]] = []
    exact = part.exact
    for condition in statement.conditions:
        if not condition.of_image:
            if not condition.holds(question.lookup):
                return None
        elif _is_tag_equality(condition):
            tags.append((condition.key[len(TAG_PREFIX) :], frozenset(condition.texts)))
        else:
            exact = False
    return Part(part.ids, tuple(tags), exact)


def _is_tag_equality(condition: Condition) -> bool:
    return condition.operator == _EXACT_OPERATOR and condition.key.startswith(TAG_PREFIX)


def _resources(statement: Statement, question: Question) -> Part | None:
    if statement.uris is not None:
        return None
    if statement.resources is None:
        return Part()
    fitting = [one for one in statement.resources if one.head_matches(question.resource)]
    if not fitting:
        return None
    if any(one.path.any for one in fitting):
        return Part()
    if all("*" not in one.path.text for one in fitting):
        return Part(ids=frozenset(one.path.text for one in fitting))
    return Part(exact=False)
