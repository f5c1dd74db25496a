# SPDX-License-Identifier: Apache-2.0
"""The command `calotype`: one module per noun, loaded when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

from calotype import __version__
from calotype.cli import bucket, image, job, output, policy, service, start

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    help="An image management service: the IMS API and the OpenStack Image API over one core.",
)
app.add_typer(image.app, name="image")
app.add_typer(job.app, name="job")
app.add_typer(bucket.app, name="bucket")
app.add_typer(policy.app, name="policy")
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
