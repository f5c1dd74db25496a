# SPDX-License-Identifier: Apache-2.0
"""Looks for what a job or a crash may leave behind: bytes, rows, processes.

Reads the deployment from outside: files of its directories, the listing of its S3 bucket, rows of
its database, /proc. A clean deployment holds exactly the bytes that images refer to.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

import psycopg

from tests.service import Service, until

StoredNames = Callable[[], set[str]]


def rows(service: Service, query: str) -> list[tuple[object, ...]]:
    """Return the rows of a query on the service's database, whichever it is."""
    url = service.settings.get("DATABASE_URL", "")
    if url:
        with psycopg.connect(url) as postgres:
            return list(postgres.execute(query.encode()))
    path = service.data_dir / "calotype.sqlite"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as sqlite:
        return list(sqlite.execute(query))


def let_leases_expire(service: Service) -> None:
    """Let ten minutes pass for the leases of a stopped embedded service."""
    path = service.data_dir / "calotype.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as sqlite, sqlite:
        sqlite.execute("UPDATE leases SET expires_at = 1")


def referenced_blobs(service: Service) -> set[str]:
    """Return the names in the store of the blobs that images refer to."""
    query = (
        "SELECT blob_copies.name FROM blob_copies JOIN blobs ON blobs.id = blob_copies.blob_id"
        " WHERE blobs.refs > 0 AND blobs.id IN"
        " (SELECT blob_id FROM images WHERE blob_id IS NOT NULL)"
    )
    return {str(name) for (name,) in rows(service, query)}


def stored_files(service: Service) -> set[str]:
    """Return the names of everything in an embedded service's store, unfinished files included."""
    return {path.name for path in files_below(service.data_dir / "blobs")}


def files_below(*directories: Path) -> list[Path]:
    """Return all files below some directories."""
    return [
        Path(parent) / name
        for directory in directories
        for parent, _, names in os.walk(directory)
        for name in names
    ]


def scratch_content(service: Service) -> list[str]:
    """Return what lies in scratch, directories included."""
    return [str(path) for place in service.scratch if place.exists() for path in place.iterdir()]


def assert_clean(
    service: Service, stored: StoredNames | None = None, seconds: float = 20.0
) -> None:
    """Wait until no stray byte is left: scratch is empty, the store holds the referenced blobs."""
    look = stored or (lambda: stored_files(service))
    found: dict[str, object] = {}
    with contextlib.suppress(AssertionError):
        for _ in until(seconds, 0.2):
            names, wanted = look(), referenced_blobs(service)
            found = {
                "scratch": scratch_content(service),
                "stray": names - wanted,
                "missing": wanted - names,
                "leases": rows(service, "SELECT place, name, holder FROM leases"),
            }
            if not any(found.values()):
                return
    raise AssertionError(f"left behind: { {key: value for key, value in found.items() if value} }")


def descendants(pid: int) -> dict[int, str]:
    """Return the processes below one, as pid and name."""
    parents: dict[int, tuple[int, str]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            head, _, rest = (entry / "stat").read_text().rpartition(")")
            parents[int(entry.name)] = (int(rest.split()[1]), head.partition("(")[2])
    found: dict[int, str] = {}
    grown = True
    while grown:
        new = {
            child: name
            for child, (parent, name) in parents.items()
            if child not in found and (parent == pid or parent in found)
        }
        found |= new
        grown = bool(new)
    return found


def assert_gone(pids: Iterable[int], seconds: float = 15.0) -> None:
    """Wait until none of these processes runs any more."""
    left = set(pids)
    for _ in until(seconds):
        left = {pid for pid in left if _runs(pid)}
        if not left:
            return


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")
