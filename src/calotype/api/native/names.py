# SPDX-License-Identifier: Apache-2.0
"""Which attribute names the native dialect takes, ignores or refuses (native.md 7, 8, 12).

The gate has refused most of them before a handler runs (iam.md 4.1, step 6a); the same rule stands
here because a handler must not depend on it.
"""

from __future__ import annotations

from enum import Enum, auto

from calotype.api.native.fields import BASE, FLAGS, GPU_TYPES
from calotype.errors import ReadOnly

READ_ONLY = frozenset(
    "id status size virtual_size checksum os_hash_algo os_hash_value created_at updated_at self"
    " file schema stores direct_url".split()
)
RESERVED = frozenset({"location", "locations", "deleted", "deleted_at"})
SYSTEM_READ_ONLY = frozenset(
    "__imagetype __isregistered __image_source_type __image_size __os_type __os_bit __platform"
    " __data_origin __root_origin __originalimagename __backup_id __whole_image __system__cmkid"
    " __support_arm __lazyloading __sequence_num __account_code __productcode __is_offshelved"
    " __system_support_market __image_displayname __support_agent_list active_at"
    " virtual_env_type enterprise_project_id _sys_enterprise_project_id".split()
)
SYSTEM_WRITABLE = (
    frozenset(
        "__os_version __description max_ram hw_firmware_type hw_vif_multiqueue_enabled"
        " os_shutdown_timeout".split()
    )
    | FLAGS
    | GPU_TYPES
)
AT_CREATION_ONLY = "__os_feature_list"


class Kind(Enum):
    """What a name is."""

    BASE = auto()
    SYSTEM = auto()  # of the service, writable natively
    DROPPED = auto()  # of the service, read-only
    CUSTOM = auto()


def kind(name: str) -> Kind:
    """Return what a name is. Raises ReadOnly for reserved names and base ones of the service."""
    if name in BASE:
        return Kind.BASE
    if name in READ_ONLY:
        raise ReadOnly(f"Attribute '{name}' is read-only.", rule="read_only_attribute", field=name)
    if name in RESERVED or name.startswith("os_glance_"):
        raise _reserved(name)
    if name in SYSTEM_READ_ONLY:
        return Kind.DROPPED
    if name in SYSTEM_WRITABLE or name == AT_CREATION_ONLY:
        return Kind.SYSTEM
    if name.startswith(("__", "_sys_")):
        raise _reserved(name)
    return Kind.CUSTOM


def _reserved(name: str) -> ReadOnly:
    return ReadOnly(f"Attribute '{name}' is reserved.", rule="read_only_attribute", field=name)
