# SPDX-License-Identifier: Apache-2.0
"""The table behind the list filter `flavor_id` (contract ims.md, ims.list; setting FLAVORS_FILE).

A YAML or JSON file: `version: 1` and `flavors`, a mapping from id to `architecture` (`x86`,
`arm`), `firmware` (list of `bios`, `uefi`; default both) and `supports` (list of `__support_…`
flags that an image must have; default none). Refuses a file that it does not understand, naming
file and flavor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calotype.api.ims import fields
from calotype.contract.files import BadRow, parse_table

_KEYS = frozenset({"architecture", "firmware", "supports"})
FLAGS = tuple(flag for flag in fields.SUPPORT_FLAGS if flag != "__support_arm")


@dataclass(frozen=True, slots=True)
class Flavor:
    """What an image must be like to run on a flavor."""

    id: str
    is_arm: bool
    firmware: frozenset[str]
    supports: tuple[str, ...]


Flavors = Mapping[str, Flavor]


def load(path: Path | None) -> Flavors:
    """Return the flavors of a file; none without a file. Raises BadRow, OSError."""
    if path is None:
        return {}
    return parse(path.name, path.read_text("utf-8"))


def parse(file: str, text: str) -> Flavors:
    """Return the flavors that `text` holds. Raises BadRow."""
    table = parse_table(file, text)
    rows = table.get("flavors")
    if set(table) != {"version", "flavors"} or table["version"] != 1 or not isinstance(rows, dict):
        raise BadRow(file, "file", "needs version 1 and the mapping flavors, nothing else")
    return {name: _flavor(file, name, row) for name, row in rows.items()}


def _flavor(file: str, name: str, row: object) -> Flavor:
    if not isinstance(row, dict) or set(row) - _KEYS or "architecture" not in row:
        raise BadRow(file, name, f"needs architecture; known: {', '.join(sorted(_KEYS))}")
    architecture = row["architecture"]
    if architecture not in fields.ARCHITECTURES:
        raise BadRow(file, name, f"architecture {architecture}; allowed: x86, arm")
    firmware = _words(file, name, row, "firmware", fields.FIRMWARE) or fields.FIRMWARE
    supports = _words(file, name, row, "supports", FLAGS)
    return Flavor(name, architecture == "arm", frozenset(firmware), supports)


def _words(
    file: str, name: str, row: Mapping[str, Any], key: str, allowed: tuple[str, ...]
) -> tuple[str, ...]:
    words = row.get(key, [])
    if not isinstance(words, list) or not all(word in allowed for word in words):
        raise BadRow(file, name, f"{key} must be a list of {', '.join(allowed)}")
    return tuple(words)
