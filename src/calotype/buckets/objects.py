# SPDX-License-Identifier: Apache-2.0
"""Objects of one open bucket: the same verbs for a bucket of ours and for an attached one.

In a bucket of ours an object is a row that names an immutable file `<sha256 of key>-<label>`; the
key is never part of a path. In an attached one keys go to the S3 library as they are. Reads can be
pinned to the etag that was seen, so that an object replaced meanwhile is noticed. Writing has two
halves, `stage` and `publish`, so that a job can make its object appear together with its end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection

from calotype import clock, ids
from calotype.buckets import store
from calotype.buckets.store import ObjectRow
from calotype.db.session import Database
from calotype.errors import Conflict, NotFound
from calotype.storage import Store
from calotype.storage.base import object_key

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class ObjectFact:
    """What a bucket tells of an object. `size` in bytes; `etag` changes with the bytes."""

    key: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class Staged:
    """Bytes that are where they belong, durable, and wait for `publish`."""

    key: str
    file: str  # empty in an attached bucket: there the object is complete already
    size: int
    etag: str


class OpenBucket(Protocol):
    """One bucket that the asking account may reach. Every method may raise Unavailable."""

    def stat(self, key: str) -> ObjectFact | None:
        """Return an object's facts, or None. Raises Invalid (`object_key`)."""
        ...

    def read(
        self, key: str, start: int = 0, length: int | None = None, *, etag: str | None = None
    ) -> Generator[bytes, None, None]:
        """Return bytes in blocks of at most 1 MiB; see `Store.read` (Conflict `source_changed`)."""
        ...

    def open(self, key: str, etag: str) -> int | None:
        """Return a read-only descriptor of exactly this version, None when it is not local."""
        ...

    def file_name(self, key: str, label: str) -> str:
        """Return the name of the file that `stage` makes, empty when it makes the object itself."""
        ...

    def stage(self, key: str, source: Path, label: str, *, move: bool = False) -> Staged:
        """Bring a file where the object will be. Raises Conflict (`object_exists`).

        `label` makes the name of the file unique. In an attached bucket the object appears now.
        """
        ...

    def publish(self, conn: Connection, staged: Staged, *, replace: bool = False) -> str | None:
        """Make the object visible; return a file to `discard` after the commit.

        Raises Conflict (`object_exists`) unless it may replace one.
        """
        ...

    def discard(self, file: str) -> None:
        """Remove a file that no object is any more."""
        ...

    def delete(self, key: str) -> bool:
        """Remove an object; False when there was none."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectFact]:
        """Yield the objects whose keys begin with `prefix`, in order of keys."""
        ...


class CreatedBucket:
    """A bucket of ours."""

    def __init__(self, db: Database, backend: Store, name: str) -> None:
        self._db = db
        self._store = backend
        self._name = name

    def stat(self, key: str) -> ObjectFact | None:
        """Return an object's facts, or None."""
        row = self._row(key)
        return None if row is None else _fact(row)

    def read(
        self, key: str, start: int = 0, length: int | None = None, *, etag: str | None = None
    ) -> Generator[bytes, None, None]:
        """Return bytes of an object; a file that is being read may be removed and is read on."""
        row = self._version(key, etag)
        return self._store.read(row.file, start, length)

    def open(self, key: str, etag: str) -> int | None:
        """Return a descriptor of exactly this version, None when the store is not local."""
        return self._store.open(self._version(key, etag).file)

    def file_name(self, key: str, label: str) -> str:
        """Return the name of a file; nothing of the key itself is in it."""
        digest = hashlib.sha256(object_key(key).encode()).hexdigest()
        return f"{self._name}/{digest}-{label}"

    def stage(self, key: str, source: Path, label: str, *, move: bool = False) -> Staged:
        """Store the file under its final name; no row knows it yet."""
        file = self.file_name(key, label)
        found = self._store.put(file, source, move=move)
        return Staged(key, file, found.size, label)

    def publish(self, conn: Connection, staged: Staged, *, replace: bool = False) -> str | None:
        """Let the object's row name the staged file."""
        row = ObjectRow(staged.key, staged.size, staged.etag, staged.file, clock.now())
        if replace:
            return store.switch_object(conn, self._name, row)
        store.add_object(conn, self._name, row)
        return None

    def discard(self, file: str) -> None:
        """Remove a file that no object is any more."""
        self._store.delete(file)

    def delete(self, key: str) -> bool:
        """Remove an object and then its file; False when there was none."""
        file = self._db.write(lambda conn: store.delete_object(conn, self._name, key))
        if file is None:
            return False
        self._store.delete(file)
        return True

    def list(self, prefix: str = "") -> Iterator[ObjectFact]:
        """Yield objects, page by page."""
        after = ""
        while True:
            page = self._page(prefix, after)
            yield from map(_fact, page)
            if len(page) < _PAGE:
                return
            after = page[-1].key

    def _page(self, prefix: str, after: str) -> tuple[ObjectRow, ...]:
        return self._db.read(
            lambda conn: store.list_objects(conn, self._name, prefix, after, _PAGE)
        )

    def _row(self, key: str) -> ObjectRow | None:
        key = object_key(key)
        return self._db.read(lambda conn: store.get_object(conn, self._name, key))

    def _version(self, key: str, etag: str | None) -> ObjectRow:
        row = self._row(key)
        if row is None:
            raise object_missing()
        if etag is not None and row.etag != etag:
            raise Conflict("the object was replaced", rule="source_changed")
        return row


class AttachedBucket:
    """A bucket of an S3 service, with its own credential."""

    def __init__(self, backend: Store) -> None:
        self._store = backend

    def stat(self, key: str) -> ObjectFact | None:
        """Return an object's facts, or None; one that may not be read is None too."""
        found = self._store.stat(key)
        return None if found is None else ObjectFact(key, found.size, found.etag, found.modified)

    def read(
        self, key: str, start: int = 0, length: int | None = None, *, etag: str | None = None
    ) -> Generator[bytes, None, None]:
        """Return bytes of an object."""
        try:
            return self._store.read(key, start, length, etag=etag)
        except NotFound:
            raise object_missing() from None

    def open(self, key: str, etag: str) -> int | None:
        """Return None: the bytes are elsewhere."""
        return None

    def file_name(self, key: str, label: str) -> str:
        """Return nothing: the object is made at once."""
        return ""

    def stage(self, key: str, source: Path, label: str, *, move: bool = False) -> Staged:
        """Put the object, whole; an existing one is not overwritten.

        It is looked for just before; what another writer does in that moment is the service's.
        """
        try:
            found = self._store.put(key, source, move=move)
        except Conflict:
            raise object_exists() from None
        return Staged(key, "", found.size, found.etag)

    def publish(self, conn: Connection, staged: Staged, *, replace: bool = False) -> str | None:
        """Nothing is left to do."""
        return None

    def discard(self, file: str) -> None:
        """Nothing is left to do: there are no files beside the objects."""

    def delete(self, key: str) -> bool:
        """Remove an object; False when there was none."""
        return self._store.delete(key)

    def list(self, prefix: str = "") -> Iterator[ObjectFact]:
        """Yield objects, page by page."""
        for found in self._store.list(prefix):
            yield ObjectFact(found.name, found.size, found.etag, found.modified)


def put_object(db: Database, bucket: OpenBucket, key: str, source: Path, *, move: bool) -> None:
    """Put a file as an object, in place of one that is there; readers of that one are not hurt."""
    if isinstance(bucket, AttachedBucket):
        bucket.delete(key)
    staged = bucket.stage(key, source, ids.new_hex(), move=move)
    try:
        before = db.write(lambda conn: bucket.publish(conn, staged, replace=True))
    except BaseException:
        bucket.discard(staged.file)
        raise
    if before:
        bucket.discard(before)


def remove_files(backend: Store, files: Iterable[str]) -> int:
    """Remove files of a bucket of ours; return how many were there."""
    return sum(backend.delete(file) for file in files)


def object_missing() -> NotFound:
    """Return the error for an object that is not there or may not be read."""
    return NotFound("there is no such object that can be read", rule="object_missing")


def object_exists() -> Conflict:
    """Return the error for a put to an object that exists."""
    return Conflict("the object exists already", rule="object_exists")


def _fact(row: ObjectRow) -> ObjectFact:
    return ObjectFact(row.key, row.size, row.etag, row.modified)
