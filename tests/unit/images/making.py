# SPDX-License-Identifier: Apache-2.0
"""Images for tests: one with chosen attributes, and random ones for properties."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import Connection, delete

from calotype import ids
from calotype.db.tables.images import image_members, images, project_usage, used_image_ids
from calotype.images import members, store
from calotype.images.members import MemberStatus
from calotype.images.model import Image

START = datetime(2026, 11, 24, 5, 0, 0, tzinfo=UTC)
PROJECTS = ("a" * 32, "b" * 32, "c" * 32)
ALICE, BOB, CAROL = PROJECTS
ACCOUNT = "d" * 32


def image(**values: Any) -> Image:
    """Return a queued private image of ALICE with `values` in place of the defaults."""
    defaults: dict[str, Any] = {
        "id": ids.new_uuid(),
        "owner": ALICE,
        "account_id": ACCOUNT,
        "created_at": START,
        "updated_at": START,
    }
    return Image(**(defaults | values))


def save(conn: Connection, *made: Image) -> None:
    """Store images as they are."""
    for one in made:
        store.insert_image(conn, one)


def share(conn: Connection, one: Image, member: str, status: str) -> None:
    """Make `member` a member with a status, whatever image and visibility are afterwards."""
    shared = replace(one, visibility="shared", is_whole=False, cmk_id=None)
    if one.visibility != "shared":
        conn.execute(images.update().where(images.c.id == one.id).values(visibility="shared"))
    members.add(conn, shared, member, START, 256)
    members.set_status(conn, one.id, member, MemberStatus(status), START)
    if one.visibility != "shared":
        conn.execute(images.update().where(images.c.id == one.id).values(visibility=one.visibility))


def clear(conn: Connection) -> None:
    """Remove all images and what belongs to them."""
    for table in (image_members, images, used_image_ids, project_usage):
        conn.execute(delete(table))


_texts = st.sampled_from(["", "a", "A", "b", "ab", "zebra", "Äpfel", "日本", "a b", "_"])
_maybe = st.one_of(st.none(), _texts)


@st.composite
def random_image(draw: st.DrawFn) -> Image:
    """Draw an image whose sort keys often coincide."""
    created = START + timedelta(microseconds=draw(st.sampled_from([0, 1, 999_999, 1_000_000])))
    size = draw(st.sampled_from([None, 0, 1, 10, 2**40]))
    return image(
        id=str(draw(st.uuids())),
        owner=draw(st.sampled_from(PROJECTS)),
        name=draw(_maybe),
        visibility=draw(st.sampled_from(["private", "shared", "community", "public"])),
        status=draw(st.sampled_from(["queued", "saving", "active", "deactivated", "killed"])),
        os_hidden=draw(st.booleans()),
        protected=draw(st.booleans()),
        container_format=draw(st.sampled_from([None, "bare", "ova"])),
        disk_format=draw(st.sampled_from([None, "qcow2", "raw", "iso"])),
        size=size,
        blob_id=draw(st.sampled_from([None, "x"])) if size is not None else None,
        origin=draw(st.sampled_from(["native", "ims"])),
        enterprise_project_id=draw(st.sampled_from(["0", "1" * 36])),
        firmware=draw(st.sampled_from([None, "bios", "uefi"])),
        max_ram=draw(st.sampled_from([None, "", "2048"])),
        os_bit=draw(st.sampled_from([None, "32", "64"])),
        os_version=draw(st.sampled_from([None, "Ubuntu 18.04 server 64bit", "Other_Linux"])),
        is_arm=draw(st.booleans()),
        is_whole=draw(st.booleans()),
        cmk_id=draw(st.sampled_from([None, "k"])),
        active_at=draw(st.sampled_from([None, START, START + timedelta(microseconds=7)])),
        tags=tuple(sorted(draw(st.sets(st.sampled_from(["lts", "x86", "k=v", "k=w"]))))),
        properties=draw(
            st.dictionaries(
                st.sampled_from(
                    ["os_distro", "__support_kvm", "__data_origin", "__root_origin", "long"]
                ),
                st.sampled_from(["true", "false", "file", "x" * 4000, "", "a\0b"]),
            )
        ),
        created_at=created,
        updated_at=created + timedelta(microseconds=draw(st.sampled_from([0, 5, 3_000_000]))),
    )


def random_images(most: int = 12) -> st.SearchStrategy[list[Image]]:
    """Draw several images with different ids."""
    return st.lists(random_image(), max_size=most, unique_by=lambda one: one.id)


def random_shares(made: Iterable[Image]) -> st.SearchStrategy[list[tuple[int, str, str]]]:
    """Draw members: index of the image, project, status."""
    return st.lists(
        st.tuples(
            st.integers(0, max(0, len(list(made)) - 1)),
            st.sampled_from(PROJECTS),
            st.sampled_from(["pending", "accepted", "rejected"]),
        ),
        max_size=8,
        unique_by=lambda item: item[:2],
    )
