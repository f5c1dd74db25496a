# SPDX-License-Identifier: Apache-2.0
"""What a project uses: images, stored bytes, staged bytes, uploads (native.md 10, security P6).

Every reservation is one conditional statement in the caller's transaction, so that no number of
parallel callers gets past a limit. The row is made at first use; a limit in the row (set by the
operator) wins over the one that is passed in, and `None` is no limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    Table,
    Update,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from calotype.db.tables.images import project_usage
from calotype.errors import QuotaExceeded

_LIMITS = {
    "images": project_usage.c.image_limit,
    "bytes": project_usage.c.byte_limit,
    "staged_bytes": project_usage.c.staged_limit,
    "uploads": None,
}


@dataclass(frozen=True, slots=True)
class Usage:
    """What a project uses; a limit of None means that the setting counts."""

    images: int = 0
    bytes: int = 0
    staged_bytes: int = 0
    uploads: int = 0
    image_limit: int | None = None
    byte_limit: int | None = None
    staged_limit: int | None = None


def read(conn: Connection, project: str) -> Usage:
    """Return the usage of a project, all zero when it never used anything."""
    row = conn.execute(_READ, {"project": project}).mappings().first()
    return Usage(**{name: row[name] for name in Usage.__dataclass_fields__}) if row else Usage()


def reserve_image(conn: Connection, project: str, limit: int) -> None:
    """Count one image more. Raises QuotaExceeded with `quota`, `limit`, `used`."""
    _reserve(conn, "images", project, 1, limit)


def release_image(conn: Connection, project: str) -> None:
    """Count one image less: it was deleted, or killed."""
    _release(conn, "images", project, 1)


def reserve_bytes(conn: Connection, project: str, count: int, limit: int | None) -> None:
    """Count `count` stored bytes more. Raises QuotaExceeded."""
    _reserve(conn, "bytes", project, count, limit)


def release_bytes(conn: Connection, project: str, count: int) -> None:
    """Count `count` stored bytes less."""
    _release(conn, "bytes", project, count)


def reserve_staged(conn: Connection, project: str, count: int, limit: int | None) -> None:
    """Count `count` staged bytes more. Raises QuotaExceeded."""
    _reserve(conn, "staged_bytes", project, count, limit)


def release_staged(conn: Connection, project: str, count: int) -> None:
    """Count `count` staged bytes less."""
    _release(conn, "staged_bytes", project, count)


def reserve_upload(conn: Connection, project: str, limit: int) -> None:
    """Count one running upload more. Raises QuotaExceeded."""
    _reserve(conn, "uploads", project, 1, limit)


def release_upload(conn: Connection, project: str) -> None:
    """Count one running upload less."""
    _release(conn, "uploads", project, 1)


def clear_uploads(conn: Connection) -> None:
    """Count no upload at all: called when it is known that none runs, after a crash."""
    conn.execute(_CLEAR_UPLOADS)


def room(conn: Connection, project: str, limit: int | None) -> int | None:
    """Return how many bytes a project may still store, None when there is no limit."""
    usage = read(conn, project)
    cap = usage.byte_limit if usage.byte_limit is not None else limit
    return None if cap is None else max(0, cap - usage.bytes)


def set_limits(
    conn: Connection, project: str, *, images: int | None, stored: int | None, staged: int | None
) -> None:
    """Set the limits of one project; None goes back to the setting."""
    _ensure_row(conn, project)
    conn.execute(
        update(project_usage)
        .where(project_usage.c.project_id == project)
        .values(image_limit=images, byte_limit=stored, staged_limit=staged)
    )


def _reserve(conn: Connection, what: str, project: str, count: int, limit: int | None) -> None:
    if count < 0:
        raise ValueError("a reservation cannot be negative")
    values = {"project": project, "count": count, "limit": limit}
    # The row that does not exist yet has no limit of its own; the setting may forbid it.
    first_may = limit is None or count <= limit
    table = _FIRST_OR_MORE[conn.dialect.name] if first_may else _MORE
    if conn.execute(table[what], values).first() is not None:
        return
    usage = read(conn, project)
    column = _LIMITS[what]
    own = None if column is None else getattr(usage, column.name)
    raise QuotaExceeded(
        f"the project may have at most {own if own is not None else limit} {_WORDS[what]}",
        rule=_RULES[what],
        quota=what,
        limit=own if own is not None else limit,
        used=getattr(usage, what),
    )


def _release(conn: Connection, what: str, project: str, count: int) -> None:
    conn.execute(_RELEASE[what], {"project": project, "count": count})


def _ensure_row(conn: Connection, project: str) -> None:
    """Make the row of a project; two that do it at once do no harm."""
    insert = _INSERTS[conn.dialect.name]
    values = _NOTHING | {"project_id": project}
    conn.execute(insert(project_usage).values(values).on_conflict_do_nothing())


def _more(what: str) -> tuple[ColumnElement[int], ColumnElement[bool]]:
    """Return the new value of a counter, and the condition under which it may be had."""
    used = project_usage.c[what]
    more = used + bindparam("count", type_=BigInteger)
    given = bindparam("limit", type_=BigInteger)
    own = _LIMITS[what]
    cap = given if own is None else func.coalesce(own, given)
    return more, or_(cap.is_(None), more <= cap)


def _more_statement(what: str) -> Executable:
    more, allowed = _more(what)
    chosen = project_usage.c.project_id == bindparam("project")
    return (
        update(project_usage)
        .where(chosen, allowed)
        .values({what: more})
        .returning(project_usage.c.project_id)
    )


def _first_or_more_statement(insert: _Insert, what: str) -> Executable:
    more, allowed = _more(what)
    first = _NOTHING | {"project_id": bindparam("project"), what: bindparam("count")}
    return (
        insert(project_usage)
        .values(first)
        .on_conflict_do_update(index_elements=["project_id"], set_={what: more}, where=allowed)
        .returning(project_usage.c.project_id)
    )


def _release_statement(what: str) -> Update:
    used = project_usage.c[what]
    left = used - bindparam("count", type_=BigInteger)
    return (
        update(project_usage)
        .where(project_usage.c.project_id == bindparam("project"))
        .values({what: case((left < 0, literal_column("0")), else_=left)})
    )


_WORDS = {
    "images": "images",
    "bytes": "stored bytes",
    "staged_bytes": "staged bytes",
    "uploads": "uploads at once",
}
_NOTHING: dict[str, object] = {"images": 0, "bytes": 0, "staged_bytes": 0, "uploads": 0}
_RULES = {
    "images": "image_quota",
    "bytes": "byte_quota",
    "staged_bytes": "byte_quota",
    "uploads": "upload_quota",
}
_Insert = Callable[[Table], "sqlite.Insert | postgresql.Insert"]
_INSERTS: dict[str, _Insert] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_FIRST_OR_MORE = {
    name: {what: _first_or_more_statement(insert, what) for what in _WORDS}
    for name, insert in _INSERTS.items()
}
_MORE = {what: _more_statement(what) for what in _WORDS}
_RELEASE = {what: _release_statement(what) for what in _WORDS}
_CLEAR_UPLOADS = update(project_usage).where(project_usage.c.uploads > 0).values(uploads=0)
_READ = select(project_usage).where(project_usage.c.project_id == bindparam("project"))
