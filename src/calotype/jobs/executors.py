# SPDX-License-Identifier: Apache-2.0
"""Who runs jobs: one row and one heartbeat for each start of a process, and finding dead ones.

A process start is a new executor, whatever its host. Dead is who did not beat for a while, or at
once a process of this very host that is gone. A dead one is claimed before its work is queued
again and removed afterwards, so that neither a second finder nor a finder that dies does harm.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import BigInteger, Connection, bindparam, delete, insert, select, update

from calotype import ids
from calotype.db.tables.jobs import executors
from calotype.jobs.model import to_microseconds

SILENCE = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Found:
    """An executor as a finder saw it."""

    id: str
    host: str
    beat_at: int


def new_id() -> str:
    """Return the id of this start of the process; its pid tells neighbours whether it lives."""
    return f"{os.getpid()}.{ids.new_hex()}"


def host_name() -> str:
    """Name what shares process ids with this process: host, boot and process namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        boot, space = "", ids.new_hex()  # unknown: then only silence tells
    return f"{socket.gethostname()[:100]}/{boot}/{space}"


def beat(conn: Connection, executor_id: str, host: str, now: datetime) -> None:
    """Note that an executor lives; its row is made when somebody took it for dead."""
    values = {"executor": executor_id, "now": to_microseconds(now)}
    if not conn.execute(_BEAT, values).rowcount:
        row = {"id": executor_id, "host": host, "beat_at": values["now"]}
        conn.execute(_INSERT, row | {"started_at": values["now"]})


def dead(conn: Connection, own_id: str, host: str, now: datetime) -> list[Found]:
    """Return the executors that are gone."""
    limit = to_microseconds(now - SILENCE)
    found = [Found(row.id, row.host, row.beat_at) for row in conn.execute(_ALL)]
    return [
        one
        for one in found
        if one.id != own_id and (one.beat_at < limit or (one.host == host and _is_gone(one.id)))
    ]


def claim(conn: Connection, found: Found, now: datetime) -> bool:
    """Take a dead executor's work over; False when another finder was first."""
    values = {"executor": found.id, "seen": found.beat_at, "now": to_microseconds(now)}
    return bool(conn.execute(_CLAIM, values).rowcount)


def remove(conn: Connection, executor_id: str) -> None:
    """Remove an executor whose work is queued again."""
    conn.execute(_REMOVE, {"executor": executor_id})


def retire(conn: Connection, executor_id: str) -> None:
    """Leave: from now on anybody may take over what this executor was running."""
    conn.execute(_RETIRE, {"executor": executor_id})


def _is_gone(executor_id: str) -> bool:
    pid = executor_id.partition(".")[0]
    return pid.isdigit() and not Path(f"/proc/{pid}").exists()


_SELF = executors.c.id == bindparam("executor")
_NOW = bindparam("now", type_=BigInteger)
_BEAT = update(executors).where(_SELF).values(beat_at=_NOW)
_INSERT = insert(executors)
_ALL = select(executors.c.id, executors.c.host, executors.c.beat_at)
_CLAIM = (
    update(executors)
    .where(_SELF, executors.c.beat_at == bindparam("seen", type_=BigInteger))
    .values(beat_at=_NOW, host="")
)
_REMOVE = delete(executors).where(_SELF)
_RETIRE = update(executors).where(_SELF).values(beat_at=0)
