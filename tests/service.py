# SPDX-License-Identifier: Apache-2.0
"""Runs the real service as its users do: the console script, in processes of its own.

`embedded` is one `calotype serve` on a fresh data directory; `cluster` is `calotype migrate` and
then API and worker processes on a database URL and an S3 store. Promises a service that answered
/readyz before `start` returns, exit status 0 at `stop`, and no secret of the tests in any log.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.ports import free_port

PROGRAM = Path(sys.executable).with_name("calotype")
_READY_SECONDS = 90.0
_STOP_SECONDS = 90.0
_KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "COVERAGE_PROCESS_START")
# Killed test processes leave no service behind.
_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL")
_BUSY_ADDRESS = "ddress already in use"


@dataclass
class Part:
    """One process of the deployment."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    ended_by_test: bool = False

    @property
    def died(self) -> bool:
        """Whether it ended although no test asked for that."""
        return self.process is not None and not self.running and not self.ended_by_test

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it in a process group of its own, its output appended to its log."""
        self.ended_by_test = False
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process and whatever it started in its group."""
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """Kill it as a power cut would."""
        self.ended_by_test |= self.running
        if self.running:
            self.send(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(timeout=30)

    def stop(self) -> int:
        """Ask it to end (SIGTERM) and return its exit status."""
        assert self.process is not None
        self.ended_by_test |= self.running
        if self.running:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=_STOP_SECONDS)


@dataclass
class Service:
    """A deployment below `root`. `settings` are names without prefix; `wrap` precedes commands."""

    root: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    wrap: Sequence[str] = ()
    shape: Sequence[str] = ("serve",)
    secrets: set[str] = field(default_factory=set)
    parts: dict[str, Part] = field(default_factory=dict)
    base_url: str = ""

    @classmethod
    def embedded(
        cls, root: Path, settings: Mapping[str, str] | None = None, wrap: Sequence[str] = ()
    ) -> Service:
        """Return a started service of one machine."""
        service = cls(root, settings or {}, wrap)
        service.start()
        return service

    @classmethod
    def cluster(
        cls, root: Path, settings: Mapping[str, str], *, apis: int = 1, workers: int = 2
    ) -> Service:
        """Return a started cluster; `settings` name its database and its stores."""
        service = cls(root, settings, (), ("api",) * apis + ("worker",) * workers)
        service.data_dir.mkdir(parents=True)
        done = service.cli("migrate")
        assert done.returncode == 0, done.stderr
        service.start()
        return service

    @property
    def data_dir(self) -> Path:
        return self.root / "data"

    @property
    def scratch(self) -> list[Path]:
        """The directories of temporary bytes."""
        given = self.settings.get("SCRATCH_DIR")
        if given:
            return [Path(given)]
        if self.shape == ("serve",):
            return [self.data_dir / "scratch"]
        return [self.root / f"scratch-{name}" for name in self.parts]

    @property
    def credentials(self) -> dict[str, Any]:
        """What the first start wrote for its users."""
        found: dict[str, Any] = json.loads((self.data_dir / "credentials.json").read_text())
        self.secrets |= {found["password"], found["secret_key"], found["operator_token"]}
        return found

    def start(self) -> None:
        """Start every part and wait until the service is ready."""
        for _ in range(5):
            self._make_parts()
            for part in self.parts.values():
                part.start()
            if self._ready():
                return
            self.kill()
            for part in self.parts.values():
                part.log.unlink()
            self.base_url = ""
        raise AssertionError("no address could be taken")

    def _make_parts(self) -> None:
        counted: dict[str, int] = {}
        first = not self.base_url
        for word in self.shape:
            number = counted[word] = counted.get(word, -1) + 1
            name = word if word == "serve" else f"{word}-{number}"
            known = self.parts.get(name)
            if known is not None and not first:
                continue
            environment = self.environment()
            if word != "worker":
                port = free_port()
                environment |= {"CALOTYPE_HOST": "127.0.0.1", "CALOTYPE_PORT": str(port)}
                self.base_url = self.base_url or f"http://127.0.0.1:{port}"
            if self.shape != ("serve",):
                environment["CALOTYPE_SCRATCH_DIR"] = str(self.root / f"scratch-{name}")
            command = [*_WITH_PARENT, *self.wrap, str(PROGRAM), word]
            self.parts[name] = Part(name, command, environment, self.root / f"{name}.log")

    def environment(self) -> dict[str, str]:
        """Return the whole environment of a process of this deployment."""
        self.root.mkdir(parents=True, exist_ok=True)
        kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        kept |= {"HOME": str(self.root), "CALOTYPE_DATA_DIR": str(self.data_dir)}
        return kept | {f"CALOTYPE_{name}": value for name, value in self.settings.items()}

    def _ready(self) -> bool:
        """Wait for /readyz; False when another program took the port meanwhile."""
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                if httpx.get(f"{self.base_url}/readyz", trust_env=False).status_code == 200:
                    return True
            except httpx.TransportError:
                pass
            for part in self.parts.values():
                if not part.running:
                    assert _BUSY_ADDRESS in part.log.read_text(), self.logs()
                    return False
            assert time.monotonic() < deadline, f"not ready\n{self.logs()}"
            time.sleep(0.03)

    def kill(self, *names: str) -> None:
        """Kill the named parts, or all, without a chance to clean up."""
        for name in names or self.parts:
            self.parts[name].kill()

    def stop(self) -> None:
        """End every part by SIGTERM; each must drain and leave with status 0."""
        for part in self.parts.values():
            if part.running:
                assert part.stop() == 0, f"{part.name} left badly\n{self.logs()}"

    def restart(self) -> None:
        """Start again on the same data and the same address, whatever ended the parts."""
        for part in self.parts.values():
            if not part.running:
                part.start()
        assert self._ready(), self.logs()

    def close(self) -> None:
        """End what runs; nothing may have died by itself, and no log may hold a secret."""
        died = {part.name: part.process for part in self.parts.values() if part.died}
        try:
            self.stop()
        finally:
            self.kill()
        logs = self.logs()
        assert not died, f"died by themselves: {died}\n{logs[-5000:]}"
        leaked = [secret for secret in self.secrets if len(secret) >= 8 and secret in logs]
        assert not leaked, f"{len(leaked)} secrets are in the logs"

    def logs(self) -> str:
        """Return what all parts wrote."""
        return "".join(
            f"--- {part.name}\n{part.log.read_text(errors='replace')}"
            for part in self.parts.values()
            if part.log.exists()
        )

    def log_of(self, name: str) -> str:
        """Return what one part wrote."""
        return self.parts[name].log.read_text(errors="replace")

    def cli(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a `calotype` command on this deployment."""
        return subprocess.run(
            [str(PROGRAM), *map(str, arguments)],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def bucket_put(self, file: Path, key: str, bucket: str = "", account: str = "") -> str:
        """Put a file into a bucket (default: the first account's) by the command line."""
        url = f"{bucket or self.credentials['bucket']}:{key}"
        done = self.cli("bucket", "put", file, url, *(["--account", account] if account else []))
        assert done.returncode == 0, done.stderr
        return url

    def bucket_get(self, url: str, file: Path) -> Path:
        """Fetch an object (`bucket:key`) into a new file by the command line."""
        done = self.cli("bucket", "get", url, file)
        assert done.returncode == 0, done.stderr
        return file

    def bucket_keys(self, bucket: str = "") -> set[str]:
        """Return the keys of a bucket, as the command line lists them."""
        done = self.cli("bucket", "ls", bucket or self.credentials["bucket"], "--json")
        assert done.returncode == 0, done.stderr
        return {str(found["key"]) for found in json.loads(done.stdout)}


def until(seconds: float, pause: float = 0.03) -> Iterator[float]:
    """Yield the seconds gone until `seconds` have passed; then fail."""
    started = time.monotonic()
    while (gone := time.monotonic() - started) < seconds:
        yield gone
        time.sleep(pause)
    raise AssertionError(f"nothing happened within {seconds:.0f} s")
