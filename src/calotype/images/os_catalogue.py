# SPDX-License-Identifier: Apache-2.0
"""The catalogue of operating systems (contract values.md 13): one compact table, expanded here.

A row gives `os_version` as it is stored and answered, its platform, type, bits and the tags that
`os_version` queries use. Comparison folds ASCII case and drops spaces and `_`. Rows are added,
never removed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

_Rule = Callable[[tuple[int, ...], str], bool]
_LOWER = str.maketrans(
    {**{chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)}, " ": None, "_": None}
)


@dataclass(frozen=True, slots=True)
class OsVersion:
    """One operating system version. `os_bit` is `32` or `64`."""

    os_version: str
    platform: str
    os_type: str
    os_bit: str
    tags: frozenset[str]


def fold(text: str) -> str:
    """Return the form in which versions and platforms are compared."""
    return text.translate(_LOWER)


@cache
def rows() -> tuple[OsVersion, ...]:
    """Return every row, platforms and versions in the order of the contract."""
    return tuple(
        _row(platform, version) for platform, specs in _SPECS for version in _expand_all(specs)
    )


def find(os_version: str) -> OsVersion | None:
    """Return the row whose spelling is equal after folding, or None."""
    return _by_fold().get(fold(os_version))


def platforms(text: str) -> tuple[str, ...]:
    """Return the platform words that are equal to `text` after folding."""
    wanted = fold(text)
    return tuple(dict.fromkeys(row.platform for row in rows() if fold(row.platform) == wanted))


def default(os_type: str | None) -> OsVersion:
    """Return the row of a creation that names no version."""
    word = {"Windows": "Other Windows(64 bit)", "Other": "Other(64 bit)"}.get(
        os_type or "Linux", "Other Linux(64 bit)"
    )
    return _by_fold()[fold(word)]


@cache
def _by_fold() -> dict[str, OsVersion]:
    found = {fold(row.os_version): row for row in rows()}
    for spelling, meant in _OTHER_SPELLINGS.items():
        found[fold(spelling)] = found[fold(meant)]
    return found


def _row(platform: str, version: str) -> OsVersion:
    os_type = "Linux"
    if platform == "Windows":
        os_type = "Windows"
    elif platform == "FreeBSD" or version.startswith("Other("):
        os_type = "Other"
    bits = "32" if "32bit" in fold(version) else "64"
    return OsVersion(version, platform, os_type, bits, _tags(platform, version, bits))


def _tags(platform: str, version: str, bits: str) -> frozenset[str]:
    numbers = _numbers(version)
    tags = {"x86"}
    if bits == "64":
        if _ARM.get(platform, _never)(numbers, version):
            tags.add("arm")
        if platform not in ("CoreOS", "FreeBSD") and not re.match(r"Windows (7|10) ", version):
            tags.add("bms")
    if "arm" in tags or _UEFI.get(platform, _never)(numbers, version):
        tags.add("uefi")
    return frozenset(tags)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the version number, a service pack as its second part: `15 SP2` is (15, 2)."""
    text = re.sub(r"\(?(32|64) ?bit\)?", "", version)
    found = re.search(r"(\d+(?:\.\d+)*)(?: SP(\d+))?", text)
    if found is None:
        return ()
    numbers = tuple(int(part) for part in found.group(1).split("."))
    return (*numbers, int(found.group(2))) if found.group(2) else numbers


def _never(numbers: tuple[int, ...], version: str) -> bool:
    del numbers, version
    return False


def _always(numbers: tuple[int, ...], version: str) -> bool:
    del numbers, version
    return True


def _expand_all(specs: tuple[str, ...]) -> Iterator[str]:
    for spec in specs:
        yield from _expand(spec)


def _expand(spec: str) -> Iterator[str]:
    """Expand `{a b}` to one text an item and `{10.1.0 … 10.13.0}` to every number between."""
    found = re.search(r"\{([^}]*)\}", spec)
    if found is None:
        yield spec
        return
    for item in _items(found.group(1)):
        yield from _expand(spec[: found.start()] + item + spec[found.end() :])


def _items(text: str) -> Iterator[str]:
    words = text.split()
    for index, word in enumerate(words):
        if word == "…":
            yield from _between(words[index - 1], words[index + 1])
        else:
            yield word


def _between(first: str, last: str) -> Iterator[str]:
    """Yield what lies strictly between two numbers that differ in one part."""
    low, high = first.split("."), last.split(".")
    part = next(index for index, value in enumerate(low) if value != high[index])
    for number in range(int(low[part]) + 1, int(high[part])):
        yield ".".join([*low[:part], str(number), *low[part + 1 :]])


_SLES = "SUSE Linux Enterprise Server"
_SPECS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Windows",
        (
            "Windows 10 64bit",
            "Windows 7 {Enterprise Professional} 64bit",
            "Windows 7 Professional 32bit",
            "Windows Server 2016 {Standard Datacenter} 64bit",
            "Windows Server 2012 R2 {Standard Datacenter} 64bit",
            "Windows Server 2012 Essentials R2 64bit",
            "Windows Server 2012 {Datacenter Standard} 64bit",
            "Windows Server 2008 R2 {WEB Standard Enterprise Datacenter} 64bit",
            "Windows Server {2019 2022} {Standard Datacenter} 64bit",
        ),
    ),
    (
        "SUSE",
        (
            f"{_SLES} 15 64bit",
            f"{_SLES} 15 SP1 64bit",
            f"{_SLES} 12 64bit",
            _SLES + " 12 {SP1 SP2 SP3 SP4 SP5} 64bit",
            _SLES + " 11 {SP1 SP3 SP4} 64bit",
            f"{_SLES} 11 SP3 32bit",
            _SLES + " 15 {SP2 SP3 SP4 SP5} 64bit",
        ),
    ),
    (
        "Oracle Linux",
        ("Oracle Linux Server release {6.5 6.7 6.8 6.9 6.10 7.0 7.1 7.2 7.3 7.4 7.5 7.6} 64bit",),
    ),
    (
        "RedHat",
        (
            "Redhat Linux Enterprise "
            "{6.4 6.5 6.6 6.7 6.8 6.9 6.10 7.0 7.1 7.2 7.3 7.4 7.5 8.0} 64bit",
            "Redhat Linux Enterprise {6.4 6.6} 32bit",
            "Redhat 7.6 64bit",
            "Redhat Linux Enterprise {7.6 8.1 8.2 8.3 8.4 8.5 8.6 8.7 9.0 9.1} 64bit",
        ),
    ),
    (
        "Ubuntu",
        (
            "Ubuntu {14.04 14.04.1 14.04.3 14.04.4} server {64bit 32bit}",
            "Ubuntu 14.04.5 server 64bit",
            "Ubuntu {16.04 18.04 19.04} server 64bit",
            "Ubuntu {16.04.2 16.04.3} Server 64bit",
            "Ubuntu {16.04.4 16.04.5 16.04.6 18.04.1 18.04.2 20.04 22.04} server 64bit",
        ),
    ),
    (
        "OpenSUSE",
        (
            "openSUSE {11.3 13.2 15.0 15.1 42.1 42.2 42.3} 64bit",
            "openSUSE {15.2 15.3 15.4 15.5} 64bit",
        ),
    ),
    (
        "CentOS",
        (
            "CentOS {6.3 6.4 6.5 6.6 6.7 6.8 6.9 6.10 7.0 7.1 7.2 7.3 7.4 7.5 7.6 7.7 8.0} 64bit",
            "CentOS {6.3 6.4 6.5 6.6 6.7 6.9 6.10 7.0} 32bit",
            "CentOS {7.8 7.9 8.1 8.2 8.3 8.4 8.5} 64bit",
            "CentOS Stream {8.6 9.6} 64bit",
        ),
    ),
    (
        "Debian",
        (
            "Debian GNU/Linux "
            "{8.1.0 8.2.0 8.4.0 8.5.0 8.6.0 8.7.0 8.8.0 8.10.0 9.0.0 9.3.0 10.0.0} 64bit",
            "Debian GNU/Linux {10.1.0 … 10.13.0} 64bit",
            "Debian GNU/Linux {11.0.0 … 11.7.0} 64bit",
            "Debian GNU/Linux 12.0.0 64bit",
        ),
    ),
    ("Fedora", ("Fedora {22 … 30} 64bit", "Fedora {31 … 39} 64bit")),
    (
        "EulerOS",
        ("EulerOS {2.1 2.2 2.3 2.5 2.9} 64bit", "EulerOS {2.7 2.8 2.10 2.11 2.12} 64bit"),
    ),
    ("CoreOS", ("CoreOS {1010.5.0 1068.10.0 1298.6.0}",)),
    (
        "openEuler",
        (
            "openEuler 20.03 64bit",
            "openEuler 20.03 {SP1 SP2 SP3} 64bit",
            "openEuler 22.03 64bit",
            "openEuler 22.03 SP1 64bit",
        ),
    ),
    ("Rocky Linux", ("Rocky Linux {8.3 8.4 8.5 8.6 8.7 8.8 9.0 9.1 9.2} 64bit",)),
    ("FreeBSD", ("FreeBSD {11.0 … 11.4 12.0 … 12.4 13.0 13.1 13.2} 64bit",)),
    ("Other", ("Other Linux(64 bit)", "Other Linux(32 bit)")),
    ("Windows", ("Other Windows(64 bit)", "Other Windows(32 bit)")),
    ("Other", ("Other(64 bit)", "Other(32 bit)")),
)
_OTHER_SPELLINGS = {
    "Windows Server 2012 R2 Essentials 64bit": "Windows Server 2012 Essentials R2 64bit",
    "Windows Server 2008 WEB R2 64bit": "Windows Server 2008 R2 WEB 64bit",
}
_ARM: dict[str, _Rule] = {
    "Ubuntu": lambda numbers, version: numbers >= (18, 4),
    "Debian": lambda numbers, version: numbers >= (10,),
    "CentOS": lambda numbers, version: numbers >= (7, 4),
    "RedHat": lambda numbers, version: numbers >= (8, 0),
    "SUSE": lambda numbers, version: numbers[0] == 15,
    "OpenSUSE": lambda numbers, version: numbers[0] == 15,
    "Fedora": lambda numbers, version: numbers >= (29,),
    "EulerOS": lambda numbers, version: numbers >= (2, 8),
    "openEuler": _always,
    "Rocky Linux": _always,
    "Other": lambda numbers, version: version == "Other Linux(64 bit)",
}
_UEFI: dict[str, _Rule] = {
    "Windows": lambda numbers, version: (
        (numbers == (10,) or bool(numbers and numbers[0] >= 2012) or version.startswith("Other"))
        and "32" not in version
    ),
    "Ubuntu": lambda numbers, version: (
        len(numbers) == 2 and numbers[0] in (14, 16, 18, 19, 20, 22) and "32bit" not in version
    ),
    "RedHat": lambda numbers, version: (
        numbers in ((6, 5), (6, 9), (7, 0), (7, 1), (7, 3), (7, 4))
        or numbers >= (8, 1)
        or version == "Redhat Linux Enterprise 6.6 32bit"
    ),
    "Oracle Linux": lambda numbers, version: numbers in ((6, 9), (7, 4)),
    "OpenSUSE": lambda numbers, version: numbers == (42, 1) or (15, 2) <= numbers < (16,),
    "SUSE": lambda numbers, version: numbers in ((11, 3), (12, 1), (12, 5)) or numbers >= (15, 2),
    "Fedora": lambda numbers, version: numbers in ((24,), (29,)) or numbers >= (31,),
    "Debian": lambda numbers, version: numbers == (8, 8, 0) or numbers >= (10, 1),
    "CentOS": lambda numbers, version: (
        numbers in ((6, 6), (6, 9), (7, 0), (7, 4), (7, 5), (7, 6)) or numbers >= (8, 1)
    ),
    "EulerOS": lambda numbers, version: (
        numbers in ((2, 2), (2, 3), (2, 5), (2, 7), (2, 8)) or numbers >= (2, 10)
    ),
    "openEuler": _always,
    "Rocky Linux": _always,
    "Other": lambda numbers, version: "64" in version,
}
