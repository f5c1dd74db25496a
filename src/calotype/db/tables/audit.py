# SPDX-License-Identifier: Apache-2.0
"""One record for each decision (contract iam.md 8). Only `audit/` reads these rows."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from calotype.db.tables.base import METADATA

audit_records = Table(
    "audit_records",
    METADATA,
    Column("id", String(26), primary_key=True),
    Column("account_id", String(32), nullable=True),
    Column("principal_id", String(32), nullable=True),
    Column("operation", String(64), nullable=False),
    Column("decision", String(16), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    Column("seq", BigInteger, nullable=True),
    Column("prev", String(64), nullable=True),
    Column("hash", String(64), nullable=True),
    Index("ix_audit_records_account_id_at", "account_id", "at"),
    Index("ix_audit_records_seq", "seq"),
)
