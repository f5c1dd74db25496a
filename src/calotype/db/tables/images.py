# SPDX-License-Identifier: Apache-2.0
"""Images with their tags, properties and members, and what a project uses.

Only `images/` reads these rows. All that is filtered or sorted has a column; free properties are
JSON in the row (one read shows an image) and again in a side table with an index for filters.
`name_sort` holds the name with null as empty, because that is how lists sort it. What is sorted
or folded as text compares by code point on both databases, whatever the locale of PostgreSQL is.
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
)

from calotype.db.tables.base import METADATA


def _code_points(length: int) -> String:
    """Text that PostgreSQL compares like SQLite does: by code point."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


images = Table(
    "images",
    METADATA,
    Column("id", _code_points(36), primary_key=True),
    Column("owner", String(255), nullable=False),
    Column("account_id", String(32), nullable=False),
    Column("enterprise_project_id", String(36), nullable=False),
    Column("origin", String(8), nullable=False),  # ims, native: who made the row
    Column("name", String(255), nullable=True),
    Column("name_sort", _code_points(255), nullable=False),
    Column("status", _code_points(16), nullable=False),
    Column("visibility", String(16), nullable=False),
    Column("turned_shared", Boolean, nullable=False),  # adding a member made it shared
    Column("os_hidden", Boolean, nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("container_format", _code_points(32), nullable=True),
    Column("disk_format", _code_points(32), nullable=True),
    Column("min_disk", Integer, nullable=False),
    Column("min_ram", Integer, nullable=False),
    Column("max_ram", String(16), nullable=True),
    Column("size", BigInteger, nullable=True),
    Column("virtual_size", BigInteger, nullable=True),
    Column("md5", String(32), nullable=True),
    Column("sha512", String(128), nullable=True),
    Column("env_type", String(16), nullable=False),
    Column("os_type", String(16), nullable=False),
    Column("os_version", _code_points(255), nullable=True),
    Column("platform", String(32), nullable=False),
    Column("os_bit", String(4), nullable=True),
    Column("is_arm", Boolean, nullable=False),
    Column("is_whole", Boolean, nullable=False),
    Column("firmware", String(255), nullable=True),
    Column("cmk_id", String(36), nullable=True),
    Column("member_count", Integer, nullable=False),
    Column("tags", Text, nullable=False),  # JSON array of strings, sorted
    Column("properties", Text, nullable=False),  # JSON object: custom and `__*` that are stored
    Column("native_names", Text, nullable=False),  # JSON array: system names written natively
    Column("service_properties", Text, nullable=False),  # JSON object: os_glance_*
    Column("blob_id", String(36), nullable=True),
    Column("stores", String(1024), nullable=False),  # comma list, in the order of the answer
    Column("job_id", String(40), nullable=True),  # the unfinished job or upload that holds it
    Column("broken_upload", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("active_at", BigInteger, nullable=True),
    Column("ended_at", BigInteger, nullable=True),  # killed since
    Index("ix_images_owner_created_at", "owner", "created_at", "id"),
    Index("ix_images_owner_name_sort", "owner", "name_sort", "created_at", "id"),
    Index("ix_images_owner_updated_at", "owner", "updated_at", "id"),
    Index("ix_images_owner_id", "owner", "id"),
    Index("ix_images_owner_status", "owner", "status", "created_at", "id"),
    Index("ix_images_owner_ep", "owner", "enterprise_project_id", "created_at", "id"),
    Index("ix_images_visibility_created_at", "visibility", "created_at", "id"),
    Index("ix_images_created_at", "created_at", "id"),
    Index("ix_images_account_id_ep", "account_id", "enterprise_project_id"),
    Index("ix_images_status", "status", "ended_at"),
)

# `owner` and `image_created_at` stand in the side tables too, so that one of their indexes gives a
# page of a project's images in order, however many images have the same tag or none has it.
image_tags = Table(
    "image_tags",
    METADATA,
    Column("tag", String(255), primary_key=True),
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("owner", String(255), nullable=False),
    Column("image_created_at", BigInteger, nullable=False),
    Index("ix_image_tags_owner_tag", "owner", "tag", "image_created_at", "image_id"),
    Index("ix_image_tags_image_id", "image_id"),
)

image_properties = Table(
    "image_properties",
    METADATA,
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("value_key", String(128), nullable=False),  # the value, or the hash of a long one
    Column("owner", String(255), nullable=False),
    Column("image_created_at", BigInteger, nullable=False),
    Index(
        "ix_image_properties_owner_name",
        "owner",
        "name",
        "value_key",
        "image_created_at",
        "image_id",
    ),
)

image_members = Table(
    "image_members",
    METADATA,
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("member", String(255), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("image_created_at", BigInteger, nullable=False),  # of the image, which never changes it
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index("ix_image_members_member_status", "member", "status", "image_created_at", "image_id"),
)

used_image_ids = Table(
    "used_image_ids",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("deleted_at", BigInteger, nullable=False),
)

project_usage = Table(
    "project_usage",
    METADATA,
    Column("project_id", String(255), primary_key=True),
    Column("images", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("staged_bytes", BigInteger, nullable=False),
    Column("uploads", Integer, nullable=False),
    Column("image_limit", Integer, nullable=True),  # null: the setting
    Column("byte_limit", BigInteger, nullable=True),
    Column("staged_limit", BigInteger, nullable=True),
)
