# SPDX-License-Identifier: Apache-2.0
"""Lock-out after wrong passwords, and the rate of one source (contract iam.md 5.1, security P4).

A user is locked for 15 minutes from one source after 5 failures there within 15 minutes, and from
everywhere after 50. Locks are rows, so every process sees them; the statements of a failure are the
same for a user that does not exist, which is counted under one fixed id. A source that keeps
failing is refused before any hash is computed; that rate is kept in the process.
"""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Callable

from sqlalchemy import Connection, bindparam, case, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from calotype import clock
from calotype.db.tables.iam import login_failures
from calotype.errors import Unavailable
from calotype.iam import moments

NOBODY = "-"
EVERYWHERE = "*"
FROM_ONE_SOURCE = 5
FROM_EVERYWHERE = 50
WINDOW = 15 * 60 * 1_000_000  # microseconds, as stored

_LOCKED = select(login_failures.c.locked_until).where(
    login_failures.c.user_id == bindparam("user"),
    login_failures.c.source.in_((bindparam("from"), EVERYWHERE)),
    login_failures.c.locked_until > bindparam("moment"),
)
_PRUNE = delete(login_failures).where(
    login_failures.c.since <= bindparam("old"), login_failures.c.locked_until <= bindparam("moment")
)
_FORGET = delete(login_failures).where(
    login_failures.c.user_id == bindparam("user"), login_failures.c.source == bindparam("from")
)


def network(source_ip: str) -> str:
    """Return what counts as one source: an IPv4 address, the /64 of an IPv6 one."""
    try:
        address = ipaddress.ip_address(source_ip.partition("%")[0])
    except ValueError:
        return source_ip[:64]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), 64), strict=False).network_address)
    return str(address)


def is_locked(connection: Connection, user_id: str | None, source: str) -> bool:
    """Tell whether the user is locked for this source (as given by `network`)."""
    parameters = {"user": user_id or NOBODY, "from": source, "moment": moments.now()}
    found = connection.execute(_LOCKED, parameters).first() is not None
    return found and user_id is not None


def record_failure(connection: Connection, user_id: str | None, source: str) -> None:
    """Count one wrong password; None is a user that does not exist. A lock in force stays."""
    moment = moments.now()
    connection.execute(_PRUNE, {"old": moment - WINDOW, "moment": moment})
    _count(connection, user_id or NOBODY, source, FROM_ONE_SOURCE, moment)
    _count(connection, user_id or NOBODY, EVERYWHERE, FROM_EVERYWHERE, moment)


def record_success(connection: Connection, user_id: str, source: str) -> None:
    """Forget the failures of a user from this source."""
    connection.execute(_FORGET, {"user": user_id, "from": source})


def unlock(connection: Connection, user_id: str) -> None:
    """Forget every failure of a user, as after a new password."""
    connection.execute(delete(login_failures).where(login_failures.c.user_id == user_id))


def _count(connection: Connection, user: str, source: str, limit: int, moment: int) -> None:
    """One statement: begin a window, or count in it, or lock at the limit."""
    table = login_failures
    is_sqlite = connection.dialect.name == "sqlite"
    insert = sqlite.insert(table) if is_sqlite else postgresql.insert(table)
    over = table.c.since <= moment - WINDOW
    locked = table.c.locked_until > moment
    connection.execute(
        insert.values(
            user_id=user, source=source, failures=1, since=moment, locked_until=0
        ).on_conflict_do_update(
            index_elements=[table.c.user_id, table.c.source],
            set_={
                "failures": case((locked, table.c.failures), (over, 1), else_=table.c.failures + 1),
                "since": case((locked, table.c.since), (over, moment), else_=table.c.since),
                "locked_until": case(
                    (locked, table.c.locked_until),
                    (over, 0),
                    (table.c.failures + 1 >= limit, moment + WINDOW),
                    else_=0,
                ),
            },
        )
    )


class SourceRate:
    """How often one source may fail: a bucket of `burst` that refills at `per_second`.

    Only failures take from it, so many good logins from one address pass. Past `capacity` sources
    the one that failed longest ago is forgotten.
    """

    def __init__(
        self,
        *,
        burst: int = 60,
        per_second: float = 1.0,
        capacity: int = 10_000,
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> None:
        self._burst = burst
        self._per_second = per_second
        self._capacity = capacity
        self._monotonic = monotonic
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._guard = threading.Lock()

    def require(self, source: str) -> None:
        """Raise Unavailable (rule `rate_limit`, fact `retry_after`) for an empty bucket."""
        with self._guard:
            level = self._level(source)
        if level < 1:
            seconds = int((1 - level) / self._per_second) + 1
            raise Unavailable(
                "too many failed logins from this address; try again later",
                rule="rate_limit",
                retry_after=seconds,
            )

    def failed(self, source: str) -> None:
        """Take one from the bucket of a source."""
        with self._guard:
            self._levels[source] = (self._level(source) - 1, self._monotonic())
            self._levels.move_to_end(source)
            if len(self._levels) > self._capacity:
                self._levels.popitem(last=False)

    def _level(self, source: str) -> float:
        level, at = self._levels.get(source, (float(self._burst), 0.0))
        return min(self._burst, level + (self._monotonic() - at) * self._per_second)
