# SPDX-License-Identifier: Apache-2.0
"""Values of a query by the rules of this dialect (contract ims.md C3).

A parameter that is not listed is ignored, an empty value counts as absent, and a single-valued one
that repeats is IMG.0017.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from calotype.api.ims.refusal import IMSRefusal, refuse

QUERY = "IMG.0017"
BIGGEST = 2**63
_DIGITS = len(str(BIGGEST))

Query = Sequence[tuple[str, str]]


@dataclass(slots=True)
class Values:
    """The listed parameters that have a value, by name."""

    single: dict[str, str]
    repeated: dict[str, list[str]]

    def word(self, name: str, allowed: Sequence[str], code: str) -> str | None:
        """Return a value out of `allowed`, or None."""
        value = self.single.get(name)
        if value is not None and value not in allowed:
            raise refuse(code, name, value, f"allowed: {', '.join(allowed)}")
        return value

    def boolean(self, name: str) -> bool | None:
        """Return a boolean of any case, or None."""
        value = self.single.get(name)
        if value is None:
            return None
        if value.lower() not in ("true", "false"):
            raise refuse(QUERY, name, value, "allowed: true, false")
        return value.lower() == "true"

    def integer(self, name: str, code: str) -> int | None:
        """Return an integer of at least 0, or None; beyond 2**63 all are alike."""
        value = self.single.get(name)
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]+", value):
            raise refuse(code, name, value, "an integer of at least 0")
        digits = value.lstrip("0")
        return BIGGEST if len(digits) > _DIGITS else min(int(digits or "0"), BIGGEST)


def read_values(query: Query, single: Collection[str], repeated: Collection[str]) -> Values:
    """Return the listed parameters. Raises IMSRefusal IMG.0017 for one that may not repeat."""
    found: dict[str, str] = {}
    lists: dict[str, list[str]] = {name: [] for name in repeated}
    for name, value in query:
        if name in lists:
            if value:
                lists[name].append(value)
        elif name in single:
            if name in found:
                raise IMSRefusal(QUERY, f"{name} is given more than once", field=name)
            found[name] = value
    return Values({name: value for name, value in found.items() if value}, lists)
