# SPDX-License-Identifier: Apache-2.0
"""`calotype job`: show, wait and cancel, over HTTP; and the progress bars of commands that wait.

Bars go to standard error, and only when it is a terminal; elsewhere a job is one line a step.
"""

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
Advance = Callable[[str, float], None]


def session(data_dir: Path | None) -> Session:
    """Log in with the credentials that are found."""
    from calotype.client import credentials
    from calotype.client.session import Session

    return Session(credentials.find(data_dir))


@app.command()
def show(job_id: str, json: Json = False, data_dir: DataDir = None) -> None:
    """Show one job."""
    with session(data_dir) as login:
        report(login, job_id, wait=False, json=json)


@app.command()
def wait(job_id: str, json: Json = False, data_dir: DataDir = None) -> None:
    """Show a job until it has ended; exit code 1 when it failed."""
    with session(data_dir) as login:
        report(login, job_id, wait=True, json=json)


@app.command()
def cancel(job_id: str, json: Json = False, data_dir: DataDir = None) -> None:
    """Ask a job to end, and show it."""
    with session(data_dir) as login:
        login.call("DELETE", f"/v1/{login.project_id}/jobs/{job_id}")
        job = _read(login, job_id)
        _print(job, json=json)


def report(login: Session, job_id: str, *, wait: bool, json: bool) -> None:
    """Print a job, after it has ended when `wait`; end with 1 when it failed."""
    if wait:
        with _steps(quiet=json) as advance:
            job = _follow(login, job_id, advance)
    else:
        job = _read(login, job_id)
    _print(job, json=json)
    if job["status"] == "FAIL":
        raise SystemExit(output.REFUSED)


def _print(job: dict[str, Any], *, json: bool) -> None:
    if json:
        output.print_json(job)
        return
    entities = job["entities"]
    fields = {
        "job": job["job_id"],
        "type": job["job_type"],
        "status": job["status"],
        "image": entities.get("image_id"),
        "begin": job["begin_time"],
        "end": job["end_time"],
    }
    if job["status"] not in _ENDED:
        fields["step"] = f"{entities.get('current_task', 'queue')}, {_percent(job):.0f} %"
    if job["error_code"]:
        fields["error"] = f"{job['error_code']} {job['fail_reason']}"
    output.print_fields({name: value for name, value in fields.items() if value})


def _read(login: Session, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = login.call("GET", f"/v1/cloudimages/job/{job_id}")
    return job


def _percent(job: dict[str, Any]) -> float:
    return float(job["entities"].get("process_percent", 0.0))


def _follow(login: Session, job_id: str, advance: Advance) -> dict[str, Any]:
    pause = 0.05
    while True:
        job = _read(login, job_id)
        if job["status"] == "SUCCESS":
            advance("done", 100.0)
        else:
            advance(str(job["entities"].get("current_task", "queue")), _percent(job))
        if job["status"] in _ENDED:
            return job
        time.sleep(pause)
        pause = min(1.0, pause * 1.3)


@contextmanager
def _steps(*, quiet: bool) -> Iterator[Advance]:
    """Show how far a job is; gives the function that takes the step's name and the percentage."""
    if not sys.stderr.isatty():
        seen: list[str] = []

        def line(step: str, percent: float) -> None:
            if not quiet and step not in seen[-1:]:
                seen.append(step)
                output.say(f"{step} {percent:.0f} %")

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    text = TextColumn("{task.description:<8}", markup=False)
    columns = (text, BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("queue", total=100.0)
        yield lambda step, percent: progress.update(task, completed=percent, description=step)


@contextmanager
def bar(what: str, size: int) -> Iterator[Callable[[int], None]]:
    """Show the progress of `size` bytes; gives the function that takes the bytes just moved."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    text = TextColumn("{task.description}", markup=False)
    columns = (text, BarColumn(), DownloadColumn(True), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(output.clean(what), total=size)
        yield lambda count: progress.advance(task, count)


@contextmanager
def whole_file(file: Path) -> Iterator[Path]:
    """Give a name beside `file` to write to, which becomes `file` at the end or is removed."""
    if not file.parent.is_dir():
        output.fail(f"{file.parent} is no directory", output.USAGE)
    partial = file.with_name(file.name + ".part")
    try:
        yield partial
        partial.rename(file)
    finally:
        partial.unlink(missing_ok=True)
