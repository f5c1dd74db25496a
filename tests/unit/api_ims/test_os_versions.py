# SPDX-License-Identifier: Apache-2.0
"""`ims.os_version`: tags, order and types of the answer."""

from __future__ import annotations

from typing import Any

import pytest

from calotype.api.ims import os_versions
from calotype.contract import catalogue
from tests.unit.api_ims.refusals import code_of

PLATFORMS = [
    *("Windows", "SUSE", "Oracle Linux", "RedHat", "Ubuntu", "OpenSUSE", "CentOS", "Debian"),
    *("Fedora", "EulerOS", "CoreOS", "openEuler", "Rocky Linux", "FreeBSD", "Other"),
]


def answer(*tags: str) -> list[dict[str, Any]]:
    wanted = os_versions.read_tags([("tag", tag) for tag in tags])
    return os_versions.body(row for row in catalogue.rows() if wanted <= row.tags)


def versions(*tags: str) -> list[str]:
    return [row["os_version"] for part in answer(*tags) for row in part["version_list"]]


def test_all_systems_come_by_platform_in_the_order_of_the_catalogue() -> None:
    found = answer()
    assert [part["platform"] for part in found] == PLATFORMS
    assert len(versions()) == len(catalogue.rows())
    for part in found:
        listed = [row["os_version"] for row in part["version_list"]]
        of_platform = [r.os_version for r in catalogue.rows() if r.platform == part["platform"]]
        assert listed == of_platform


def test_an_element_has_the_documented_members_and_types() -> None:
    ubuntu = next(part for part in answer() if part["platform"] == "Ubuntu")
    assert {
        "platform": "Ubuntu",
        "os_version_key": "Ubuntu 22.04 server 64bit",
        "os_version": "Ubuntu 22.04 server 64bit",
        "os_bit": 64,
        "os_type": "Linux",
    } in ubuntu["version_list"]
    for part in answer():
        assert set(part) == {"platform", "version_list"}
        for row in part["version_list"]:
            assert type(row["os_bit"]) is int
            assert row["os_version_key"] == row["os_version"]
            assert row["os_type"] in ("Linux", "Windows", "Other")


def test_tags_repeat_and_come_in_commas_and_all_hold() -> None:
    assert versions("arm", "bms") == versions("arm,bms") == versions("bms,arm,", "arm")
    assert 0 < len(versions("arm")) < len(versions("uefi")) < len(versions("x86"))
    assert versions("x86") == versions() == versions("") == versions(",")
    assert "FreeBSD" not in [part["platform"] for part in answer("bms")]


@pytest.mark.parametrize("tag", ["X86", "arm64", "arm, bms", "uefi,x", "\0"])
def test_another_tag_is_refused(tag: str) -> None:
    assert code_of(os_versions.read_tags, [("tag", tag)]) == "IMG.0017"


def test_other_parameters_are_ignored() -> None:
    assert os_versions.read_tags([("limit", "x"), ("tags", "x"), ("tag", "arm")]) == {"arm"}
