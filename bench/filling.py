# SPDX-License-Identifier: Apache-2.0
"""Fills the database of a service with images, in the form of the images room, many at once.

The images are what a project has: named, tagged, with properties, made one second after another,
all of them active. Their bytes do not exist, so they can be listed and shown and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, insert, update

from bench.service import Service
from calotype import ids
from calotype.db.session import Database, sqlite_url
from calotype.db.tables import images as tables
from calotype.images import quota
from calotype.images.model import Image, to_row
from calotype.images.properties import value_key

_BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
_AT_ONCE = 10_000


def fill(service: Service, count: int) -> list[str]:
    """Add `count` images to the project of an embedded service; return their ids, oldest first."""
    database = Database(sqlite_url(service.directory))
    made = [_image(service, number) for number in range(count)]
    try:
        for begin in range(0, count, _AT_ONCE):
            _add(database, made[begin : begin + _AT_ONCE], limit=count + 1000)
    finally:
        database.close()
    return [image.id for image in made]


def _add(database: Database, made: Sequence[Image], limit: int) -> None:
    """Store images as `store.insert_image` does, but each table in one statement."""
    rows = [to_row(image) for image in made]
    owned = [
        {"image_id": row["id"], "owner": row["owner"], "image_created_at": row["created_at"]}
        for row in rows
    ]
    tags = [
        {**own, "tag": tag} for own, image in zip(owned, made, strict=True) for tag in image.tags
    ]
    properties = [
        {**own, "name": name, "value_key": value_key(value or "")}
        for own, image in zip(owned, made, strict=True)
        for name, value in image.properties.items()
    ]

    def work(connection: Connection) -> None:
        for table, content in (
            (tables.images, rows),
            (tables.image_tags, tags),
            (tables.image_properties, properties),
        ):
            connection.execute(insert(table), content)
        quota.reserve_image(connection, made[0].owner, limit)
        used = tables.project_usage.c.images
        connection.execute(update(tables.project_usage).values(images=used + len(made) - 1))

    database.write(work)


def _image(service: Service, number: int) -> Image:
    moment = _BEGIN + timedelta(seconds=number)
    return Image(
        id=ids.new_uuid(),
        owner=service.project,
        account_id=service.account,
        created_at=moment,
        updated_at=moment,
        active_at=moment,
        name=f"ubuntu-24.04-{number:06d}",
        status="active",
        visibility="private",
        container_format="bare",
        disk_format="qcow2",
        size=600_000_000 + number,
        virtual_size=10 * 2**30,
        md5=f"{number:032x}",
        sha512=f"{number:0128x}",
        stores=("default",),
        os_version="Ubuntu 24.04 server 64bit",
        platform="Ubuntu",
        os_bit="64",
        min_disk=10,
        tags=("lts", f"team={number % 50}"),
        properties={"os_distro": "ubuntu", "hw_disk_bus": "virtio", "build": f"{number % 1000}"},
    )
