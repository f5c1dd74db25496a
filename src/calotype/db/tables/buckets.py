# SPDX-License-Identifier: Apache-2.0
"""User buckets and the objects of file buckets. Only `buckets/` reads these rows."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, String, Table, Text

from calotype.db.tables.base import METADATA

buckets = Table(
    "buckets",
    METADATA,
    Column("name", String(63), primary_key=True),
    Column("account_id", String(32), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("attached", String(8), nullable=False),  # created, attached
    Column("credentials", Text, nullable=True),  # wrapped JSON
    Column("created_at", BigInteger, nullable=False),
)

bucket_objects = Table(
    "bucket_objects",
    METADATA,
    Column("bucket", ForeignKey("buckets.name", ondelete="CASCADE"), primary_key=True),
    Column("key", String(1024), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("etag", String(64), nullable=False),
    Column("file", String(200), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
