# SPDX-License-Identifier: Apache-2.0
"""Jobs (the truth that both queries of the contract read) and the executors that run them.

Only `jobs/` reads these rows. A row with `dispatched` false is the outbox: accepted in the same
transaction as the image row, handed to the engine afterwards (architecture, section 5).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from calotype.db.tables.base import METADATA

jobs = Table(
    "jobs",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("flow", String(40), nullable=False),
    Column("variant", String(40), nullable=False),  # which published type of the flow
    Column("kind", String(16), nullable=False),  # creation, copy, export, members: limits
    Column("parent_id", String(32), nullable=True),
    Column("position", Integer, nullable=False),
    Column("account_id", String(32), nullable=False),
    Column("project_id", String(32), nullable=False),
    Column("enterprise_project_id", String(36), nullable=True),
    Column("submitter_id", String(32), nullable=False),
    Column("image_id", String(36), nullable=True),
    Column("image_name", String(255), nullable=True),
    Column("object", Text, nullable=True),  # bucket:key that an export writes
    Column("status", String(8), nullable=False),  # INIT RUNNING SUCCESS FAIL
    Column("step", String(16), nullable=False),
    Column("percent", Float, nullable=False),
    Column("request", Text, nullable=False),  # JSON, references instead of secrets
    Column("caller", Text, nullable=False),  # JSON
    Column("result", Text, nullable=False),  # JSON
    Column("reason", String(32), nullable=True),
    Column("error", Text, nullable=True),
    Column("rule", String(64), nullable=True),
    Column("runs", Integer, nullable=False),  # how often it was handed to the engine
    Column("attempts", Integer, nullable=False),
    Column("deaths", Integer, nullable=False),
    Column("attempt_token", String(40), nullable=True),  # fences a worker that wakes up late
    Column("dispatched", Boolean, nullable=False),
    Column("cancel", Boolean, nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=True),
    Column("ended_at", BigInteger, nullable=True),
    Index("ix_jobs_project_id_created_at", "project_id", "created_at", "id"),
    Index("ix_jobs_image_id", "image_id"),
    Index("ix_jobs_status", "status", "dispatched", "created_at"),
    Index("ix_jobs_parent_id", "parent_id", "position"),
)

executors = Table(
    "executors",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("beat_at", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
)
