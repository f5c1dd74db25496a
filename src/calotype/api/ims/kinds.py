# SPDX-License-Identifier: Apache-2.0
"""The kinds of creation: which fields of `ims.create` select one, and what nothing here can make.

A kind without a backend is checked like any other and ends in IMG.0105, after quota and
concurrency (contract ims.md, ims.create; C1, C5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from calotype.api.ims import fields, objects
from calotype.api.ims.refusal import IMSRefusal, refuse

SOURCES = ("instance_id", "image_url", "volume_id")
Body = dict[str, object]


class Kind(StrEnum):
    """What images are made of; the first seven are those of `ims.create` with their letters."""

    SERVER = "I"
    FILE = "F"
    ISO = "O"
    OVA = "A"
    SET = "S"
    VOLUME = "V"
    VOLUMES = "D"
    QUICK_SYSTEM = "quick system"
    QUICK_DATA = "quick data"
    DATA = "data"


_MISSING = {
    Kind.SERVER: "an image of a server needs a compute service, none is configured",
    Kind.VOLUME: "an image of a volume needs a volume service, none is configured",
    Kind.VOLUMES: "images of volumes need a volume service, none is configured",
    Kind.OVA: "OVA files are not imported by this deployment; give their disks one by one",
    Kind.SET: "this deployment makes one image by one request; give the disks one by one",
}


@dataclass(frozen=True, slots=True)
class Unserved:
    """A creation that is well formed and that nothing here can do. `images`: how many it makes."""

    kind: Kind
    enterprise_project_id: str
    images: int

    def refusal(self) -> IMSRefusal:
        """Return the refusal that comes after quota and concurrency."""
        return IMSRefusal("IMG.0105", _MISSING[self.kind])


def kind_of(body: Mapping[str, object]) -> Kind:
    """Return the kind that the present fields select. Raises IMSRefusal IMG.0001, IMG.0012.

    An empty `image_url` or `volume_id` selects nothing beside another source (M24).
    """
    if body.get("instance_id") == "":
        raise refuse("IMG.0012", "instance_id", "", "it must be a UUID")
    given = [name for name in SOURCES if body.get(name) not in (None, "")]
    disks = disks_of(body)
    if len(given) > 1 or (disks and given and given != ["image_url"]):
        names = [*given, "data_images"] if disks else given
        raise IMSRefusal(fields.MALFORMED, f"{', '.join(names)} exclude each other")
    if disks:
        return _kind_of_disks(body, disks, has_file=bool(given))
    # An address that is there but empty is refused as an address, not as a missing source.
    given = given or [name for name in SOURCES if body.get(name) is not None]
    if not given:
        raise IMSRefusal(
            fields.MALFORMED, f"no source: give one of {', '.join(SOURCES)}, data_images"
        )
    if given == ["instance_id"]:
        return Kind.SERVER
    return _kind_of_file(body) if "image_url" in given else Kind.VOLUME


def disks_of(body: Mapping[str, object]) -> list[Body]:
    """Return the objects in `data_images`; absent and `[]` are the same."""
    disks: list[Body] = []
    for index, item in enumerate(fields.array("data_images", body.get("data_images"))):
        if not isinstance(item, dict):
            raise refuse(fields.MALFORMED, f"data_images[{index}]", item, "it must be an object")
        disks.append(item)
    return disks


def claimed_extension(address: object) -> str:
    """Return the extension in an `image_url` of any form, for the choice of the kind."""
    return objects.claim(address)[0] if isinstance(address, str) else ""


def _kind_of_file(body: Mapping[str, object]) -> Kind:
    extension = claimed_extension(body.get("image_url"))
    if body.get("type") == "IsoImage" or extension == "iso":
        return Kind.ISO
    return Kind.OVA if extension == "ova" else Kind.FILE


def _kind_of_disks(body: Mapping[str, object], disks: list[Body], *, has_file: bool) -> Kind:
    found: set[str] = set()
    for index, disk in enumerate(disks):
        sources = {name for name in ("image_url", "volume_id") if disk.get(name) not in (None, "")}
        if len(sources) > 1:
            raise IMSRefusal(
                fields.MALFORMED, f"data_images[{index}]: image_url and volume_id are both given"
            )
        found |= sources
    if len(found) > 1 or (has_file and "volume_id" in found):
        raise IMSRefusal(fields.MALFORMED, "data_images: files and volumes exclude each other")
    if not has_file and "image_url" in found:
        raise IMSRefusal(fields.MALFORMED, "data_images: files need image_url, the system disk")
    if has_file and claimed_extension(body["image_url"]) == "ova":
        raise IMSRefusal(fields.MALFORMED, "data_images and an .ova file exclude each other")
    return Kind.SET if has_file else Kind.VOLUMES
