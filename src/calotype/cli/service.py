# SPDX-License-Identifier: Apache-2.0
"""`calotype serve`, `api`, `worker`, `migrate` and `check`: the processes of a deployment."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from calotype.cli import output
from calotype.cli.options import DataDir, Json

Host = Annotated[str | None, typer.Option(help="address to listen on (127.0.0.1)")]
Port = Annotated[int | None, typer.Option(help="port to listen on (9292); 0 picks a free one")]
Cert = Annotated[Path | None, typer.Option("--tls-cert", help="certificate chain, PEM")]
Key = Annotated[Path | None, typer.Option("--tls-key", help="private key, PEM")]

_ADDRESS_ERRORS = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)


def serve(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    tls_cert: Cert = None,
    tls_key: Key = None,
) -> None:
    """Run the service of one machine, all in its data directory."""
    _serve(
        worker=True,
        data_dir=data_dir,
        host=host,
        port=port,
        tls_cert=tls_cert,
        tls_key=tls_key,
    )


def api(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    tls_cert: Cert = None,
    tls_key: Key = None,
) -> None:
    """Run an API process of a cluster."""
    _serve(
        worker=False,
        data_dir=data_dir,
        host=host,
        port=port,
        tls_cert=tls_cert,
        tls_key=tls_key,
    )


def worker(data_dir: DataDir = None) -> None:
    """Run a worker process of a cluster."""
    from calotype import app

    raise SystemExit(app.run_worker(load_settings(data_dir=data_dir)))


def migrate(data_dir: DataDir = None) -> None:
    """Bring the database up to date; make the first account."""
    from calotype import app

    for line in app.migrate(load_settings(data_dir=data_dir)):
        typer.echo(line)


def check(data_dir: DataDir = None, json: Json = False) -> None:
    """Say what this machine has and what is missing."""
    import logging

    from calotype.cli import checking

    # What the log would tell stands in the table.
    logging.getLogger("calotype").addHandler(logging.NullHandler())
    findings = checking.findings(load_settings(data_dir=data_dir))
    if json:
        output.print_json([finding.document() for finding in findings])
    else:
        output.print_table(
            ("what", "state", "found", "to do"),
            [(item.what, item.state, item.found, item.advice) for item in findings],
        )
    if any(finding.state == "missing" for finding in findings):
        raise SystemExit(output.REFUSED)


def _serve(*, worker: bool, **flags: Any) -> None:
    from calotype import app

    settings = load_settings(**flags)
    try:
        code = app.run_service(settings, worker=worker)
    except OSError as error:
        if error.errno not in _ADDRESS_ERRORS:
            raise
        place = f"{settings.host} port {settings.port}"
        text = os.strerror(error.errno or 0)
        output.fail(
            f"cannot listen on {place}: {text}; name another --host or --port", output.REFUSED
        )
    raise SystemExit(code)


def load_settings(**flags: Any) -> Any:
    """Return the settings of a command; a wrong one ends it with a message."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from calotype import settings

    try:
        return settings.load(**flags)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        reason = first["msg"].removeprefix("Value error, ")
        output.fail(f"the setting {name} is wrong: {reason}", output.USAGE)
    except (SettingsError, ValueError) as error:
        output.fail(f"the settings cannot be read: {error}", output.USAGE)
