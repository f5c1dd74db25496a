# SPDX-License-Identifier: Apache-2.0
"""Typed errors of the core.

Each class is one kind of refusal and each instance carries a stable `rule` word, a sentence that
names the field, the value and what is allowed, and facts as data. No class knows a status code or
a wire code: `contract/errors.yaml` maps rule and class to each dialect's answer, in one place.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Verdict words for refused content (security contract, section 2)."""

    FORMAT_MISMATCH = "FORMAT_MISMATCH"
    FORMAT_AMBIGUOUS = "FORMAT_AMBIGUOUS"
    FORMAT_UNSUPPORTED = "FORMAT_UNSUPPORTED"
    BACKING_FILE = "BACKING_FILE"
    EXTERNAL_DATA = "EXTERNAL_DATA"
    CORRUPT = "CORRUPT"
    TRUNCATED = "TRUNCATED"
    EMPTY = "EMPTY"
    SIZE_LIMIT = "SIZE_LIMIT"
    EXPANSION_LIMIT = "EXPANSION_LIMIT"
    ENCRYPTED = "ENCRYPTED"
    SNAPSHOTS = "SNAPSHOTS"
    ARCHIVE_UNSAFE = "ARCHIVE_UNSAFE"
    ARCHIVE_LIMIT = "ARCHIVE_LIMIT"
    MANIFEST_MISMATCH = "MANIFEST_MISMATCH"
    DESCRIPTOR_UNSAFE = "DESCRIPTOR_UNSAFE"
    CHECKSUM_MISMATCH = "CHECKSUM_MISMATCH"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    SOURCE_FORBIDDEN = "SOURCE_FORBIDDEN"
    QUOTA = "QUOTA"


class CalotypeError(Exception):
    """Base of every expected refusal. `rule` is stable; `message` is for people."""

    default_rule = "error"

    def __init__(self, message: str, *, rule: str | None = None, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.rule = rule or self.default_rule
        self.facts = facts


class Invalid(CalotypeError):
    """A field or parameter is wrong. Facts: `field`, `value`, `allowed` where they are known."""

    default_rule = "invalid"


class Malformed(Invalid):
    """The body as a whole cannot be read: no JSON, wrong top-level type, duplicate keys, depth."""

    default_rule = "body_malformed"


class Unauthenticated(CalotypeError):
    """No usable credential. `rule` is `signature` for a refused AK/SK signature."""

    default_rule = "unauthenticated"


class NotAllowed(CalotypeError):
    """The permission gate or a relation refused. Facts: `reason`, `action`, `decision_id`."""

    default_rule = "not_allowed"


class ReadOnly(CalotypeError):
    """A reserved, read-only or protected thing was to be changed."""

    default_rule = "read_only_attribute"


class NotFound(CalotypeError):
    """The addressed thing does not exist or is not visible. Facts: `kind`, `id`."""

    default_rule = "not_found"


class Conflict(CalotypeError):
    """The change contradicts what is stored (duplicate id, a running job)."""

    default_rule = "conflict"


class WrongState(Conflict):
    """The addressed image or job is in a state that does not permit the operation."""

    default_rule = "wrong_state"


class Gone(CalotypeError):
    """The image was deleted while it was being worked on."""

    default_rule = "gone"


class QuotaExceeded(CalotypeError):
    """A quota of count or bytes. Facts: `quota`, `limit`, `used`."""

    default_rule = "quota"


class TooLarge(CalotypeError):
    """A body or an image larger than its limit. Facts: `limit`, `value`."""

    default_rule = "too_large"


class WrongMediaType(CalotypeError):
    """The Content-Type is none that the operation takes."""

    default_rule = "media_type"


class BadImage(CalotypeError):
    """Content was refused. `reason` is the verdict word; the text names no path, no inner name."""

    default_rule = "bad_image"

    def __init__(self, reason: Reason, message: str, **facts: object) -> None:
        super().__init__(message, rule=self.default_rule, **facts)
        self.reason = reason


class RangeNotSatisfiable(CalotypeError):
    """A byte range lies outside the image. Facts: `size` in bytes."""

    default_rule = "range"


class Unsupported(CalotypeError):
    """Well formed, but this deployment has no backend or has switched the feature off."""

    default_rule = "unsupported"


class Unavailable(CalotypeError):
    """A part of the service cannot be used now: storage full or away, too many uploads."""

    default_rule = "unavailable"


class ProgramFailed(CalotypeError):
    """An external program ended wrongly. `how`: exit, signal, timeout, limit or missing."""

    default_rule = "program_failed"

    def __init__(self, message: str, *, how: str, **facts: object) -> None:
        super().__init__(message, rule=self.default_rule, **facts)
        self.how = how


class Cancelled(CalotypeError):
    """The job was asked to end."""

    default_rule = "cancelled"
