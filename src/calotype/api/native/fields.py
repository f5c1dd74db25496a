# SPDX-License-Identifier: Apache-2.0
"""Checks of single attributes in native bodies (contract native.md 3, 8; values.md 2, 12).

Every function returns the value as the core stores it and raises Invalid with the field's name,
the value and what is allowed. A creation and a patch use the same checks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn

from calotype import ids
from calotype.errors import Invalid, NotAllowed

CONTAINER_FORMATS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
DISK_FORMATS = (
    "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop", "qed",
    "qcow", "ova",
)  # fmt: skip
VISIBILITIES = ("community", "public", "private", "shared")
INTEGER_LIMIT = 2147483647
TEXT_LIMIT = 255
VALUE_LIMIT = 65535
DESCRIPTION_LIMIT = 1024
_BIGGEST = 10**18
UUID = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"
DELETION_POLICIES = ("on_image_deletion", "do_not_delete")
FLAGS = frozenset(
    "__support_kvm __support_xen __support_largememory __support_diskintensive"
    " __support_highperformance __support_xen_hana __support_kvm_infiniband __support_amd"
    " __support_kvm_hi1822_hisriov __support_kvm_hi1822_hivirtionet __is_config_init"
    " __support_fc_inject".split()
)
GPU_TYPES = frozenset({"__support_xen_gpu_type", "__support_kvm_gpu_type"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
_NOT_IN_DESCRIPTION = re.compile(r"[\x00-\x1f\x7f<>\u202a-\u202e\u2066-\u2069]")
_GPU_WORD = re.compile(r"[A-Za-z0-9_]{1,64}\Z")


def wrong(field: str, value: object, allowed: str) -> NoReturn:
    """Raise Invalid for a field."""
    shown = repr(value)
    shown = shown if len(shown) <= 80 else f"{shown[:80]}…"
    raise Invalid(
        f"{field}: {shown} is not allowed; {allowed}", field=field, value=shown, allowed=allowed
    )


def base(name: str, value: object) -> object:
    """Return the stored value of a writable base attribute."""
    return BASE[name](name, value)


def custom(name: str, value: object) -> str | None:
    """Return the value of a custom property; its name is checked too."""
    if name == "metadata":
        raise Invalid(
            "metadata: this name is not allowed, because it breaks the decoding of image lists",
            field=name,
            value=name,
        )
    if not 1 <= len(name) <= TEXT_LIMIT or _CONTROL.search(name):
        wrong(name, name, f"a property name has 1 to {TEXT_LIMIT} characters, no control ones")
    if name in ("kernel_id", "ramdisk_id"):
        if value is None:
            return None
        if not isinstance(value, str) or ids.image_id(value) is None:
            wrong(name, value, "it must be a UUID or null")
    if name == "cinder_encryption_key_deletion_policy" and value not in DELETION_POLICIES:
        wrong(name, value, f"allowed: {', '.join(DELETION_POLICIES)}")
    return _property_text(name, value)


def system(name: str, value: object) -> str:
    """Return the value of a system attribute that the native dialect may write."""
    text = _property_text(name, value)
    if name == "__description":
        if len(text) > DESCRIPTION_LIMIT or _NOT_IN_DESCRIPTION.search(text):
            wrong(name, text, f"at most {DESCRIPTION_LIMIT} characters, no control ones, < or >")
    elif name == "__os_version":
        if not 1 <= len(text) <= TEXT_LIMIT or _UNSAFE.search(text):
            wrong(name, text, f"1 to {TEXT_LIMIT} characters without control ones")
    elif name == "hw_firmware_type":
        if text not in ("bios", "uefi"):
            wrong(name, text, "allowed: bios, uefi")
    elif name in FLAGS:
        if text.lower() not in ("true", "false"):
            wrong(name, text, "allowed: true, false")
        return text.lower()
    elif name in GPU_TYPES:
        if not _GPU_WORD.match(text):
            wrong(name, text, "1 to 64 letters, digits and _")
    return text


def tags(name: str, value: object) -> tuple[str, ...]:
    """Return tags without duplicates, sorted."""
    if not isinstance(value, list):
        wrong(name, value, "it must be an array of strings")
    for item in value:
        if not isinstance(item, str):
            wrong(name, item, "a tag is a string")
        if not 1 <= len(item) <= TEXT_LIMIT or _CONTROL.search(item) or not _is_utf8(item):
            wrong(name, item, f"a tag has 1 to {TEXT_LIMIT} characters without control ones")
    return tuple(sorted(set(value)))


def number(digits: str) -> int:
    """Return the number that ASCII digits write; beyond every size of bytes all are alike."""
    plain = digits.lstrip("0")
    return int(plain or "0") if len(plain) < len(str(_BIGGEST)) else _BIGGEST


def check_community(visibility: str, *, enabled: bool) -> None:
    """Refuse the word `community` where the setting is off."""
    if visibility == "community" and not enabled:
        raise NotAllowed("visibility: community images are switched off here", rule="community_off")


def image_id(name: str, value: object) -> str:
    """Return a chosen image id in lower case."""
    found = ids.image_id(value) if isinstance(value, str) else None
    if found is None:
        wrong(name, value, "it must be a UUID")
    return found


def _name(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > TEXT_LIMIT:
        wrong(name, value, f"it must be null or a string of at most {TEXT_LIMIT} characters")
    if _UNSAFE.search(value) or not _is_utf8(value):
        wrong(name, value, "no control characters")
    return value


def _owner(name: str, value: object) -> str:
    found = ids.project_id(value) if isinstance(value, str) else None
    if found is None:
        wrong(name, value, "it must be a project id of 32 hex digits")
    return found


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        wrong(name, value, "it must be true or false")
    return value


def _integer(name: str, value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= INTEGER_LIMIT:
        wrong(name, value, f"it must be an integer from 0 to {INTEGER_LIMIT}")
    return value


def _one_of(allowed: tuple[str, ...], *, nullable: bool) -> Callable[[str, object], str | None]:
    def check(name: str, value: object) -> str | None:
        if value is None and nullable:
            return None
        if not isinstance(value, str) or value not in allowed:
            wrong(name, value, f"allowed: {', '.join(allowed)}")
        return value

    return check


def _property_text(name: str, value: object) -> str:
    if not isinstance(value, str):
        wrong(name, value, "the value of a property is a string")
    if not _is_utf8(value) or len(value.encode()) > VALUE_LIMIT:
        wrong(name, value, f"at most {VALUE_LIMIT} bytes of UTF-8")
    return value


def _is_utf8(text: str) -> bool:
    """Tell whether a JSON string has no lone surrogates, which no database can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


BASE: dict[str, Callable[[str, object], object]] = {
    "name": _name,
    "visibility": _one_of(VISIBILITIES, nullable=False),
    "protected": _boolean,
    "os_hidden": _boolean,
    "container_format": _one_of(CONTAINER_FORMATS, nullable=True),
    "disk_format": _one_of(DISK_FORMATS, nullable=True),
    "min_disk": _integer,
    "min_ram": _integer,
    "owner": _owner,
    "tags": tags,
}
