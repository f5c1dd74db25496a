# SPDX-License-Identifier: Apache-2.0
"""The table behind `flavor_id`: what is read, what is refused by file and flavor, what it asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calotype.api.ims import filters, flavors
from calotype.api.ims.flavors import Flavor
from calotype.contract.files import BadRow
from tests.unit.api_ims.refusals import ACCEPTED, refusal_of

TABLE = """
version: 1
flavors:
  x86.any: {architecture: x86}
  arm.kvm:
    architecture: arm
    firmware: [uefi]
    supports: [__support_kvm, __support_amd]
"""
BOTH = frozenset({"bios", "uefi"})
FLAVORS = {
    "x86.any": Flavor("x86.any", False, BOTH, ()),
    "arm.kvm": Flavor("arm.kvm", True, frozenset({"uefi"}), ("__support_kvm", "__support_amd")),
}
ME = "a" * 32


def test_a_table_is_read_from_yaml_and_from_json(tmp_path: Path) -> None:
    for name, text in (
        ("flavors.yaml", TABLE),
        (
            "flavors.json",
            json.dumps(
                {
                    "version": 1,
                    "flavors": {
                        "x86.any": {"architecture": "x86"},
                        "arm.kvm": {
                            "architecture": "arm",
                            "firmware": ["uefi"],
                            "supports": ["__support_kvm", "__support_amd"],
                        },
                    },
                }
            ),
        ),
    ):
        file = tmp_path / name
        file.write_text(text)
        assert flavors.load(file) == FLAVORS


def test_without_a_file_there_is_no_flavor() -> None:
    assert flavors.load(None) == {}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "file"),
        ("[]", "file"),
        ("version: 2\nflavors: {}", "file"),
        ("flavors: {}", "file"),
        ("version: 1\nflavors: []", "file"),
        ("version: 1\nflavors: {}\nmore: 1", "file"),
        ("version: 1\nflavors: {a: {}}", "a"),
        ("version: 1\nflavors: {a: x86}", "a"),
        ("version: 1\nflavors: {a: {architecture: mips}}", "a"),
        ("version: 1\nflavors: {a: {architecture: [x86]}}", "a"),
        ("version: 1\nflavors: {a: {architecture: x86, cores: 4}}", "a"),
        ("version: 1\nflavors: {a: {architecture: x86, firmware: uefi}}", "a"),
        ("version: 1\nflavors: {a: {architecture: x86, firmware: [efi]}}", "a"),
        ("version: 1\nflavors: {a: {architecture: x86, supports: [__support_arm]}}", "a"),
        ("version: 1\nflavors: {a: {architecture: x86, supports: [kvm]}}", "a"),
        ("version: 1\nflavors: {a: {architecture: x86}, a: {architecture: x86}}", "a"),
    ],
)
def test_a_wrong_table_is_refused_by_file_and_flavor(text: str, where: str) -> None:
    with pytest.raises(BadRow) as refused:
        flavors.parse("flavors.yaml", text)
    assert (refused.value.file, refused.value.row) == ("flavors.yaml", where)


def test_a_flavor_asks_for_public_images_that_suit_it() -> None:
    found = filters.read_filter([("flavor_id", "arm.kvm")], ME, flavors=FLAVORS)
    assert found.image_types == frozenset({"gold"})
    assert (found.is_arm, found.firmware_or_bios) == (True, "uefi")
    assert found.flags == (("__support_kvm", True), ("__support_amd", True))
    assert not found.nothing
    found = filters.read_filter([("flavor_id", "x86.any")], ME, flavors=FLAVORS)
    assert (found.is_arm, found.firmware_or_bios, found.flags) == (False, None, ())


@pytest.mark.parametrize(
    ("more", "nothing"),
    [
        (("architecture", "arm"), False),
        (("architecture", "x86"), True),
        (("hw_firmware_type", "uefi"), False),
        (("hw_firmware_type", "bios"), True),
    ],
)
def test_filters_that_contradict_the_flavor_find_nothing(
    more: tuple[str, str], nothing: bool
) -> None:
    query = [more, ("flavor_id", "arm.kvm")]
    assert filters.read_filter(query, ME, flavors=FLAVORS).nothing is nothing
    private = [("flavor_id", "arm.kvm"), ("__imagetype", "private")]
    assert filters.read_filter(private, ME, flavors=FLAVORS).image_types == frozenset()


@pytest.mark.parametrize(
    ("value", "table", "code"),
    [
        ("other", FLAVORS, "IMG.0192"),
        ("ARM.KVM", FLAVORS, "IMG.0192"),
        ("arm.kvm", {}, "IMG.0192"),
        ("arm.kvm", None, "IMG.0192"),
        ("", None, ACCEPTED),
    ],
)
def test_an_unknown_flavor_is_refused(value: str, table: flavors.Flavors | None, code: str) -> None:
    found, message = refusal_of(filters.read_filter, [("flavor_id", value)], ME, flavors=table)
    assert found == code
    assert found == ACCEPTED or value in message
