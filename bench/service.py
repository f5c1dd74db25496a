# SPDX-License-Identifier: Apache-2.0
"""The service under measurement, as its users run it: `calotype serve` in a process of its own.

A `Service` is an embedded deployment on a fresh directory. Its first account is logged in, so that
a scenario has a token of the account's owner; `request` is for set-up, never for a figure.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.limits import free_port, started

PROGRAM = Path(sys.executable).with_name("calotype")
READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Service:
    """A running service. `seconds` is the time from its start to its first ready answer."""

    url: str
    pid: int
    directory: Path
    token: str
    account: str
    project: str
    bucket: str
    seconds: float

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Send one JSON request as the account's owner; return the decoded answer, or None."""
        return _call(self.url + path, method, body, {"X-Auth-Token": self.token})[0]

    def image(self, **values: object) -> str:
        """Create a queued image; return its id."""
        formats = {"disk_format": "raw", "container_format": "bare"}
        return str(self.request("POST", "/v2/images", formats | values)["id"])

    def stored(self, image: str) -> Path:
        """Return the file that holds the bytes of an uploaded image."""
        found = [
            path
            for path in (self.directory / "blobs" / "data").rglob("*")
            if path.is_file() and path.stat().st_size == self.size(image)
        ]
        if len(found) != 1:
            raise RuntimeError(f"{len(found)} files could be image {image}")
        return found[0]

    def logged(self, message: str) -> list[dict[str, Any]]:
        """Return the lines of the service's log that say this, in order."""
        found = []
        for line in _log(self.directory).read_text(encoding="utf-8").splitlines():
            if message in line:
                found.append(json.loads(line))
        return found

    def size(self, image: str) -> int:
        """Return the stored bytes of an image."""
        return int(self.request("GET", f"/v2/images/{image}")["size"])


@contextlib.contextmanager
def service(directory: Path, settings: Mapping[str, str] | None = None) -> Iterator[Service]:
    """Run the service on `directory`, new or used before, for the time of the block."""
    port = free_port()
    log = _log(directory)
    environment = {f"CALOTYPE_{name}": value for name, value in (settings or {}).items()}
    environment |= {"CALOTYPE_DATA_DIR": str(directory), "CALOTYPE_PORT": str(port)}
    # The shell gives place to the service, so the process id and its memory are the service's own.
    command = ["/bin/sh", "-c", 'exec "$@" 2>"$0"', str(log), str(PROGRAM), "serve"]
    begin = time.perf_counter()
    with started(command, environment=environment) as process:
        url = f"http://127.0.0.1:{port}"
        while not _is_ready(url):
            if process.poll() is not None or time.perf_counter() - begin > READY_SECONDS:
                raise RuntimeError(f"the service did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.005)
        seconds = time.perf_counter() - begin
        known = json.loads((directory / "credentials.json").read_text())
        token = _login(url, known)
        yield Service(
            url=url,
            pid=process.pid,
            directory=directory,
            token=token,
            account=known["domain_id"],
            project=known["project_id"],
            bucket=known["bucket"],
            seconds=seconds,
        )


def _log(directory: Path) -> Path:
    return directory.with_name(directory.name + ".log")


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _login(url: str, known: Mapping[str, str]) -> str:
    user = {
        "name": known["username"],
        "password": known["password"],
        "domain": {"id": known["domain_id"]},
    }
    auth = {
        "identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": {"id": known["project_id"]}},
    }
    _, headers = _call(f"{url}/v3/auth/tokens", "POST", {"auth": auth}, {})
    return headers["x-subject-token"]


def _call(
    url: str, method: str, body: object, headers: Mapping[str, str]
) -> tuple[Any, dict[str, str]]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, dict(headers), method=method)
    if data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
            found = {name.lower(): value for name, value in answer.headers.items()}
            return (json.loads(text) if text else None), found
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{method} {url}: {error.code} {error.read()[:500]!r}") from None
