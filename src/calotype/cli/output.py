# SPDX-License-Identifier: Apache-2.0
"""How commands speak: tables or JSON on standard output, the rest on standard error, exit codes.

0 done · 1 refused, or the job failed · 2 wrong use · 3 no service or no login · 130 interrupted.
Text that others chose (names, reasons) reaches a terminal without its control characters.
"""

from __future__ import annotations

import errno
import json
import shutil
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NoReturn

import typer

from calotype.errors import CalotypeError

REFUSED = 1
USAGE = 2
NO_SERVICE = 3
_GAP = "  "


def fail(message: str, code: int) -> NoReturn:
    """Print `message` on standard error and end with `code`."""
    typer.secho(clean(message), fg="red", err=True)
    raise SystemExit(code)


def say(message: str) -> None:
    """Print a line for people on standard error."""
    typer.echo(clean(message), err=True)


def print_json(value: object) -> None:
    """Print one JSON value, for programs."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under headings, one line each; on a narrower terminal, one cell a line."""
    cells = [["" if cell is None else clean(str(cell), "") for cell in row] for row in rows]
    widths = [max(map(cell_width, column)) for column in zip(columns, *cells, strict=True)]
    if sys.stdout.isatty() and sum(widths) + len(_GAP) * (len(widths) - 1) > _terminal_width():
        _print_blocks(columns, cells)
        return
    typer.secho(_line(columns, widths), bold=True)
    for row in cells:
        typer.echo(_line(row, widths))


def print_fields(fields: Mapping[str, object]) -> None:
    """Print one object as name and value; long values go on in the terminal's next line."""
    width = max(map(len, fields))
    for name, value in fields.items():
        typer.echo(f"{name:<{width}}{_GAP}{clean(_cell(value))}".rstrip())


def readable_size(size: int | None) -> str:
    """Return a size in the unit that people read."""
    if size is None:
        return ""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def clean(text: str, keep: str = "\n") -> str:
    """Return `text` with every character written out that a terminal would obey, but `keep`."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else ascii(one)[1:-1] for one in text)


def cell_width(text: str) -> int:
    """Return how many columns a terminal needs for `text`."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text)
    return len(text) + wide - sum(bool(unicodedata.combining(one)) for one in text)


@contextmanager
def errors() -> Iterator[None]:
    """Turn what the client, the core and the file system raise into a message and an exit code."""
    from calotype.client.errors import NoService, Refused

    try:
        yield
    except Refused as refusal:
        fail(f"{refusal.code + ': ' if refusal.code else ''}{refusal.message}", REFUSED)
    except NoService as missing:
        fail(str(missing), NO_SERVICE)
    except CalotypeError as error:
        fail(error.message, NO_SERVICE if error.rule == "no_credentials" else REFUSED)
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise  # whoever read our output has enough
        place = f"{error.filename}: " if error.filename else ""
        fail(f"{place}{error.strerror or error}", REFUSED)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        cell + " " * (width - cell_width(cell)) for cell, width in zip(cells, widths, strict=True)
    )
    return _GAP.join(padded).rstrip()


def _print_blocks(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    width = max(map(len, columns))
    for number, row in enumerate(cells):
        if number:
            typer.echo()
        for name, cell in zip(columns, row, strict=True):
            typer.echo(f"{typer.style(name.ljust(width), bold=True)}{_GAP}{cell}".rstrip())


def _terminal_width() -> int:
    return shutil.get_terminal_size().columns


def _cell(value: object) -> str:
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)
