# SPDX-License-Identifier: Apache-2.0
"""`image_url`, `bucket_url`: `<bucket>:<object>` and its extension (values.md 10 and 11)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from calotype.api.ims.refusal import IMSRefusal, refuse

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
SEGMENT = re.compile(r"[A-Za-z0-9._\u4E00-\u9FFF-]+\Z")
COMPRESSIONS = ("gz", "bz2", "xz", "zst")
IMPORTABLE = ("raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "qed", "qcow", "img")
UNPUBLISHED = ("zvhd", "zvhd2")
KNOWN = "raw, qcow2, vmdk, vhd, vhdx, vdi, qed, qcow, img, iso, ova"


@dataclass(frozen=True, slots=True)
class ObjectAddress:
    """An object in a user bucket. `extension` is the format claim, `compression` one layer."""

    bucket: str
    key: str
    extension: str = ""
    compression: str | None = None


def source(value: object, *, field: str = "image_url") -> ObjectAddress:
    """Read the address of a file to import; its extension decides the kind."""
    bucket, key = _split(value, field, "IMG.0075")
    parts = key.rsplit("/", 1)[-1].lower().split(".")
    compression = parts.pop() if len(parts) > 2 and parts[-1] in COMPRESSIONS else None
    extension = parts[-1] if len(parts) > 1 else ""
    if extension not in (*IMPORTABLE, "iso", "ova"):
        why = (
            "an unpublished format that this deployment cannot read"
            if extension in UNPUBLISHED
            else "no known extension"
        )
        raise IMSRefusal(
            "IMG.0072",
            f"{field}: {value!s:.80} has {why}; allowed: {KNOWN}",
            field=field,
            allowed=KNOWN,
        )
    return ObjectAddress(bucket, key, extension, compression)


def target(value: object, *, field: str = "bucket_url") -> ObjectAddress:
    """Read the address of a file to write."""
    return ObjectAddress(*_split(value, field, "IMG.0073"))


def _split(value: object, field: str, missing_code: str) -> tuple[str, str]:
    if value is not None and not isinstance(value, str):
        raise refuse("IMG.0001", field, value, "it must be a string")
    bucket, colon, key = (value or "").partition(":")
    if not colon or not bucket:
        raise refuse("IMG.0068", field, value, "it must be <bucket>:<object>")
    _check_bucket(bucket, field)
    if not key:
        raise refuse(missing_code, field, value, "an object name must follow the colon")
    if len(key.rsplit("/", 1)[-1]) > 128 or len(key.encode()) > 1024:
        raise IMSRefusal(
            "IMG.0074",
            f"{field}: the object name is too long; at most 128 characters after the last slash "
            "and 1024 bytes in all",
            field=field,
        )
    if re.search(r"\s", key):
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
