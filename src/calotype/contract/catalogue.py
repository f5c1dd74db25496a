# SPDX-License-Identifier: Apache-2.0
"""The OS catalogue as data: what an `os_version` says about an image (contract values.md 13).

Comparison folds case and drops spaces and `_`; what is stored is the catalogue's spelling.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml

from calotype.errors import Invalid

_CHOICE = re.compile(r"\{([^}]*)\}")
_FOLD = re.compile(r"[\s_]+")
_OTHER_SPELLINGS = {
    "Windows Server 2012 R2 Essentials 64bit": "Windows Server 2012 Essentials R2 64bit",
    "Windows Server 2008 WEB R2 64bit": "Windows Server 2008 R2 WEB 64bit",
    "Red Hat Linux Enterprise ": "Redhat Linux Enterprise ",
}


@dataclass(frozen=True, slots=True)
class OSVersion:
    """One row of the catalogue. `bits` is 32 or 64, `os_type` Linux, Windows or Other."""

    os_version: str
    platform: str
    os_type: str
    bits: int


def fold(text: str) -> str:
    """Return `text` as the catalogue compares it."""
    return _FOLD.sub("", text).casefold()


@cache
def rows() -> tuple[OSVersion, ...]:
    """Return every row, in catalogue order."""
    text = resources.files("calotype.contract").joinpath("os_catalogue.yaml").read_text("utf-8")
    return tuple(
        OSVersion(version, entry["platform"], _os_type(version, entry["platform"]), _bits(version))
        for entry in yaml.safe_load(text)
        for pattern in entry["versions"]
        for version in _expand(pattern)
    )


@cache
def _index() -> dict[str, OSVersion]:
    index = {fold(row.os_version): row for row in rows()}
    for other, usual in _OTHER_SPELLINGS.items():
        if usual.endswith(" "):
            index |= {
                fold(row.os_version.replace(usual, other)): row
                for row in rows()
                if row.os_version.startswith(usual)
            }
        else:
            index[fold(other)] = index[fold(usual)]
    return index


def find(os_version: str) -> OSVersion | None:
    """Return the row of an `os_version` in any accepted spelling, or None."""
    return _index().get(fold(os_version))


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


def _expand(pattern: str) -> Iterator[str]:
    choices = [match.split() for match in _CHOICE.findall(pattern)]
    skeleton = _CHOICE.split(pattern)[::2]
    for chosen in itertools.product(*choices):
        yield "".join(
            part for pair in itertools.zip_longest(skeleton, chosen, fillvalue="") for part in pair
        )


def _os_type(version: str, platform: str) -> str:
    if platform == "Windows":
        return "Windows"
    return "Other" if platform == "FreeBSD" or version.startswith("Other(") else "Linux"


def _bits(version: str) -> int:
    return 32 if re.search(r"32 ?bit", version) else 64
