# SPDX-License-Identifier: Apache-2.0
"""What `make run` needs beside the commands: wait until the service is ready, and what to try."""

from __future__ import annotations

import json as json_library
import time
from typing import Annotated

import typer

from calotype.cli import output
from calotype.cli.options import DataDir


def wait_ready(
    seconds: Annotated[float, typer.Option(help="longest wait")] = 30.0, data_dir: DataDir = None
) -> None:
    """Wait until the service of the data directory is ready."""
    import httpx

    from calotype.client import credentials

    path = credentials.data_dir(data_dir) / "credentials.json"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            endpoint = json_library.loads(path.read_text())["image_endpoint"]
            if httpx.get(f"{endpoint}/readyz", trust_env=False).status_code == 200:
                return
        except (OSError, ValueError, KeyError, httpx.TransportError):
            pass
        time.sleep(0.05)
    output.fail(f"the service was not ready within {seconds:.0f} s", output.NO_SERVICE)


def next_steps(data_dir: DataDir = None) -> None:
    """Print where the credentials are and three commands to try."""
    from calotype.client import credentials

    directory = credentials.data_dir(data_dir)
    found = json_library.loads((directory / "credentials.json").read_text())
    here = f"--data-dir {directory}"
    typer.echo(
        f"""
calotype serves at {found["image_endpoint"]}
credentials: {directory / "credentials.json"}   for OpenStack clients: {directory / "clouds.yaml"}

Three commands to try, in another terminal:
  .venv/bin/calotype image list {here}
  OS_CLIENT_CONFIG_FILE={directory}/clouds.yaml .venv/bin/openstack --os-cloud calotype image list
  .venv/bin/calotype image export grub-rescue {found["bucket"]}:grub.vhd --file-format vhd {here}
"""
    )
