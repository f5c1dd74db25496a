# SPDX-License-Identifier: Apache-2.0
"""What `make run` needs beside the commands: wait until the service is ready, and what to try."""

from __future__ import annotations

import json as json_library
import os
import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from calotype.cli import output
from calotype.cli.options import DataDir


def wait_ready(
    seconds: Annotated[float, typer.Option(help="longest wait")] = 30.0,
    pid: Annotated[int, typer.Option(help="process whose end ends the wait")] = 0,
    data_dir: DataDir = None,
) -> None:
    """Wait until the service of the data directory is ready."""
    from calotype.client import credentials

    path = credentials.data_dir(data_dir) / "credentials.json"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if pid and not _runs(pid):
            output.fail("the service ended before it was ready", output.NO_SERVICE)
        if _answers(path):
            return
        time.sleep(0.05)
    output.fail(f"the service was not ready within {seconds:.0f} s", output.NO_SERVICE)


def next_steps(
    image: Annotated[str, typer.Option(help="name of an image to show")] = "grub-rescue",
    data_dir: DataDir = None,
) -> None:
    """Print where the credentials are and three commands to try."""
    from calotype.client import credentials

    directory = credentials.data_dir(data_dir)
    found = json_library.loads((directory / "credentials.json").read_text())
    here = f"--data-dir {shlex.quote(str(directory))}"
    clouds = shlex.quote(str(directory / "clouds.yaml"))
    target = shlex.quote(f"{found['bucket']}:{image}.vhd")
    typer.echo(
        f"""
calotype serves at {found["image_endpoint"]}
credentials: {directory / "credentials.json"}   for OpenStack clients: {directory / "clouds.yaml"}

Three commands to try in another terminal:
  .venv/bin/calotype image list {here}
  OS_CLIENT_CONFIG_FILE={clouds} .venv/bin/openstack --os-cloud calotype image list
  .venv/bin/calotype image export {shlex.quote(image)} {target} --file-format vhd {here}
"""
    )


def _answers(path: Path) -> bool:
    import httpx

    try:
        endpoint = json_library.loads(path.read_text())["image_endpoint"]
        # Nothing secret is sent, and the certificate may be one that only its maker trusts.
        answer = httpx.get(f"{endpoint}/readyz", trust_env=False, verify=False)  # noqa: S501
    except (OSError, ValueError, KeyError, httpx.HTTPError):
        return False
    return answer.status_code == 200


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
