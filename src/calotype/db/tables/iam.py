# SPDX-License-Identifier: Apache-2.0
"""Accounts, users, groups, projects, enterprise projects, policies, grants, keys and tokens.

Only `iam/` reads these rows. `accounts.iam_version` moves in every transaction that changes what a
principal of the account may do; compiled grants are cached under it (contract iam.md 1).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from calotype.db.tables.base import METADATA

accounts = Table(
    "accounts",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("enabled", Boolean, nullable=False),
    Column("eps_enabled", Boolean, nullable=False),
    Column("iam_version", BigInteger, nullable=False),
    Column("is_first", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

projects = Table(
    "projects",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("description", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("account_id", "name"),
)

users = Table(
    "users",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("is_root", Boolean, nullable=False),
    Column("password_hash", Text, nullable=True),
    Column("password_expires_at", BigInteger, nullable=True),
    Column("access_mode", String(16), nullable=False),
    Column("description", Text, nullable=False),
    Column("email", String(255), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("account_id", "name"),
)

groups = Table(
    "groups",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False),
    Column("name", String(128), nullable=False),
    Column("description", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("account_id", "name"),
)

group_members = Table(
    "group_members",
    METADATA,
    Column("group_id", ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Index("ix_group_members_user_id", "user_id"),
)

agencies = Table(
    "agencies",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("trust_account_id", ForeignKey("accounts.id"), nullable=False),
    Column("description", Text, nullable=False),
    Column("duration", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=True),
    UniqueConstraint("account_id", "name"),
)

policies = Table(
    "policies",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False),
    Column("name", String(128), nullable=False),
    Column("display_name", String(128), nullable=False),
    Column("type", String(2), nullable=False),
    Column("description", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("account_id", "display_name"),
)

grants = Table(
    "grants",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False),
    Column("principal_kind", String(8), nullable=False),
    Column("principal_id", String(32), nullable=False),
    Column("policy_id", String(32), nullable=False),  # built-in ones have no row
    Column("scope", String(20), nullable=False),
    Column("scope_id", String(36), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("principal_kind", "principal_id", "policy_id", "scope", "scope_id"),
    Index("ix_grants_account_id", "account_id"),
)

enterprise_projects = Table(
    "enterprise_projects",
    METADATA,
    Column("account_id", ForeignKey("accounts.id"), primary_key=True),
    Column("id", String(36), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("type", String(8), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("account_id", "name"),
)

access_keys = Table(
    "access_keys",
    METADATA,
    Column("access", String(40), primary_key=True),
    Column("secret", Text, nullable=False),  # wrapped
    Column("account_id", ForeignKey("accounts.id"), nullable=False),
    Column("user_id", String(32), nullable=True),
    Column("agency_id", String(32), nullable=True),
    Column("assumed_by", String(32), nullable=True),
    Column("active", Boolean, nullable=False),
    Column("description", Text, nullable=False),
    Column("security_token", String(64), nullable=True),  # SHA-256; temporary keys only
    Column("session_policy", Text, nullable=True),
    Column("expires_at", BigInteger, nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_access_keys_user_id", "user_id"),
)

tokens = Table(
    "tokens",
    METADATA,
    Column("sha256", String(64), primary_key=True),
    Column("kind", String(8), nullable=False),  # user, agency
    Column("user_id", String(32), nullable=True),
    Column("agency_id", String(32), nullable=True),
    Column("assumed_by", String(32), nullable=True),
    Column("account_id", String(32), nullable=False),
    Column("project_id", String(32), nullable=True),
    Column("methods", String(64), nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("mfa_at", BigInteger, nullable=True),
    Index("ix_tokens_user_id", "user_id"),
    Index("ix_tokens_expires_at", "expires_at"),
)

operator_tokens = Table(
    "operator_tokens",
    METADATA,
    Column("sha256", String(64), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
)

login_failures = Table(
    "login_failures",
    METADATA,
    Column("user_id", String(32), primary_key=True),
    Column("source", String(64), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("locked_until", BigInteger, nullable=False),
)
