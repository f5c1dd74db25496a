# SPDX-License-Identifier: Apache-2.0
"""The call of the inspector: limits handed in, claims, cancel, and a child that is not trusted."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from calotype.disks import inspect, worker
from calotype.disks.inspect import LOOK_HEAD, LOOK_TAIL, inspect_file, look
from calotype.disks.reader import Reader
from calotype.disks.verdict import Format
from calotype.errors import BadImage, Cancelled, Reason
from tests.corpus.hostile_qcow2 import base

MIB = 1 << 20


def reason(error: pytest.ExceptionInfo[BadImage]) -> Reason:
    return error.value.reason


def test_the_virtual_limit_is_the_callers(tmp_path: Path) -> None:
    path = base(tmp_path).save(tmp_path / "disk")
    assert inspect_file(path, virtual_limit=MIB).virtual_size == MIB
    with pytest.raises(BadImage) as caught:
        inspect_file(path, virtual_limit=MIB - 1)
    assert reason(caught) is Reason.SIZE_LIMIT


def test_an_open_descriptor_is_inspected_and_stays_open(tmp_path: Path) -> None:
    path = base(tmp_path).save(tmp_path / "disk")
    with path.open("rb") as file:
        path.unlink()
        assert inspect_file(file.fileno()).format is Format.QCOW2
        assert file.read(4) == b"QFI\xfb"


def test_unknown_claims_and_containers_are_refused(tmp_path: Path) -> None:
    path = base(tmp_path).save(tmp_path / "disk")
    for arguments in ({"claim": "zvhd"}, {"claim": "vpc"}, {"container": "box"}):
        with pytest.raises(BadImage) as caught:
            inspect_file(path, **arguments)  # type: ignore[arg-type]  # one of several keywords
        assert reason(caught) is Reason.FORMAT_UNSUPPORTED


@pytest.mark.parametrize("container", ["docker", "ova", "ovf", "compressed"])
def test_a_container_is_inspected_as_hard_as_a_bare_file(container: str, tmp_path: Path) -> None:
    path = base(tmp_path).set(8, ">QI", 1024, 11).save(tmp_path / "disk")
    with pytest.raises(BadImage) as caught:
        inspect_file(path, claim="qcow2", container=container)
    assert reason(caught) is Reason.BACKING_FILE


def test_a_cancelled_inspection_says_so(tmp_path: Path) -> None:
    path = base(tmp_path).save(tmp_path / "disk")
    with pytest.raises(Cancelled):
        inspect_file(path, cancel=lambda: True)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    path = base(tmp_path).save(tmp_path / "disk")
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="link"):
        inspect_file(tmp_path / "link")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "\n",
        "ok",
        "ok raw",
        "ok raw 1",
        "ok elf 1 1",
        "ok raw -1 1",
        "ok raw 1 1 1",
        "ok raw 1e9 1",
        "ok raw ¹ 1",
        "ok raw " + "9" * 30 + " 1",
        "bad",
        "bad THING text",
        "fine raw 1 1",
        "bad\x00CORRUPT text",
    ],
)
def test_an_answer_that_is_not_understood_is_a_refusal(line: str) -> None:
    with pytest.raises(BadImage) as caught:
        inspect._answer(line)
    assert reason(caught) is Reason.CORRUPT


def test_the_childs_text_is_cut_and_cleaned() -> None:
    with pytest.raises(BadImage) as caught:
        inspect._answer("bad CORRUPT a\x1b[31mb\nc" + "d" * 500)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) <= 200


def test_a_mistake_inside_a_reader_is_a_refusal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = base(tmp_path).save(tmp_path / "disk")

    def broken(reader: Reader) -> None:
        raise KeyError(path)

    monkeypatch.setattr("calotype.disks.families.qcow2.header", broken)
    descriptor = os.open(path, os.O_RDONLY)
    worker.main([str(descriptor), "", str(MIB)])
    os.close(descriptor)
    told = capsys.readouterr()
    assert told.out == "bad CORRUPT the structure could not be read\n"
    assert str(path) not in told.out + told.err


def test_a_look_needs_only_both_ends_of_a_large_file() -> None:
    image = bytearray(LOOK_HEAD)
    struct.pack_into(">4sIQIIQIIQQIIQQQQII", image, 0, b"QFI\xfb", 3, 0, 0, 16, 40 << 30, 0, 80,
                     1 << 17, 1 << 16, 1, 0, 0, 0, 0, 0, 4, 104)  # fmt: skip
    seen = look(bytes(image), bytes(LOOK_TAIL), 5 << 30, "qcow2")
    assert (seen.format, seen.virtual_size) == (Format.QCOW2, 40 << 30)
    with pytest.raises(BadImage) as caught:
        look(bytes(image), bytes(LOOK_TAIL), 5 << 30, "qcow2", virtual_limit=39 << 30)
    assert reason(caught) is Reason.SIZE_LIMIT
    struct.pack_into(">QI", image, 8, 200, 5)
    with pytest.raises(BadImage) as caught:
        look(bytes(image), bytes(LOOK_TAIL), 5 << 30, "qcow2")
    assert reason(caught) is Reason.BACKING_FILE


def test_a_look_sees_a_footer_at_the_end() -> None:
    tail = bytes(LOOK_TAIL - 512) + b"conectix".ljust(512, b"\0")
    with pytest.raises(BadImage) as caught:
        look(bytes(LOOK_HEAD), tail, 1 << 30, "raw")
    assert reason(caught) is Reason.FORMAT_MISMATCH


@pytest.mark.parametrize("size", [0, 1, 511, 600, 5000])
def test_a_look_at_a_small_file_gets_pieces_that_overlap(size: int) -> None:
    data = b"x" * size
    if size == 0:
        with pytest.raises(BadImage) as caught:
            look(b"", b"", 0)
        assert reason(caught) is Reason.EMPTY
    else:
        seen = look(data[:LOOK_HEAD], data[-LOOK_TAIL:], size)
        assert (seen.format, seen.virtual_size) == (Format.RAW, size)
