# SPDX-License-Identifier: Apache-2.0
"""The OS catalogue as data: what an `os_version` says about an image (contract values.md 13).

Owns `os_catalogue.yaml`, whose rows are added to and never removed. Comparison folds ASCII case and
drops spaces and `_`; what is stored is the catalogue's spelling.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from calotype.contract.files import BadRow, read_table
from calotype.errors import Invalid

FILE = "os_catalogue.yaml"
TAGS = ("x86", "arm", "uefi", "bms")
_RULES = frozenset({"arm", "uefi", "no_bms"})
_FOLDED = str.maketrans(
    {**{chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)}, " ": None, "_": None}
)
_CHOICE = re.compile(r"\{([^}]*)\}")
_BITS = re.compile(r"\(?(32|64) ?bit\)?")
_NUMBER = re.compile(r"(\d+(?:\.\d+)*)(?: SP(\d+))?")
_RULE = re.compile(r"(\d+(?:\.\d+)*)(\+?)(/32)?\Z")
# Word orders that are taken beside the catalogue's; the key folds to no row of its own.
_OTHER_SPELLINGS = {
    "Windows Server 2012 R2 Essentials 64bit": "Windows Server 2012 Essentials R2 64bit",
    "Windows Server 2008 WEB R2 64bit": "Windows Server 2008 R2 WEB 64bit",
}


@dataclass(frozen=True, slots=True)
class OSVersion:
    """One row of the catalogue. `bits` is 32 or 64, `os_type` Linux, Windows or Other.

    `tags`: of x86, arm, uefi, bms those that the system runs with; none for an unlisted version.
    """

    os_version: str
    platform: str
    os_type: str
    bits: int
    tags: frozenset[str] = frozenset()


def fold(text: str) -> str:
    """Return `text` as the catalogue compares it."""
    return text.translate(_FOLDED)


@cache
def rows() -> tuple[OSVersion, ...]:
    """Return every row, in catalogue order. Raises BadRow for a file it does not understand."""
    table = read_table(FILE)
    if set(table) != {"version", "platforms"} or table["version"] != 1:
        raise BadRow(FILE, "file", "needs version 1 and platforms, nothing else")
    return tuple(row for entry in table["platforms"] for row in _rows_of(entry))


def find(os_version: str) -> OSVersion | None:
    """Return the row of an `os_version` in any accepted spelling, or None."""
    return _index().get(fold(os_version))


def platforms(text: str) -> tuple[str, ...]:
    """Return the platform words that are equal to `text` after folding."""
    wanted = fold(text)
    return tuple(dict.fromkeys(row.platform for row in rows() if fold(row.platform) == wanted))


def default_for(os_type: str | None) -> OSVersion:
    """Return what an image carries when its creation names no `os_version`."""
    name = {"Windows": "Other Windows(64 bit)", "Other": "Other(64 bit)"}.get(
        os_type or "Linux", "Other Linux(64 bit)"
    )
    return _index()[fold(name)]


def resolve(os_version: str | None, os_type: str | None, *, strict: bool) -> OSVersion:
    """Return the OS attributes of a creation.

    Raises Invalid: rule `os_version_unknown` for a version that is not listed (when `strict`),
    `os_type_wrong` when `os_type` contradicts it.
    """
    if not os_version:
        return default_for(os_type)
    row = find(os_version)
    if row is None:
        if strict:
            raise Invalid(
                f"os_version: {os_version[:80]!r} is not in the OS catalogue",
                rule="os_version_unknown",
                field="os_version",
                value=os_version,
            )
        row = OSVersion(os_version, "Other", os_type or "Linux", 64)
    if os_type is not None and os_type != row.os_type:
        raise Invalid(
            f"os_type: {os_type!r} contradicts os_version {row.os_version!r}, which is "
            f"{row.os_type}",
            rule="os_type_wrong",
            field="os_type",
            value=os_type,
            allowed=row.os_type,
        )
    return row


@cache
def _index() -> Mapping[str, OSVersion]:
    index = {fold(row.os_version): row for row in rows()}
    return index | {fold(other): index[fold(usual)] for other, usual in _OTHER_SPELLINGS.items()}


def _rows_of(entry: Any) -> Iterator[OSVersion]:
    name = entry.get("platform") if isinstance(entry, dict) else None
    if not isinstance(name, str) or set(entry) - {"platform", "versions"} - _RULES:
        raise BadRow(FILE, str(name), f"needs platform, versions; known: {', '.join(_RULES)}")
    for pattern in entry["versions"]:
        for version in _expand(pattern):
            yield _row(name, version, entry)


def _row(platform: str, version: str, rules: Mapping[str, str]) -> OSVersion:
    os_type = "Linux"
    if platform == "Windows":
        os_type = "Windows"
    elif platform == "FreeBSD" or version.startswith("Other("):
        os_type = "Other"
    found = _BITS.search(version)
    bits = int(found[1]) if found else 64
    is_arm = _fits(rules.get("arm", ""), version, bits)
    tags = {
        "x86": True,
        "arm": is_arm,
        "uefi": is_arm or _fits(rules.get("uefi", ""), version, bits),
        "bms": bits == 64 and not _fits(rules.get("no_bms", ""), version, bits),
    }
    carried = frozenset(tag for tag in TAGS if tags[tag])
    return OSVersion(version, platform, os_type, bits, carried)


def _fits(rule: str, version: str, bits: int) -> bool:
    """Tell whether one word of a rule (see the head of the file) is about the version."""
    number = _number(version)
    for word in rule.split():
        if word in ("*", "-"):
            if bits == 64 and (word == "*" or not number):
                return True
            continue
        match = _RULE.match(word)
        if match is None:
            raise BadRow(FILE, version, f"{word!r} is no word of a rule")
        wanted = tuple(int(part) for part in match[1].split("."))
        if bits == (32 if match[3] else 64) and (
            number == wanted or (bool(match[2]) and number > wanted)
        ):
            return True
    return False


def _number(version: str) -> tuple[int, ...]:
    """Return the version number, a service pack as its last part: `15 SP2` is (15, 2)."""
    match = _NUMBER.search(_BITS.sub("", version))
    if match is None:
        return ()
    number = tuple(int(part) for part in match[1].split("."))
    return (*number, int(match[2])) if match[2] else number


def _expand(pattern: str) -> Iterator[str]:
    """Expand `{a b}` to one text for each item, the leftmost choice varying slowest."""
    match = _CHOICE.search(pattern)
    if match is None:
        yield pattern
        return
    for item in match[1].split():
        yield from _expand(pattern[: match.start()] + item + pattern[match.end() :])
