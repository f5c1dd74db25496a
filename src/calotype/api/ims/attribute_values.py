# SPDX-License-Identifier: Apache-2.0
"""Which attributes `ims.update` writes, and the values each one takes (contract ims.md, ims.update;
values.md 6.3, 12).

A value comes as a string, a number or a boolean and is returned as it is stored: strings, but for
`min_ram`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from calotype.api.ims import fields
from calotype.api.ims.refusal import IMSRefusal, refuse

FLAGS = frozenset(
    {*fields.SUPPORT_FLAGS, "__is_config_init", "hw_vif_multiqueue_enabled"} - {"__support_arm"}
)
GPU_TYPES = frozenset({"__support_xen_gpu_type", "__support_kvm_gpu_type"})
SYSTEM_ONLY = FLAGS | GPU_TYPES | {"hw_firmware_type", "os_shutdown_timeout"}
VALUE_LIMIT = 65535  # bytes
_EXTENSION = re.compile(r"[a-z0-9_][a-z0-9_.:-]{0,254}\Z")
_GPU = re.compile(r"[A-Za-z0-9_]{1,64}\Z")
_DIGITS = re.compile(r"[0-9]{1,10}\Z")
_RESERVED_BEGINNINGS = ("__", "_sys_", "os_glance_")
_BASE = frozenset(
    "id name status visibility protected owner container_format disk_format min_disk min_ram"
    " max_ram size virtual_size checksum tags created_at updated_at active_at file self schema"
    " enterprise_project_id virtual_env_type hw_firmware_type hw_vif_multiqueue_enabled"
    " os_shutdown_timeout".split()
)
_NATIVE = frozenset(
    "locations direct_url location os_hidden os_hash_algo os_hash_value deleted deleted_at stores"
    " metadata".split()
)


def is_extension(name: str) -> bool:
    """Tell whether `name` is none of the service's own names (values.md 6.3), whatever its form."""
    return name not in _BASE | _NATIVE and not name.startswith(_RESERVED_BEGINNINGS)


def is_writable(name: str) -> bool:
    """Tell whether an update may write the attribute."""
    return name in FLAGS or name in GPU_TYPES or name in _READERS or is_extension(name)


def read(name: str, value: object, place: str) -> Any:
    """Return the value as it is stored. `place` begins the message. Raises IMSRefusal."""
    if name in FLAGS:
        return _flag(place, value)
    if name in GPU_TYPES:
        return _gpu(place, value)
    if name in _READERS:
        return _READERS[name](place, value)
    if not _EXTENSION.match(name):
        raise refuse(
            fields.MALFORMED, place, name, "a name of lower-case letters, digits and _ . : -"
        )
    return _extension(place, value)


def _flag(place: str, value: object) -> str:
    text = json.dumps(value) if isinstance(value, bool) else value
    if text not in ("true", "false"):
        raise refuse(fields.MALFORMED, place, value, "true or false")
    return str(text)


def _gpu(place: str, value: object) -> str:
    if not isinstance(value, str) or not _GPU.match(value):
        raise refuse(fields.MALFORMED, place, value, "1 to 64 letters, digits and '_'")
    return value


def _extension(place: str, value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise refuse(fields.MALFORMED, place, str(value), "a number that JSON can write")
    text = fields.text(place, value if isinstance(value, str) else json.dumps(value)) or ""
    if len(text.encode()) > VALUE_LIMIT:
        raise IMSRefusal(fields.MALFORMED, f"{place}: the value is longer than {VALUE_LIMIT} bytes")
    return text


def _min_ram(place: str, value: object) -> int:
    if isinstance(value, str) and _DIGITS.match(value):
        value = int(value)
    return fields.integer(place, value, 0, fields.INTEGER_LIMIT, "IMG.0055")


def _max_ram(place: str, value: object) -> str:
    return str(_min_ram(place, value))


def _timeout(place: str, value: object) -> str:
    if isinstance(value, str) and _DIGITS.match(value):
        value = int(value)
    return str(fields.integer(place, value, 60, 300, fields.MALFORMED))


def _firmware(place: str, value: object) -> str:
    if not isinstance(value, str) or value not in fields.FIRMWARE:
        raise refuse("IMG.0141", place, value, "allowed: bios, uefi")
    return value


def _name(place: str, value: object) -> str:
    return fields.name(value, place)


def _description(place: str, value: object) -> str:
    return fields.description(value, place) or ""


def _enterprise_project(place: str, value: object) -> str:
    return fields.enterprise_project(value, place)


_READERS: dict[str, Callable[[str, object], Any]] = {
    "name": _name,
    "__description": _description,
    "enterprise_project_id": _enterprise_project,
    "min_ram": _min_ram,
    "max_ram": _max_ram,
    "hw_firmware_type": _firmware,
    "os_shutdown_timeout": _timeout,
}
