# SPDX-License-Identifier: Apache-2.0
"""Identifiers: how each kind is made, recognised and normalised (contract values.md, section 1)."""

from __future__ import annotations

import re
import secrets
import time
import uuid

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_HEX32 = re.compile(r"[0-9a-fA-F]{32}\Z")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(high + low for high in _CROCKFORD for low in _CROCKFORD)
_SHIFTS = range(120, -1, -10)


def new_uuid() -> str:
    """Return a random dashed UUID in lower case (images, blobs, enterprise projects)."""
    return str(uuid.uuid4())


def new_hex() -> str:
    """Return 32 random lower-case hex digits (accounts, users, projects, jobs)."""
    return secrets.token_hex(16)


def new_ulid() -> str:
    """Return a 26 character id that sorts by its time of making (decisions, audit records)."""
    value = (int(time.time() * 1000) << 80) | secrets.randbits(80)
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in _SHIFTS])


def image_id(text: str) -> str | None:
    """Return the lower-case dashed UUID, or None when `text` is none."""
    return text.lower() if _UUID.match(text) else None


def project_id(text: str) -> str | None:
    """Return 32 lower-case hex digits for either form of a project id, or None."""
    if _HEX32.match(text):
        return text.lower()
    return text.replace("-", "").lower() if _UUID.match(text) else None


def enterprise_project_id(text: str) -> str | None:
    """Return `0` or the lower-case dashed UUID, or None."""
    return "0" if text == "0" else image_id(text)


def job_id(text: str) -> str | None:
    """Return 32 lower-case hex digits, or None."""
    return text.lower() if _HEX32.match(text) else None
