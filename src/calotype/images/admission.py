# SPDX-License-Identifier: Apache-2.0
"""What the gate decided about a list, put into its query (contract iam.md 4.5).

Enterprise projects, image ids and tag equality become SQL, so that a page costs the same; what only
a look at the image tells is left to a predicate that the list applies while it scans.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import ColumnElement, and_, false, not_, or_, true

from calotype.db.tables.images import images
from calotype.images import target
from calotype.images.filters import Filter
from calotype.images.listing import Keep
from calotype.images.model import Image
from calotype.images.properties import has_tag
from calotype.images.tags import join
from calotype.images.visibility import Clause, EpRule, ListFilter


def admit(wanted: Filter, admitted: ListFilter | None) -> tuple[Filter, Keep | None]:
    """Return the filter with what the gate lets through, and the predicate for the rest."""
    if admitted is None:
        return wanted, None
    if admitted.all_owners:
        return replace(wanted, scope=replace(wanted.scope, everything=True)), None
    only = None if admitted.only_ep is None else frozenset({admitted.only_ep})
    if admitted.open_eps is None:
        return replace(wanted, own_eps=only), None
    rules = tuple(rule for rule in admitted.rules if rule.ep not in admitted.open_eps)
    eps = admitted.open_eps | {rule.ep for rule in rules}
    narrowed = replace(
        wanted,
        own_eps=eps if only is None else eps & only,
        own_where=_where(admitted.open_eps, rules) if rules else None,
    )
    exact = all(rule.exact for rule in rules)
    return narrowed, None if exact else _keep(admitted)


def _keep(admitted: ListFilter) -> Keep:
    def keep(image: Image) -> bool:
        return image.owner != admitted.project_id or admitted.admits(target.facts(image))

    return keep


def _where(eps: frozenset[str], rules: tuple[EpRule, ...]) -> Callable[[], ColumnElement[bool]]:
    def where() -> ColumnElement[bool]:
        ep = images.c.enterprise_project_id
        parts = [and_(ep == rule.ep, _passes(rule)) for rule in rules]
        return or_(ep.in_(sorted(eps)) if eps else false(), *parts)

    return where


def _passes(rule: EpRule) -> ColumnElement[bool]:
    allowed = true() if rule.always else or_(false(), *(_applies(one) for one in rule.allow))
    denied = [not_(_applies(one)) for one in rule.deny if one.exact]
    return and_(allowed, *denied)


def _applies(clause: Clause) -> ColumnElement[bool]:
    parts: list[ColumnElement[bool]] = []
    if clause.ids is not None:
        parts.append(images.c.id.in_(sorted(clause.ids)))
    for key, values in clause.tags:
        parts.append(has_tag([join(key, value) for value in sorted(values)]))
    return and_(true(), *parts)
