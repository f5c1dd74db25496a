# SPDX-License-Identifier: Apache-2.0
"""What commands print: one line a row, columns that line up, nothing that a terminal obeys."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calotype.cli import output

CELLS = st.lists(st.text(max_size=30), min_size=3, max_size=3)


@given(st.lists(CELLS, max_size=5))
def test_a_table_is_one_line_a_row_whatever_the_names(rows: list[list[str]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr(output.typer, "echo", lambda text="", **_: printed.append(text))
        patch.setattr(output.typer, "secho", lambda text="", **_: printed.append(text))
        output.print_table(("a", "b", "c"), rows)
    assert len(printed) == len(rows) + 1
    assert all(line.isprintable() for line in printed)


def test_columns_line_up_under_wide_characters(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("name", "size"), [("镜像", "1"), ("x", "2")])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["name  size", "镜像  1", "x     2"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\rb", "a\\rb"),
        ("\u202eabc", "\\u202eabc"),
        ("[bold]x[/nope]", "[bold]x[/nope]"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_control_characters_are_written_out(text: str, shown: str) -> None:
    assert output.clean(text) == shown


def test_an_empty_table_is_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("a", "b"), [])
    assert capsys.readouterr().out == "a  b\n"


def test_lists_and_nothing_are_readable_as_fields(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_fields({"tags": ["a"], "owner": None, "protected": False})
    assert capsys.readouterr().out.splitlines() == [
        'tags       ["a"]',
        "owner",
        "protected  False",
    ]


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, ""), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 * 2**40, "5.0 TiB")],
)
def test_sizes_have_the_unit_that_people_read(size: int | None, text: str) -> None:
    assert output.readable_size(size) == text


def test_a_terminal_gets_lines_not_longer_than_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str] = []
    monkeypatch.setattr(output.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(output, "_terminal_width", lambda: 30)
    monkeypatch.setattr(output.typer, "echo", lambda text="": printed.append(text))
    output.print_table(("id", "name"), [("x" * 20, "y" * 20), ("1", "2")])
    assert len(printed) == 5, "two cells, a gap, two cells"
    assert printed[2] == ""
    assert all(len(re.sub(r"\x1b\[\d+m", "", line)) <= 30 for line in printed)
