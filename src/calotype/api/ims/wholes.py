# SPDX-License-Identifier: Apache-2.0
"""The body of `ims.create_whole`, checked in the order of its table (contract ims.md)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from calotype.api.ims import creations, fields
from calotype.api.ims.creations import Limits
from calotype.api.ims.refusal import IMSRefusal, refuse
from calotype.images import listing
from calotype.images.filters import Filter, Scope
from calotype.images.listing import Paging

KNOWN = (
    *("enterprise_project_id", "name", "description", "tags", "image_tags", "checksum"),
    *("instance_id", "backup_id", "whole_image_type", "vault_id", "min_ram", "max_ram"),
)


@dataclass(frozen=True, slots=True)
class Whole:
    """What is asked for; exactly one of the two sources is given."""

    enterprise_project_id: str
    instance_id: str | None
    backup_id: str | None


def read(body: object, limits: Limits) -> Whole:
    """Read and check the body. Raises IMSRefusal."""
    values = creations.as_object(body, KNOWN)
    fields.name(values.get("name"))
    fields.description(values.get("description"))
    fields.tags(values, limits.tags)
    fields.text("checksum", values.get("checksum"))
    instance_id = fields.uuid("instance_id", values.get("instance_id"), "IMG.0012")
    backup_id = fields.uuid("backup_id", values.get("backup_id"), "IMG.0019")
    if instance_id and backup_id:
        raise IMSRefusal(fields.MALFORMED, "instance_id and backup_id exclude each other")
    if not instance_id and not backup_id:
        raise IMSRefusal("IMG.0019", "one of instance_id and backup_id must be given")
    kind = fields.text("whole_image_type", values.get("whole_image_type"))
    if backup_id:
        fields.word("whole_image_type", kind, ("CSBS", "CBR"), fields.MALFORMED)
    fields.uuid("vault_id", values.get("vault_id") or None, "IMG.0031")
    low, high = values.get("min_ram"), values.get("max_ram")
    for name, value in (("min_ram", low), ("max_ram", high)):
        if value is not None:
            fields.integer(name, value, 0, fields.INTEGER_LIMIT, "IMG.0055")
    if isinstance(low, int) and isinstance(high, int) and 0 < high < low:
        raise refuse("IMG.0055", "max_ram", high, f"not below min_ram {low}")
    project = fields.enterprise_project(values.get("enterprise_project_id"))
    return Whole(project, instance_id, backup_id)


def require_unused(connection: Connection, project_id: str, backup_id: str | None) -> None:
    """Refuse a backup that an image of the project carries already (IMG.0134)."""
    if backup_id is None:
        return
    own = Filter(
        scope=Scope(project_id, public=False, shared_in=frozenset()),
        equals=(("__backup_id", backup_id),),
    )
    if listing.page(connection, own, Paging(1)).images:
        raise refuse("IMG.0134", "backup_id", backup_id, "a backup that made no image yet")
