# SPDX-License-Identifier: Apache-2.0
"""The image object of the native dialect, and the headers beside it (native.md 3, 8, 12).

Every property that is no base attribute is a string. What is shown depends on which dialect made
the image: see `images.writing.extras`.
"""

from __future__ import annotations

from collections.abc import Callable

from calotype import clock
from calotype.gate.request import Pairs
from calotype.images import writing
from calotype.images.model import Image
from calotype.settings import Settings

SCHEMA = "/v2/schemas/image"
HASH = "sha512"

StoreOrder = Callable[[tuple[str, ...]], tuple[str, ...]]


def image_body(image: Image, viewer: str | None, order: StoreOrder) -> dict[str, object]:
    """Return the image as `viewer` sees it; `order` sorts the ids of its stores."""
    body: dict[str, object] = {
        "id": image.id,
        "name": image.name,
        "status": image.status,
        "visibility": image.visibility,
        "owner": image.owner,
        "protected": image.protected,
        "os_hidden": image.os_hidden,
        "container_format": image.container_format,
        "disk_format": image.disk_format,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "checksum": image.md5,
        "os_hash_algo": HASH if image.sha512 else None,
        "os_hash_value": image.sha512,
        "tags": list(image.tags),
        "created_at": clock.to_seconds(image.created_at),
        "updated_at": clock.to_seconds(image.updated_at),
        "self": location(image),
        "file": f"{location(image)}/file",
        "schema": SCHEMA,
    }
    if image.stores:
        body["stores"] = ",".join(order(image.stores))
    for name, value in (*writing.extras(image, viewer).items(), *image.service_properties.items()):
        body.setdefault(name, value)
    return body


def location(image: Image) -> str:
    """Return the path of an image."""
    return f"/v2/images/{image.id}"


def import_methods(settings: Settings) -> tuple[str, ...]:
    """Return the import methods that the settings allow (native.md 10)."""
    methods = ["glance-direct", "copy-image"]
    if settings.import_allow:
        methods.append("web-download")
    return tuple(methods)


def queued_headers(settings: Settings, store_ids: tuple[str, ...]) -> Pairs:
    """Return the headers beside an image that waits for its bytes."""
    found: list[tuple[str, str]] = []
    methods = import_methods(settings)
    if methods:
        found.append(("OpenStack-image-import-methods", ",".join(methods)))
    found.append(("OpenStack-image-store-ids", ",".join(store_ids)))
    return tuple(found)
