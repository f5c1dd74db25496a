# SPDX-License-Identifier: Apache-2.0
"""The image as this dialect shows it: list items and the answer of an update (values.md 6).

Types are the documented ones: sizes are numbers, `max_ram`, `__image_size` and every flag are
strings, `__whole_image` is a boolean. What depends on the viewer is computed here: `__imagetype`,
`visibility`, and that a foreign image shows enterprise project 0 and no data origin.
"""

from __future__ import annotations

from typing import Any

from calotype import clock
from calotype.contract import catalogue
from calotype.images import attributes
from calotype.images.model import Image

_STATUS = {"uploading": "saving", "importing": "saving"}
_BASE = frozenset(
    "id name status visibility protected owner container_format disk_format min_disk min_ram size"
    " virtual_size checksum tags created_at updated_at file self schema".split()
)
# Never taken from what is stored as a property: computed, kept in columns, or not for this dialect.
_NOT_PROPERTIES = _BASE | attributes.ATTRIBUTES.keys() | {"__image_location"}
_BOOLEANS = frozenset({"__system_support_market"})


def image_body(
    image: Image, *, project_id: str, account_id: str, eps_enabled: bool
) -> dict[str, Any]:
    """Return the whole image. `project_id` and `account_id` are the viewer's."""
    kind = attributes.image_type(image, project_id)
    shows_project = eps_enabled and image.account_id == account_id
    body = _base(image, kind) | _optional(image, project_id)
    body["enterprise_project_id"] = image.enterprise_project_id if shows_project else "0"
    body |= {
        "__imagetype": kind,
        "__isregistered": "true",
        "__image_source_type": "uds",
        "__image_size": str(attributes.stored_size(image)),
        "__os_type": image.os_type,
        "__platform": image.platform,
    }
    for name, value in image.properties.items():
        if value is not None and name not in _NOT_PROPERTIES:
            body[name] = value == "true" if name in _BOOLEANS else value
    return body


def _base(image: Image, kind: str) -> dict[str, Any]:
    path = f"/v2/images/{image.id}"
    return {
        "id": image.id,
        "name": image.name or "",
        "status": _STATUS.get(image.status, image.status),
        "visibility": "public" if kind == attributes.GOLD else kind,
        "protected": image.protected or kind == attributes.GOLD,
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


def _optional(image: Image, project_id: str) -> dict[str, Any]:
    """Return what is shown only when the image has it."""
    found: dict[str, Any] = {
        "active_at": None if image.active_at is None else clock.to_seconds(image.active_at),
        "max_ram": image.max_ram,
        "hw_firmware_type": image.firmware,
        "__system__cmkid": image.cmk_id,
        "__support_arm": "true" if image.is_arm else None,
        "__whole_image": True if image.is_whole else None,
        "__root_origin": attributes.read(image, "__root_origin", project_id),
        "__data_origin": attributes.read(image, "__data_origin", project_id),
    }
    if image.env_type != "DataImage":
        usual = catalogue.default_for(image.os_type)
        found["__os_version"] = image.os_version or usual.os_version
        found["__os_bit"] = image.os_bit or str(usual.bits)
    return {name: value for name, value in found.items() if value is not None}
