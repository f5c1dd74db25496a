# SPDX-License-Identifier: Apache-2.0
"""`image_url`, `bucket_url`: `<bucket>:<object>` and its extension (values.md 10 and 11)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from calotype.api.ims import fields
from calotype.api.ims.refusal import IMSRefusal, refuse

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
SEGMENT = re.compile(r"[A-Za-z0-9._\u4E00-\u9FFF-]+\Z")
SEGMENT_LIMIT = 128
KEY_LIMIT = 1024  # bytes
COMPRESSIONS = ("gz", "bz2", "xz", "zst")
DISKS = ("raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "qed", "qcow", "img")
QUICK = ("raw", "img")
UNPUBLISHED = ("zvhd", "zvhd2")


@dataclass(frozen=True, slots=True)
class ObjectAddress:
    """An object in a user bucket. `extension` is the format claim, `compression` one layer."""

    bucket: str
    key: str
    extension: str = ""
    compression: str | None = None


def source(
    value: object, allowed: Sequence[str] = DISKS, *, field: str = "image_url"
) -> ObjectAddress:
    """Read the address of a file to import; its extension must be one of `allowed`."""
    bucket, key = _split(value, field, "IMG.0075")
    extension, compression = claim(key)
    if extension not in allowed:
        why = (
            "an unpublished format that this deployment cannot read"
            if extension in UNPUBLISHED
            else "no extension that is possible here"
        )
        words = ", ".join(allowed)
        raise IMSRefusal(
            "IMG.0072",
            f"{field}: {value!s:.80} has {why}; allowed: {words}",
            field=field,
            allowed=words,
        )
    return ObjectAddress(bucket, key, extension, compression)


def target(value: object, *, field: str = "bucket_url") -> ObjectAddress:
    """Read the address of a file to write."""
    return ObjectAddress(*_split(value, field, "IMG.0073"))


def claim(key: str) -> tuple[str, str | None]:
    """Return what the name of an object says: extension in lower case, compression if any."""
    stem, *parts = key.rsplit("/", 1)[-1].lower().split(".")
    del stem
    compression = parts.pop() if len(parts) > 1 and parts[-1] in COMPRESSIONS else None
    return parts[-1] if parts else "", compression


def _split(value: object, field: str, missing_code: str) -> tuple[str, str]:
    address = fields.text(field, value)
    if not address:
        raise IMSRefusal("IMG.0068", f"{field} is missing; give <bucket>:<object>", field=field)
    bucket, colon, key = address.partition(":")
    if not colon or not bucket:
        raise refuse("IMG.0068", field, value, "it must be <bucket>:<object>")
    _check_bucket(bucket, field)
    if not key:
        raise refuse(missing_code, field, value, "an object name must follow the colon")
    if len(key.rsplit("/", 1)[-1]) > SEGMENT_LIMIT or len(key.encode()) > KEY_LIMIT:
        raise IMSRefusal(
            "IMG.0074",
            f"{field}: the object name is too long; at most {SEGMENT_LIMIT} characters after the"
            f" last slash and {KEY_LIMIT} bytes in all",
            field=field,
        )
    if " " in key:
        raise refuse("IMG.0175", field, value, "no spaces in folder and file names")
    for segment in key.split("/"):
        if segment in ("", ".", "..") or not SEGMENT.match(segment):
            raise refuse(
                "IMG.0075", field, value, "segments of letters, digits, CJK, '-', '.' and '_'"
            )
    return bucket, key


def _check_bucket(bucket: str, field: str) -> None:
    bad = not BUCKET.match(bucket) or any(pair in bucket for pair in ("..", ".-", "-."))
    if not bad:
        try:
            ipaddress.IPv4Address(bucket)
        except ValueError:
            return
    raise refuse(
        "IMG.0109", field, bucket, "a bucket name has 3 to 63 lower-case letters, digits, '-', '.'"
    )
