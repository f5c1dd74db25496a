# SPDX-License-Identifier: Apache-2.0
"""An image as decisions see it, and the present value of a system name."""

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
    """Return the present value of a system name, whether the native dialect shows it or not.

    A patch that repeats it changes nothing and is no violation (CLIENT-NEEDS M32).
    """
    return attributes.read(image, name, image.owner)
