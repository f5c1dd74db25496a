# SPDX-License-Identifier: Apache-2.0
"""The command `calotype`: one module per noun, loaded when it is called.

What `calotype --help` prints about a noun stands here, because loading all of them costs more than
printing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from calotype import __version__
from calotype.cli import output, service, start

if TYPE_CHECKING:
    from collections.abc import Sequence

NOUNS = {
    "image": "Images of a running service.",
    "job": "Jobs of a running service.",
    "bucket": "User buckets and their objects.",
    "policy": "Decisions of the policy engine, without a service.",
}


class Commands(TyperGroup):
    """The commands of this module and, loaded at their first use, those of the nouns."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, for help and completion."""
        return [*super().list_commands(ctx), *NOUNS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, None when there is none of this name."""
        if cmd_name not in NOUNS:
            return super().get_command(ctx, cmd_name)
        group: typer.Typer = importlib.import_module(f"calotype.cli.{cmd_name}").app
        # Loading rich for help pages takes as long as the whole command.
        group.rich_markup_mode = None
        loaded = typer.main.get_group(group)
        loaded.name = cmd_name
        return loaded

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands, without loading the nouns."""
        here = [(name, found) for name, found in self.commands.items() if not found.hidden]
        rows: Sequence[tuple[str, str]] = [
            *NOUNS.items(),
            *((name, found.get_short_help_str(70)) for name, found in here),
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="An image management service: the IMS API and the OpenStack Image API over one core.",
)
for command in (service.serve, service.api, service.worker, service.migrate, service.check):
    app.command()(command)
app.command(hidden=True)(start.wait_ready)
app.command(hidden=True)(start.next_steps)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"calotype {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    del version


def run() -> None:
    """Entry point of the console script."""
    with output.errors():
        app()
