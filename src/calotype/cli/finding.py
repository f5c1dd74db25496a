# SPDX-License-Identifier: Apache-2.0
"""One line of `calotype check`.

`missing`: the service would refuse to start or to work here, or would be open to others. `warn`: it
works, but should not stay like that. `ok`: nothing to do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, what was found and, unless all is well, what to do."""

    what: str
    state: Literal["ok", "warn", "missing"]
    found: str
    advice: str = ""

    def document(self) -> dict[str, str]:
        """Return it for JSON."""
        return asdict(self)


def ok(what: str, found: str) -> Finding:
    """Return a finding without advice."""
    return Finding(what, "ok", found)


def warn(what: str, found: str, advice: str) -> Finding:
    """Return a finding that should be mended."""
    return Finding(what, "warn", found, advice)


def missing(what: str, found: str, advice: str) -> Finding:
    """Return a finding that makes the check fail."""
    return Finding(what, "missing", found, advice)
