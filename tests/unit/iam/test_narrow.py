# SPDX-License-Identifier: Apache-2.0
"""Lists: what the clauses let through is what a decision on each image lets through."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.iam.grants import Grant, GrantSet
from calotype.iam.narrow import Narrowed, narrow
from calotype.images.visibility import Clause, EpRule, ListFilter, TargetImage
from tests.unit.iam import naive, strategies
from tests.unit.iam.naive import RawGrant, RawQuestion

IMAGES = [
    TargetImage(
        id=image_id,
        owner="p1",
        account_id="acme",
        ep=ep,
        visibility="private",
        tags={"env": (tag,)} if tag else {},
    )
    for image_id in ("img-1", "img-2")
    for ep in strategies.EPS
    for tag in ("", "dev", "prod")
]


def _question(image: TargetImage | None, ep: str | None) -> RawQuestion:
    return RawQuestion(
        action="ims:images:list",
        project="p1",
        ep=ep,
        ep_counts=ep is not None,
        image_id="" if image is None else image.id,
        tags={} if image is None else {key: one for key, (one,) in image.tags.items()},
    )


def _rule(rule: Narrowed) -> EpRule:
    clauses = [
        tuple(Clause(part.ids, part.tags, part.exact) for part in parts)
        for parts in (rule.allow, rule.deny)
    ]
    return EpRule(rule.ep, rule.always, clauses[0], clauses[1], rule.exact)


@settings(max_examples=120, deadline=None)
@given(st.lists(strategies.grants(), max_size=8))
def test_the_clauses_and_the_judge_agree_with_the_plain_rules(
    pairs: list[tuple[Grant, RawGrant]],
) -> None:
    held = GrantSet(grant for grant, _ in pairs)
    raw = [one for _, one in pairs]
    template = replace(strategies.as_question(_question(None, None)), ep_counts=False)
    rules = narrow(held, template, strategies.EPS)

    def judge(image: TargetImage) -> bool:
        return naive.decide(raw, _question(image, image.ep)) == "allowed"

    limits = ListFilter(
        "p1",
        open_eps=frozenset(rule.ep for rule in rules if rule.all),
        rules=tuple(_rule(rule) for rule in rules if not rule.all and not rule.nothing),
        judge=judge,
    )
    exact = {rule.ep for rule in rules if rule.exact}
    for image in IMAGES:
        wanted = judge(image)
        assert limits.admits(image) is wanted
        if image.ep in exact:
            assert replace(limits, judge=None).admits(image) is wanted
