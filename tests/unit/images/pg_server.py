# SPDX-License-Identifier: Apache-2.0
"""A throw-away PostgreSQL on a Unix socket, for tests that must hold on both databases.

`CALOTYPE_TEST_POSTGRESQL` names a server to use instead; without either the caller skips.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from calotype.db.session import normalise_url


def find_binaries() -> Path | None:
    """Return the directory of the newest installed server, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@contextlib.contextmanager
def running() -> Iterator[str | None]:
    """Give the URL of a server that lives as long as the context, or None."""
    given = os.environ.get("CALOTYPE_TEST_POSTGRESQL")
    binaries = find_binaries()
    if given or binaries is None:
        yield normalise_url(given) if given else None
        return
    # The socket's path must be short, so not below pytest's own directory.
    place = Path(tempfile.mkdtemp(prefix="ct-pg-"))
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        os.chown(place, pwd.getpwnam(user).pw_uid, -1)
    data = place / "data"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": place}
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "tester", "-A", "trust", "-N", "--locale=C.UTF-8"],
        check=True,
        user=user,
        **quiet,
    )
    options = f"-c listen_addresses= -c fsync=off -c unix_socket_directories={place}"
    control = [binaries / "pg_ctl", "-D", data, "-w", "-s"]
    subprocess.run([*control, "-o", options, "start"], check=True, user=user, **quiet)
    try:
        yield f"postgresql+psycopg://tester@/postgres?host={place}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, user=user, **quiet)
        shutil.rmtree(place, ignore_errors=True)
