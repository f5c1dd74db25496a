# SPDX-License-Identifier: Apache-2.0
"""Who sees which image, and which images a list may hold (contract iam.md 4.5, 4.6).

Pure predicates on one image; their twins in SQL stand beside this file and a test compares them.
No policy widens them. A ListFilter is what the gate decided about a list: the enterprise projects
whose images pass, those of which only some do, and how to judge one image where a query cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TargetImage:
    """An image as far as rights ask.

    `image_type` is the published word as its owner or member sees it; `tags` maps a key to its
    values (natively written tags may repeat a key); `member_status` is that of the project that
    asks, None when it is no member.
    """

    id: str
    owner: str
    account_id: str
    ep: str
    visibility: str
    image_type: str = "private"
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    member_status: str | None = None
    status: str = "active"
    cmk_id: str | None = None


@dataclass(frozen=True, slots=True)
class Clause:
    """Images for which a statement applies: one of `ids` (None: any) and every tag has a value.

    `exact` False: something else must hold too, which only `ListFilter.judge` knows.
    """

    ids: frozenset[str] | None = None
    tags: tuple[tuple[str, frozenset[str]], ...] = ()
    exact: bool = True

    def may_apply(self, image: TargetImage) -> bool:
        """Tell whether the parts that a query can see hold."""
        if self.ids is not None and image.id not in self.ids:
            return False
        return all(values & set(image.tags.get(key, ())) for key, values in self.tags)


@dataclass(frozen=True, slots=True)
class EpRule:
    """Own images of `ep` pass when `always` or an allow clause holds, and no deny clause does."""

    ep: str
    always: bool
    allow: tuple[Clause, ...] = ()
    deny: tuple[Clause, ...] = ()
    exact: bool = True

    def may_pass(self, image: TargetImage) -> bool:
        """Tell whether the image passes as far as a query can see."""
        if any(clause.exact and clause.may_apply(image) for clause in self.deny):
            return False
        return self.always or any(clause.may_apply(image) for clause in self.allow)


@dataclass(frozen=True, slots=True)
class ListFilter:
    """What a list may hold.

    `all_owners`: the operator on native paths. `only_ep`: own images of this enterprise project
    and nothing else. `open_eps`: own images of these pass unseen, None: of every one. `rules`: of
    these some do. `judge` decides one own image exactly; None when nothing needs it.
    """

    project_id: str | None
    all_owners: bool = False
    only_ep: str | None = None
    open_eps: frozenset[str] | None = None
    rules: tuple[EpRule, ...] = ()
    judge: Callable[[TargetImage], bool] | None = None

    def admits(self, image: TargetImage) -> bool:
        """Tell whether an own image may be in the list."""
        if self.only_ep is not None and image.ep != self.only_ep:
            return False
        if self.open_eps is None or image.ep in self.open_eps:
            return True
        rule = next((rule for rule in self.rules if rule.ep == image.ep), None)
        if rule is None or not rule.may_pass(image):
            return False
        return rule.exact or self.judge is None or self.judge(image)


def visible(image: TargetImage, project_id: str | None) -> bool:
    """Tell whether a project may know of the image: own, public, community, or shared with it.

    Members that stay stored on an image that is not shared see nothing by it.
    """
    if image.owner == project_id or image.visibility in ("public", "community"):
        return True
    return image.visibility == "shared" and image.member_status is not None


def listed(
    image: TargetImage,
    project_id: str | None,
    *,
    visibility: str | None = None,
    member_status: str = "accepted",
) -> bool:
    """Tell whether a list shows the image, its ListFilter apart.

    `visibility`: None, `all` or one word; `member_status` concerns images shared with the project
    only: a status, or `all`. Community images of others are shown when asked for.
    """
    if image.owner == project_id:
        return visibility in (None, "all", image.visibility)
    if image.visibility == "public":
        return visibility in (None, "all", "public")
    if image.visibility == "community":
        return visibility in ("all", "community")
    if image.visibility != "shared" or image.member_status is None:
        return False
    return visibility in (None, "all", "shared") and member_status in (
        "all",
        image.member_status,
    )


def image_type(visibility: str, member_count: int) -> str:
    """Return the published type word of an image (values.md 8)."""
    if visibility == "public":
        return "gold"
    return "shared" if visibility == "shared" and member_count else "private"


def tag_pairs(strings: tuple[str, ...] | list[str]) -> Mapping[str, tuple[str, ...]]:
    """Return stored string forms of tags as keys with their values (values.md 3)."""
    pairs: dict[str, tuple[str, ...]] = {}
    for text in strings:
        key, _, value = text.partition("=")
        pairs[key] = (*pairs.get(key, ()), value)
    return pairs
