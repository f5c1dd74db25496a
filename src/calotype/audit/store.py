# SPDX-License-Identifier: Apache-2.0
"""SQL of the audit records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from calotype.db.tables.audit import audit_records

_INSERT = insert(audit_records)
# Whether a transaction whose end was not seen has committed is not known: its record may be there.
_MISSING = {
    "sqlite": sqlite.insert(audit_records).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(audit_records).on_conflict_do_nothing(),
}


def append(connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
    """Add rows, in one statement."""
    connection.execute(_INSERT, list(rows))


def append_missing(connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
    """Add those rows whose id is not there yet, in one statement."""
    connection.execute(_MISSING[connection.dialect.name], list(rows))


def find(connection: Connection, record_id: str) -> str | None:
    """Return the JSON of one record, or None."""
    query = select(audit_records.c.record).where(audit_records.c.id == record_id)
    value = connection.execute(query).scalar()
    return None if value is None else str(value)


def drop_before(connection: Connection, moment: int) -> int:
    """Remove records older than `moment` (microseconds); return how many."""
    statement = delete(audit_records).where(audit_records.c.at < moment)
    return connection.execute(statement).rowcount
