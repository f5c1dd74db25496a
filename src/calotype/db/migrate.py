# SPDX-License-Identifier: Apache-2.0
"""Bring a database to the newest schema.

`ensure` asks one cheap question first and loads Alembic (0.3 s) only when there is something to do,
so that a start with a current database costs nothing.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from calotype.db.session import Database
from calotype.errors import Unavailable

HEAD = "0001"
_DIRECTORY = Path(__file__).parent / "migrations"


def current(connection: Connection) -> str | None:
    """Return the revision of the database, or None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    return str(row[0]) if row else None


def ensure(database: Database) -> str | None:
    """Upgrade to `HEAD` when needed; return the revision that was there before."""
    before = database.read(current)
    if before != HEAD:
        upgrade(database)
    return before


def require(database: Database) -> None:
    """Raise Unavailable (`schema`) unless the schema is the one of this version."""
    found = database.read(current)
    if found != HEAD:
        state = f"has the schema {found}" if found else "is empty"
        text = f"the database {state} and this version needs {HEAD}; run `calotype migrate`"
        raise Unavailable(text, rule="schema")


def upgrade(database: Database, revision: str = "head") -> None:
    """Run the migrations up to `revision`, in one transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_DIRECTORY))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
