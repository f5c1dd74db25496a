# SPDX-License-Identifier: Apache-2.0
"""Writes docs/reference from what the program runs on: commands, settings and the permission table.

`python -m calotype.cli.reference DIRECTORY`; a test fails when the pages are not what this writes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from calotype.cli.main import NOUNS, app
from calotype.contract.loader import Operation, load_operations
from calotype.settings import Settings

_HEAD = "<!-- Written by `make docs`; change the source, not this page. -->\n"


def settings_page() -> str:
    """Return the page of all settings."""
    lines = [
        _HEAD,
        "# Settings\n",
        "A value comes from a flag, else from `CALOTYPE_<NAME>` in the environment, else from the",
        "TOML file (`CALOTYPE_CONFIG`, or `calotype.toml` in the data directory; names in lower",
        "case), else it is the default.\n",
        "| name | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, SecretStr):
            default = default.get_secret_value()
        shown = "" if default in (PydanticUndefined, None, "", []) else f"`{default}`"
        lines.append(f"| `{name.upper()}` | {shown} | {field.description or ''} |")
    return "\n".join(lines) + "\n"


def permissions_page() -> str:
    """Return the permission table: every image operation with its actions and columns."""
    lines = [
        _HEAD,
        "# Permissions\n",
        "Each operation, the actions it needs (all of them, unless a case is named) and where a",
        "grant of them counts: on the IAM project, on the enterprise project. The service enforces",
        "exactly this table; rows marked *planned* are not served yet and answer 501.\n",
        "| operation | API | actions | IAM project | enterprise project | other rights |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_row(row) for row in load_operations() if row.dialect in ("ims", "native")]
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Return the help of every command."""
    # The classes of commands are private to the library.
    top: Any = typer.main.get_group(app)
    context = top.context_class(top, info_name="calotype")
    lines = [
        _HEAD,
        "# Commands\n",
        "Exit codes: 0 done, 1 refused or the job failed, 2 wrong use, 3 no service or no login,",
        "130 interrupted. Tables and progress are for people; `--json` prints one JSON value.\n",
    ]
    for name in top.list_commands(context):
        command = top.get_command(context, name)
        if name not in NOUNS:
            lines += [] if command.hidden else _help(command, f"calotype {name}")
            continue
        inner = command.context_class(command, info_name=f"calotype {name}")
        for verb in command.list_commands(inner):
            lines += _help(command.get_command(inner, verb), f"calotype {name} {verb}")
    return "\n".join(lines)


def _help(command: Any, path: str) -> list[str]:
    # The width is fixed, because the page must not depend on who writes it.
    context = command.context_class(command, info_name=path, terminal_width=90)
    return [f"## {path}\n", "```text", command.get_help(context).rstrip(), "```\n"]


def pages() -> Iterator[tuple[str, str]]:
    """Give the name and the text of each page."""
    yield "commands.md", commands_page()
    yield "settings.md", settings_page()
    yield "permissions.md", permissions_page()


def _row(row: Operation) -> str:
    actions = "<br>".join(
        f"`{need.action}`" + (f" ({need.prose})" if need.prose else "") for need in row.requirements
    )
    rights = "<br>".join(
        " or ".join(f"`{name}`" for name in right.any_of) for right in row.object_rights
    )
    if row.operator_when:
        rights = "<br>".join(part for part in (rights, "operator") if part)
    planned = " *planned*" if row.planned else ""
    column = "√" if row.enterprise_project else "x"
    return (
        f"| {row.id}{planned} | `{row.method} {row.path}` | {actions or '–'} | √ | {column} |"
        f" {rights} |"
    )


def main() -> None:
    """Write the pages into the directory named on the command line."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages():
        (directory / name).write_text(text)


if __name__ == "__main__":
    main()
