# SPDX-License-Identifier: Apache-2.0
"""Members: the projects an image is shared with, and their answer (native.md 16, values.md 8).

Adding the first member to a private image turns it to `shared`, and the last one that goes turns
it back if adding had turned it. Each change keeps `member_count` in the same transaction. The id of
a member is not looked up: an answer would tell which projects exist. Members that stay stored on an
image that is no longer shared are not shown.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    Connection,
    Row,
    and_,
    bindparam,
    case,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from calotype.db.session import is_unique_violation
from calotype.db.tables.images import image_members, images
from calotype.errors import Conflict, Invalid, NotAllowed, NotFound, QuotaExceeded
from calotype.images import store
from calotype.images.model import Image, from_microseconds, to_microseconds


class MemberStatus(StrEnum):
    """What a member answered."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Member:
    """One member of one image."""

    image_id: str
    member: str
    status: str
    created_at: datetime
    updated_at: datetime


def get(conn: Connection, image_id: str, member: str) -> Member | None:
    """Return one member record, or None."""
    row = conn.execute(_GET, {"image": image_id, "project": member}).first()
    return _member(row) if row else None


def list_of(conn: Connection, image_id: str) -> tuple[Member, ...]:
    """Return all members of an image in the order in which they were added."""
    return tuple(_member(row) for row in conn.execute(_LIST, {"image": image_id}))


def known_among(
    conn: Connection, image_ids: Collection[str], projects: Collection[str]
) -> frozenset[tuple[str, str]]:
    """Return which pairs of these images and projects are members."""
    values = {"images": list(image_ids), "projects": list(projects)}
    return frozenset((row[0], row[1]) for row in conn.execute(_AMONG, values))


def shown(conn: Connection, image: Image, viewer: str | None) -> tuple[Member, ...]:
    """Return what `viewer` sees: its own record, None (owner or operator): all of them."""
    if image.visibility != "shared":
        return ()
    if viewer is None:
        return list_of(conn, image.id)
    own = get(conn, image.id, viewer)
    return () if own is None else (own,)


def require_other(image: Image, member: str) -> None:
    """Refuse the owner as a member. Raises Invalid (`share_self`)."""
    if member == image.owner:
        raise Invalid(
            "the owner of an image cannot be its member",
            rule="share_self",
            field="member",
            value=member,
        )


def require_shareable(image: Image) -> None:
    """Refuse what has no members; nothing here keeps whole images, or keys that others may use.

    Raises NotAllowed (`share_public`: community or public, `share_whole`, `share_encrypted`).
    """
    if image.visibility not in ("private", "shared"):
        raise NotAllowed(
            f"a {image.visibility} image has no members",
            rule="share_public",
            visibility=image.visibility,
        )
    if image.is_whole:
        raise NotAllowed("a whole image of this kind cannot be shared", rule="share_whole")
    if image.cmk_id is not None:
        raise NotAllowed("an encrypted image cannot be shared", rule="share_encrypted")


def require_room(image: Image, more: int, limit: int) -> None:
    """Refuse `more` further members beyond the limit. Raises QuotaExceeded (`members_too_many`)."""
    if more > 0 and image.member_count + more > limit:
        raise QuotaExceeded(
            f"an image has at most {limit} members",
            rule="members_too_many",
            quota="members",
            limit=limit,
            used=image.member_count,
        )


def add(conn: Connection, image: Image, member: str, at: datetime, limit: int) -> Member:
    """Share an image with a project; the record is `pending`.

    Raises Invalid (`share_self`), what `require_shareable` raises, Conflict (`member_exists`),
    QuotaExceeded (`members_too_many`), Conflict (`changed_meanwhile`).
    """
    require_other(image, member)
    require_shareable(image)
    moment = to_microseconds(at)
    counted = conn.execute(_COUNT_ONE_MORE, {"image": image.id, "limit": limit, "at": moment})
    if not counted.rowcount:
        raise _why_not_added(conn, image.id, member, limit)
    row: dict[str, object] = {
        "image_id": image.id,
        "member": member,
        "status": MemberStatus.PENDING.value,
        "image_created_at": to_microseconds(image.created_at),
        "created_at": moment,
        "updated_at": moment,
    }
    try:
        conn.execute(_INSERT, row)
    except IntegrityError as error:
        if is_unique_violation(error):
            raise _duplicate(member) from None
        raise
    return Member(image.id, member, MemberStatus.PENDING, at, at)


def set_status(
    conn: Connection, image_id: str, member: str, status: MemberStatus, at: datetime
) -> Member:
    """Store what a member answered; the same answer again changes nothing. Raises NotFound."""
    values = {
        "image": image_id,
        "project": member,
        "new_status": status.value,
        "at": to_microseconds(at),
    }
    row = conn.execute(_SET_STATUS, values).first()
    if row is not None:
        return _member(row)
    same = get(conn, image_id, member)
    if same is None:
        raise missing(member)
    return same


def remove(conn: Connection, image_id: str, member: str, at: datetime) -> None:
    """Take a member away. Raises NotFound."""
    if not conn.execute(_DELETE, {"image": image_id, "project": member}).rowcount:
        raise missing(member)
    conn.execute(_COUNT_ONE_LESS, {"image": image_id, "at": to_microseconds(at)})


def _why_not_added(conn: Connection, image_id: str, member: str, limit: int) -> Exception:
    if get(conn, image_id, member) is not None:
        return _duplicate(member)
    now = store.get(conn, image_id, None)
    if now is not None:
        require_room(now, 1, limit)
    return Conflict("the image was changed meanwhile", rule="changed_meanwhile")


def _duplicate(member: str) -> Conflict:
    return Conflict(
        f"{member} is already a member of the image", rule="member_exists", member=member
    )


def missing(member: str) -> NotFound:
    """Return the refusal of a project that is no member."""
    return NotFound(
        f"{member} is no member of the image", rule="member_not_found", kind="member", id=member
    )


def _member(row: Row[str, str, str, int, int]) -> Member:
    return Member(row[0], row[1], row[2], from_microseconds(row[3]), from_microseconds(row[4]))


_COLUMNS = (
    image_members.c.image_id,
    image_members.c.member,
    image_members.c.status,
    image_members.c.created_at,
    image_members.c.updated_at,
)
_ONE = and_(
    image_members.c.image_id == bindparam("image"),
    image_members.c.member == bindparam("project"),
)
_GET = select(*_COLUMNS).where(_ONE)
_LIST = (
    select(*_COLUMNS)
    .where(image_members.c.image_id == bindparam("image"))
    .order_by(image_members.c.created_at, image_members.c.member)
)
_AMONG = select(image_members.c.image_id, image_members.c.member).where(
    image_members.c.image_id.in_(bindparam("images", expanding=True)),
    image_members.c.member.in_(bindparam("projects", expanding=True)),
)
_INSERT = insert(image_members)
_DELETE = delete(image_members).where(_ONE)
_SET_STATUS = (
    update(image_members)
    .where(_ONE, image_members.c.status != bindparam("new_status"))
    .values(status=bindparam("new_status"), updated_at=bindparam("at"))
    .returning(*_COLUMNS)
)
_IS_PRIVATE = images.c.visibility == "private"
_COUNT_ONE_MORE = (
    update(images)
    .where(
        images.c.id == bindparam("image"),
        images.c.visibility.in_(("private", "shared")),
        images.c.member_count < bindparam("limit"),
    )
    .values(
        member_count=images.c.member_count + 1,
        turned_shared=case((_IS_PRIVATE, True), else_=images.c.turned_shared),
        updated_at=case((_IS_PRIVATE, bindparam("at")), else_=images.c.updated_at),
        visibility="shared",
    )
)
_TURNS_BACK = and_(
    images.c.member_count <= 1,
    images.c.turned_shared.is_(True),
    images.c.visibility == "shared",
)
_COUNT_ONE_LESS = (
    update(images)
    .where(images.c.id == bindparam("image"))
    .values(
        member_count=images.c.member_count - 1,
        visibility=case((_TURNS_BACK, "private"), else_=images.c.visibility),
        turned_shared=case((_TURNS_BACK, False), else_=images.c.turned_shared),
        updated_at=case((_TURNS_BACK, bindparam("at")), else_=images.c.updated_at),
    )
)
