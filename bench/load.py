# SPDX-License-Identifier: Apache-2.0
"""Requests a second by wrk, on connections that are kept open. Refuses to count failed requests."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.scenario import Missing

_RATE = re.compile(r"^Requests/sec:\s+([0-9.]+)$", re.MULTILINE)


def get(url: str, token: str, *, connections: int, seconds: int = 3) -> float:
    """Return GET requests a second."""
    return _run([url], token, connections, seconds)


def post(url: str, token: str, body: str, *, connections: int, seconds: int = 3) -> float:
    """Return POST requests a second, each with the same JSON body."""
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory, "post.lua")
        script.write_text(
            'wrk.method = "POST"\n'
            'wrk.headers["Content-Type"] = "application/json"\n'
            f"wrk.body = [==[{body}]==]\n"
        )
        return _run(["-s", str(script), url], token, connections, seconds)


def cost(before: float, after: float, rate: float, seconds: float) -> float:
    """Return microseconds of processor time for one request, from `cpu_seconds` around a run."""
    return (after - before) / (rate * seconds) * 1e6


def _run(target: list[str], token: str, connections: int, seconds: int) -> float:
    program = shutil.which("wrk")
    if program is None:
        raise Missing("wrk is not installed (apt-get install wrk)")
    command = [
        program,
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "-H",
        f"X-Auth-Token: {token}",
    ]
    done = subprocess.run([*command, *target], capture_output=True, text=True, check=True)
    found = _RATE.search(done.stdout)
    if found is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"requests failed:\n{done.stdout}")
    return float(found[1])
