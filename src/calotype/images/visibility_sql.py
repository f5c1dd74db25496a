# SPDX-License-Identifier: Apache-2.0
"""The SQL twin of `visibility.visible`: which images a project may read by id.

A project sees what it owns, what is public or community, and what is shared with it, whatever its
member status is. Members that stay stored on an image that is no longer shared see nothing by it
(iam.md 4.6).
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, exists, or_, select

from calotype.db.tables.images import image_members, images

OPEN = ("public", "community")


def visible_to(project: str | None) -> ColumnElement[bool]:
    """Return the condition on rows of `images` for what `project` may see."""
    open_to_all = images.c.visibility.in_(OPEN)
    if project is None:
        return open_to_all
    shared = exists(
        select(1)
        .where(image_members.c.image_id == images.c.id, image_members.c.member == project)
        .correlate(images)
    )
    return or_(
        images.c.owner == project,
        open_to_all,
        and_(images.c.visibility == "shared", shared),
    )
