# SPDX-License-Identifier: Apache-2.0
"""The rows of the creation tables: each function checks one field and keeps what it says.

`Reading` collects; `creations.py` says which kind has which row, in which order. A row may look at
what earlier rows found, as the tables do (contract ims.md, ims.create, quickimport, create_data).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from calotype.api.ims import fields, kinds, objects
from calotype.api.ims.kinds import Body, Kind
from calotype.api.ims.refusal import IMSRefusal, refuse
from calotype.contract import catalogue
from calotype.contract.catalogue import OSVersion
from calotype.errors import Invalid

SYSTEM_DISK_LIMIT = 1024  # GB
DATA_DISK_LIMIT = 2048
FILES_LIMIT = 3
FILE_TYPES = ("ECS", "FusionCompute", "BMS", "Ironic", "IsoImage")
SERVER_TYPES = FILE_TYPES[:4]
QUICK_TYPES = ("ECS", "BMS", "DataImage")
IS_DATA = frozenset({Kind.QUICK_DATA, Kind.DATA})
DISK_FIELDS = (
    *("name", "description", "tags", "image_tags", "image_url", "min_disk"),
    *("is_quick_import", "volume_id"),
)
_ENVIRONMENTS = {"BMS": "Ironic", "Ironic": "Ironic", "DataImage": "DataImage"}
_CHECKSUM = re.compile(r"sha256:[0-9a-fA-F]{64}\Z|sha512:[0-9a-fA-F]{128}\Z")


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings that reading needs."""

    tags: int
    strict_os_versions: bool


@dataclass(slots=True)
class Reading:
    """A body of one kind, and what its rows said so far."""

    kind: Kind
    body: Body
    limits: Limits
    name: str = ""
    description: str | None = None
    tags: list[fields.Pair] = field(default_factory=list)
    checksum: str | None = None
    env_type: str = "FusionCompute"
    os_type: str | None = None
    os: OSVersion | None = None
    source: objects.ObjectAddress | None = None
    min_disk: int = 0
    disks: int = 0
    quick: bool = False
    is_arm: bool = False
    firmware: str | None = None
    min_ram: int = 0
    max_ram: int | None = None
    cmk_id: str | None = None

    def value(self, name: str) -> object:
        """Return the value of a field; an absent one is None."""
        return self.body.get(name)


def name(reading: Reading) -> None:
    """`name`: mandatory."""
    reading.name = fields.name(reading.value("name"))


def description(reading: Reading) -> None:
    """`description`: kept even when it is empty."""
    reading.description = fields.description(reading.value("description"))


def tags(reading: Reading) -> None:
    """`tags` and `image_tags`, of which one may be given."""
    reading.tags = fields.tags(reading.body, reading.limits.tags)


def checksum(reading: Reading) -> None:
    """`checksum` of the object as it is stored."""
    found = fields.text("checksum", reading.value("checksum")) or None
    if found is not None and not _CHECKSUM.match(found):
        raise refuse(
            fields.MALFORMED, "checksum", found, "sha256:<64 hex digits> or sha512:<128 hex digits>"
        )
    reading.checksum = None if found is None else found.lower()


def environment(reading: Reading) -> None:
    """`type`: its words depend on the kind; an .iso file is no disk of bare metal."""
    words, code = {
        Kind.SERVER: (SERVER_TYPES, "IMG.0117"),
        Kind.VOLUME: (SERVER_TYPES, "IMG.0117"),
        Kind.QUICK_SYSTEM: (QUICK_TYPES, "IMG.0024"),
        Kind.QUICK_DATA: (QUICK_TYPES, "IMG.0024"),
    }.get(reading.kind, (FILE_TYPES, "IMG.0024"))
    word = fields.word("type", reading.value("type"), words, code) or "ECS"
    reading.env_type = _ENVIRONMENTS.get(word, "FusionCompute")
    is_iso = kinds.claimed_extension(reading.value("image_url")) == "iso"
    if is_iso and reading.env_type == "Ironic" and reading.kind in (Kind.ISO, Kind.SET):
        raise refuse("IMG.0024", "type", word, "an .iso file makes an image of type IsoImage")
    if reading.kind is Kind.ISO:
        reading.env_type = "IsoImage"


def os_type(reading: Reading) -> None:
    """`os_type`: a word, and it agrees with an `os_version` that was read before."""
    words = fields.OS_TYPES[:2] if reading.kind in IS_DATA else fields.OS_TYPES
    reading.os_type = fields.word("os_type", reading.value("os_type"), words, "IMG.0122")
    if reading.os is not None:
        _settle_system(reading)


def os_version(reading: Reading) -> None:
    """`os_version`: mandatory for some kinds, of the catalogue where versions are strict."""
    found = fields.text("os_version", reading.value("os_version"))
    if not found:
        if reading.kind is Kind.ISO:
            raise IMSRefusal("IMG.0166", "os_version: an ISO image needs one", field="os_version")
        wants = reading.kind in (Kind.VOLUME, Kind.QUICK_SYSTEM) or (
            reading.kind is Kind.FILE and reading.value("is_quick_import") is True
        )
        if wants:
            raise IMSRefusal(
                "IMG.0056", "os_version is missing; this creation needs one", field="os_version"
            )
    elif reading.limits.strict_os_versions and catalogue.find(found) is None:
        raise refuse("IMG.0056", "os_version", found, "a version of the OS catalogue")
    _settle_system(reading)


def _settle_system(reading: Reading) -> None:
    version = fields.text("os_version", reading.value("os_version"))
    try:
        reading.os = catalogue.resolve(version, reading.os_type, strict=False)
    except Invalid as error:
        raise IMSRefusal("IMG.0122", error.message, field="os_type") from None


def instance_id(reading: Reading) -> None:
    """`instance_id`: the server."""
    _mandatory_uuid("instance_id", reading.value("instance_id"), "IMG.0012")


def image_url(reading: Reading) -> None:
    """`image_url`: the file; its extension has to fit the kind."""
    allowed = {
        Kind.ISO: ("iso",),
        Kind.OVA: ("ova",),
        Kind.QUICK_SYSTEM: objects.QUICK,
        Kind.QUICK_DATA: objects.QUICK,
    }.get(reading.kind, objects.DISKS)
    value = reading.value("image_url")
    reading.source = objects.source(value, allowed)
    if reading.source.compression and allowed == objects.QUICK:
        raise refuse("IMG.0072", "image_url", value, "a .raw or .img file as it is")
    if reading.kind is Kind.SET and reading.value("type") == "IsoImage":
        raise refuse("IMG.0072", "image_url", value, "type IsoImage needs one .iso file alone")


def volume_id(reading: Reading) -> None:
    """`volume_id`: the disk."""
    _mandatory_uuid("volume_id", reading.value("volume_id"), "IMG.0120")


def min_disk(reading: Reading) -> None:
    """`min_disk` in GB: mandatory."""
    high = DATA_DISK_LIMIT if reading.kind in IS_DATA else SYSTEM_DISK_LIMIT
    reading.min_disk = fields.integer("min_disk", reading.value("min_disk"), 1, high, "IMG.0055")


def data_images(reading: Reading) -> None:
    """`data_images` of kinds S and D."""
    disks = kinds.disks_of(reading.body)
    reading.disks = len(disks)
    is_set = reading.kind is Kind.SET
    if is_set and len(disks) > FILES_LIMIT:
        raise IMSRefusal(
            "IMG.0194",
            f"data_images: {len(disks)} files; at most {FILES_LIMIT} are allowed",
            field="data_images",
        )
    code, source = ("IMG.0123", "image_url") if is_set else (fields.MALFORMED, "volume_id")
    seen = {reading.value(source)}
    for index, disk in enumerate(disks):
        place = f"data_images[{index}]."
        _data_image(reading, disk, place)
        address = str(disk[source])
        key = address if is_set else address.lower()
        if key in seen:
            raise refuse(code, place + source, address, "it may be given once")
        seen.add(key)


def _data_image(reading: Reading, disk: Body, place: str) -> None:
    for known in disk:
        if known not in DISK_FIELDS:
            raise IMSRefusal(
                fields.MALFORMED,
                f"{place}{known}: no such field; known: {', '.join(DISK_FIELDS)}",
                field=place + known,
            )
    is_set = reading.kind is Kind.SET
    if not is_set or fields.text(f"{place}name", disk.get("name")):
        fields.name(disk.get("name"), f"{place}name")
    fields.description(disk.get("description"), f"{place}description")
    fields.tags(disk, reading.limits.tags, place)
    quick = f"{place}is_quick_import"
    if is_set:
        address = objects.source(disk.get("image_url"), field=f"{place}image_url")
        low, high = 1, DATA_DISK_LIMIT
        fields.integer(f"{place}min_disk", disk.get("min_disk"), low, high, "IMG.0055")
        if fields.boolean(quick, disk.get("is_quick_import")):
            _require_raw(address, quick)
        fields.text(f"{place}volume_id", disk.get("volume_id"))
        return
    fields.text(f"{place}image_url", disk.get("image_url"))
    fields.size(f"{place}min_disk", disk.get("min_disk"))
    fields.boolean(quick, disk.get("is_quick_import"))
    _mandatory_uuid(f"{place}volume_id", disk.get("volume_id"), "IMG.0120")


def is_quick_import(reading: Reading) -> None:
    """`is_quick_import`: the file stays raw, so it has to be."""
    reading.quick = fields.boolean("is_quick_import", reading.value("is_quick_import"))
    if reading.quick:
        assert reading.source is not None  # image_url is the earlier row
        _require_raw(reading.source, "is_quick_import")


def architecture(reading: Reading) -> None:
    """`architecture`: `arm` needs the firmware uefi."""
    found = fields.word(
        "architecture", reading.value("architecture"), fields.ARCHITECTURES, "IMG.0212"
    )
    reading.is_arm = found == "arm"


def hw_firmware_type(reading: Reading) -> None:
    """`hw_firmware_type`, by default uefi for arm."""
    found = fields.word(
        "hw_firmware_type", reading.value("hw_firmware_type"), fields.FIRMWARE, "IMG.0141"
    )
    if reading.is_arm and found == "bios":
        raise refuse("IMG.0141", "hw_firmware_type", found, "an arm image needs uefi")
    reading.firmware = found or ("uefi" if reading.is_arm else None)


def min_ram(reading: Reading) -> None:
    """`min_ram` in MB, by default 0."""
    value = reading.value("min_ram")
    if value is not None:
        reading.min_ram = fields.integer("min_ram", value, 0, fields.INTEGER_LIMIT, "IMG.0055")


def max_ram(reading: Reading) -> None:
    """`max_ram` in MB: 0 is no limit, anything else not below `min_ram`."""
    value = reading.value("max_ram")
    if value is None:
        return
    reading.max_ram = fields.integer("max_ram", value, 0, fields.INTEGER_LIMIT, "IMG.0055")
    if 0 < reading.max_ram < reading.min_ram:
        raise refuse("IMG.0055", "max_ram", value, f"not below min_ram {reading.min_ram}")


def cmk_id(reading: Reading) -> None:
    """`cmk_id`: not for bare metal, not for ISO images."""
    found = fields.uuid(
        "cmk_id", fields.text("cmk_id", reading.value("cmk_id")) or None, "IMG.0031"
    )
    if found is not None and reading.env_type == "Ironic":
        raise refuse("IMG.0118", "cmk_id", found, "bare metal images cannot be encrypted")
    if found is not None and reading.kind is Kind.ISO:
        raise refuse("IMG.0167", "cmk_id", found, "ISO images cannot be encrypted")
    reading.cmk_id = found


def license_type(reading: Reading) -> None:
    """`license_type`: checked, not stored; Windows only."""
    found = fields.word(
        "license_type", reading.value("license_type"), ("platform", "byol"), fields.MALFORMED
    )
    system = reading.os.os_type if reading.os else reading.os_type
    if found is not None and system != "Windows":
        raise refuse(fields.MALFORMED, "license_type", found, "it belongs to Windows only")


def _require_raw(address: objects.ObjectAddress, place: str) -> None:
    if address.extension not in objects.QUICK or address.compression:
        raise refuse("IMG.0072", place, True, "the file must be .raw, or .img with raw content")


def _mandatory_uuid(place: str, value: object, code: str) -> None:
    if fields.uuid(place, value, code) is None:
        raise IMSRefusal(code, f"{place} is missing; give a UUID", field=place)
