# SPDX-License-Identifier: Apache-2.0
"""The schema: one module of tables for each room, one MetaData for all.

Moments are stored as integer microseconds since 1970 in UTC: both databases sort and compare them
alike and no driver can lose the zone. Documents are stored as JSON text.
"""

from calotype.db.tables import audit, blobs, buckets, iam, images, jobs
from calotype.db.tables.base import METADATA

__all__ = ["METADATA", "audit", "blobs", "buckets", "iam", "images", "jobs"]
