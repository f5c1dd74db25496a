# SPDX-License-Identifier: Apache-2.0
"""Alembic's entry: run on the connection that `db/migrate.py` hands in, never on one of its own."""

from alembic import context

from calotype.db.tables import METADATA

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=METADATA,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
)
context.run_migrations()
