# SPDX-License-Identifier: Apache-2.0
"""Checks of single fields, each with the code of its table (contract values.md and ims.md C6).

Every function takes the field's name and value, returns the value as the core wants it, and raises
IMSRefusal naming field, value and what is allowed. `None` and absence are the same (ims.md C2).
Text that is no Unicode (half of a surrogate pair, which JSON can spell) is refused everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from calotype import ids
from calotype.api.ims.refusal import IMSRefusal, refuse

MALFORMED = "IMG.0001"
NAME = re.compile(r"(?! )[A-Za-z0-9._ \u4E00-\u9FFF-]{1,128}(?<! )\Z")
NAME_LIMIT = 128
DESCRIPTION_LIMIT = 1024
NOT_IN_DESCRIPTION = re.compile(r"[\x00-\x1f\x7f<>\u202A-\u202E\u2066-\u2069]")
TAG = re.compile(r"[A-Za-z0-9_-]{1,36}(?:[.=][A-Za-z0-9_-]{0,43})?\Z")
TAG_KEY_LIMIT = 36
TAG_VALUE_LIMIT = 43
NOT_IN_PAIR = re.compile(r"[=*<>\\,|/\x00-\x1f\x7f]")
INTEGER_LIMIT = 2147483647
OS_TYPES = ("Linux", "Windows", "Other")
FIRMWARE = ("bios", "uefi")
ARCHITECTURES = ("x86", "arm")
SUPPORT_FLAGS = (
    "__support_kvm",
    "__support_xen",
    "__support_largememory",
    "__support_diskintensive",
    "__support_highperformance",
    "__support_xen_hana",
    "__support_kvm_infiniband",
    "__support_amd",
    "__support_fc_inject",
    "__support_kvm_hi1822_hisriov",
    "__support_kvm_hi1822_hivirtionet",
    "__support_arm",
)
_HALF_PAIR = re.compile("[\ud800-\udfff]")

Pair = tuple[str, str]


def text(field: str, value: object) -> str | None:
    """Return an optional string."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise refuse(MALFORMED, field, value, "it must be a string")
    if _HALF_PAIR.search(value):
        raise IMSRefusal(MALFORMED, f"{field}: the text is not Unicode", field=field)
    return value


def boolean(field: str, value: object, *, default: bool = False) -> bool:
    """Return an optional boolean."""
    if value is None:
        return default
    if not isinstance(value, bool):
        raise refuse(MALFORMED, field, value, "it must be true or false")
    return value


def array(field: str, value: object) -> list[object]:
    """Return an optional array; an absent one is empty."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise refuse(MALFORMED, field, value, "it must be an array")
    return value


def word(field: str, value: object, allowed: Sequence[str], code: str) -> str | None:
    """Return an optional word out of `allowed`, compared with case; `""` counts as absent (M24)."""
    found = text(field, value) or None
    if found is not None and found not in allowed:
        raise refuse(code, field, found, f"allowed: {', '.join(allowed)}")
    return found


def integer(field: str, value: object, low: int, high: int, code: str) -> int:
    """Return a JSON integer between `low` and `high`; numbers with a point are none."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise refuse(code, field, value, f"it must be an integer from {low} to {high}")
    return value


def size(field: str, value: object) -> int | None:
    """Return an optional integer without a range: a memory or disk size that another kind has."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise refuse("IMG.0055", field, value, "it must be an integer")
    return value


def name(value: object, field: str = "name") -> str:
    """Return an image name (values.md 2)."""
    found = text(field, value)
    if not found:
        raise IMSRefusal("IMG.0013", f"{field} is missing", field=field)
    if len(found) > NAME_LIMIT:
        raise IMSRefusal(
            "IMG.0002",
            f"{field} has {len(found)} characters; at most {NAME_LIMIT} are allowed",
            field=field,
        )
    if not NAME.match(found):
        raise refuse(
            "IMG.0003",
            field,
            found,
            "letters, digits, CJK, '-', '.', '_' and inner spaces are allowed",
        )
    return found


def description(value: object, field: str = "description") -> str | None:
    """Return a description; an empty one is kept (values.md 2)."""
    found = text(field, value)
    if found is None:
        return None
    if len(found) > DESCRIPTION_LIMIT:
        raise IMSRefusal(
            "IMG.0004",
            f"{field} has {len(found)} characters; at most {DESCRIPTION_LIMIT} are allowed",
            field=field,
        )
    if NOT_IN_DESCRIPTION.search(found):
        raise refuse("IMG.0054", field, found, "no line breaks, control characters, '<' or '>'")
    return found


def enterprise_project(value: object, field: str = "enterprise_project_id") -> str:
    """Return the id of one enterprise project, `0` by default (ims.md C6)."""
    found = text(field, value)
    if not found:
        return "0"
    normal = ids.enterprise_project_id(found)
    if normal is None:
        raise refuse("IMG.0155", field, found, "it must be 0 or a UUID")
    return normal


def uuid(field: str, value: object, code: str) -> str | None:
    """Return an optional dashed UUID in lower case."""
    found = text(field, value)
    if found is None:
        return None
    normal = ids.image_id(found)
    if normal is None:
        raise refuse(code, field, found, "it must be a UUID")
    return normal


def string_tag(value: object, field: str) -> Pair:
    """Return the pair of a string-form tag (values.md 3)."""
    if not isinstance(value, str):
        raise refuse(MALFORMED, field, value, "it must be a string")
    if not TAG.match(value):
        raise refuse("IMG.0115", field, value, "key or key=value, letters, digits, '_' and '-'")
    key, *content = re.split(r"[.=]", value, maxsplit=1)
    return key, content[0] if content else ""


def pair_tag(value: object, field: str) -> Pair:
    """Return the pair of a key/value tag, trimmed (values.md 3)."""
    if not isinstance(value, dict):
        raise refuse(MALFORMED, field, value, "it must be an object of key and value")
    key, content = (
        text(f"{field}.key", value.get("key")),
        text(f"{field}.value", value.get("value")),
    )
    if key is None or content is None or len(value) > 2:
        raise refuse("IMG.0115", field, value, "it must be an object of exactly key and value")
    key, content = key.strip(" "), content.strip(" ")
    good = 1 <= len(key) <= TAG_KEY_LIMIT and len(content) <= TAG_VALUE_LIMIT
    if not good or NOT_IN_PAIR.search(key) or NOT_IN_PAIR.search(content):
        raise refuse(
            "IMG.0115",
            field,
            value,
            f"key of 1 to {TAG_KEY_LIMIT} and value of 0 to {TAG_VALUE_LIMIT} characters without"
            r" = * < > \ , | / and control characters",
        )
    return key, content


def tags(body: dict[str, object], limit: int, prefix: str = "") -> list[Pair]:
    """Return the tags of a creation out of `tags` or `image_tags` (ims.md C6)."""
    strings = _tag_list(body, "tags", limit, prefix)
    pairs = _tag_list(body, "image_tags", limit, prefix)
    if strings and pairs:
        raise IMSRefusal(
            "IMG.0115",
            f"{prefix}tags and {prefix}image_tags exclude each other",
            field=f"{prefix}image_tags",
        )
    return strings or pairs


def _tag_list(body: dict[str, object], field: str, limit: int, prefix: str) -> list[Pair]:
    place = prefix + field
    read = string_tag if field == "tags" else pair_tag
    found = [
        read(item, f"{place}[{index}]") for index, item in enumerate(array(place, body.get(field)))
    ]
    seen: set[str] = set()
    for key, _ in found:
        if key in seen:
            raise refuse("IMG.0115", place, key, "a key may occur once")
        seen.add(key)
    if len(found) > limit:
        raise IMSRefusal(
            "IMG.0116", f"{place}: {len(found)} tags; at most {limit} are allowed", field=place
        )
    return found
