# SPDX-License-Identifier: Apache-2.0
"""The image as this dialect shows it: list items and the answer of an update (values.md 6).

Types are the documented ones: sizes are numbers, `max_ram`, `__image_size` and every flag are
strings, `__whole_image` is a boolean. What depends on the viewer is computed here: `__imagetype`,
`visibility`, and that a foreign image shows enterprise project 0 and no data origin.
"""

from __future__ import annotations

from typing import Any

from calotype import clock
from calotype.images import attributes
from calotype.images.model import Image

_STATUS = {"uploading": "saving", "importing": "saving"}
_NOT_SHOWN_OF_FOREIGN = frozenset({"__data_origin"})
_COMPUTED = frozenset({"__image_size", "__imagetype", "__isregistered", "__image_source_type"})


def image_body(
    image: Image, *, project_id: str, account_id: str, eps_enabled: bool
) -> dict[str, Any]:
    """Return the whole image. `project_id` and `account_id` are the viewer's."""
    kind = attributes.image_type(image, project_id)
    foreign = image.account_id != account_id
    body = _base(image, kind)
    body["enterprise_project_id"] = (
        image.enterprise_project_id if eps_enabled and not foreign else "0"
    )
    body |= _optional(image)
    body |= {
        "__imagetype": kind,
        "__isregistered": "true",
        "__image_source_type": "uds",
        "__image_size": str(attributes.stored_size(image)),
        "__os_type": image.os_type,
        "__platform": image.platform,
    }
    for name, value in image.properties.items():
        if value is None or name in body or name in _COMPUTED:
            continue
        if foreign and name in _NOT_SHOWN_OF_FOREIGN:
            continue
        body[name] = value
    return body


def _base(image: Image, kind: str) -> dict[str, Any]:
    path = f"/v2/images/{image.id}"
    return {
        "id": image.id,
        "name": image.name or "",
        "status": _STATUS.get(image.status, image.status),
        "visibility": {"gold": "public"}.get(kind, kind),
        "protected": image.protected,
        "owner": image.owner,
        "container_format": image.container_format or "bare",
        "disk_format": image.disk_format or "qcow2",
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "size": attributes.stored_size(image),
        "virtual_size": image.virtual_size,
        "checksum": image.md5 or "",
        "tags": list(image.tags),
        "created_at": clock.to_seconds(image.created_at),
        "updated_at": clock.to_seconds(image.updated_at),
        "file": f"{path}/file",
        "self": path,
        "schema": "/v2/schemas/image",
        "virtual_env_type": image.env_type,
    }


def _optional(image: Image) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if image.active_at is not None:
        body["active_at"] = clock.to_seconds(image.active_at)
    if image.max_ram is not None:
        body["max_ram"] = image.max_ram
    if image.firmware is not None:
        body["hw_firmware_type"] = image.firmware
    if image.env_type != "DataImage":
        body["__os_version"] = image.os_version or "Other Linux(64 bit)"
        body["__os_bit"] = image.os_bit or "64"
    if image.cmk_id is not None:
        body["__system__cmkid"] = image.cmk_id
    if image.is_arm:
        body["__support_arm"] = "true"
    if image.is_whole:
        body["__whole_image"] = True
    return body
