# SPDX-License-Identifier: Apache-2.0
"""Migrations make exactly the tables that the code knows, from nothing and step by step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from calotype.db import migrate
from calotype.db.session import Database, sqlite_url
from calotype.db.tables import METADATA
from tests.unit.db.conftest import MakeDatabase

VERSION_TABLE = "alembic_version"


def schema(connection: Connection) -> dict[str, Any]:
    """Return what the database itself says of every table: columns, keys, indexes."""
    inspector = inspect(connection)
    found: dict[str, Any] = {}
    for table in sorted(set(inspector.get_table_names()) - {VERSION_TABLE}):
        found[table] = {
            "columns": {
                column["name"]: (
                    column["type"].compile(connection.dialect),
                    getattr(column["type"], "collation", None),
                    column["nullable"],
                    column["default"],
                )
                for column in inspector.get_columns(table)
            },
            "primary key": inspector.get_pk_constraint(table),
            "foreign keys": sorted(map(_plain, inspector.get_foreign_keys(table))),
            "unique": sorted(map(_plain, inspector.get_unique_constraints(table))),
            "checks": sorted(map(_plain, inspector.get_check_constraints(table))),
            "indexes": sorted(map(_plain, inspector.get_indexes(table))),
        }
    return found


def _plain(description: Any) -> str:
    return repr(sorted(dict(description).items(), key=lambda item: str(item[0])))


def test_a_migrated_database_is_the_same_as_one_made_of_the_tables(
    make_database: MakeDatabase,
) -> None:
    migrated, made = make_database(), make_database()
    migrate.ensure(migrated)
    METADATA.create_all(made.engine)
    found, wanted = migrated.read(schema), made.read(schema)
    assert sorted(found) == sorted(METADATA.tables)
    for table, description in wanted.items():
        assert found[table] == description, table


def test_nothing_is_left_to_generate(database: Database) -> None:
    migrate.ensure(database)

    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, METADATA))

    assert database.read(differences) == []


def test_ensure_says_what_was_there_and_changes_a_current_database_no_more(
    database: Database,
) -> None:
    assert migrate.ensure(database) is None
    before = database.read(schema)
    assert migrate.ensure(database) == migrate.HEAD
    assert database.read(schema) == before
    assert database.read(migrate.current) == migrate.HEAD


def test_every_step_goes_back_and_forth(database: Database) -> None:
    migrate.ensure(database)
    whole = database.read(schema)
    _downgrade(database, "base")
    assert database.read(schema) == {}
    migrate.ensure(database)
    assert database.read(schema) == whole


def test_a_failed_migration_leaves_no_half_of_it(database: Database) -> None:
    # The last table of the alphabet is there already, so that the migration ends in the middle.
    last = max(METADATA.tables)
    database.write(lambda connection: connection.execute(text(f"CREATE TABLE {last} (n INTEGER)")))
    try:
        migrate.ensure(database)
    except Exception as error:
        assert last in str(error)
    else:
        raise AssertionError("the migration passed over a table that is in its way")
    assert list(database.read(schema)) == [last]
    assert database.read(migrate.current) is None


def test_there_is_one_line_of_migrations_and_its_end_is_the_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [migrate.HEAD]
    for script in scripts.walk_revisions():
        number, _, words = Path(script.path).stem.partition("_")
        assert number == script.revision == f"{int(number):04d}"
        assert words


def test_a_start_on_a_current_database_does_not_load_the_migration_library(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path))
    migrate.ensure(database)
    database.close()
    program = (
        "import sys; from calotype.db import migrate, session;"
        f"d = session.Database({sqlite_url(tmp_path)!r}); assert migrate.ensure(d) == migrate.HEAD;"
        "print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"False"


def _downgrade(database: Database, revision: str) -> None:
    from alembic import command

    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
