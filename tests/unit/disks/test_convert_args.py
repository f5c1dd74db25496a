# SPDX-License-Identifier: Apache-2.0
"""Command lines of the converter, in full: nothing is left for the tool to guess."""

from __future__ import annotations

import json

import pytest

from calotype.disks.convert import compare_args, convert_args, source_argument
from calotype.disks.formats import FORMATS, Format, by_extension
from calotype.errors import Unsupported

_FILE = {"driver": "file", "filename": "/in/0"}
_SOURCES = {
    "raw": {"driver": "raw", "file": _FILE},
    "iso": {"driver": "raw", "file": _FILE},
    "qcow2": {"driver": "qcow2", "file": _FILE, "backing": None},
    "qcow": {"driver": "qcow", "file": _FILE, "backing": None},
    "qed": {"driver": "qed", "file": _FILE, "backing": None},
    "vmdk": {"driver": "vmdk", "file": _FILE, "backing": None},
    "vhd": {"driver": "vpc", "file": _FILE, "force_size_calc": "current_size"},
    "vhdx": {"driver": "vhdx", "file": _FILE},
    "vdi": {"driver": "vdi", "file": _FILE},
}
_TARGETS = {
    "raw": ["-O", "raw"],
    "qcow2": ["-O", "qcow2", "-o", "compat=1.1"],
    "vmdk": ["-O", "vmdk", "-o", "subformat=streamOptimized"],
    "vhd": ["-O", "vpc", "-o", "subformat=dynamic,force_size=on"],
    "vhdx": ["-O", "vhdx", "-o", "subformat=dynamic"],
    "vdi": ["-O", "vdi"],
}


@pytest.mark.parametrize("word", _SOURCES)
def test_a_source_is_described_completely_and_has_no_parent(word: str) -> None:
    text = source_argument(Format(word))
    assert text.startswith("json:")
    assert json.loads(text[5:]) == _SOURCES[word]


@pytest.mark.parametrize("word", _TARGETS)
def test_a_target_is_written_with_explicit_driver_and_options(word: str) -> None:
    args = convert_args(Format.RAW, Format(word), "out")
    expected = ["qemu-img", "convert", "-p", "-m", "4", *_TARGETS[word]]
    assert list(args) == [*expected, source_argument(Format.RAW), "out"]


@pytest.mark.parametrize("word", ["qcow", "qed", "iso", "ova"])
def test_formats_that_are_not_written_are_refused(word: str) -> None:
    with pytest.raises(Unsupported):
        convert_args(Format.RAW, Format(word), "out")


def test_a_container_is_no_source() -> None:
    with pytest.raises(Unsupported):
        source_argument(Format.OVA)


def test_comparison_names_both_inputs() -> None:
    args = compare_args(Format.RAW, Format.QCOW2)
    assert args[:3] == ("qemu-img", "compare", "-p")
    assert [json.loads(arg[5:])["file"]["filename"] for arg in args[3:]] == ["/in/0", "/in/1"]


def test_every_format_has_a_row_and_its_extension_leads_back_to_it() -> None:
    assert set(FORMATS) == set(Format)
    for found, row in FORMATS.items():
        assert [by_extension(extension) for extension in row.extensions] == [found]
    assert by_extension("zvhd2") is None
