# SPDX-License-Identifier: Apache-2.0
"""The JSON patch of `ims.update`: form, values, and the image that results (contract ims.md).

Three steps: `check_form` before the image is looked up, `read` after the gate (every value against
its attribute), `apply` on a copy; operations are stored together or not at all. An error names the
zero-based index of its operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from calotype.api.ims import attribute_values, fields
from calotype.api.ims.refusal import IMSRefusal, refuse
from calotype.images.model import Image

OPERATIONS_LIMIT = 100
EXTENSION_LIMIT = 128
OPERATIONS = ("add", "replace", "remove")
EXCLUDES = {
    "__support_xen_gpu_type": ("__support_xen", "__support_kvm"),
    "__support_kvm_gpu_type": ("__support_xen", "__support_kvm"),
    "__support_xen_hana": ("__support_xen", "__support_kvm"),
    "__support_kvm_infiniband": ("__support_xen",),
}
NOT_REMOVABLE = frozenset({"name", "enterprise_project_id", "min_ram"})
CREATED_BY_REPLACE = frozenset({"max_ram", "min_ram"})
COLUMNS = {
    "name": "name",
    "min_ram": "min_ram",
    "max_ram": "max_ram",
    "hw_firmware_type": "firmware",
    "enterprise_project_id": "enterprise_project_id",
}
_ALWAYS_THERE = frozenset({"name", "min_ram", "enterprise_project_id"})


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
            _value(index, name, item)


def read(body: Sequence[Mapping[str, object]]) -> list[Operation]:
    """Return the operations with checked values. Raises IMSRefusal with the attribute's code."""
    return [_read_one(index, item) for index, item in enumerate(body)]


def apply(
    image: Image, operations: Sequence[Operation], extension_limit: int = EXTENSION_LIMIT
) -> Image:
    """Return the image after the operations. Raises IMSRefusal IMG.0035, 0055, 0141, 0168, 0001."""
    if image.env_type == "DataImage":
        _refuse_system_attributes(operations)
    columns: dict[str, Any] = {name: getattr(image, column) for name, column in COLUMNS.items()}
    properties = dict(image.properties)
    for operation in operations:
        if image.is_arm and operation.name == "hw_firmware_type":
            _check_arm_firmware(operation)
        _apply_one(operation, columns if operation.name in COLUMNS else properties)
    result = replace(
        image,
        properties=properties,
        **{column: columns[name] for name, column in COLUMNS.items()},
    )
    touched = {operation.name: operation.index for operation in operations}
    _check_exclusions(result, touched)
    _check_memory(result, touched)
    _check_count(image, result, touched, extension_limit)
    return result


def _read_one(index: int, item: Mapping[str, object]) -> Operation:
    for member in item:
        if member not in ("op", "path", "value"):
            raise IMSRefusal(
                fields.MALFORMED, f"[{index}].{member}: no such member; known: op, path, value"
            )
    op = item.get("op")
    if not isinstance(op, str) or op not in OPERATIONS:
        raise refuse(fields.MALFORMED, f"[{index}].op", op, f"allowed: {', '.join(OPERATIONS)}")
    name = _name(index, item.get("path"))
    if not attribute_values.is_writable(name) or (op == "remove" and name in NOT_REMOVABLE):
        raise IMSRefusal(
            "IMG.0035", f"[{index}] {name}: {op} is not possible on this attribute", field=name
        )
    return Operation(index, op, name, None if op == "remove" else _value(index, name, item))


def _name(index: int, path: object) -> str:
    field = f"[{index}].path"
    text = fields.text(field, path) or ""
    token = text[1:]
    if not text.startswith("/") or not token:
        raise refuse(fields.MALFORMED, field, path, "'/' and one attribute name")
    rest = token.replace("~0", "").replace("~1", "")
    if "/" in token or "~" in rest:
        raise refuse(fields.MALFORMED, field, path, "one segment, '~' only as ~0 and ~1")
    return token.replace("~1", "/").replace("~0", "~")


def _value(index: int, name: str, item: Mapping[str, object]) -> Any:
    value = item.get("value")
    if value is None or isinstance(value, (dict, list)):
        raise refuse(fields.MALFORMED, f"[{index}].value", value, "a string, a number or a boolean")
    return attribute_values.read(name, value, f"[{index}] {name}")


def _refuse_system_attributes(operations: Iterable[Operation]) -> None:
    for operation in operations:
        if operation.name in attribute_values.SYSTEM_ONLY:
            raise IMSRefusal(
                "IMG.0168",
                f"[{operation.index}] {operation.name}: a data disk image has no such attribute",
                field=operation.name,
            )


def _check_arm_firmware(operation: Operation) -> None:
    place = f"[{operation.index}] hw_firmware_type"
    if operation.value == "bios":
        raise refuse("IMG.0141", place, "bios", "an arm image needs uefi")
    if operation.op == "remove":
        raise IMSRefusal("IMG.0035", f"{place}: an arm image cannot be without it")


def _apply_one(operation: Operation, place: dict[str, Any]) -> None:
    name = operation.name
    present = place.get(name) is not None or name in _ALWAYS_THERE
    may_create = operation.op == "add" or (operation.op == "replace" and name in CREATED_BY_REPLACE)
    if not present and not may_create:
        raise IMSRefusal(
            "IMG.0035",
            f"[{operation.index}] {operation.op} {name}: the image has no such attribute; use add",
            field=name,
        )
    if operation.op != "remove":
        place[name] = operation.value
    elif name in COLUMNS:
        place[name] = None
    else:
        del place[name]


def _check_exclusions(image: Image, touched: Mapping[str, int]) -> None:
    """Refuse what the patch made contradictory; what the creator stored is not its business."""
    flags = image.properties
    for name, others in EXCLUDES.items():
        if flags.get(name) in (None, "false"):
            continue
        for other in others:
            index = _last(touched, name, other)
            if flags.get(other) == "true" and index is not None:
                raise IMSRefusal(
                    "IMG.0035", f"[{index}] {name} and {other} exclude each other", field=name
                )


def _check_memory(image: Image, touched: Mapping[str, int]) -> None:
    text = image.max_ram or ""
    index = _last(touched, "min_ram", "max_ram")
    # A native client may have stored any string: that is no limit.
    if index is None or not (text.isascii() and text.isdigit()):
        return
    if 0 < int(text) < image.min_ram:
        raise IMSRefusal(
            "IMG.0055",
            f"[{index}] max_ram {text} is below min_ram {image.min_ram}",
            field="max_ram",
        )


def _check_count(before: Image, after: Image, touched: Mapping[str, int], limit: int) -> None:
    count = _extensions(after)
    if count > limit and count > _extensions(before):
        raise IMSRefusal(
            fields.MALFORMED,
            f"[{_last(touched, *touched)}] {count} extension attributes; at most {limit} are"
            " allowed",
        )


def _last(touched: Mapping[str, int], *names: str) -> int | None:
    """Return the index of the last operation on one of the names."""
    return max((touched[name] for name in names if name in touched), default=None)


def _extensions(image: Image) -> int:
    return sum(
        value is not None and attribute_values.is_extension(name)
        for name, value in image.properties.items()
    )
