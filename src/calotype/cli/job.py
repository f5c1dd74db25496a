# SPDX-License-Identifier: Apache-2.0
"""`calotype job`: show, wait and cancel, over HTTP; and the progress bar of commands that wait."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from calotype.cli import output
from calotype.cli.options import DataDir, Json

if TYPE_CHECKING:
    from calotype.client.session import Session

app = typer.Typer(no_args_is_help=True, help="Jobs of a running service.")

_ENDED = ("SUCCESS", "FAIL")


def session(data_dir: Path | None) -> Session:
    """Log in with the credentials that are found."""
    from calotype.client import credentials
    from calotype.client.session import Session

    return Session(credentials.find(data_dir))


@app.command()
def show(job_id: str, json: Json = False, data_dir: DataDir = None) -> None:
    """Show one job."""
    with output.errors(), session(data_dir) as login:
        report(login, job_id, wait=False, json=json)


@app.command()
def wait(job_id: str, json: Json = False, data_dir: DataDir = None) -> None:
    """Show a job until it has ended; exit code 1 when it failed."""
    with output.errors(), session(data_dir) as login:
        report(login, job_id, wait=True, json=json)


@app.command()
def cancel(job_id: str, data_dir: DataDir = None) -> None:
    """Ask a job to end."""
    with output.errors(), session(data_dir) as login:
        login.call("DELETE", f"/v1/{login.project_id}/jobs/{job_id}")


def report(login: Session, job_id: str, *, wait: bool, json: bool) -> None:
    """Print a job, after it has ended when `wait`; end with 1 when it failed."""
    job = _follow(login, job_id) if wait else _read(login, job_id)
    if json:
        output.print_json(job)
    else:
        entities = job["entities"]
        output.print_fields(
            {
                "job": job["job_id"],
                "type": job["job_type"],
                "status": job["status"],
                "image": entities.get("image_id"),
                "begin": job["begin_time"],
                "end": job["end_time"],
                **(
                    {"error": f"{job['error_code']} {job['fail_reason']}"}
                    if job["error_code"]
                    else {}
                ),
            }
        )
    if job["status"] == "FAIL":
        raise typer.Exit(output.REFUSED)


def _read(login: Session, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = login.call("GET", f"/v1/cloudimages/job/{job_id}")
    return job


def _follow(login: Session, job_id: str) -> dict[str, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<8}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        line = progress.add_task("queue", total=100.0)
        pause = 0.05
        while True:
            job = _read(login, job_id)
            done = job["status"] == "SUCCESS"
            task = str(job["entities"].get("current_task", "queue"))
            percent = 100.0 if done else float(job["entities"].get("process_percent", 0.0))
            progress.update(line, completed=percent, description="done" if done else task)
            if job["status"] in _ENDED:
                return job
            time.sleep(pause)
            pause = min(1.0, pause * 1.3)


@contextmanager
def bar(what: str, size: int) -> Iterator[Callable[[int], None]]:
    """Show the progress of `size` bytes on standard error; gives the function that advances it."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn(what), BarColumn(), DownloadColumn(True), TransferSpeedColumn())
    console = Console(stderr=True, quiet=not sys.stderr.isatty())
    with Progress(*columns, console=console) as progress:
        line = progress.add_task(what, total=size)
        yield lambda count: progress.advance(line, count)
