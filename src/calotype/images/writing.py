# SPDX-License-Identifier: Apache-2.0
"""Sets system attributes by name: columns where they have one, and what follows from them.

Values are checked by the face that takes them in. `natively` remembers that the native dialect
wrote a name, because an image made there shows nothing else (native.md 8, "Shown").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from calotype.contract import catalogue
from calotype.images import attributes
from calotype.images.model import Image

# both present and true exclude each other (values.md 12)
EXCLUSIONS = tuple(
    (name, other)
    for name, others in (
        ("__support_xen_gpu_type", ("__support_xen", "__support_kvm")),
        ("__support_kvm_gpu_type", ("__support_xen", "__support_kvm")),
        ("__support_xen_hana", ("__support_xen", "__support_kvm")),
        ("__support_kvm_infiniband", ("__support_xen",)),
    )
    for other in others
)
# what the IMS dialect can show as `max_ram`; anything else is a string of a native client
_MAX_RAM = re.compile(r"[0-9]{0,10}\Z")


def excluded(properties: Mapping[str, str | None]) -> tuple[str, str] | None:
    """Return the first two flags that exclude each other, or None."""
    for name, other in EXCLUSIONS:
        if properties.get(name) not in (None, "false") and properties.get(other) == "true":
            return name, other
    return None


def shown(image: Image, name: str, viewer: str | None) -> str | None:
    """Return the value of any name as the native dialect shows it to `viewer`, None if it does not.

    An image made there shows only what was written there; one of the IMS dialect shows all.
    """
    if image.origin != "native":
        return attributes.read(image, name, viewer)
    if name in image.native_names:
        stored = image.properties.get(name)
        return attributes.read(image, name, viewer) if stored is None else stored
    return None if is_system(name) else image.properties.get(name)


def extras(image: Image, viewer: str | None) -> dict[str, str | None]:
    """Return every property that the native dialect shows to `viewer`, custom ones as stored."""
    if image.origin == "native":
        found = {name: image.properties[name] for name in image.properties if not is_system(name)}
        names: Iterable[str] = sorted(image.native_names)
    else:
        found = {
            name: value
            for name, value in image.properties.items()
            if name not in attributes.ATTRIBUTES
        }
        names = attributes.ATTRIBUTES
    for name in names:
        value = shown(image, name, viewer)
        if value is not None:
            found[name] = value
    return found


def is_system(name: str) -> bool:
    """Tell whether a name is an attribute of the service and no custom property."""
    return name.startswith(("__", "_sys_")) or name in attributes.ATTRIBUTES or name in _OTHERS


def custom_count(properties: Mapping[str, str | None]) -> int:
    """Return how many custom properties there are."""
    return sum(1 for name in properties if not is_system(name))


def set_system(image: Image, name: str, value: str | None, *, natively: bool) -> Image:
    """Return the image with a system attribute set, or removed when `value` is None."""
    names = image.native_names
    if natively and image.origin == "native":
        names = names - {name} if value is None else names | {name}
    image = replace(image, native_names=names)
    if name == "__os_version":
        return _with_os_version(image, value)
    if name == "hw_firmware_type":
        return replace(image, firmware=value)
    if name == "max_ram":
        fits = value is None or _MAX_RAM.match(value)
        image = replace(image, max_ram=value if fits else None)
        return _with_property(image, name, None if fits else value)
    return _with_property(image, name, value)


def _with_property(image: Image, name: str, value: str | None) -> Image:
    properties = dict(image.properties)
    if value is None:
        properties.pop(name, None)
    else:
        properties[name] = value
    return replace(image, properties=properties)


def _with_os_version(image: Image, value: str | None) -> Image:
    """Keep the spelling that was sent; platform, type and bits are the catalogue's."""
    row = catalogue.default_for(None) if value is None else catalogue.find(value)
    if row is None:
        return replace(image, os_version=value, os_type="Linux", platform="Other", os_bit="64")
    return replace(
        image,
        os_version=row.os_version if value is None else value,
        os_type=row.os_type,
        platform=row.platform,
        os_bit=str(row.bits),
    )


_OTHERS = frozenset({"hw_vif_multiqueue_enabled", "os_shutdown_timeout"})
