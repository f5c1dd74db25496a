# SPDX-License-Identifier: Apache-2.0
"""How commands speak: tables or JSON, progress bars on standard error, exit codes.

0 done · 1 refused, or the job failed · 2 wrong use · 3 no service or no login.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NoReturn

import typer

from calotype.errors import CalotypeError

REFUSED = 1
USAGE = 2
NO_SERVICE = 3


def fail(message: str, code: int) -> NoReturn:
    """Print `message` on standard error and end with `code`."""
    typer.secho(message, fg="red", err=True)
    raise typer.Exit(code)


def print_json(value: object) -> None:
    """Print one JSON value, for programs."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under headings; plain columns where no terminal reads them."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    width = None if sys.stdout.isatty() else 200
    Console(width=width).print(table)


def print_fields(fields: Mapping[str, object]) -> None:
    """Print one object as name and value."""
    rows = [(name, _cell(value)) for name, value in fields.items()]
    print_table(("field", "value"), rows)


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


@contextmanager
def errors() -> Iterator[None]:
    """Turn what the client and the core raise into a message and an exit code."""
    from calotype.client.session import NoService, Refused

    try:
        yield
    except Refused as refusal:
        fail(f"{refusal.code + ': ' if refusal.code else ''}{refusal.message}", REFUSED)
    except NoService as missing:
        fail(str(missing), NO_SERVICE)
    except CalotypeError as error:
        fail(error.message, NO_SERVICE if error.rule == "no_credentials" else REFUSED)


def _cell(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value
