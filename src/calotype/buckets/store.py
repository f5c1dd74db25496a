# SPDX-License-Identifier: Apache-2.0
"""SQL of buckets and of the objects of buckets that are ours.

An object's bytes never change: a new put is a new file, and one row switches from the old file to
the new one. No function opens a transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, Connection, RowMapping, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from calotype.db.session import is_unique_violation
from calotype.db.tables.buckets import bucket_objects, buckets
from calotype.errors import Conflict

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket. `attached`: its objects are in somebody's S3 service, else they are rows here."""

    name: str
    account_id: str
    url: str
    attached: bool
    credentials: str | None  # wrapped


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """One object of a bucket of ours; `file` is its name in the store of buckets."""

    key: str
    size: int
    etag: str
    file: str
    modified: datetime


def insert_bucket(conn: Connection, bucket: Bucket, now: datetime) -> None:
    """Add a bucket. Raises Conflict (`bucket_exists`): names are unique in the deployment."""
    row = {
        "name": bucket.name,
        "account_id": bucket.account_id,
        "url": bucket.url,
        "attached": "attached" if bucket.attached else "created",
        "credentials": bucket.credentials,
        "created_at": to_microseconds(now),
    }
    try:
        conn.execute(_INSERT, row)
    except IntegrityError as error:
        if not is_unique_violation(error):
            raise
        text = "a bucket of this name exists already in this deployment"
        raise Conflict(text, rule="bucket_exists", field="name", value=bucket.name) from None


def find(conn: Connection, account_id: str, name: str) -> Bucket | None:
    """Return a bucket of an account; another account's is None like a missing one."""
    row = conn.execute(_FIND, {"bucket": name, "account": account_id}).mappings().first()
    return None if row is None else _bucket(row)


def of_account(conn: Connection, account_id: str) -> tuple[Bucket, ...]:
    """Return the buckets of an account, by name."""
    rows = conn.execute(_OF_ACCOUNT, {"account": account_id}).mappings()
    return tuple(_bucket(row) for row in rows)


def every_created(conn: Connection) -> tuple[str, ...]:
    """Return the names of all buckets that are ours."""
    return tuple(conn.execute(_CREATED).scalars())


def delete_bucket(conn: Connection, account_id: str, name: str) -> bool:
    """Forget a bucket. False when there is none. Its objects are the caller's matter."""
    return bool(conn.execute(_DELETE, {"bucket": name, "account": account_id}).rowcount)


def get_object(conn: Connection, bucket: str, key: str) -> ObjectRow | None:
    """Return an object, or None."""
    row = conn.execute(_GET_OBJECT, {"bucket_name": bucket, "object_key": key}).first()
    return None if row is None else ObjectRow(row[0], row[1], row[2], row[3], _moment(row[4]))


def list_objects(
    conn: Connection, bucket: str, prefix: str, after: str, limit: int
) -> tuple[ObjectRow, ...]:
    """Return objects whose key begins with `prefix` and follows `after`, in order of keys."""
    query = (
        _OBJECTS.where(bucket_objects.c.bucket == bucket, bucket_objects.c.key > after)
        .order_by(bucket_objects.c.key)
        .limit(limit)
    )
    if prefix:
        query = query.where(bucket_objects.c.key.startswith(prefix, autoescape=True))
    return tuple(
        ObjectRow(row[0], row[1], row[2], row[3], _moment(row[4])) for row in conn.execute(query)
    )


def switch_object(conn: Connection, bucket: str, row: ObjectRow) -> str | None:
    """Make `row` the object of its key; return the file of the one before, to be removed."""
    before = get_object(conn, bucket, row.key)
    values = {
        "size": row.size,
        "etag": row.etag,
        "file": row.file,
        "created_at": to_microseconds(row.modified),
    }
    if before is None:
        add_object(conn, bucket, row)
        return None
    keys = {"bucket_name": bucket, "object_key": row.key}
    conn.execute(_SWITCH, keys | {f"new_{name}": value for name, value in values.items()})
    return before.file


def add_object(conn: Connection, bucket: str, row: ObjectRow) -> None:
    """Add an object that must not exist. Raises Conflict (`object_exists`)."""
    values = {
        "bucket": bucket,
        "key": row.key,
        "size": row.size,
        "etag": row.etag,
        "file": row.file,
        "created_at": to_microseconds(row.modified),
    }
    try:
        with conn.begin_nested():
            conn.execute(_ADD_OBJECT, values)
    except IntegrityError as error:
        if not is_unique_violation(error):
            raise
        raise Conflict("the object exists already", rule="object_exists") from None


def delete_object(conn: Connection, bucket: str, key: str) -> str | None:
    """Remove an object; return its file, to be removed, or None when there is no object."""
    values = {"bucket_name": bucket, "object_key": key}
    return conn.execute(_DELETE_OBJECT, values).scalar()


def used_files(conn: Connection, bucket: str) -> set[str]:
    """Return the files that objects of a bucket are."""
    return set(conn.execute(_FILES, {"bucket_name": bucket}).scalars())


def to_microseconds(moment: datetime) -> int:
    """Return the stored form of a moment."""
    return (moment - _EPOCH) // _MICROSECOND


def _moment(value: int) -> datetime:
    return _EPOCH + value * _MICROSECOND


def _bucket(row: RowMapping) -> Bucket:
    attached = row["attached"] == "attached"
    return Bucket(row["name"], row["account_id"], row["url"], attached, row["credentials"])


_INSERT = insert(buckets)
_NAMED = (buckets.c.name == bindparam("bucket"), buckets.c.account_id == bindparam("account"))
_FIND = select(buckets).where(*_NAMED)
_OF_ACCOUNT = (
    select(buckets).where(buckets.c.account_id == bindparam("account")).order_by(buckets.c.name)
)
_CREATED = select(buckets.c.name).where(buckets.c.attached == "created")
_DELETE = delete(buckets).where(*_NAMED)
_OBJECTS = select(
    bucket_objects.c.key,
    bucket_objects.c.size,
    bucket_objects.c.etag,
    bucket_objects.c.file,
    bucket_objects.c.created_at,
)
_OBJECT = (
    bucket_objects.c.bucket == bindparam("bucket_name"),
    bucket_objects.c.key == bindparam("object_key"),
)
_GET_OBJECT = _OBJECTS.where(*_OBJECT)
_ADD_OBJECT = insert(bucket_objects)
_SWITCH = (
    update(bucket_objects)
    .where(*_OBJECT)
    .values(
        size=bindparam("new_size", type_=BigInteger),
        etag=bindparam("new_etag"),
        file=bindparam("new_file"),
        created_at=bindparam("new_created_at", type_=BigInteger),
    )
)
_DELETE_OBJECT = delete(bucket_objects).where(*_OBJECT).returning(bucket_objects.c.file)
_FILES = select(bucket_objects.c.file).where(bucket_objects.c.bucket == bindparam("bucket_name"))
