# SPDX-License-Identifier: Apache-2.0
"""Names of the schema: every constraint has one, short enough, of one convention, used once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import (
    CheckConstraint,
    Constraint,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)
from sqlalchemy.dialects import postgresql

from calotype.db.tables import METADATA

TABLES = sorted(METADATA.tables.values(), key=lambda table: table.name)
PREFIXES: dict[type[Constraint], str] = {
    PrimaryKeyConstraint: "pk_{table}",
    ForeignKeyConstraint: "fk_{table}_",
    UniqueConstraint: "uq_{table}_",
    CheckConstraint: "ck_{table}_",
}
_DIALECT: Any = postgresql.dialect  # SQLAlchemy leaves it without a type
_PREPARER = _DIALECT().identifier_preparer
LONGEST = 63  # PostgreSQL cuts longer ones silently
PLAIN = re.compile(r"[a-z][a-z0-9_]*\Z")


def named(table: Table) -> Iterator[tuple[str, str]]:
    """Yield (name, what it must begin with) of everything in a table that has a name."""
    for constraint in table.constraints:
        prefix = PREFIXES[type(constraint)].format(table=table.name)
        yield _name(constraint), prefix
    for index in table.indexes:
        yield _name(index), f"ix_{table.name}_"


def _name(thing: Constraint | Index) -> str:
    """Return the name that CREATE TABLE gives it, empty when it leaves that to the database."""
    return "" if thing.name is None else _PREPARER.format_constraint(thing) or ""


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_constraints_and_indexes_are_named_after_their_table(table: Table) -> None:
    for name, prefix in named(table):
        assert name.startswith(prefix), name
        assert PLAIN.match(name) and len(name) <= LONGEST


def test_no_name_is_used_twice() -> None:
    names = [name for table in TABLES for name, _ in named(table)]
    names += [table.name for table in TABLES]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_tables_and_columns_have_plain_names() -> None:
    words = {table.name for table in TABLES}
    words |= {column.name for table in TABLES for column in table.columns}
    assert {word for word in words if not PLAIN.match(word) or len(word) > LONGEST} == set()


def test_moments_are_numbers_and_texts_have_a_length() -> None:
    for table in TABLES:
        for column in table.columns:
            kind = str(column.type)
            if column.name.endswith("_at") or column.name == "at":
                assert kind == "BIGINT", f"{table.name}.{column.name}"
            assert kind != "VARCHAR", f"{table.name}.{column.name} has no length"


def test_a_reference_says_what_a_deletion_does_to_it() -> None:
    for table in TABLES:
        for key in table.foreign_key_constraints:
            assert key.ondelete in ("CASCADE", "RESTRICT", "SET NULL", None)
            assert key.referred_table.name in METADATA.tables


def test_a_nameless_constraint_would_be_found() -> None:
    table = Table("t", MetaData())
    table.append_constraint(CheckConstraint("1 = 1"))
    assert ("", "ck_t_") in set(named(table))
