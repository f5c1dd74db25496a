# SPDX-License-Identifier: Apache-2.0
"""The error table: every refusal of the core has an answer in every dialect."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from calotype import errors
from calotype.contract import BadRow, ErrorTable, load_errors
from calotype.contract.error_table import build_errors, parse_errors
from calotype.contract.files import read_table


@pytest.fixture(scope="module")
def table() -> ErrorTable:
    return load_errors()


def test_every_class_of_the_core_has_an_answer(table: ErrorTable) -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.CalotypeError)
    ]
    assert {kind.__name__ for kind in kinds} == set(table.classes)


def test_a_rule_is_looked_up_before_the_class(table: ErrorTable) -> None:
    assert table.wire(errors.Invalid("x", rule="name_too_long")).ims == "IMG.0002"
    assert table.wire(errors.Invalid("x", rule="nobody knows")).ims == "IMG.0001"
    assert table.wire(errors.WrongState("x")).native == 409
    assert table.wire(errors.NotFound("x", rule="job_not_found")).ims == "IMG.0023"


@pytest.mark.parametrize(
    ("reason", "code", "native"),
    [
        (errors.Reason.BACKING_FILE, "IMG.0057", 415),
        (errors.Reason.FORMAT_UNSUPPORTED, "IMG.0072", 415),
        (errors.Reason.EMPTY, "IMG.0057", 400),
        (errors.Reason.SIZE_LIMIT, "IMG.0059", 413),
        (errors.Reason.CHECKSUM_MISMATCH, "IMG.0057", 400),
        (errors.Reason.QUOTA, "IMG.0015", 413),
    ],
)
def test_refused_content_answers_by_its_verdict_word(
    table: ErrorTable, reason: errors.Reason, code: str, native: int
) -> None:
    wire = table.wire(errors.BadImage(reason, "x"))
    assert (wire.ims, wire.native) == (code, native)
    assert table.job_code(reason.value) == code


def test_a_missing_image_is_404_in_a_path_and_400_in_a_body(table: ErrorTable) -> None:
    assert table.status("IMG.0027", in_path=True) == 404
    assert table.status("IMG.0027") == 400
    assert table.status("IMG.0026") == 403
    assert table.status("IMG.0121", in_path=True) == 404


def test_jobs_have_words_of_their_own(table: ErrorTable) -> None:
    assert table.job_code("WORKER_LOST") == "IMG.0061"
    assert table.job_code("TARGET_EXISTS") == "IMG.0070"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda raw: raw.__setitem__("more", 1), "needs version 1"),
        (lambda raw: raw["codes"]["IMG.0001"].__setitem__("raise", "maybe"), "IMG.0001"),
        (lambda raw: raw["codes"]["IMG.0001"].__setitem__("colour", "x"), "IMG.0001"),
        (lambda raw: raw["codes"]["IMG.0404"].__setitem__("http", 403), "IMG.0404"),
        (lambda raw: raw["rules"]["gone"].__setitem__("ims", "IMG.9999"), "gone"),
        (lambda raw: raw["rules"]["gone"].pop("native"), "gone"),
        (lambda raw: raw["reasons"].pop("EMPTY"), "reasons"),
        (lambda raw: raw["job_reasons"].__setitem__("STATE", "IMG.9999"), "STATE"),
        (lambda raw: raw["classes"].pop("CalotypeError"), "classes"),
    ],
)
def test_a_bad_row_is_refused_by_name(change: Callable[[Any], object], problem: str) -> None:
    raw = copy.deepcopy(dict(read_table("errors.yaml")))
    change(raw)
    with pytest.raises(BadRow, match=problem):
        build_errors(raw)


def test_a_text_that_is_no_table_is_refused() -> None:
    with pytest.raises(BadRow):
        parse_errors("version: 2\n")
