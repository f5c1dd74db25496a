# SPDX-License-Identifier: Apache-2.0
"""What a project uses beside what it may use, for the quota queries (native.md 18, ims.md quota).

Counts and bytes; a limit of None is no limit. The limit of the operator wins over the setting.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select

from calotype.db.tables.images import images
from calotype.images import quota
from calotype.images.states import Status
from calotype.settings import Settings


@dataclass(frozen=True, slots=True)
class Figure:
    """One amount and its limit."""

    used: int
    limit: int | None


@dataclass(frozen=True, slots=True)
class Figures:
    """The amounts of a project: images, stored bytes, staged bytes, images whose bytes come."""

    images: Figure
    stored: Figure
    staged: Figure
    uploading: Figure


def image_figure(conn: Connection, project: str, settings: Settings) -> Figure:
    """Return how many images a project has, killed ones apart."""
    return _image_figure(quota.read(conn, project), settings)


def figures(conn: Connection, project: str, settings: Settings) -> Figures:
    """Return all amounts of a project."""
    usage = quota.read(conn, project)
    stored, staged = usage.byte_limit, usage.staged_limit
    uploading = int(conn.execute(_UPLOADING, {"project": project}).scalar_one())
    return Figures(
        images=_image_figure(usage, settings),
        stored=Figure(usage.bytes, settings.bytes_per_project if stored is None else stored),
        staged=Figure(
            usage.staged_bytes, settings.staged_bytes_per_project if staged is None else staged
        ),
        uploading=Figure(uploading, settings.uploads_per_project),
    )


def _image_figure(usage: quota.Usage, settings: Settings) -> Figure:
    own = usage.image_limit
    return Figure(usage.images, settings.images_per_project if own is None else own)


_WITHOUT_BYTES = [str(one) for one in (Status.SAVING, Status.UPLOADING, Status.IMPORTING)]
_UPLOADING = (
    select(func.count())
    .select_from(images)
    .where(
        images.c.owner == bindparam("project"),
        images.c.status.in_(
            [str(one) for one in (Status.SAVING, Status.UPLOADING, Status.IMPORTING)]
        ),
    )
)
