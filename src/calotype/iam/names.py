# SPDX-License-Identifier: Apache-2.0
"""Grammars of names, descriptions and passwords (contract iam.md 1, 6.4).

Each function returns what to store or raises Invalid with the field, the value and what is allowed.
A refused password is never part of a message.
"""

from __future__ import annotations

import re
import unicodedata

from calotype.errors import Invalid

_PERSON = re.compile(r"[A-Za-z _.-][A-Za-z0-9 _.-]{0,63}\Z")
_GROUP = re.compile(r"[A-Za-z0-9 _.-]{1,128}\Z")
_PROJECT_SUFFIX = re.compile(r"[A-Za-z0-9_-]{1,48}\Z")
_ENTERPRISE_PROJECT = re.compile(r"[A-Za-z0-9_\u4e00-\u9fff-]{1,255}\Z")
_DESCRIPTION = 255
_PASSWORD = (6, 128)

PERSON_RULE = "1 to 64 letters, digits, spaces and - _ ., not starting with a digit"


def person(value: str, field: str) -> str:
    """Check the name of a user, an account or an agency."""
    if not _PERSON.match(value) or value != value.strip():
        raise _wrong(field, value, PERSON_RULE)
    return value


def group(value: str, field: str) -> str:
    """Check the name of a group."""
    if not _GROUP.match(value) or value != value.strip():
        raise _wrong(field, value, "1 to 128 letters, digits, spaces and - _ .")
    return value


def project(value: str, field: str, region: str) -> str:
    """Check the name of a further project: `<region>_<suffix>`."""
    start = f"{region}_"
    if not value.startswith(start) or not _PROJECT_SUFFIX.match(value.removeprefix(start)):
        raise _wrong(field, value, f"{start}<suffix> with 1 to 48 letters, digits and - _")
    if len(value) > 64:
        raise _wrong(field, value, "at most 64 characters")
    return value


def enterprise_project(value: str, field: str) -> str:
    """Check the name of an enterprise project; `default` in any casing is the built-in one."""
    if not _ENTERPRISE_PROJECT.match(value):
        allowed = "1 to 255 letters, digits, Chinese characters and - _"
        raise _wrong(field, value, allowed, "name_form")
    if value.casefold() == "default":
        allowed = "any name but `default`, which is the built-in one"
        raise _wrong(field, value, allowed, "name_form")
    return value


def policy(value: str, field: str) -> str:
    """Check the display name of a custom policy."""
    if not 1 <= len(value) <= 128 or value != value.strip() or _has_control(value):
        raise _wrong(field, value, "1 to 128 characters, no control characters, no outer spaces")
    return value


def description(value: str, field: str, limit: int = _DESCRIPTION) -> str:
    """Check a description: no control characters but line breaks."""
    if len(value) > limit or _has_control(value.replace("\n", "").replace("\r", "")):
        allowed = f"at most {limit} characters, no control characters"
        raise _wrong(field, value, allowed, "description_form")
    return value


def password(value: str, field: str, user_name: str) -> str:
    """Check a new password."""
    low, high = _PASSWORD
    if not low <= len(value) <= high or _has_control(value):
        raise Invalid(
            f"{field}: the password must have {low} to {high} characters, no control characters",
            rule="field_wrong",
            field=field,
        )
    if value.casefold() in (user_name.casefold(), user_name[::-1].casefold()):
        raise Invalid(
            f"{field}: the password must not be the user's name", rule="field_wrong", field=field
        )
    return value


def _has_control(value: str) -> bool:
    return any(unicodedata.category(character) == "Cc" for character in value)


def _wrong(field: str, value: str, allowed: str, rule: str = "field_wrong") -> Invalid:
    shown = value if len(value) <= 60 else f"{value[:60]}…"
    return Invalid(
        f"{field}: {shown!r} is not allowed; {allowed}",
        rule=rule,
        field=field,
        value=shown,
        allowed=allowed,
    )
