# SPDX-License-Identifier: Apache-2.0
"""Lists: from the decision on the gate to what the query may return (contract iam.md 4.5).

A row whose second column is false is decided once and returns every image that the project may
see. The other kind returns own images of those enterprise projects where the action is allowed,
judged with each image's own tags and attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from calotype.gate.enforce_context import image_context, image_resource
from calotype.gate.enforce_find import sees_all
from calotype.gate.enforce_types import Case, ListFilter, TargetImage, World
from calotype.iam.evaluate import Question, decide
from calotype.iam.grants import GrantSet
from calotype.iam.narrow import Narrowed, Part, narrow
from calotype.iam.policy import CompiledPolicy
from calotype.images.visibility import Clause, EpRule


def plain_filter(case: Case) -> ListFilter:
    """Return the filter of a list that knows no enterprise projects."""
    return ListFilter(case.wanted.project_id, all_owners=sees_all(case.asked))


def narrowed_filter(
    case: Case,
    world: World,
    question: Question,
    grants: GrantSet,
    session: CompiledPolicy | None,
) -> ListFilter:
    """Return the filter of a list whose gate `question` passed.

    `question` addresses no image and names no enterprise project.
    """
    only = case.wanted.only_ep
    eps: Sequence[str]
    eps = world.eps(case.caller.principal.account_id) if only is None else (only,)
    rules = narrow(grants, question, eps, session)
    if all(rule.all for rule in rules):
        return ListFilter(case.wanted.project_id, only_ep=only)
    partial = [rule for rule in rules if not rule.all and not rule.nothing]

    def judge(image: TargetImage) -> bool:
        here = replace(
            question,
            ep=image.ep,
            ep_counts=True,
            context=image_context(question.context, image, foreign=False),
            resource=image_resource(case.asked, world.region, image.id),
        )
        return decide(grants, here, session=session).allowed

    return ListFilter(
        case.wanted.project_id,
        only_ep=only,
        open_eps=frozenset(rule.ep for rule in rules if rule.all),
        rules=tuple(_rule(rule) for rule in partial),
        judge=None if all(rule.exact for rule in partial) else judge,
    )


def _rule(rule: Narrowed) -> EpRule:
    return EpRule(
        rule.ep,
        rule.always,
        tuple(_clause(part) for part in rule.allow),
        tuple(_clause(part) for part in rule.deny),
        rule.exact,
    )


def _clause(part: Part) -> Clause:
    return Clause(part.ids, part.tags, part.exact)
