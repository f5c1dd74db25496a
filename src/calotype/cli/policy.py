# SPDX-License-Identifier: Apache-2.0
"""`calotype policy`: decisions without a service.

`test FILE` evaluates a file of vectors with the same function that guards every request; it needs
no server, no database and no settings. Exit code 0: every row came out as expected, 1: some did
not, 2: the file cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from calotype.cli.policy_vectors import Evaluator, Result

SCHEMA = "policy-vectors/1"
app = typer.Typer(no_args_is_help=True, help="Decisions of the policy engine, without a service.")


class Unreadable(ValueError):
    """The file is no vector file."""


@app.callback()
def _policy() -> None:
    """Keep `test` a command of its own while it is the only one."""


@app.command("test")
def test(
    file: Annotated[Path, typer.Argument(help="vectors, in the format of policy_examples.yaml")],
) -> None:
    """Evaluate a vector file: one line for each mismatch, then `N of M`."""
    try:
        results = run_file(file)
    except Unreadable as error:
        typer.echo(f"{file}: {error}", err=True)
        raise typer.Exit(2) from None
    for result in results:
        if not result.good:
            typer.echo(result.line())
    passed = sum(result.good for result in results)
    typer.echo(f"{passed} of {len(results)}")
    raise typer.Exit(0 if passed == len(results) else 1)


def run_file(file: Path) -> list[Result]:
    """Evaluate every row of a file, in its order. Raises Unreadable."""
    raw = _read(file)
    try:
        evaluator = Evaluator(raw.get("world") or {})
        return [
            *(evaluator.vector(row) for row in raw.get("vectors") or ()),
            *(evaluator.document(row) for row in raw.get("documents") or ()),
            *(evaluator.assume(row) for row in raw.get("assume") or ()),
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise Unreadable(f"is not in the format {SCHEMA}: {error!r}") from None


def _read(file: Path) -> Mapping[str, Any]:
    try:
        raw = yaml.CSafeLoader(file.read_text(encoding="utf-8")).get_single_data()
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(str(error)) from None
    except yaml.YAMLError as error:
        raise Unreadable(f"is no YAML: {error}") from None
    if not isinstance(raw, dict) or raw.get("schema", SCHEMA) != SCHEMA:
        raise Unreadable(f"is not in the format {SCHEMA}")
    return raw
