# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server of its own for the tests, on a free port of 127.0.0.1.

Promises a fresh, empty database for each `fresh_url`, and that nothing is left behind: the server
is stopped by the process that started it and its directory is removed. PostgreSQL refuses to run
as root, so root starts it as `postgres` or `nobody`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.ports import free_port

_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_SMALL = {"max_connections": "80", "shared_buffers": "32MB", "max_wal_size": "256MB"}


class NoPostgres(RuntimeError):
    """The machine has no PostgreSQL server programs."""


@dataclass(frozen=True)
class PostgresServer:
    """A running server; everybody on this machine is its superuser `calotype`."""

    port: int

    def fresh_url(self) -> str:
        """Make an empty database and return its address."""
        name = f"t{uuid.uuid4().hex}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, database: str) -> str:
        """Return the address of a database of this server."""
        return f"postgresql://calotype@127.0.0.1:{self.port}/{database}"


@contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[PostgresServer]:
    """Run a server until the block ends. `durable`: commits survive a crash of the server too."""
    programs = _programs()
    user = _user()
    directory = Path(tempfile.mkdtemp(prefix="calotype-postgres-"))
    try:
        if user is not None:
            os.chown(directory, user.pw_uid, user.pw_gid)
        data = directory / "data"
        initdb = [str(programs / "initdb"), "-D", str(data), "-U", "calotype", "-A", "trust"]
        initdb += ["-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        subprocess.run(_as(user, initdb), check=True, capture_output=True, cwd=directory)
        port = free_port()
        options = dict(_SMALL if durable else _SMALL | _FAST)
        options |= {"port": str(port), "listen_addresses": "127.0.0.1"}
        options["unix_socket_directories"] = str(directory)
        command = [str(programs / "postgres"), "-D", str(data)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        log = directory / "log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                _as(user, command), cwd=directory, stdout=output, stderr=output
            )
        try:
            found = PostgresServer(port)
            _wait(found, server, log)
            yield found
        finally:
            server.send_signal(signal.SIGINT)  # ends sessions and writes a checkpoint
            server.wait(timeout=60)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _programs() -> Path:
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    if not found:
        raise NoPostgres("no /usr/lib/postgresql/*/bin/initdb: install the package postgresql")
    return found[-1].parent


def _user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoPostgres("root needs a user named postgres or nobody to run PostgreSQL as")


def _as(user: pwd.struct_passwd | None, command: Sequence[str]) -> list[str]:
    ends = ["setpriv", "--pdeathsig", "INT"]  # with the process of the tests
    if user is None:
        return [*ends, *command]
    ids = ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    return [*ends, *ids, *command]


def _wait(found: PostgresServer, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(found.url("postgres"), connect_timeout=5).close()
            return
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
