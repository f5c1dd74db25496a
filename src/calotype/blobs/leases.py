# SPDX-License-Identifier: Apache-2.0
"""Leases on bytes that nothing refers to yet: every such name is a row before it is a file.

A lease names a place (a store's id, or the scratch of one host), the name there and its holder (a
job's id or an upload's token). It is renewed while the holder works and given up in the
transaction that publishes the bytes; what expires is swept. So no crash leaves bytes for ever.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, Connection, Select, bindparam, delete, insert, select, update

from calotype.blobs.store import to_microseconds
from calotype.db.tables.blobs import leases

LIFE = timedelta(minutes=10)
SWEEPER = "sweep"


@dataclass(frozen=True, slots=True)
class Lease:
    """One name that belongs to somebody who works on it."""

    place: str
    name: str
    holder: str


def take(conn: Connection, lease: Lease, now: datetime) -> None:
    """Note a name before anything is written to it. A name of the same holder is renewed."""
    values = _key(lease) | {"until": to_microseconds(now + LIFE)}
    if not conn.execute(_RENEW_ONE, values).rowcount:
        row = {"place": lease.place, "name": lease.name, "holder": lease.holder}
        conn.execute(_INSERT, row | {"expires_at": values["until"]})


def renew(conn: Connection, holders: Collection[str], now: datetime) -> None:
    """Let the leases of living holders live on."""
    values = {"holders": list(holders), "until": to_microseconds(now + LIFE)}
    conn.execute(_RENEW, values)


def release(conn: Connection, lease: Lease) -> bool:
    """Give a lease up: something refers to the bytes now, or they are gone. False when lost."""
    return bool(conn.execute(_RELEASE, _key(lease)).rowcount)


def held_by(conn: Connection, holder: str) -> tuple[Lease, ...]:
    """Return what a holder has."""
    return _read(conn, _OF_HOLDER, {"owner": holder})


def held_in(conn: Connection, place: str) -> tuple[Lease, ...]:
    """Return every lease in a place."""
    return _read(conn, _IN_PLACE, {"at": place})


def expired(conn: Connection, places: Collection[str], now: datetime) -> tuple[Lease, ...]:
    """Return the leases in these places that nobody renewed."""
    return _read(conn, _EXPIRED, {"places": list(places), "now": to_microseconds(now)})


def condemn(conn: Connection, lease: Lease, expired_at: datetime | None = None) -> bool:
    """Take a lease from its holder, so that the bytes can be removed; False when it changed.

    With a moment, only when it is expired then: its holder may have renewed it meanwhile.
    """
    limit = _NEVER if expired_at is None else to_microseconds(expired_at)
    return bool(conn.execute(_CONDEMN, _key(lease) | {"now": limit}).rowcount)


def _key(lease: Lease) -> dict[str, object]:
    return {"at": lease.place, "called": lease.name, "owner": lease.holder}


def _read(
    conn: Connection, query: Select[tuple[str, str, str]], values: dict[str, object]
) -> tuple[Lease, ...]:
    rows = conn.execute(query, values)
    return tuple(Lease(row.place, row.name, row.holder) for row in rows)


_ONE = (
    leases.c.place == bindparam("at"),
    leases.c.name == bindparam("called"),
    leases.c.holder == bindparam("owner"),
)
_UNTIL = bindparam("until", type_=BigInteger)
_COLUMNS = select(leases.c.place, leases.c.name, leases.c.holder)
_INSERT = insert(leases)
_RENEW_ONE = update(leases).where(*_ONE).values(expires_at=_UNTIL)
_RENEW = (
    update(leases)
    .where(leases.c.holder.in_(bindparam("holders", expanding=True)))
    .values(expires_at=_UNTIL)
)
_RELEASE = delete(leases).where(*_ONE)
_OF_HOLDER = _COLUMNS.where(leases.c.holder == bindparam("owner"))
_IN_PLACE = _COLUMNS.where(leases.c.place == bindparam("at"))
_EXPIRED = _COLUMNS.where(
    leases.c.place.in_(bindparam("places", expanding=True)),
    leases.c.expires_at < bindparam("now", type_=BigInteger),
)
_NEVER = (1 << 63) - 1
_CONDEMN = (
    update(leases)
    .where(*_ONE, leases.c.expires_at < bindparam("now", type_=BigInteger))
    .values(holder=SWEEPER, expires_at=0)
)
