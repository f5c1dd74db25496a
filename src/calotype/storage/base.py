# SPDX-License-Identifier: Apache-2.0
"""What a store of bytes promises: whole or nothing, durable on return, never overwritten.

Stores are synchronous and run in worker threads; streams cross them in blocks of at most 1 MiB.
They know names, not images. Our own names are made by us alone (blob ids, job id + attempt) and
keep to one grammar; keys of attached user buckets are opaque text that reaches the library as it
is (security contract N3). Error texts carry no name, path, bucket, endpoint or credential.
"""

from __future__ import annotations

import errno
import os
import re
import stat as modes
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from calotype.errors import Conflict, Invalid, NotFound, RangeNotSatisfiable, Unavailable

BLOCK = 1 << 20
"""Largest block that a read hands over, in bytes."""

# Non-blocking, because opening a FIFO somebody left there would otherwise wait for ever.
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NAME_LIMIT = 400
KEY_LIMIT = 1024
_SEGMENT_LIMIT = 255  # what file systems take for one name
_NAME = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*\Z")
_PREFIX = re.compile(r"[A-Za-z0-9._/-]*\Z")


@dataclass(frozen=True, slots=True)
class Stat:
    """One stored object. `size` in bytes; `etag` changes whenever the bytes under a name change."""

    name: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """What `calotype check` tells about a store.

    `problem` is None when all is well. Sizes are bytes, None where the store does not tell.
    `honours_absent`: a put "only if absent" is refused when the name exists;
    `honours_match`: a read "only this version" is refused when another one is there.
    """

    kind: str
    writable: bool
    problem: str | None
    free: int | None = None
    reserve: int | None = None
    honours_absent: bool | None = None
    honours_match: bool | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """How an S3 store is reached. `endpoint` None means the vendor's own for the region."""

    endpoint: str | None = field(repr=False)
    region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)


class Store(Protocol):
    """Where bytes live. Every method may raise Unavailable: `store_full` or `store_away`."""

    def put(self, name: str, source: Path, *, move: bool = False) -> Stat:
        """Store the bytes of the file `source` under `name`; durable when it returns.

        `move` gives the file to the store: it is gone afterwards, and not copied where that can be
        avoided. Raises Conflict (`name_taken`) when the name exists, NotFound (`source_missing`).
        """
        ...

    def read(
        self, name: str, start: int = 0, length: int | None = None, *, etag: str | None = None
    ) -> Generator[bytes, None, None]:
        """Return the bytes from `start` (to the end, or at most `length`) in blocks up to 1 MiB.

        The object is looked for before this returns: NotFound; RangeNotSatisfiable (fact `size`)
        when `start` lies past the end. With `etag` only that version is read: Conflict
        (`source_changed`) otherwise, also after the last block when it changed meanwhile.
        `close()` of the generator frees the connection or descriptor early.
        """
        ...

    def open(self, name: str) -> int | None:
        """Return a read-only descriptor, the caller's to close; None when bytes are not local."""
        ...

    def stat(self, name: str) -> Stat | None:
        """Return size and version, or None when the name does not exist."""
        ...

    def delete(self, name: str) -> bool:
        """Remove the object; False when there was none. Running reads of local files go on."""
        ...

    def list(self, prefix: str = "") -> Iterator[Stat]:
        """Yield every object whose name begins with `prefix`, without holding them all."""
        ...

    def check(self) -> StoreCheck:
        """Try the store with a small object of its own and say what was found; never raises."""
        ...

    def sweep(self, older_than: timedelta) -> int:
        """Remove what broken puts left behind, when older than that; return how many."""
        ...


def own_name(name: str) -> str:
    """Return `name`, or raise Invalid when it is none that this service makes."""
    if len(name) <= NAME_LIMIT and _NAME.match(name):
        segments = name.split("/")
        if all(s not in (".", "..") and len(s) <= _SEGMENT_LIMIT for s in segments):
            return name
    raise Invalid(
        "A stored name is 1 to 400 characters of A-Z a-z 0-9 . _ - in segments joined by /.",
        rule="store_name",
        field="name",
    )


def own_prefix(prefix: str) -> str:
    """Return `prefix`, or raise Invalid when no own name can begin with it."""
    segments = prefix.split("/")
    inner = segments[:-1]
    if len(prefix) > NAME_LIMIT or not _PREFIX.match(prefix) or {"", ".", ".."} & set(inner):
        raise Invalid("No stored name begins like this.", rule="store_name", field="prefix")
    return prefix


def object_key(key: str) -> str:
    """Return the key of a user's object, or raise Invalid.

    Opaque UTF-8 of 1 to 1024 bytes without control characters. Refused besides: empty, `.` and
    `..` segments and a slash at either end, because the S3 library would rewrite or refuse them
    and so another object would be reached (IMS refuses such names itself, contract values.md 11).
    """
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        size = 0  # lone surrogates are not UTF-8
    plain = not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in key)
    if 0 < size <= KEY_LIMIT and plain and not {"", ".", ".."} & set(key.split("/")):
        return key
    raise Invalid(
        "An object key is 1 to 1024 bytes of UTF-8 without control characters, in segments"
        " joined by single slashes, none of them . or ..",
        rule="object_key",
        field="key",
    )


def window(size: int, start: int, length: int | None) -> tuple[int, int]:
    """Return the half-open range of `size` bytes that a read of (start, length) covers."""
    if start < 0 or (length is not None and length < 0):
        raise Invalid("A range begins at 0 or later and is not negative.", field="range")
    if start > size:
        raise RangeNotSatisfiable("The range begins past the end.", size=size)
    return start, size if length is None else min(size, start + length)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn errors of the file system into Unavailable: `store_full`, else `store_away`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise store_full() from error
        raise store_away(errno.errorcode.get(error.errno or 0, "EIO")) from error


@contextmanager
def source_file(path: Path) -> Iterator[int]:
    """Open the file to store; what follows uses this descriptor and never the name again."""
    try:
        descriptor = os.open(path, READ_FLAGS)
    except OSError:
        raise source_missing() from None
    try:
        if not modes.S_ISREG(os.fstat(descriptor).st_mode):
            raise source_missing()
        yield descriptor
    finally:
        os.close(descriptor)


def reserve_of(total: int) -> int:
    """Return the bytes to keep free on a disk of `total` bytes: 5 %, at most 10 GiB."""
    return min(total // 20, 10 << 30)


def missing() -> NotFound:
    """Return the error for a name that does not exist; it does not repeat the name."""
    return NotFound("The store has nothing under this name.", rule="stored_object_missing")


def name_taken() -> Conflict:
    """Return the error for a put to a name that exists."""
    return Conflict("The store already has something under this name.", rule="name_taken")


def source_missing() -> NotFound:
    """Return the error for a put whose source is no regular file."""
    return NotFound("The file to store is missing or no regular file.", rule="source_missing")


def source_changed() -> Conflict:
    """Return the error for bytes that are no longer those that were asked for."""
    return Conflict("The object changed while it was being read.", rule="source_changed")


def store_full() -> Unavailable:
    """Return the error for a store without room."""
    return Unavailable("The store has no room left.", rule="store_full")


def store_away(cause: str) -> Unavailable:
    """Return the error for a store that cannot be used; `cause` is one word for the log."""
    return Unavailable("The store cannot be used now.", rule="store_away", cause=cause)
