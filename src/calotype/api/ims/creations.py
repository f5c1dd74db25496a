# SPDX-License-Identifier: Apache-2.0
"""Reads the bodies of the four creations from a file (contract ims.md: create, quickimport,
create_data) into one value, in the order of their tables.

`check_form` looks at what authorization needs, before anything is looked up; `read_*` at all the
rest, after the decision. Nothing here touches storage.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from calotype.api.ims import fields, objects
from calotype.api.ims.refusal import IMSRefusal, refuse
from calotype.contract import catalogue
from calotype.contract.catalogue import OSVersion

SYSTEM_DISK_LIMIT = 1024
DATA_DISK_LIMIT = 2048
ENVIRONMENTS = {
    "ECS": "FusionCompute",
    "FusionCompute": "FusionCompute",
    "BMS": "Ironic",
    "Ironic": "Ironic",
    "IsoImage": "IsoImage",
    "DataImage": "DataImage",
}
OS_TYPES = ("Linux", "Windows", "Other")
_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}\Z|sha512:[0-9a-f]{128}\Z")

Body = dict[str, object]

COMMON = ("enterprise_project_id", "name", "description", "tags", "image_tags", "checksum")
CREATE = (
    *COMMON,
    *("type", "os_type", "os_version", "instance_id", "image_url", "volume_id", "min_disk"),
    *("data_images", "is_quick_import", "is_config", "architecture", "hw_firmware_type"),
    *("min_ram", "max_ram", "cmk_id", "license_type", "vault_id"),
)
QUICK = (
    *COMMON,
    *("type", "os_version", "os_type", "image_url", "min_disk", "architecture"),
    *("hw_firmware_type", "license_type"),
)
DATA = (*COMMON, "os_type", "image_url", "min_disk", "cmk_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """One image to make from one object. `min_disk` in GB, `min_ram` in MB."""

    enterprise_project_id: str
    name: str
    description: str | None
    tags: tuple[tuple[str, str], ...]
    checksum: str | None
    source: objects.ObjectAddress
    env_type: str
    os: OSVersion | None  # None: a data disk
    os_type: str
    min_disk: int
    min_ram: int = 0
    max_ram: int | None = None
    firmware: str | None = None
    is_arm: bool = False
    cmk_id: str | None = None
    is_quick: bool = False
    is_iso: bool = False

    @property
    def is_data(self) -> bool:
        """Whether a data disk image is made."""
        return self.env_type == "DataImage"


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings that reading needs."""

    tags: int
    strict_os_versions: bool


def as_object(body: object, known: tuple[str, ...]) -> Body:
    """Return the body as an object without unknown members (ims.md C2)."""
    if not isinstance(body, dict):
        raise refuse(fields.MALFORMED, "body", body, "it must be an object")
    for name in body:
        if name not in known:
            raise IMSRefusal(
                fields.MALFORMED, f"{name}: no such field; known: {', '.join(known)}", field=name
            )
    return body


def check_form(body: object) -> None:
    """Check the fields marked **A** of a creation."""
    if not isinstance(body, dict):
        raise refuse(fields.MALFORMED, "body", body, "it must be an object")
    fields.enterprise_project(body.get("enterprise_project_id"))


def check_quick_form(body: object) -> None:
    """Check the fields marked **A** of a quick import: the kind of disk selects the action."""
    if not isinstance(body, dict):
        raise refuse(fields.MALFORMED, "body", body, "it must be an object")
    fields.word("type", body.get("type"), ("ECS", "BMS", "DataImage"), "IMG.0024")
    fields.enterprise_project(body.get("enterprise_project_id"))


def sources(body: Mapping[str, object]) -> set[str]:
    """Return which of the four sources of `ims.create` are given. Raises for contradictions."""
    given = {
        name for name in ("instance_id", "image_url", "volume_id") if body.get(name) is not None
    }
    if body.get("instance_id") == "":
        raise refuse("IMG.0012", "instance_id", "", "it must be a UUID")
    disks = body.get("data_images")
    if disks is not None and not isinstance(disks, list):
        raise refuse(fields.MALFORMED, "data_images", disks, "it must be an array")
    if disks:
        given.add("data_images")
    if not given:
        raise IMSRefusal(
            fields.MALFORMED,
            "no source: one of instance_id, image_url, volume_id, data_images must be given",
        )
    single = given - {"data_images"}
    if len(single) > 1 or ("data_images" in given and single - {"image_url"}):
        raise IMSRefusal(fields.MALFORMED, f"{', '.join(sorted(given))} exclude each other")
    return given


def read_create(body: Body, limits: Limits) -> Creation:
    """Read kinds F (disk file) and O (ISO) of `ims.create`."""
    common = _common(body, limits)
    kind = fields.word(
        "type",
        body.get("type"),
        ("ECS", "FusionCompute", "BMS", "Ironic", "IsoImage"),
        "IMG.0024",
    )
    os_type = fields.word("os_type", body.get("os_type"), OS_TYPES, "IMG.0122")
    os_version = fields.text("os_version", body.get("os_version"))
    source = objects.source(body.get("image_url"))
    if kind == "IsoImage" and source.extension != "iso":
        raise refuse("IMG.0072", "image_url", body.get("image_url"), "type IsoImage needs an .iso")
    is_iso = source.extension == "iso"
    if is_iso and kind in ("BMS", "Ironic"):
        raise refuse("IMG.0024", "type", kind, "an ISO file makes an image of type IsoImage")
    if is_iso and not os_version:
        raise IMSRefusal("IMG.0166", "os_version: an ISO image needs one", field="os_version")
    quick = fields.boolean("is_quick_import", body.get("is_quick_import"))
    if quick and not os_version:
        raise IMSRefusal("IMG.0056", "os_version: a quick import needs one", field="os_version")
    system = _operating_system(os_version, os_type, limits)
    min_disk = _min_disk(body, SYSTEM_DISK_LIMIT)
    if quick and (is_iso or source.compression or source.extension not in ("raw", "img")):
        raise refuse(
            "IMG.0072", "is_quick_import", True, "the file must be .raw, or .img with raw content"
        )
    fields.boolean("is_config", body.get("is_config"))
    env_type = "IsoImage" if is_iso else ENVIRONMENTS[kind or "ECS"]
    is_arm, firmware = _hardware(body)
    min_ram, max_ram = _memory(body)
    return Creation(
        **common,
        source=source,
        env_type=env_type,
        os=system,
        os_type=system.os_type,
        min_disk=min_disk,
        min_ram=min_ram,
        max_ram=max_ram,
        firmware=firmware,
        is_arm=is_arm,
        cmk_id=_key(body, env_type),
        is_quick=quick,
        is_iso=is_iso,
    )


def read_quick(body: Body, limits: Limits) -> Creation:
    """Read `ims.quickimport`: a raw file, kept raw."""
    is_data = body.get("type") == "DataImage"
    common = _common(body, limits)
    os_version = fields.text("os_version", body.get("os_version"))
    if not os_version and not is_data:
        raise IMSRefusal("IMG.0056", "os_version: a system disk needs one", field="os_version")
    words = OS_TYPES[:2] if is_data else OS_TYPES
    os_type = fields.word("os_type", body.get("os_type"), words, "IMG.0122")
    system = None if is_data else _operating_system(os_version, os_type, limits)
    source = objects.source(_url(body))
    if source.extension not in ("raw", "img") or source.compression:
        raise refuse("IMG.0072", "image_url", body.get("image_url"), "extension .raw or .img")
    min_disk = _min_disk(body, DATA_DISK_LIMIT if is_data else SYSTEM_DISK_LIMIT)
    is_arm, firmware = (False, None) if is_data else _hardware(body)
    license_type = fields.word(
        "license_type", body.get("license_type") or None, ("platform", "byol"), fields.MALFORMED
    )
    found_type = system.os_type if system else os_type or "Linux"
    if license_type and found_type != "Windows":
        raise refuse(fields.MALFORMED, "license_type", license_type, "it belongs to Windows only")
    return Creation(
        **common,
        source=source,
        env_type="DataImage" if is_data else ENVIRONMENTS[str(body.get("type") or "ECS")],
        os=system,
        os_type=found_type,
        min_disk=min_disk,
        firmware=firmware,
        is_arm=is_arm,
        is_quick=True,
    )


def read_data(body: Body, limits: Limits) -> Creation:
    """Read `ims.create_data`: a data disk image from a file."""
    common = _common(body, limits)
    os_type = fields.word("os_type", body.get("os_type"), OS_TYPES[:2], "IMG.0122")
    source = objects.source(_url(body))
    if source.extension in ("iso", "ova"):
        raise refuse("IMG.0072", "image_url", body.get("image_url"), "a disk file, no iso or ova")
    return Creation(
        **common,
        source=source,
        env_type="DataImage",
        os=None,
        os_type=os_type or "Linux",
        min_disk=_min_disk(body, DATA_DISK_LIMIT),
        cmk_id=_key(body, "DataImage"),
    )


def _common(body: Body, limits: Limits) -> dict[str, Any]:
    checksum = fields.text("checksum", body.get("checksum"))
    name = fields.name(body.get("name"))
    description = fields.description(body.get("description"))
    tags = fields.tags(body, limits.tags)
    if checksum is not None and not _CHECKSUM.match(checksum):
        raise refuse(fields.MALFORMED, "checksum", checksum, "sha256:<hex> or sha512:<hex>")
    return {
        "enterprise_project_id": fields.enterprise_project(body.get("enterprise_project_id")),
        "name": name,
        "description": description,
        "tags": tuple(tags),
        "checksum": checksum,
    }


def _url(body: Body) -> object:
    if body.get("image_url") is None:
        raise IMSRefusal("IMG.0068", "image_url is missing", field="image_url")
    return body["image_url"]


def _min_disk(body: Body, limit: int) -> int:
    return fields.integer("min_disk", body.get("min_disk"), 1, limit, "IMG.0055")


def _operating_system(os_version: str | None, os_type: str | None, limits: Limits) -> OSVersion:
    if not os_version:
        return catalogue.default_for(os_type)
    row = catalogue.find(os_version)
    if row is None:
        if limits.strict_os_versions:
            raise refuse("IMG.0056", "os_version", os_version, "a version of the OS catalogue")
        row = OSVersion(os_version, "Other", os_type or "Linux", 64)
    if os_type is not None and os_type != row.os_type:
        raise refuse("IMG.0122", "os_type", os_type, f"{row.os_version} is {row.os_type}")
    return row


def _hardware(body: Body) -> tuple[bool, str | None]:
    architecture = fields.word(
        "architecture", body.get("architecture") or None, ("x86", "arm"), "IMG.0212"
    )
    firmware = fields.word(
        "hw_firmware_type", body.get("hw_firmware_type") or None, ("bios", "uefi"), "IMG.0141"
    )
    is_arm = architecture == "arm"
    if is_arm and firmware == "bios":
        raise refuse("IMG.0141", "hw_firmware_type", firmware, "an arm image needs uefi")
    return is_arm, firmware or ("uefi" if is_arm else None)


def _memory(body: Body) -> tuple[int, int | None]:
    low, high = body.get("min_ram"), body.get("max_ram")
    limit = fields.INTEGER_LIMIT
    min_ram = 0 if low is None else fields.integer("min_ram", low, 0, limit, "IMG.0055")
    max_ram = None if high is None else fields.integer("max_ram", high, 0, limit, "IMG.0055")
    if max_ram and max_ram < min_ram:
        raise refuse("IMG.0055", "max_ram", max_ram, f"not below min_ram {min_ram}")
    return min_ram, max_ram


def _key(body: Body, env_type: str) -> str | None:
    cmk_id = fields.uuid("cmk_id", body.get("cmk_id") or None, "IMG.0031")
    if cmk_id is None:
        return None
    if env_type == "Ironic":
        raise refuse("IMG.0118", "cmk_id", cmk_id, "bare metal images cannot be encrypted")
    if env_type == "IsoImage":
        raise refuse("IMG.0167", "cmk_id", cmk_id, "ISO images cannot be encrypted")
    return cmk_id
