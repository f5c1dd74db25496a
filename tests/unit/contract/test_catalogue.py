# SPDX-License-Identifier: Apache-2.0
"""The OS catalogue against values.md 13: its rows, its spellings, and the tags of each."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.contract import catalogue
from calotype.errors import Invalid

# The table of values.md 13 as it stands there; `…` in braces is every number between.
SUSE = "SUSE Linux Enterprise Server"
TABLE = {
    "Windows": "Windows 10 64bit · Windows 7 {Enterprise Professional} 64bit"
    " · Windows 7 Professional 32bit · Windows Server 2016 {Standard Datacenter} 64bit"
    " · Windows Server 2012 R2 {Standard Datacenter} 64bit"
    " · Windows Server 2012 Essentials R2 64bit"
    " · Windows Server 2012 {Datacenter Standard} 64bit"
    " · Windows Server 2008 R2 {WEB Standard Enterprise Datacenter} 64bit"
    " · Windows Server {2019 2022} {Standard Datacenter} 64bit"
    " · Other Windows(64 bit) · Other Windows(32 bit)",
    "SUSE": f"{SUSE} 15 64bit · {SUSE} 15 SP1 64bit · {SUSE} 12 64bit"
    f" · {SUSE} 12 {{SP1 SP2 SP3 SP4 SP5}} 64bit · {SUSE} 11 {{SP1 SP3 SP4}} 64bit"
    f" · {SUSE} 11 SP3 32bit · {SUSE} 15 {{SP2 SP3 SP4 SP5}} 64bit",
    "Oracle Linux": "Oracle Linux Server release"
    " {6.5 6.7 6.8 6.9 6.10 7.0 7.1 7.2 7.3 7.4 7.5 7.6} 64bit",
    "RedHat": "Redhat Linux Enterprise"
    " {6.4 6.5 6.6 6.7 6.8 6.9 6.10 7.0 7.1 7.2 7.3 7.4 7.5 8.0} 64bit"
    " · Redhat Linux Enterprise {6.4 6.6} 32bit · Redhat 7.6 64bit"
    " · Redhat Linux Enterprise {7.6 8.1 8.2 8.3 8.4 8.5 8.6 8.7 9.0 9.1} 64bit",
    "Ubuntu": "Ubuntu {14.04 14.04.1 14.04.3 14.04.4} server {64bit 32bit}"
    " · Ubuntu 14.04.5 server 64bit · Ubuntu {16.04 18.04 19.04} server 64bit"
    " · Ubuntu {16.04.2 16.04.3} Server 64bit"
    " · Ubuntu {16.04.4 16.04.5 16.04.6 18.04.1 18.04.2 20.04 22.04} server 64bit",
    "OpenSUSE": "openSUSE {11.3 13.2 15.0 15.1 42.1 42.2 42.3} 64bit"
    " · openSUSE {15.2 15.3 15.4 15.5} 64bit",
    "CentOS": "CentOS {6.3 6.4 6.5 6.6 6.7 6.8 6.9 6.10 7.0 7.1 7.2 7.3 7.4 7.5 7.6 7.7 8.0} 64bit"
    " · CentOS {6.3 6.4 6.5 6.6 6.7 6.9 6.10 7.0} 32bit"
    " · CentOS {7.8 7.9 8.1 8.2 8.3 8.4 8.5} 64bit · CentOS Stream {8.6 9.6} 64bit",
    "Debian": "Debian GNU/Linux"
    " {8.1.0 8.2.0 8.4.0 8.5.0 8.6.0 8.7.0 8.8.0 8.10.0 9.0.0 9.3.0 10.0.0} 64bit"
    " · Debian GNU/Linux {10.1.0 … 10.13.0} 64bit · Debian GNU/Linux {11.0.0 … 11.7.0} 64bit"
    " · Debian GNU/Linux 12.0.0 64bit",
    "Fedora": "Fedora {22 … 30} 64bit · Fedora {31 … 39} 64bit",
    "EulerOS": "EulerOS {2.1 2.2 2.3 2.5 2.9} 64bit · EulerOS {2.7 2.8 2.10 2.11 2.12} 64bit",
    "CoreOS": "CoreOS {1010.5.0 1068.10.0 1298.6.0}",
    "openEuler": "openEuler 20.03 64bit · openEuler 20.03 {SP1 SP2 SP3} 64bit"
    " · openEuler 22.03 64bit · openEuler 22.03 SP1 64bit",
    "Rocky Linux": "Rocky Linux {8.3 8.4 8.5 8.6 8.7 8.8 9.0 9.1 9.2} 64bit",
    "FreeBSD": "FreeBSD {11.0 … 11.4 12.0 … 12.4 13.0 13.1 13.2} 64bit",
    "Other": "Other Linux(64 bit) · Other Linux(32 bit) · Other(64 bit) · Other(32 bit)",
}
# The sentence about tags, as the 64 bit versions it names (a 32 bit one with its suffix).
UEFI = {
    "SUSE": "11 SP3|12 SP1|12 SP5|15|15 SP[1-5]",
    "Oracle Linux": "6.9|7.4",
    "RedHat": "6.5|6.9|7.0|7.1|7.3|7.4|8..|9..",
    "Ubuntu": "14.04|16.04|18.04(\\.[12])?|19.04|20.04|22.04",
    "OpenSUSE": "42.1|15..",
    "CentOS": "6.6|6.9|7.0|7.[4-9]|8..|9..",
    "Debian": "8.8.0|1[012]\\..*",
    "Fedora": "24|29|3.",
    "EulerOS": "2.2|2.3|2.5|2.7|2.8|2.9|2.1[012]",
    "openEuler": ".*",
    "Rocky Linux": ".*",
}
ARM = {
    "SUSE": "15|15 SP[1-5]",
    "RedHat": "8..|9..",
    "Ubuntu": "18.04(\\.[12])?|19.04|20.04|22.04",
    "OpenSUSE": "15..",
    "CentOS": "7.[4-9]|8..|9..",
    "Debian": "1[012]\\..*",
    "Fedora": "29|3.",
    "EulerOS": "2.8|2.9|2.1[012]",
    "openEuler": ".*",
    "Rocky Linux": ".*",
}


def expand(pattern: str) -> list[str]:
    parts = re.split(r"\{(.*?)\}", pattern)
    choices = [items(part) if index % 2 else [part] for index, part in enumerate(parts)]
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def items(text: str) -> list[str]:
    words = text.split()
    found: list[str] = []
    for index, word in enumerate(words):
        if word != "…":
            found.append(word)
            continue
        first, last = (re.findall(r"\d+", words[index + step]) for step in (-1, 1))
        changing = next(
            i for i, (one, other) in enumerate(zip(first, last, strict=True)) if one != other
        )
        for number in range(int(first[changing]) + 1, int(last[changing])):
            found.append(".".join([*first[:changing], str(number), *first[changing + 1 :]]))
    return found


def number(version: str) -> str:
    found = re.search(r"\d+(\.\d+)*( SP\d)?", re.sub(r"\(?\d\d ?bit\)?", "", version))
    return found[0] if found else ""


def test_the_rows_are_those_of_the_contract_in_its_order() -> None:
    expected = [
        (platform, version)
        for platform, text in TABLE.items()
        for pattern in text.split(" · ")
        for version in expand(pattern)
    ]
    assert [(row.platform, row.os_version) for row in catalogue.rows()] == expected
    assert len(set(expected)) == len(expected) > 200


def test_types_and_bits_follow_from_platform_and_name() -> None:
    for row in catalogue.rows():
        expected = "Linux"
        if row.platform == "Windows":
            expected = "Windows"
        if row.platform == "FreeBSD" or row.os_version.startswith("Other("):
            expected = "Other"
        assert row.os_type == expected, row
        assert row.bits == (32 if re.search("32 ?bit", row.os_version) else 64), row


def test_tags_are_those_that_the_contract_lists() -> None:
    for row in catalogue.rows():
        is_64 = row.bits == 64
        value = number(row.os_version)
        other = row.os_version.startswith("Other")
        arm = is_64 and bool(re.fullmatch(ARM.get(row.platform, "(?!)"), value))
        arm |= row.os_version == "Other Linux(64 bit)"
        uefi = is_64 and (bool(re.fullmatch(UEFI.get(row.platform, "(?!)"), value)) or other)
        if row.platform == "Windows" and is_64 and not other:
            uefi = value == "10" or int(value) >= 2012
        uefi |= row.os_version == "Redhat Linux Enterprise 6.6 32bit"
        bms = is_64 and row.platform not in ("CoreOS", "FreeBSD")
        bms &= not row.os_version.startswith(("Windows 7", "Windows 10"))
        expected = {"x86"} | {
            tag for tag, has in (("arm", arm), ("uefi", uefi), ("bms", bms)) if has
        }
        assert row.tags == expected, row


@pytest.mark.parametrize(
    ("spelling", "stored"),
    [
        ("Ubuntu 18.04 Server 64bit", "Ubuntu 18.04 server 64bit"),
        ("Red Hat Linux Enterprise 7.4 64bit", "Redhat Linux Enterprise 7.4 64bit"),
        ("Other_Linux (64_bit)", "Other Linux(64 bit)"),
        ("Windows Server 2012 R2 Essentials 64bit", "Windows Server 2012 Essentials R2 64bit"),
        ("windows server 2008 WEB_R2 64bit", "Windows Server 2008 R2 WEB 64bit"),
    ],
)
def test_other_spellings_find_the_row(spelling: str, stored: str) -> None:
    found = catalogue.find(spelling)
    assert found is not None
    assert found.os_version == stored


@pytest.mark.parametrize(
    "text",
    ["", "Plan 9", "Ubuntu 22.04", "Ubuntu\t22.04 server 64bit", "Ubuntu 22.04 ſerver 64bit"],
)
def test_other_names_find_nothing(text: str) -> None:
    assert catalogue.find(text) is None


@settings(deadline=None)
@given(st.data())
def test_case_spaces_and_underscores_do_not_count(data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(catalogue.rows()))
    text = "".join(
        data.draw(st.sampled_from([letter.lower(), letter.upper(), f"{letter} ", f"_{letter}"]))
        for letter in row.os_version
    )
    assert catalogue.find(text) == row


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Red Hat", ("RedHat",)),
        ("oracle_linux", ("Oracle Linux",)),
        ("other", ("Other",)),
        ("Red-Hat", ()),
        ("", ()),
    ],
)
def test_platforms_are_found_by_the_same_folding(text: str, words: tuple[str, ...]) -> None:
    assert catalogue.platforms(text) == words


@pytest.mark.parametrize(
    ("os_type", "version"),
    [
        (None, "Other Linux(64 bit)"),
        ("Linux", "Other Linux(64 bit)"),
        ("Windows", "Other Windows(64 bit)"),
        ("Other", "Other(64 bit)"),
    ],
)
def test_a_creation_without_a_version_gets_one_by_its_type(
    os_type: str | None, version: str
) -> None:
    row = catalogue.default_for(os_type)
    assert (row.os_version, row.os_type) == (version, os_type or "Linux")
    assert catalogue.resolve("", os_type, strict=True) == row


def test_a_version_is_resolved_refused_or_kept_as_given() -> None:
    ubuntu = "Ubuntu 22.04 server 64bit"
    assert catalogue.resolve(ubuntu, "Linux", strict=True) == catalogue.find(ubuntu)
    for version, os_type, strict, rule in (
        ("Plan 9", None, True, "os_version_unknown"),
        (ubuntu, "Windows", True, "os_type_wrong"),
        (ubuntu, "Windows", False, "os_type_wrong"),
    ):
        with pytest.raises(Invalid) as refused:
            catalogue.resolve(version, os_type, strict=strict)
        assert refused.value.rule == rule
    kept = catalogue.resolve("Plan 9", "Other", strict=False)
    assert (kept.os_version, kept.platform, kept.os_type, kept.bits) == (
        "Plan 9",
        "Other",
        "Other",
        64,
    )
    assert kept.tags == frozenset()
