# SPDX-License-Identifier: Apache-2.0
"""An image as decisions see it, and the value of a system name as the native dialect shows it."""

from __future__ import annotations

from calotype.images import attributes
from calotype.images.model import Image
from calotype.images.visibility import TargetImage, image_type, tag_pairs


def facts(image: Image) -> TargetImage:
    """Return what rights ask of an image; the member status is that of the asking project."""
    return TargetImage(
        id=image.id,
        owner=image.owner,
        account_id=image.account_id,
        ep=image.enterprise_project_id,
        visibility=image.visibility,
        image_type=image_type(image.visibility, image.member_count),
        tags=tag_pairs(image.tags),
        member_status=image.member_status,
        status=image.status,
        cmk_id=image.cmk_id,
    )


def native_value(image: Image, name: str) -> str | None:
    """Return what the native dialect shows under a system name, None when it shows nothing.

    An image made by a native create shows only what was written natively (native.md 8).
    """
    if image.origin == "native":
        return image.properties.get(name) if name in image.native_names else None
    return attributes.read(image, name, image.owner)
