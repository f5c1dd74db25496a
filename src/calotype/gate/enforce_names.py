# SPDX-License-Identifier: Apache-2.0
"""Step 6a of a decision: names that a native POST or PATCH may not set.

Reserved, read-only, and reserved to the operator (publishing, foreign owners). The form of the
document is the handler's; what cannot be read here is passed over, because it is refused there.
Source: contract native.md 5, 7, 8, 12; iam.md 4.1 (6a), 4.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from calotype.gate.enforce_types import Case, TargetImage

RESERVED = frozenset("location locations deleted deleted_at".split())
READ_ONLY = frozenset(
    "status size virtual_size checksum os_hash_algo os_hash_value created_at updated_at self file"
    " schema stores direct_url".split()
)
SYSTEM_WRITABLE = frozenset(
    "__os_version __description __support_fc_inject __is_config_init".split()
)
SYSTEM_READ_ONLY = frozenset(
    "__imagetype __isregistered __image_source_type __image_size __os_type __os_bit __platform"
    " __data_origin __root_origin __originalimagename __backup_id __whole_image __system__cmkid"
    " __support_arm __lazyloading __sequence_num __account_code __productcode __is_offshelved"
    " __system_support_market __image_displayname __support_agent_list active_at"
    " virtual_env_type enterprise_project_id _sys_enterprise_project_id".split()
)
AT_CREATION_ONLY = "__os_feature_list"
_OPERATIONS = ("add", "replace", "remove")
Present = Callable[[TargetImage, str], object]


def forbidden_name(case: Case, present: Present) -> str | None:
    """Return the first name that this caller may not set, or None.

    `present` gives the value that the native dialect shows for a read-only attribute.
    """
    row = case.asked.operation.id
    body = case.asked.body
    if row == "glance.create" and isinstance(body, dict):
        return next((name for name, value in body.items() if _at_creation(case, name, value)), None)
    if row == "glance.update" and isinstance(body, list):
        for verb, name, value in _changes(body):
            if _by_patch(case, (verb, name, value), present):
                return name
    return None


def _at_creation(case: Case, name: str, value: object) -> bool:
    if name in RESERVED or name in READ_ONLY or name.startswith("os_glance_"):
        return True
    if name == "visibility":
        return value == "public" and not case.caller.principal.is_operator
    if name == "owner":
        is_own = value is None or value == case.caller.project_id
        return not is_own and not case.caller.principal.is_operator
    return name != AT_CREATION_ONLY and name not in SYSTEM_READ_ONLY and _is_foreign_system(name)


def _by_patch(case: Case, change: tuple[str, str, object], present: Present) -> bool:
    verb, name, value = change
    image = case.found.images[0]
    if name in RESERVED or name in READ_ONLY or name == "id" or name.startswith("os_glance_"):
        return True
    if name == "visibility":
        touches_public = value != image.visibility and "public" in (value, image.visibility)
        return touches_public and not case.caller.principal.is_operator
    if name == "owner":
        return value != image.owner and not case.caller.principal.is_operator
    if name in SYSTEM_READ_ONLY or name == AT_CREATION_ONLY:
        return verb == "remove" or value != present(image, name)
    return _is_foreign_system(name)


def _is_foreign_system(name: str) -> bool:
    """Tell whether a name looks like one of the service's and is none that may be written."""
    if not name.startswith(("__", "_sys_")):
        return False
    return name not in SYSTEM_WRITABLE and not name.startswith("__support_")


def _changes(body: list[object]) -> Iterator[tuple[str, str, object]]:
    for item in body:
        if not isinstance(item, dict):
            continue
        found = _change(item)
        if found is not None:
            yield *found, item.get("value")


def _change(item: Mapping[str, object]) -> tuple[str, str] | None:
    """Return verb and root name of one operation, of either form of the document."""
    verb, path = item.get("op"), item.get("path")
    if verb is None:
        verb = next((word for word in _OPERATIONS if word in item), None)
        path = item.get(verb) if verb is not None else None
    if not isinstance(verb, str) or not isinstance(path, str) or not path.startswith("/"):
        return None
    root = path.split("/")[1].strip()
    return verb, root.replace("~1", "/").replace("~0", "~")
