# SPDX-License-Identifier: Apache-2.0
"""The object that an import reads: what is known of it, and the cheap look before acceptance.

Nothing is promised that a look at size, first and last bytes refutes (ims.md, create; values.md
11). The version that was looked at is the version that is imported: its etag is pinned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from calotype.buckets.objects import OpenBucket
from calotype.buckets.room import BucketRoom, head_and_tail
from calotype.disks.formats import FORMATS, Format, by_extension
from calotype.disks.inspect import LOOK_HEAD, LOOK_TAIL, Look, look
from calotype.errors import BadImage, Conflict, Invalid, NotFound, Reason, TooLarge
from calotype.flows.unpack import check_begin

GIB = 1 << 30
NO_CLAIM = "img"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An object to import. `extension` is a claim, `img` is none; `checksum` of it as stored.

    `size` and `etag` are known once it was looked at.
    """

    bucket: str
    key: str
    extension: str
    compression: str | None = None
    checksum: str | None = None  # sha256:<hex> or sha512:<hex>
    size: int = 0
    etag: str = ""

    @property
    def claim(self) -> Format | None:
        """The format that the name claims."""
        return by_extension(self.extension)

    def document(self) -> dict[str, Any]:
        """Return it as JSON for the job's row."""
        return asdict(self)


def from_document(document: Mapping[str, Any]) -> Source:
    """Return the source of a job's row."""
    return Source(**document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an import makes of its source.

    `format`: the stored form. `min_disk` in GiB, None when nothing is compared (ISO, register
    without one). `byte_limit`: bytes of the file. `disk_rule`: the rule of a disk that is larger
    than `min_disk`. `only`: the one format that content may have, else any disk format.
    """

    format: Format
    byte_limit: int
    min_disk: int | None = None
    disk_rule: str = "disk_too_small"
    only: Format | None = None

    def check_format(self, found: Format) -> None:
        """Raise BadImage when content is not what this import makes images of."""
        if self.only is not None:
            if found != self.only:
                text = f"the content is {found}, not {self.only}"
                raise BadImage(Reason.FORMAT_MISMATCH, text)
        elif found in (Format.ISO, Format.OVA) or not FORMATS[found].importable:
            raise BadImage(Reason.FORMAT_MISMATCH, f"the content is {found} and no disk")

    def is_too_small(self, virtual_size: int) -> bool:
        """Tell whether a disk of so many bytes does not fit into `min_disk`."""
        return self.min_disk is not None and virtual_size > self.min_disk * GIB

    def document(self) -> dict[str, Any]:
        """Return it as JSON for the job's row."""
        return asdict(self)


def wanted_from(document: Mapping[str, Any]) -> Wanted:
    """Return what the job of a row makes."""
    only = document["only"]
    return Wanted(
        format=Format(document["format"]),
        byte_limit=document["byte_limit"],
        min_disk=document["min_disk"],
        disk_rule=document["disk_rule"],
        only=None if only is None else Format(only),
    )


def examine(buckets: BucketRoom, account_id: str, source: Source, wanted: Wanted) -> Source:
    """Look at an object before anything is promised; return the source with size and etag.

    Raises, in this order: Invalid `bucket_not_accessible`, `object_key`; Invalid `source_missing`,
    BadImage EMPTY; TooLarge `source_too_large`; BadImage for its first and last bytes; Invalid
    with the rule of `wanted` when its disk is larger than `min_disk`.
    """
    bucket = open_for(buckets, account_id, source.bucket)
    fact = bucket.stat(source.key)
    if fact is None:
        raise _missing(source)
    if fact.size == 0:
        raise BadImage(Reason.EMPTY, "the object is empty")
    if fact.size > wanted.byte_limit:
        raise TooLarge(
            f"the object has {fact.size} bytes; at most {wanted.byte_limit} are allowed",
            rule="source_too_large",
            limit=wanted.byte_limit,
            value=fact.size,
        )
    found = _look(bucket, source, fact.size, fact.etag)
    if found is not None:
        wanted.check_format(found.format)
        if found.virtual_size is not None and wanted.is_too_small(found.virtual_size):
            raise too_small(found.virtual_size, wanted)
    return Source(**(asdict(source) | {"size": fact.size, "etag": fact.etag}))


def open_for(buckets: BucketRoom, account_id: str, name: str) -> OpenBucket:
    """Open a bucket for a submission. Raises Invalid (`bucket_not_accessible`)."""
    try:
        return buckets.open(account_id, name)
    except NotFound as error:
        raise Invalid(error.message, rule=error.rule, field="bucket", value=name) from None


def too_small(virtual_size: int, wanted: Wanted) -> Invalid:
    """Return the error for a disk that is larger than `min_disk`."""
    return Invalid(
        f"min_disk: {wanted.min_disk} GB is less than the disk's virtual size of"
        f" {-(-virtual_size // GIB)} GB",
        rule=wanted.disk_rule,
        field="min_disk",
        value=wanted.min_disk,
        virtual_size=virtual_size,
    )


def _look(bucket: OpenBucket, source: Source, size: int, etag: str) -> Look | None:
    """Look at the ends of an object; None when a compressed one hides what it is."""
    try:
        head, tail = head_and_tail(bucket, source.key, size, (LOOK_HEAD, LOOK_TAIL), etag)
    except NotFound:
        raise _missing(source) from None
    except Conflict:
        text = "the object is being replaced; try again"
        raise Invalid(text, rule="source_changed", field="image_url") from None
    if source.compression is not None:
        check_begin(source.compression, head)
        return None
    return look(head, tail, size, source.claim)


def _missing(source: Source) -> Invalid:
    return Invalid(
        f"image_url: {source.bucket}:{source.key} does not exist, or it cannot be read",
        rule="source_missing",
        field="image_url",
        value=f"{source.bucket}:{source.key}",
    )
