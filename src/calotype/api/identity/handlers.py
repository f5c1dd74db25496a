# SPDX-License-Identifier: Apache-2.0
"""Every handler of the identity dialects, by the id of its row."""

from __future__ import annotations

from calotype.api.identity import (
    accounts,
    directory,
    enterprise_projects,
    grants,
    groups,
    keys,
    policies,
    tokens,
    users,
)
from calotype.api.identity.parts import Parts
from calotype.contract.loader import load_operations
from calotype.flows.core import Core
from calotype.gate.request import Handler


def handlers(core: Core) -> dict[str, Handler]:
    """Return the handlers of the chapters identity, eps and authz."""
    return handlers_of(Parts(core.db, core.iam, load_operations()))


def handlers_of(parts: Parts) -> dict[str, Handler]:
    """Return the handlers that work with `parts`.

    What the table still calls planned is left out: a row is switched on there and nowhere else.
    """
    planned = {row.id for row in parts.operations if row.planned}
    found: dict[str, Handler] = {}
    for chapter in (
        tokens,
        directory,
        users,
        groups,
        keys,
        policies,
        grants,
        enterprise_projects,
        accounts,
    ):
        found |= chapter.handlers(parts)
    return {row: handler for row, handler in found.items() if row not in planned}
