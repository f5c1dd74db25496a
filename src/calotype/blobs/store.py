# SPDX-License-Identifier: Apache-2.0
"""Rows of blobs and their copies, counted references, and files that tools were killed on.

A blob appears together with its first reference and its copies, in the transaction that publishes
it. Nothing is deleted inside a transaction: a blob without references stays as a row until
`sweep.collect` has removed its bytes, and cannot be referred to again meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, Connection, bindparam, delete, func, insert, select, update

from calotype.blobs.digest import Digest
from calotype.db.tables.blobs import blob_copies, blobs, poisoned

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
POISON_AT = 3


@dataclass(frozen=True, slots=True)
class Copy:
    """Where one copy of a blob lies: the store's id and the name there."""

    store: str
    name: str


@dataclass(frozen=True, slots=True)
class Blob:
    """One immutable content. `size` in bytes; `copies` in the order in which they were made."""

    id: str
    size: int
    md5: str
    sha512: str
    refs: int
    inspector: int  # version of the inspector that passed it
    copies: tuple[Copy, ...]


def to_microseconds(moment: datetime) -> int:
    """Return the stored form of a moment."""
    return (moment - _EPOCH) // _MICROSECOND


def add(
    conn: Connection,
    blob_id: str,
    digest: Digest,
    copies: tuple[Copy, ...],
    inspector: int,
    now: datetime,
) -> None:
    """Add a blob with one reference."""
    conn.execute(
        _INSERT,
        {
            "id": blob_id,
            "size": digest.size,
            "md5": digest.md5,
            "sha512": digest.sha512,
            "refs": 1,
            "inspector": inspector,
            "created_at": to_microseconds(now),
            "scrubbed_at": None,
        },
    )
    for position, copy in enumerate(copies):
        _add_copy(conn, blob_id, copy, position)


def get(conn: Connection, blob_id: str) -> Blob | None:
    """Return a blob with its copies, in one statement."""
    rows = conn.execute(_GET, {"blob": blob_id}).mappings().all()
    if not rows:
        return None
    first = rows[0]
    return Blob(
        first["id"],
        first["size"],
        first["md5"],
        first["sha512"],
        first["refs"],
        first["inspector"],
        tuple(Copy(row["store"], row["name"]) for row in rows if row["store"] is not None),
    )


def refer(conn: Connection, blob_id: str) -> bool:
    """Count one reference more. False when the blob is gone or about to go."""
    return bool(conn.execute(_REFER, {"blob": blob_id}).rowcount)


def drop(conn: Connection, blob_id: str) -> bool:
    """Count one reference less; True when it was the last: then collect after the commit."""
    refs = conn.execute(_DROP, {"blob": blob_id}).scalar()
    return refs == 0


def unreferenced(conn: Connection, limit: int) -> tuple[str, ...]:
    """Return ids of blobs that nothing refers to."""
    return tuple(conn.execute(_UNREFERENCED, {"limit": limit}).scalars())


def remove(conn: Connection, blob_id: str) -> None:
    """Remove the row of a blob whose bytes are gone. Does nothing while something refers to it."""
    conn.execute(_REMOVE, {"blob": blob_id})


def add_copy(conn: Connection, blob_id: str, copy: Copy) -> None:
    """Note a further copy of a blob."""
    last = conn.execute(_LAST_POSITION, {"blob": blob_id}).scalar()
    _add_copy(conn, blob_id, copy, 0 if last is None else int(last) + 1)


def remove_copy(conn: Connection, blob_id: str, store: str) -> bool:
    """Forget a copy whose bytes are to be removed. False when there is none."""
    return bool(conn.execute(_REMOVE_COPY, {"blob": blob_id, "store": store}).rowcount)


def named(conn: Connection, store: str, names: tuple[str, ...]) -> set[str]:
    """Return which of these names in a store are copies of blobs."""
    return set(conn.execute(_NAMED, {"store": store, "names": list(names)}).scalars())


def may_be_poisoned(conn: Connection, size: int) -> bool:
    """Tell whether a file of this size killed a tool before, so that hashing it is worth it."""
    return conn.execute(_POISON_SIZE, {"size": size, "least": POISON_AT}).first() is not None


def is_poisoned(conn: Connection, sha512: str) -> bool:
    """Tell whether this content killed tools so often that none is run on it again."""
    failures = conn.execute(_POISON, {"content": sha512}).scalar()
    return failures is not None and failures >= POISON_AT


def note_killed(conn: Connection, sha512: str, size: int, now: datetime) -> None:
    """Count one more tool killed on this content (security C2)."""
    values = {"content": sha512, "now": to_microseconds(now)}
    if not conn.execute(_POISON_MORE, values).rowcount:
        row: Mapping[str, object] = {
            "sha512": sha512,
            "size": size,
            "failures": 1,
            "updated_at": values["now"],
        }
        conn.execute(_POISON_INSERT, row)


def _add_copy(conn: Connection, blob_id: str, copy: Copy, position: int) -> None:
    row = {"blob_id": blob_id, "store": copy.store, "name": copy.name, "position": position}
    conn.execute(_INSERT_COPY, row)


_BLOB = blobs.c.id == bindparam("blob")
_INSERT = insert(blobs)
_INSERT_COPY = insert(blob_copies)
_GET = (
    select(blobs, blob_copies.c.store, blob_copies.c.name)
    .join_from(blobs, blob_copies, blob_copies.c.blob_id == blobs.c.id, isouter=True)
    .where(_BLOB)
    .order_by(blob_copies.c.position)
)
_REFER = update(blobs).where(_BLOB, blobs.c.refs > 0).values(refs=blobs.c.refs + 1)
_DROP = (
    update(blobs)
    .where(_BLOB, blobs.c.refs > 0)
    .values(refs=blobs.c.refs - 1)
    .returning(blobs.c.refs)
)
_UNREFERENCED = select(blobs.c.id).where(blobs.c.refs == 0).limit(bindparam("limit"))
_REMOVE = delete(blobs).where(_BLOB, blobs.c.refs == 0)
_LAST_POSITION = select(func.max(blob_copies.c.position)).where(
    blob_copies.c.blob_id == bindparam("blob")
)
_REMOVE_COPY = delete(blob_copies).where(
    blob_copies.c.blob_id == bindparam("blob"), blob_copies.c.store == bindparam("store")
)
_NAMED = select(blob_copies.c.name).where(
    blob_copies.c.store == bindparam("store"),
    blob_copies.c.name.in_(bindparam("names", expanding=True)),
)
_POISON_SIZE = (
    select(poisoned.c.sha512)
    .where(
        poisoned.c.size == bindparam("size", type_=BigInteger),
        poisoned.c.failures >= bindparam("least"),
    )
    .limit(1)
)
_POISON = select(poisoned.c.failures).where(poisoned.c.sha512 == bindparam("content"))
_POISON_MORE = (
    update(poisoned)
    .where(poisoned.c.sha512 == bindparam("content"))
    .values(failures=poisoned.c.failures + 1, updated_at=bindparam("now", type_=BigInteger))
)
_POISON_INSERT = insert(poisoned)
