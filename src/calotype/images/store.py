# SPDX-License-Identifier: Apache-2.0
"""Rows of images: read one, make one, change one, and the moves that bytes bring (native.md 4).

Every move is one conditional statement that names the status and the job it expects, so that a
worker that wakes up late changes nothing. An id is used once for ever (security P2). Deleting is
one statement with its own conditions (security P6). No function opens a transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    delete,
    func,
    insert,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from calotype.db.session import is_unique_violation
from calotype.db.tables.images import image_members, images, used_image_ids
from calotype.errors import Conflict, NotFound, ReadOnly, WrongState
from calotype.images import properties, quota
from calotype.images.model import Image, from_row, to_microseconds, to_row
from calotype.images.states import UPLOAD_PREFIX, is_held

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes that are ready to be published. Sizes in bytes; `stores` in the order of the answer."""

    blob_id: str
    size: int
    virtual_size: int | None
    md5: str
    sha512: str
    stores: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a deletion leaves to do: the blob loses a reference, an upload ends."""

    blob_id: str | None
    owner: str
    status: str
    job_id: str | None
    size: int | None


def get(
    conn: Connection, image_id: str, project: str | None, *, lock: bool = False
) -> Image | None:
    """Return an image with the member status that `project` has on it, or None.

    Says nothing about visibility. `lock` holds the row until the transaction ends.
    """
    statement = _GET_LOCKED if lock and conn.dialect.name != "sqlite" else _GET
    row = conn.execute(statement, {"image": image_id, "project": project or ""}).mappings().first()
    return from_row(row) if row else None


def insert_image(conn: Connection, image: Image, *, id_given: bool = False) -> None:
    """Add a row with its tags and properties. Quota is reserved by the caller.

    `id_given` says that a client chose the id. Raises Conflict (`id_taken`) when it was ever
    used, with the same words for a living, a deleted and another project's image.
    """
    try:
        conn.execute(_INSERT, to_row(image))
    except IntegrityError as error:
        if id_given and is_unique_violation(error):
            raise _duplicate(image.id) from None
        raise
    # Asked after the row is in: a deletion that ran beside us has ended by now.
    if id_given and conn.execute(_IS_USED, {"image": image.id}).first():
        raise _duplicate(image.id)
    properties.sync(conn, None, image)


def update_image(conn: Connection, before: Image, after: Image, at: datetime) -> Image:
    """Store what differs between two values of one image; return the image as it is now.

    `updated_at` moves only when something differs. Raises Conflict (`changed_meanwhile`) when the
    row is no longer the one that `before` was read from.
    """
    old, new = to_row(before), to_row(after)
    changes = {name: value for name, value in new.items() if value != old[name]}
    if not changes:
        return before
    moment = max(at, before.updated_at + _MICROSECOND)
    changes["updated_at"] = to_microseconds(moment)
    result = conn.execute(
        update(images)
        .where(images.c.id == before.id, images.c.updated_at == old["updated_at"])
        .values(changes)
    )
    if not result.rowcount:
        raise Conflict("the image was changed meanwhile", rule="changed_meanwhile")
    properties.sync(conn, before, after)
    return replace(after, updated_at=moment)


def begin(conn: Connection, image_id: str, token: str, move: tuple[str, str], at: datetime) -> bool:
    """Make an image go from one status to another for the job or upload `token`.

    True when it did: the image was in the first status and nothing else held it.
    """
    values = {
        "image": image_id,
        "token": token,
        "from": move[0],
        "to": move[1],
        "at": to_microseconds(at),
    }
    return bool(conn.execute(_BEGIN, values).rowcount)


def publish(
    conn: Connection,
    image_id: str,
    token: str,
    stored: Stored,
    at: datetime,
    changes: Mapping[str, object] | None = None,
) -> bool:
    """Make an image active with its bytes, in one conditional statement.

    `changes` are further columns that are known only now (format, origin). False when the image
    is gone or `token` no longer holds it; the caller then removes the bytes. Byte quota is
    reserved by the caller in the same transaction.
    """
    moment = to_microseconds(at)
    result = conn.execute(
        update(images)
        .where(
            images.c.id == image_id,
            images.c.job_id == token,
            images.c.status.in_(("saving", "importing")),
        )
        .values(
            {
                "status": "active",
                "blob_id": stored.blob_id,
                "size": stored.size,
                "virtual_size": stored.virtual_size,
                "md5": stored.md5,
                "sha512": stored.sha512,
                "stores": ",".join(stored.stores),
                "job_id": None,
                "broken_upload": False,
                "active_at": func.coalesce(images.c.active_at, moment),
                "updated_at": moment,
                **(changes or {}),
            }
        )
    )
    return bool(result.rowcount)


def requeue(conn: Connection, image_id: str, token: str, *, broken: bool = False) -> bool:
    """Put an image back to `queued` without bytes; `broken` remembers a torn upload (M42)."""
    values = {"image": image_id, "token": token, "broken": broken}
    return bool(conn.execute(_REQUEUE, values).rowcount)


def fail(conn: Connection, image_id: str, token: str, at: datetime) -> bool:
    """Mark a creation as failed: `killed`, without bytes, no longer counted in the quota."""
    values = {"image": image_id, "token": token, "at": to_microseconds(at)}
    row = conn.execute(_FAIL, values).first()
    if row is None:
        return False
    quota.release_image(conn, row[0])
    return True


def release(conn: Connection, image_id: str, token: str) -> bool:
    """Let go of an image that a job held, without any other change."""
    return bool(conn.execute(_RELEASE, {"image": image_id, "token": token}).rowcount)


def delete_image(conn: Connection, image_id: str, at: datetime) -> Deleted:
    """Delete the row with tags, properties and members, and keep its id used for ever.

    Gives quota back. Raises NotFound, ReadOnly (`protected`), WrongState (`image_busy`: an
    unfinished IMS job). The caller drops the blob's reference.
    """
    row = conn.execute(_DELETE, {"image": image_id}).mappings().first()
    if row is None:
        raise _why_not_deleted(conn, image_id)
    conn.execute(_USE_ID, {"id": image_id, "deleted_at": to_microseconds(at)})
    if row["status"] != "killed":
        quota.release_image(conn, row["owner"])
    if row["blob_id"] is not None and row["size"]:
        copies = len([part for part in row["stores"].split(",") if part])
        quota.release_bytes(conn, row["owner"], row["size"] * copies)
    return Deleted(row["blob_id"], row["owner"], row["status"], row["job_id"], row["size"])


def has_name(conn: Connection, owner: str, name: str) -> bool:
    """Tell whether a project has an image of this name, a killed one apart."""
    return conn.execute(_HAS_NAME, {"project": owner, "called": name}).first() is not None


def uploading(conn: Connection) -> tuple[tuple[str, str, str], ...]:
    """Return id, owner and token of every image that an upload holds."""
    return tuple((row[0], row[1], row[2]) for row in conn.execute(_UPLOADING))


def _why_not_deleted(conn: Connection, image_id: str) -> Exception:
    image = get(conn, image_id, None)
    if image is None:
        return NotFound(f"No image found with ID {image_id}", kind="image", id=image_id)
    if image.protected:
        return ReadOnly(
            f"Image {image_id} is protected and cannot be deleted.", rule="protected", id=image_id
        )
    if is_held(image):
        return WrongState(
            "an unfinished job holds the image",
            rule="image_busy",
            status=image.status,
            operation="delete",
            job_id=image.job_id,
        )
    return Conflict("the image was changed meanwhile", rule="changed_meanwhile")


def _duplicate(image_id: str) -> Conflict:
    return Conflict(
        f"Image ID {image_id} already exists!", rule="id_taken", field="id", value=image_id
    )


_MEMBER_STATUS = (
    select(image_members.c.status)
    .where(
        image_members.c.image_id == images.c.id,
        image_members.c.member == bindparam("project"),
    )
    .scalar_subquery()
    .label("member_status")
)
_GET = (
    select(images, image_members.c.status.label("member_status"))
    .join_from(
        images,
        image_members,
        and_(
            image_members.c.image_id == images.c.id,
            image_members.c.member == bindparam("project"),
        ),
        isouter=True,
    )
    .where(images.c.id == bindparam("image"))
)
_GET_LOCKED = (
    select(images, _MEMBER_STATUS).where(images.c.id == bindparam("image")).with_for_update()
)
_INSERT = insert(images)
_IS_USED = select(used_image_ids.c.id).where(used_image_ids.c.id == bindparam("image"))
_USE_ID = insert(used_image_ids)
_HOLDER = and_(images.c.id == bindparam("image"), images.c.job_id == bindparam("token"))
_NO_BYTES = {
    "blob_id": null(),
    "size": null(),
    "virtual_size": null(),
    "md5": null(),
    "sha512": null(),
    "stores": "",
    "job_id": null(),
}
_BEGIN = (
    update(images)
    .where(
        images.c.id == bindparam("image"),
        images.c.status == bindparam("from"),
        or_(images.c.job_id.is_(None), images.c.job_id == bindparam("token")),
    )
    .values(status=bindparam("to"), job_id=bindparam("token"), updated_at=bindparam("at"))
)
_REQUEUE = (
    update(images)
    .where(_HOLDER, images.c.status.in_(("queued", "saving", "uploading", "importing")))
    .values(_NO_BYTES | {"status": "queued", "broken_upload": bindparam("broken")})
)
_FAIL = (
    update(images)
    .where(_HOLDER, images.c.status.in_(("queued", "saving")))
    .values(_NO_BYTES | {"status": "killed", "ended_at": bindparam("at")})
    .returning(images.c.owner)
)
_RELEASE = update(images).where(_HOLDER).values(job_id=null())
_DELETE = (
    delete(images)
    .where(
        images.c.id == bindparam("image"),
        images.c.protected.is_(False),
        or_(
            images.c.job_id.is_(None),
            images.c.job_id.startswith(UPLOAD_PREFIX, autoescape=True),
            images.c.status.in_(("uploading", "importing")),
        ),
    )
    .returning(
        images.c.blob_id,
        images.c.owner,
        images.c.status,
        images.c.job_id,
        images.c.size,
        images.c.stores,
    )
)
_UPLOADING = select(images.c.id, images.c.owner, images.c.job_id).where(
    images.c.status == "saving",
    images.c.job_id.startswith(UPLOAD_PREFIX, autoescape=True),
)
_HAS_NAME = (
    select(images.c.id)
    .where(
        images.c.owner == bindparam("project"),
        images.c.name_sort == bindparam("called"),
        images.c.status != "killed",
    )
    .limit(1)
)
