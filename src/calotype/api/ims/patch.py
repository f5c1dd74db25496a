# SPDX-License-Identifier: Apache-2.0
"""The JSON patch of `ims.update`: form, values, and the image that results (contract ims.md).

Three steps: `check_form` before the image is looked up, `read` after the gate (every value against
its attribute), `apply` on a copy; operations are stored together or not at all. An error names the
zero-based index of its operation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from calotype.api.ims import fields
from calotype.api.ims.refusal import IMSRefusal, refuse
from calotype.images.model import Image

OPERATIONS_LIMIT = 100
EXTENSION_LIMIT = 128
EXTENSION = re.compile(r"[a-z0-9_][a-z0-9_.:-]{0,254}\Z")
GPU = re.compile(r"[A-Za-z0-9_]{1,64}\Z")
FLAGS = (
    "__support_kvm",
    "__support_xen",
    "__support_largememory",
    "__support_diskintensive",
    "__support_highperformance",
    "__support_xen_hana",
    "__support_kvm_infiniband",
    "__support_kvm_hi1822_hisriov",
    "__support_kvm_hi1822_hivirtionet",
    "__support_amd",
    "__support_fc_inject",
    "__is_config_init",
    "hw_vif_multiqueue_enabled",
)
GPU_TYPES = ("__support_xen_gpu_type", "__support_kvm_gpu_type")
EXCLUDES = {
    "__support_xen_gpu_type": ("__support_xen", "__support_kvm"),
    "__support_kvm_gpu_type": ("__support_xen", "__support_kvm"),
    "__support_xen_hana": ("__support_xen", "__support_kvm"),
    "__support_kvm_infiniband": ("__support_xen",),
}
SYSTEM_ONLY = frozenset({*FLAGS, *GPU_TYPES, "hw_firmware_type", "os_shutdown_timeout"})
NOT_REMOVABLE = frozenset({"name", "enterprise_project_id", "min_ram"})
CREATED_BY_REPLACE = frozenset({"max_ram", "min_ram"})
NOT_EXTENSIONS = frozenset(
    "id name status visibility protected owner container_format disk_format min_disk size"
    " virtual_size checksum tags created_at updated_at active_at file self schema virtual_env_type"
    " locations direct_url location os_hidden os_hash_algo os_hash_value deleted deleted_at stores"
    " metadata".split()
)
COLUMNS = {
    "name": "name",
    "min_ram": "min_ram",
    "max_ram": "max_ram",
    "hw_firmware_type": "firmware",
    "enterprise_project_id": "enterprise_project_id",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation with its value as it is stored."""

    index: int
    op: str
    name: str
    value: Any


def check_form(body: object) -> None:
    """Check what authorization needs: an array of operations, their paths, the target project."""
    if not isinstance(body, list):
        raise refuse(fields.MALFORMED, "body", body, "it must be an array of operations")
    if len(body) > OPERATIONS_LIMIT:
        raise IMSRefusal(
            fields.MALFORMED, f"{len(body)} operations; at most {OPERATIONS_LIMIT} are allowed"
        )
    for index, item in enumerate(body):
        if not isinstance(item, dict):
            raise refuse(fields.MALFORMED, f"[{index}]", item, "it must be an object")
        name = _name(index, item.get("path"))
        if name == "enterprise_project_id" and item.get("op") in ("add", "replace"):
            _project(f"[{index}].value", item.get("value"))


def read(body: Sequence[Mapping[str, object]]) -> list[Operation]:
    """Return the operations with checked values. Raises IMSRefusal with the attribute's code."""
    return [_read_one(index, item) for index, item in enumerate(body)]


def apply(image: Image, operations: Sequence[Operation]) -> Image:
    """Return the image after the operations. Raises IMSRefusal IMG.0035, 0055, 0141, 0168, 0001."""
    if image.env_type == "DataImage":
        for operation in operations:
            if operation.name in SYSTEM_ONLY:
                raise IMSRefusal(
                    "IMG.0168",
                    f"[{operation.index}] {operation.name}: a data disk image has no such field",
                    field=operation.name,
                )
    columns: dict[str, Any] = {name: getattr(image, column) for name, column in COLUMNS.items()}
    properties = dict(image.properties)
    for operation in operations:
        place = columns if operation.name in COLUMNS else properties
        _apply_one(operation, place)
    result = replace(
        image,
        properties=properties,
        **{column: columns[name] for name, column in COLUMNS.items()},
    )
    _check_result(image, result, {operation.name for operation in operations})
    return result


def _apply_one(operation: Operation, place: dict[str, Any]) -> None:
    present = place.get(operation.name) is not None
    if (
        not present
        and operation.op != "add"
        and not (operation.op == "replace" and operation.name in CREATED_BY_REPLACE)
    ):
        raise IMSRefusal(
            "IMG.0035",
            f"[{operation.index}] {operation.op} {operation.name}: the image has no such "
            "attribute; use add",
            field=operation.name,
        )
    if operation.op != "remove":
        place[operation.name] = operation.value
    elif operation.name in COLUMNS:
        place[operation.name] = None
    else:
        del place[operation.name]


def _check_result(before: Image, image: Image, touched: set[str]) -> None:
    flags = image.properties
    for name, others in EXCLUDES.items():
        if flags.get(name) in (None, "false"):
            continue
        for other in others:
            if flags.get(other) == "true" and touched & {name, other}:
                raise IMSRefusal("IMG.0035", f"{name} and {other} exclude each other", field=name)
    if image.max_ram not in (None, "", "0") and int(image.max_ram or 0) < image.min_ram:
        raise IMSRefusal(
            "IMG.0055",
            f"max_ram {image.max_ram} is below min_ram {image.min_ram}",
            field="max_ram",
        )
    if image.is_arm and "hw_firmware_type" in touched:
        if image.firmware == "bios":
            raise refuse("IMG.0141", "hw_firmware_type", "bios", "an arm image needs uefi")
        if image.firmware is None:
            raise IMSRefusal("IMG.0035", "hw_firmware_type of an arm image cannot be removed")
    free = [name for name in image.properties if not name.startswith("__")]
    if len(free) > EXTENSION_LIMIT and len(image.properties) > len(before.properties):
        raise IMSRefusal(
            fields.MALFORMED, f"{len(free)} attributes; at most {EXTENSION_LIMIT} are allowed"
        )


def _read_one(index: int, item: Mapping[str, object]) -> Operation:
    unknown = set(item) - {"op", "path", "value"}
    if unknown:
        raise refuse(fields.MALFORMED, f"[{index}]", sorted(unknown), "members op, path, value")
    op = item.get("op")
    if op not in ("add", "replace", "remove"):
        raise refuse(fields.MALFORMED, f"[{index}].op", op, "add, replace or remove")
    name = _name(index, item.get("path"))
    check = _check_for(name)
    if check is None or (op == "remove" and name in NOT_REMOVABLE):
        raise IMSRefusal(
            "IMG.0035", f"[{index}] {name}: {op} is not possible on this attribute", field=name
        )
    if op == "remove":
        return Operation(index, str(op), name, None)
    value = item.get("value")
    if value is None or isinstance(value, (dict, list)):
        raise refuse(fields.MALFORMED, f"[{index}].value", value, "a string, a number or a boolean")
    return Operation(index, str(op), name, check(f"[{index}] {name}", value))


def _name(index: int, path: object) -> str:
    field = f"[{index}].path"
    if not isinstance(path, str) or not path.startswith("/") or len(path) < 2:
        raise refuse(fields.MALFORMED, field, path, "'/' and one attribute name")
    token = path[1:]
    if "/" in token or re.search(r"~(?![01])", token):
        raise refuse(fields.MALFORMED, field, path, "one segment, '~' only as ~0 and ~1")
    return token.replace("~1", "/").replace("~0", "~")


def _check_for(name: str) -> Callable[[str, object], Any] | None:
    if name in FLAGS:
        return _flag
    if name in GPU_TYPES:
        return _gpu
    if name in _CHECKS:
        return _CHECKS[name]
    reserved = name in NOT_EXTENSIONS or name.startswith(("__", "_sys_", "os_glance_"))
    return None if reserved else _extension


def _flag(field: str, value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    if text not in ("true", "false"):
        raise refuse(fields.MALFORMED, field, value, "true or false")
    return text


def _gpu(field: str, value: object) -> str:
    if not isinstance(value, str) or not GPU.match(value):
        raise refuse(fields.MALFORMED, field, value, "letters, digits and '_', at most 64")
    return value


def _extension(field: str, value: object) -> str:
    name = field.split(" ", 1)[1]
    if not EXTENSION.match(name):
        raise refuse(
            fields.MALFORMED, field, name, "a name of lower-case letters, digits and _ . : -"
        )
    text = value if isinstance(value, str) else json.dumps(value)
    if len(text.encode()) > 65535:
        raise IMSRefusal(fields.MALFORMED, f"{field}: the value is longer than 65535 bytes")
    return text


def _memory(field: str, value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,10}", value):
        value = int(value)
    return fields.integer(field, value, 0, fields.INTEGER_LIMIT, "IMG.0055")


def _timeout(field: str, value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,4}", value):
        value = int(value)
    return str(fields.integer(field, value, 60, 300, fields.MALFORMED))


def _firmware(field: str, value: object) -> str:
    if value not in ("bios", "uefi"):
        raise refuse("IMG.0141", field, value, "bios or uefi")
    return str(value)


def _project(field: str, value: object) -> str:
    if not isinstance(value, str):
        raise refuse(fields.MALFORMED, field, value, "it must be a string")
    return fields.enterprise_project(value, field)


def _description(field: str, value: object) -> str:
    return fields.description(value, field) or ""


_CHECKS: dict[str, Callable[[str, object], Any]] = {
    "name": lambda field, value: fields.name(value, field),
    "__description": _description,
    "enterprise_project_id": _project,
    "min_ram": _memory,
    "max_ram": lambda field, value: str(_memory(field, value)),
    "hw_firmware_type": _firmware,
    "os_shutdown_timeout": _timeout,
}
