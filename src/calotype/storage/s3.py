# SPDX-License-Identifier: Apache-2.0
"""Store in a bucket of an S3-compatible service, through obstore.

One class serves our own store (names of our grammar below a prefix) and attached user buckets
(opaque keys). Conditions are used and never relied on: many services ignore them silently, so
names are unique and the caller's database row publishes.

Parts of an upload that a killed process leaves behind are invisible and can only be removed by
the bucket's own lifecycle rule for incomplete multipart uploads; a failed put removes its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from calotype import ids
from calotype.errors import CalotypeError, Conflict, Invalid, NotFound, Unsupported
from calotype.storage.base import (
    BLOCK,
    Credentials,
    Stat,
    StoreCheck,
    missing,
    name_taken,
    object_key,
    own_name,
    own_prefix,
    source_changed,
    source_file,
    store_away,
    store_full,
    window,
)
from calotype.storage.s3_client import make_client, split_url

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta

PART = 8 << 20
_CHUNK = 640 << 10  # the library adds up to 0.4 MiB to a chunk: most are below BLOCK, uncopied
PARTS_IN_FLIGHT = 4
_PATIENCE = timedelta(seconds=90)
# Words by which services say that they are full; the library has no class of its own for it.
_FULL_WORDS = ("StorageFull", "QuotaExceeded", "InsufficientStorage", "507 Insufficient")


def from_url(url: str, credentials: Credentials | None = None) -> S3Store:
    """Return our own store at `s3://bucket/prefix`. Raises Invalid without naming the URL."""
    bucket, prefix = split_url(url)
    return S3Store(bucket, _given(credentials), prefix=prefix)


def bucket_from_url(url: str, credentials: Credentials | None = None) -> S3Store:
    """Return an attached user bucket at `s3://bucket` or `s3://bucket/prefix`, with opaque keys."""
    bucket, prefix = split_url(url)
    return S3Store(bucket, _given(credentials), prefix=prefix, user_keys=True)


def _given(credentials: Credentials | None) -> Credentials:
    if credentials is None:
        raise Invalid("An S3 store needs credentials.", rule="store_url", field="credentials")
    return credentials


class S3Store:
    """A bucket as a store. `user_keys`: keys are a user's, opaque; else our own names only.

    `patience`: how long the library repeats requests that failed for the service's own reasons.
    """

    def __init__(
        self,
        bucket: str,
        credentials: Credentials,
        *,
        prefix: str = "",
        user_keys: bool = False,
        patience: timedelta = _PATIENCE,
    ) -> None:
        self._user_keys = user_keys
        self._client = make_client(bucket, prefix, credentials, patience)

    def put(self, name: str, source: Path, *, move: bool = False) -> Stat:
        """Store a file; see `Store.put`. Up to 8 MiB in one request, else in parts."""
        key = self._key(name)
        with source_file(source) as content:
            size = os.fstat(content).st_size
            if self._head(key) is not None:
                raise name_taken()
            with self._failures(writing=True):
                if size <= PART:
                    self._put_small(key, os.pread(content, PART, 0))
                else:
                    self._client.put(
                        key,
                        _parts(content, size),
                        use_multipart=True,
                        chunk_size=PART,
                        max_concurrency=PARTS_IN_FLIGHT,
                    )
        stored = self.stat(name)
        if stored is None or stored.size != size:
            raise store_away("not_what_was_put")
        if move:
            source.unlink(missing_ok=True)
        return stored

    def read(
        self, name: str, start: int = 0, length: int | None = None, *, etag: str | None = None
    ) -> Generator[bytes, None, None]:
        """Return blocks of a range; see `Store.read`. Nothing is fetched ahead of the reader."""
        stream = self._blocks(self._key(name), start, length, etag)
        next(stream)  # runs up to the first yield: whatever is wrong is raised here, not later
        return stream

    def open(self, name: str) -> None:
        """Return None: the bytes are no local file."""
        self._key(name)

    def stat(self, name: str) -> Stat | None:
        """Return size and version, or None."""
        found = self._head(self._key(name))
        return None if found is None else _stat(name, found)

    def delete(self, name: str) -> bool:
        """Remove an object; False when there was none."""
        key = self._key(name)
        if self._head(key) is None:
            return False
        with self._failures(writing=True):
            self._client.delete(key)
        return True

    def list(self, prefix: str = "") -> Iterator[Stat]:
        """Yield what begins with `prefix`, page by page.

        Raises Unsupported (`object_key`) when a user bucket holds a key that the library has no
        form for (an empty, `.` or `..` segment); such an object cannot be read either.
        """
        if not self._user_keys:
            own_prefix(prefix)
        folder, _, _ = prefix.rpartition("/")  # the library's prefixes are whole segments
        with self._failures():
            for page in self._client.list(folder or None, chunk_size=1000):
                for found in page:
                    if found["path"].startswith(prefix):
                        yield _stat(found["path"], found)

    def check(self) -> StoreCheck:
        """Put, read and remove a small object, and see which conditions the service honours."""
        key = f"calotype-check-{ids.new_hex()}"
        absent = match = problem = None
        try:
            with self._failures(writing=True):
                self._put_small(key, b"calotype")
            absent = self._refuses(lambda: self._put_small(key, b"calotype"))
            match = self._refuses(lambda: self._client.get(key, options={"if_match": '"0"'}))
            if b"".join(self._blocks(key, 1, 3, None)) != b"alo":
                problem = "Ranges are not answered with the bytes asked for."
            with self._failures(writing=True):
                self._client.delete(key)
        except CalotypeError as error:
            problem = f"{error.message} ({error.facts.get('cause', error.rule)})"
        return StoreCheck(
            kind="s3",
            writable=problem is None,
            problem=problem,
            honours_absent=absent,
            honours_match=match,
        )

    def sweep(self, older_than: timedelta) -> int:
        """Return 0: see the module's text on parts of killed uploads."""
        return 0

    def _key(self, name: str) -> str:
        return object_key(name) if self._user_keys else own_name(name)

    def _head(self, key: str) -> ObjectMeta | None:
        try:
            with self._failures():
                return self._client.head(key)
        except NotFound:
            return None

    def _put_small(self, key: str, content: bytes) -> None:
        from obstore.exceptions import GenericError, NotSupportedError

        try:
            self._client.put(key, content, mode="create", use_multipart=False)
        except (GenericError, NotSupportedError) as error:
            if "NotImplemented" not in str(error):
                raise
            # It refuses the condition itself; `put` looked for the name already.
            self._client.put(key, content, use_multipart=False)

    def _refuses(self, attempt: Callable[[], object]) -> bool:
        try:
            with self._failures():
                attempt()
        except Conflict:
            return True
        return False

    def _blocks(
        self, key: str, start: int, length: int | None, etag: str | None
    ) -> Generator[bytes, None, None]:
        options: GetOptions = {}
        if start or length is not None:
            # Clamped here: services answer a range that ends past the end in several ways.
            found = self._head(key)
            if found is None:
                raise missing()
            if etag and etag != found["e_tag"]:
                raise source_changed()
            begin, end = window(found["size"], start, length)
            if begin == end:
                yield b""
                return
            options["range"] = (begin, end)
            options["if_match"] = found["e_tag"]
        elif etag:
            options["if_match"] = etag
        with self._failures():
            result = self._client.get(key, options=options)
            pin = options.get("if_match")
            if pin and result.meta["e_tag"] != pin:
                raise source_changed()  # the service ignored the condition
            left = result.range[1] - result.range[0]
            yield b""
            for chunk in result.stream(min_chunk_size=_CHUNK):
                left -= len(chunk)
                for at in range(0, len(chunk), BLOCK):
                    yield chunk[at : at + BLOCK]
        if left:
            raise store_away("truncated")
        if etag:
            after = self._head(key)
            if after is None or after["e_tag"] != etag:
                raise source_changed()

    @contextmanager
    def _failures(self, *, writing: bool = False) -> Iterator[None]:
        """Turn the library's errors into those of the core.

        Their own texts hold the endpoint, the bucket and the key, so none is kept, not even as a
        cause. In a user's bucket an object that may not be read answers like a missing one.
        """
        from obstore import exceptions as lib

        try:
            yield
        except FileNotFoundError as error:
            own = not self._user_keys and "NoSuchBucket" in str(error)
            raise (store_away("bucket_missing") if writing or own else missing()) from None
        except lib.AlreadyExistsError:
            raise name_taken() from None
        except lib.PreconditionError:
            raise source_changed() from None
        except (lib.PermissionDeniedError, lib.UnauthenticatedError):
            hidden = self._user_keys and not writing
            raise (missing() if hidden else store_away("refused")) from None
        except lib.InvalidPathError:
            raise Unsupported(
                "An object has a key that cannot be addressed here.", rule="object_key"
            ) from None
        except lib.BaseError as error:
            full = any(word in str(error) for word in _FULL_WORDS)
            raise (store_full() if full else store_away(type(error).__name__)) from None


def _stat(name: str, found: ObjectMeta) -> Stat:
    return Stat(name, found["size"], found["e_tag"] or "", found["last_modified"])


def _parts(content: int, size: int) -> Iterator[bytes]:
    """Yield the source in parts; raising here makes the library take back what was sent."""
    at = 0
    while at < size:
        part = os.pread(content, min(PART, size - at), at)
        if not part:
            raise source_changed()
        at += len(part)
        yield part
