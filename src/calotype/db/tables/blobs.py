# SPDX-License-Identifier: Apache-2.0
"""Immutable blobs, where their copies lie, and leases on bytes that are not published yet.

Only `blobs/` reads these rows (architecture, section 6).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table

from calotype.db.tables.base import METADATA

blobs = Table(
    "blobs",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("md5", String(32), nullable=False),
    Column("sha512", String(128), nullable=False),
    Column("refs", Integer, nullable=False),
    Column("inspector", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("scrubbed_at", BigInteger, nullable=True),
    Index("ix_blobs_refs", "refs"),
)

blob_copies = Table(
    "blob_copies",
    METADATA,
    Column("blob_id", ForeignKey("blobs.id", ondelete="CASCADE"), primary_key=True),
    Column("store", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("position", Integer, nullable=False),
)

leases = Table(
    "leases",
    METADATA,
    Column("place", String(80), primary_key=True),  # a store id, or the scratch of one host
    Column("name", String(200), primary_key=True),
    Column("holder", String(64), nullable=False),  # job id, or executor id of an upload
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_leases_holder", "holder"),
    Index("ix_leases_expires_at", "expires_at"),
)

poisoned = Table(
    "poisoned",
    METADATA,
    Column("sha512", String(128), primary_key=True),
    Column("size", BigInteger, nullable=False),  # bytes; a look at it spares most hashing
    Column("failures", Integer, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index("ix_poisoned_size", "size"),
)
