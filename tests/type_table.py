# SPDX-License-Identifier: Apache-2.0
"""The JSON type of every member of every answer, as strictly as the strictest client reads it.

From CLIENT-NEEDS 4 and values.md 6. `check_ims`, `check_native` and their kin fail with the member
that has another type, that is missing, or that nobody documented.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]


def text(value: Any) -> bool:
    return isinstance(value, str)


def whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def truth(value: Any) -> bool:
    return isinstance(value, bool)


def texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def like(pattern: str) -> Check:
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def or_null(check: Check) -> Check:
    return lambda value: value is None or check(value)


UUID = like(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
HEX32 = like(r"[0-9a-f]{32}")
DIGITS = like(r"\d+")
SECONDS = like(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
MILLISECONDS = like(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TRUE_FALSE = like("true|false")
EP = like(r"0|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ORIGIN = like(r"(file|instance|volume|server_backup|image),[^,]+")

IMS_ALWAYS: dict[str, Check] = {
    "id": UUID,
    "name": text,
    "status": like("queued|saving|active|killed|deactivated"),
    "visibility": like("private|shared|public"),
    "protected": truth,
    "owner": HEX32,
    "container_format": text,
    "disk_format": text,
    "min_disk": whole,
    "min_ram": whole,
    "size": whole,
    "virtual_size": or_null(whole),
    "checksum": like("([0-9a-f]{32})?"),
    "tags": texts,
    "created_at": SECONDS,
    "updated_at": SECONDS,
    "file": like(r"/v2/images/[0-9a-f-]{36}/file"),
    "self": like(r"/v2/images/[0-9a-f-]{36}"),
    "schema": like("/v2/schemas/image"),
    "enterprise_project_id": EP,
    "virtual_env_type": like("FusionCompute|Ironic|IsoImage|DataImage"),
    "__imagetype": like("gold|private|shared|market"),
    "__isregistered": like("true"),
    "__image_source_type": like("uds"),
    "__image_size": DIGITS,
    "__os_type": like("Linux|Windows|Other"),
    "__platform": text,
}
IMS_SOMETIMES: dict[str, Check] = {
    "max_ram": like(r"\d*"),
    "active_at": like(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)?"),
    "hw_firmware_type": like("bios|uefi"),
    "hw_vif_multiqueue_enabled": TRUE_FALSE,
    "os_shutdown_timeout": DIGITS,
    "__os_version": text,
    "__os_bit": like("32|64"),
    "__description": text,
    "__data_origin": ORIGIN,
    "__root_origin": like("file"),
    "__originalimagename": UUID,
    "__backup_id": UUID,
    "__whole_image": truth,
    "__system__cmkid": UUID,
    "__support_arm": like("true"),
    "__support_fc_inject": TRUE_FALSE,
    "__is_config_init": TRUE_FALSE,
    "__lazyloading": like("true"),
    "__sequence_num": text,
    "__os_feature_list": text,
    "__account_code": text,
    "__productcode": text,
    "__is_offshelved": text,
    "__system_support_market": truth,
    "__image_displayname": text,
    "__support_agent_list": text,
}
NATIVE_ALWAYS: dict[str, Check] = {
    "id": UUID,
    "name": or_null(text),
    "status": text,
    "visibility": like("private|shared|community|public"),
    "owner": HEX32,
    "protected": truth,
    "os_hidden": truth,
    "container_format": or_null(text),
    "disk_format": or_null(text),
    "min_disk": whole,
    "min_ram": whole,
    "size": or_null(whole),
    "virtual_size": or_null(whole),
    "checksum": or_null(HEX32),
    "os_hash_algo": or_null(like("sha512")),
    "os_hash_value": or_null(like("[0-9a-f]{128}")),
    "tags": texts,
    "created_at": SECONDS,
    "updated_at": SECONDS,
    "self": like(r"/v2/images/[0-9a-f-]{36}"),
    "file": like(r"/v2/images/[0-9a-f-]{36}/file"),
    "schema": like("/v2/schemas/image"),
}
JOB: dict[str, Check] = {
    "status": like("INIT|RUNNING|SUCCESS|FAIL"),
    "job_id": HEX32,
    "job_type": text,
    "begin_time": MILLISECONDS,
    "end_time": or_null(MILLISECONDS),
    "error_code": or_null(like(r"IMG\.\d{4}")),
    "fail_reason": or_null(like(r"[A-Z_]+: .{1,500}")),
    "entities": lambda value: isinstance(value, dict),
}
ENTITIES: dict[str, Check] = {
    "image_id": UUID,
    "image_name": text,
    "current_task": text,
    "process_percent": number,
    "sub_job_id": HEX32,
    "sub_jobs_result": lambda value: isinstance(value, list),
    "sub_jobs_list": texts,
    "results": lambda value: isinstance(value, list),
    "error_code": like(r"IMG\.\d{4}"),
    "error": text,
}
NEVER_SHOWN = {"locations", "direct_url", "deleted", "deleted_at", "__image_location"}


def check_ims(image: Mapping[str, Any]) -> None:
    """Fail unless an image of the IMS dialect has exactly documented members and types."""
    _check(image, IMS_ALWAYS, IMS_SOMETIMES, _ims_extra)


def check_native(image: Mapping[str, Any]) -> None:
    """Fail unless an image of the native dialect has its base members, and strings beside them."""
    _check(image, NATIVE_ALWAYS, {"stores": text}, lambda name: name not in NEVER_SHOWN)


def check_job(job: Mapping[str, Any]) -> None:
    """Fail unless a job's body, its entities and its sub jobs have their types."""
    _check(job, JOB, {}, lambda name: False)
    _check(job["entities"], {}, ENTITIES, lambda name: False)
    for sub in job["entities"].get("sub_jobs_result", []):
        check_job(sub)


def _ims_extra(name: str) -> bool:
    """Tell whether a member may be a support flag or an extension attribute."""
    return name.startswith("__support_") or not name.startswith(("__", "_sys_", "os_glance_"))


def _check(
    found: Mapping[str, Any],
    always: Mapping[str, Check],
    sometimes: Mapping[str, Check],
    extra: Callable[[str], bool],
) -> None:
    wrong = [f"{name} is missing" for name in always if name not in found]
    for name, value in found.items():
        check = always.get(name) or sometimes.get(name)
        if check is None:
            check = text if extra(name) and name not in NEVER_SHOWN else lambda value: False
        if not check(value):
            wrong.append(f"{name} is {value!r}")
    assert not wrong, wrong
