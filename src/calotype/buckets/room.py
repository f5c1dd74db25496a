# SPDX-License-Identifier: Apache-2.0
"""Making, attaching and opening buckets. An opened bucket is the only way to bytes of users.

A created bucket lies below BUCKETS_URL, its objects are rows and immutable files of ours. An
attached one is a bucket in an S3 service, reached with the credential stored for it and never with
another account's. The service's own stores are refused as buckets by name and by the address that
their endpoints resolve to (security contract N3).
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import threading
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from calotype import clock
from calotype.buckets import store
from calotype.buckets.objects import (
    AttachedBucket,
    CreatedBucket,
    ObjectFact,
    OpenBucket,
    object_missing,
    put_object,
    remove_files,
)
from calotype.buckets.store import Bucket
from calotype.db.session import Database
from calotype.errors import Conflict, Invalid, NotFound
from calotype.settings import Settings
from calotype.storage import Credentials, Store, open_bucket, open_store

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_FIELDS = ("endpoint", "region", "access_key", "secret_key")
_STRAY_AGE = timedelta(days=1)
_DEFAULT_PORTS = {"https": 443, "http": 80}


class Keys(Protocol):
    """What wraps credentials."""

    def wrap(self, data: bytes, name: str) -> str:
        """Return `data` as a text to store."""
        ...

    def unwrap(self, text: str, name: str) -> bytes:
        """Return what was wrapped under the same name. Raises Unavailable."""
        ...


class BucketRoom:
    """All buckets of the deployment. Safe to use from several threads."""

    def __init__(self, db: Database, settings: Settings, keys: Keys) -> None:
        self._db = db
        self._keys = keys
        self._settings = settings
        self._own: Store | None = None
        self._attached: dict[tuple[str, str | None], AttachedBucket] = {}
        self._lock = threading.Lock()

    def create(self, name: str, account_id: str) -> Bucket:
        """Make an empty bucket. Raises Invalid (`bucket_name`), Conflict (`bucket_exists`)."""
        check_name(name)
        self.store()
        bucket = Bucket(name, account_id, self._settings.buckets_place(), False, None)
        self._db.write(lambda conn: store.insert_bucket(conn, bucket, clock.now()))
        return bucket

    def attach(
        self, name: str, account_id: str, url: str, credentials: Mapping[str, object]
    ) -> Bucket:
        """Take in a bucket of an S3 service at `s3://bucket[/prefix]`.

        `credentials`: endpoint, region, access_key, secret_key. Raises Invalid (`bucket_name`,
        `bucket_url`, `bucket_credentials`, `bucket_is_store`), Conflict (`bucket_exists`).
        """
        check_name(name)
        if not url.startswith("s3://"):
            text = "only s3://bucket[/prefix] can be attached"
            raise Invalid(text, rule="bucket_url", field="url")
        given = _credentials(credentials)
        open_bucket(url, given)
        if self._is_own(url, given):
            raise Invalid(
                "this is where the service keeps its own bytes", rule="bucket_is_store", field="url"
            )
        document = {key: getattr(given, key) for key in _FIELDS}
        wrapped = self._keys.wrap(json.dumps(document).encode(), f"bucket:{name}")
        bucket = Bucket(name, account_id, url, True, wrapped)
        self._db.write(lambda conn: store.insert_bucket(conn, bucket, clock.now()))
        return bucket

    def of_account(self, account_id: str) -> tuple[Bucket, ...]:
        """Return an account's buckets, by name."""
        return self._db.read(lambda conn: store.of_account(conn, account_id))

    def open(self, account_id: str, name: str) -> OpenBucket:
        """Open a bucket of an account.

        Raises NotFound (`bucket_not_accessible`) for a missing one, another account's, and one
        that is a store of the service.
        """
        bucket = self._db.read(lambda conn: store.find(conn, account_id, name))
        if bucket is None:
            raise not_accessible(name)
        if not bucket.attached:
            return CreatedBucket(self._db, self.store(), name)
        return self._open_attached(bucket)

    def remove(self, account_id: str, name: str, *, with_objects: bool = False) -> None:
        """Forget a bucket; objects of an attached one stay where they are.

        Raises NotFound (`bucket_not_accessible`), Conflict (`bucket_not_empty`).
        """
        bucket = self._db.read(lambda conn: store.find(conn, account_id, name))
        if bucket is None:
            raise not_accessible(name)
        if bucket.attached:
            self._db.write(lambda conn: store.delete_bucket(conn, account_id, name))
            return
        files = self._db.read(lambda conn: store.used_files(conn, name))
        if files and not with_objects:
            raise Conflict("the bucket is not empty", rule="bucket_not_empty", value=name)
        self._db.write(lambda conn: store.delete_bucket(conn, account_id, name))
        remove_files(self.store(), files)

    def put(
        self, account_id: str, name: str, key: str, source: Path, *, move: bool = False
    ) -> ObjectFact:
        """Put a file as an object, in place of one that is there."""
        bucket = self.open(account_id, name)
        put_object(self._db, bucket, key, source, move=move)
        found = bucket.stat(key)
        if found is None:
            raise object_missing()
        return found

    def sweep(self) -> int:
        """Remove files that no object is, a day after they were made; return how many."""
        removed = 0
        limit = clock.now() - _STRAY_AGE
        for name in self._db.read(store.every_created):
            old = [found.name for found in self.store().list(f"{name}/") if found.modified < limit]
            # Rows after files: what is published meanwhile was not old.
            used = self._db.read(partial(store.used_files, bucket=name))
            removed += remove_files(self.store(), (file for file in old if file not in used))
        return removed

    def discard(self, file: str) -> None:
        """Remove a file of a created bucket that no object is."""
        self.store().delete(file)

    def store(self) -> Store:
        """Return where created buckets lie."""
        with self._lock:
            if self._own is None:
                place = self._settings.buckets_place()
                self._own = open_store(place, self._own_credentials(place))
            return self._own

    def _open_attached(self, bucket: Bucket) -> OpenBucket:
        key = (bucket.name, bucket.credentials)
        with self._lock:
            known = self._attached.get(key)
        if known is not None:
            return known
        text = self._keys.unwrap(bucket.credentials or "", f"bucket:{bucket.name}")
        given = _credentials(json.loads(text))
        # Asked again: the settings may have named a new store since it was attached.
        if self._is_own(bucket.url, given):
            raise not_accessible(bucket.name)
        opened = AttachedBucket(open_bucket(bucket.url, given))
        with self._lock:
            return self._attached.setdefault(key, opened)

    def _own_credentials(self, url: str) -> Credentials | None:
        settings = self._settings
        if not url.startswith("s3:"):
            return None
        return Credentials(
            settings.s3_endpoint or None,
            settings.s3_region,
            settings.s3_access_key,
            settings.s3_secret_key.get_secret_value(),
        )

    def _is_own(self, url: str, given: Credentials) -> bool:
        """Tell whether a bucket of S3 is one that the service itself keeps bytes in."""
        settings = self._settings
        places = [one.url for one in settings.store_settings()] + [settings.buckets_place()]
        name = urlsplit(url).netloc
        for place in places:
            parts = urlsplit(place)
            if parts.scheme == "s3" and parts.netloc == name:
                own = self._own_credentials(place)
                if own is not None and _same_endpoint(own, given):
                    return True
        return False


def check_name(name: str) -> str:
    """Return a bucket's name, or raise Invalid (`bucket_name`)."""
    bad = not _NAME.match(name) or any(pair in name for pair in ("..", ".-", "-."))
    try:
        ipaddress.IPv4Address(name)
        bad = True
    except ValueError:
        pass
    if bad:
        raise Invalid(
            "a bucket name has 3 to 63 lower-case letters, digits, dots and hyphens",
            rule="bucket_name",
            field="name",
            value=name,
        )
    return name


def not_accessible(name: str) -> NotFound:
    """Return the one error for every bucket that an account cannot reach."""
    return NotFound(
        f"the bucket {name} does not exist or cannot be used",
        rule="bucket_not_accessible",
        kind="bucket",
        id=name,
    )


def head_and_tail(
    bucket: OpenBucket, key: str, size: int, wanted: tuple[int, int], etag: str
) -> tuple[bytes, bytes]:
    """Return the first and last bytes of a version of an object, as many as `wanted`."""
    head = b"".join(bucket.read(key, 0, min(size, wanted[0]), etag=etag))
    start = max(0, size - wanted[1])
    return head, b"".join(bucket.read(key, start, size - start, etag=etag))


def _credentials(given: Mapping[str, object]) -> Credentials:
    values = [given.get(name) for name in _FIELDS]
    texts = [value for value in values if isinstance(value, str) and value]
    if len(texts) != len(_FIELDS) or set(given) != set(_FIELDS):
        raise Invalid(
            f"credentials have exactly the members {', '.join(_FIELDS)}",
            rule="bucket_credentials",
            field="credentials",
        )
    return Credentials(*texts)


def _same_endpoint(one: Credentials, other: Credentials) -> bool:
    if one.endpoint is None or other.endpoint is None:
        return one.endpoint == other.endpoint  # the vendor's own: bucket names are unique there
    return bool(_addresses(one.endpoint) & _addresses(other.endpoint))


def _addresses(endpoint: str) -> set[tuple[str, int]]:
    """Return what an endpoint resolves to, and its own words for when it does not resolve."""
    parts = urlsplit(endpoint)
    host = (parts.hostname or "").lower()
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 443)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return {(host, port)}
    return {(host, port)} | {(str(address[4][0]), port) for address in found}
