# SPDX-License-Identifier: Apache-2.0
"""Bytes in and out through the gate: nothing is kept of an upload that fails (native.md 9, 13)."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, select

from calotype.blobs import leases
from calotype.db.tables import blobs as blob_tables
from calotype.errors import Unavailable
from calotype.flows.upload_recovery import recover
from calotype.images import quota, store
from calotype.images.states import UPLOAD_PREFIX
from tests.exchanges.native.conftest import OwnSite
from tests.exchanges.native.site import Site, Tenant, Torn
from tests.service import until

RAW = bytes(range(256)) * 4096


def qcow2(size: int = 1 << 20) -> bytes:
    """Return a small empty QCOW2 of version 2: header, one level-1 table, refcounts."""
    cluster = 1 << 16
    header = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 16, size, 0, 1, cluster * 3, cluster, 1, 0, 0
    )
    table = struct.pack(">Q", cluster * 2)
    counts = struct.pack(">4H", 1, 1, 1, 1)
    parts = (header, table, counts, b"\0" * 8)
    return b"".join(part.ljust(cluster, b"\0") for part in parts)


def left_behind(site: Site) -> dict[str, int]:
    """Count what a failed upload may not leave."""

    def rows(conn) -> dict[str, int]:  # type: ignore[no-untyped-def]  # a connection
        return {
            table.name: conn.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (blob_tables.blobs, blob_tables.leases)
        }

    found = site.core.db.read(rows)
    found["scratch"] = len(site.core.scratch.names())
    found["store"] = len(list(site.core.stores.get("default").list()))
    return found


def uploads(site: Site, tenant: Tenant) -> int:
    return site.core.db.read(lambda conn: quota.read(conn, tenant.project)).uploads


def test_uploaded_bytes_come_back_with_their_hashes(tenant: Tenant) -> None:
    made = tenant.make(name='a "b"\n'.strip())["id"]
    sent = tenant.upload(made, RAW[:300_000], RAW[300_000:], X_OpenStack_Image_Size=str(len(RAW)))
    assert (sent.status, sent.content) == (204, b"")
    shown = tenant.show(made)
    sha512 = hashlib.sha512(RAW).hexdigest()
    assert (shown["status"], shown["size"], shown["virtual_size"]) == ("active", len(RAW), len(RAW))
    assert shown["checksum"] == hashlib.md5(RAW).hexdigest()
    assert (shown["os_hash_algo"], shown["os_hash_value"]) == ("sha512", sha512)
    assert shown["stores"] == "default"
    got = tenant.download(made)
    assert (got.status, got.content) == (200, RAW)
    assert got.headers["Content-Type"] == "application/octet-stream"
    assert got.headers["ETag"] == f'"{sha512}"'
    assert got.headers["Content-MD5"] == shown["checksum"]
    assert got.headers["Accept-Ranges"] == "bytes"
    assert got.headers["Content-Security-Policy"] == "sandbox"
    assert got.headers["Content-Disposition"].startswith('attachment; filename="a _b_"')
    assert int(got.headers["Content-Length"]) == len(RAW)
    assert tenant.upload(made, RAW).status == 409
    assert (
        tenant.patch(made, {"op": "replace", "path": "/disk_format", "value": "iso"}).status == 403
    )


def test_parts_are_cut_out(tenant: Tenant) -> None:
    made = tenant.make()["id"]
    assert tenant.upload(made, RAW).status == 204
    size = len(RAW)
    for asked, first, last in (
        ("bytes=0-0", 0, 0), ("bytes=100-199", 100, 199), ("bytes=-5", size - 5, size - 1),
        (f"bytes={size - 1}-", size - 1, size - 1), (f"bytes=10-{size * 2}", 10, size - 1),
    ):  # fmt: skip
        got = tenant.download(made, Range=asked)
        assert (got.status, got.content) == (206, RAW[first : last + 1])
        assert got.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
    etag = tenant.download(made).headers["ETag"]
    assert tenant.download(made, Range="bytes=0-1", If_Range=etag).status == 206
    assert tenant.download(made, Range="bytes=0-1", If_Range='"x"').status == 200
    assert tenant.download(made, Content_Range="bytes 2-3/*").content == RAW[2:4]
    beyond = tenant.download(made, Range=f"bytes={size}-")
    assert beyond.status == 416
    assert beyond.headers["Content-Range"] == f"bytes */{size}"
    assert tenant.download(made, Range="bytes=0-1,3-4").status == 400
    assert tenant.download(made, ("prefer", "default,default")).status == 200
    assert tenant.download(made, ("prefer", "nowhere")).status == 400


def test_an_image_without_bytes_gives_none(tenant: Tenant) -> None:
    got = tenant.download(tenant.make()["id"])
    assert (got.status, got.content) == (204, b"")
    assert "content-type" not in got.headers


def test_content_is_inspected_as_what_it_claims(tenant: Tenant) -> None:
    disk = qcow2()
    good = tenant.make(disk_format="qcow2")["id"]
    assert tenant.upload(good, disk).status == 204
    assert tenant.show(good)["virtual_size"] == 1 << 20
    for claim, content in (("raw", disk), ("qcow2", RAW), ("vmdk", disk), ("qcow2", disk[:100])):
        made = tenant.make(disk_format=claim)["id"]
        reply = tenant.upload(made, content)
        assert reply.status == 415, (claim, reply.text)
        shown = tenant.show(made)
        assert (shown["status"], shown["size"], shown["checksum"]) == ("queued", None, None)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"disk_format": None}, {}, 400),
        ({"container_format": None}, {}, 400),
        ({}, {"X_OpenStack_Image_Size": "x"}, 400),
        ({}, {"X_OpenStack_Image_Size": "5"}, 400),
        ({}, {"X_Image_Meta_Store": "nowhere"}, 400),
        ({}, {"X_Image_Meta_Store": "\xff\xfe"}, 400),
        ({}, {"Content_Type": "text/plain"}, 415),
        ({"img_signature": "x"}, {}, 400),
    ],
)
def test_wrong_uploads_are_refused_and_leave_nothing(
    site: Site, anybody: Tenant, body: dict[str, object], headers: dict[str, str], status: int
) -> None:
    made = anybody.make(**body)["id"]
    before = left_behind(site)
    assert anybody.upload(made, b"content", **headers).status == status
    shown = anybody.show(made)
    assert (shown["status"], shown["size"], shown["os_hash_algo"]) == ("queued", None, None)
    assert left_behind(site) == before
    assert uploads(site, anybody) == 0


def test_two_ways_to_tell_the_length_are_refused(anybody: Tenant) -> None:
    made = anybody.make()["id"]
    headers = {"Content_Length": "1", "Transfer_Encoding": "chunked"}
    assert anybody.upload(made, b"x", **headers).status == 400


def test_an_empty_body_is_for_raw_only_and_not_after_a_torn_one(
    site: Site, anybody: Tenant
) -> None:
    path = "/v2/images/{}/file"
    whole = anybody.make(disk_format="raw")["id"]
    assert anybody.upload(whole).status == 204
    shown = anybody.show(whole)
    assert (shown["size"], shown["virtual_size"]) == (0, 0)
    got = anybody.download(whole)
    assert (got.status, got.content) == (200, b"")
    assert anybody.download(whole, Range="bytes=0-").status == 416
    other = anybody.make(disk_format="qcow2")["id"]
    headers = {"Content-Type": "application/octet-stream", "Content-Length": "0"}
    for image_id, more in ((other, {}), (other, {"content": []})):
        assert anybody.call("PUT", path.format(image_id), headers=headers, **more).status == 400
    torn = anybody.make(disk_format="raw")["id"]
    before = left_behind(site)
    assert tear(anybody, torn) is None
    assert anybody.show(torn)["status"] == "queued"
    assert left_behind(site) == before
    for _ in range(2):
        assert anybody.call("PUT", path.format(torn), headers=headers).status == 400
        assert anybody.upload(torn).status == 400
    assert anybody.upload(torn, RAW).status == 204
    assert anybody.show(torn)["status"] == "active"


def tear(tenant: Tenant, image_id: str) -> object:
    """Upload and go away in the middle."""

    async def pieces() -> AsyncIterator[bytes]:
        yield RAW
        raise Torn

    headers = {"Content-Type": "application/octet-stream"}
    path = f"/v2/images/{image_id}/file"
    return asyncio.run(tenant.send("PUT", path, content=pieces(), headers=headers))


def held(tenant: Tenant, image_id: str, meanwhile) -> tuple[object, str]:  # type: ignore[no-untyped-def]  # a coroutine function
    """Upload, and have something done while half of the bytes are in; return both outcomes."""

    async def run() -> tuple[object, str]:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            yield RAW
            begun.set()
            await go_on.wait()
            yield RAW

        path = f"/v2/images/{image_id}/file"
        task = asyncio.create_task(tenant.send("PUT", path, content=pieces()))
        await begun.wait()
        found = await meanwhile()
        go_on.set()
        reply = await task
        assert reply is not None
        return found, str(reply.status)

    return asyncio.run(run())


def test_an_image_is_saving_while_bytes_arrive(site: Site, anybody: Tenant) -> None:
    made = anybody.make()["id"]

    async def look() -> tuple[str, object, int, int]:
        shown = await anybody.send("GET", f"/v2/images/{made}")
        again = await anybody.send("PUT", f"/v2/images/{made}/file", content=[b"x"])
        empty = await anybody.send("GET", f"/v2/images/{made}/file")
        assert shown is not None and again is not None and empty is not None
        return shown.json["status"], shown.json["size"], again.status, empty.status

    assert held(anybody, made, look) == (("saving", None, 409, 204), "204")
    assert anybody.show(made)["size"] == 2 * len(RAW)
    assert uploads(site, anybody) == 0


def test_an_image_that_is_deleted_while_bytes_arrive_leaves_nothing(
    site: Site, anybody: Tenant
) -> None:
    made = anybody.make()["id"]
    before = left_behind(site)

    async def delete() -> int:
        reply = await anybody.send("DELETE", f"/v2/images/{made}")
        assert reply is not None
        return reply.status

    assert held(anybody, made, delete) == (204, "410")
    assert anybody.call("GET", f"/v2/images/{made}").status == 404
    assert left_behind(site) == before
    assert uploads(site, anybody) == 0


def test_a_cancelled_upload_puts_the_image_back(site: Site, anybody: Tenant) -> None:
    made = anybody.make()["id"]
    before = left_behind(site)

    async def run() -> None:
        begun = asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            yield RAW
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(anybody.send("PUT", f"/v2/images/{made}/file", content=pieces()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert anybody.show(made)["status"] == "queued"
    assert left_behind(site) == before
    assert uploads(site, anybody) == 0


def test_limits_of_size_bytes_and_uploads(own_site: OwnSite) -> None:
    site = own_site(
        upload_limit=len(RAW) * 2, bytes_per_project=len(RAW) * 3, uploads_per_project=1
    )
    tenant = site.tenant()
    ids = [tenant.make()["id"] for _ in range(4)]
    before = left_behind(site)
    assert tenant.upload(ids[0], *[RAW] * 3).status == 413
    assert tenant.upload(ids[0], *[RAW] * 3, Content_Length=str(len(RAW) * 3)).status == 413
    assert left_behind(site) == before
    assert tenant.upload(ids[0], RAW, RAW).status == 204
    assert tenant.upload(ids[1], RAW, RAW).status == 413
    assert tenant.upload(ids[1], RAW).status == 204
    assert tenant.call("DELETE", f"/v2/images/{ids[0]}").status == 204

    async def another() -> int:
        reply = await tenant.send("PUT", f"/v2/images/{ids[3]}/file", content=[b"x"])
        assert reply is not None
        return reply.status

    assert held(tenant, ids[2], another) == (413, "204")
    usage = site.core.db.read(lambda conn: quota.read(conn, tenant.project))
    assert (usage.bytes, usage.uploads, usage.images) == (len(RAW) * 3, 0, 3)


def test_one_upload_more_than_places_waits_and_is_told_to_come_again(own_site: OwnSite) -> None:
    site = own_site(uploads_at_once=1, upload_wait_seconds=0.2)
    tenant = site.tenant()
    first, second = tenant.make()["id"], tenant.make()["id"]

    async def another() -> tuple[int, str]:
        reply = await tenant.send("PUT", f"/v2/images/{second}/file", content=[b"x"])
        assert reply is not None
        return reply.status, reply.headers["Retry-After"]

    assert held(tenant, first, another) == ((503, "30"), "204")
    assert tenant.show(second)["status"] == "queued"


def test_a_store_that_fails_leaves_a_queued_image(
    own_site: OwnSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = own_site()
    tenant = site.tenant()
    made = tenant.make()["id"]
    backend = site.core.stores.get("default")

    def full(*args: object, **more: object) -> None:
        raise Unavailable("no room", rule="store_full")

    monkeypatch.setattr(type(backend), "put", full)
    assert tenant.upload(made, RAW).status == 503
    assert tenant.show(made)["status"] == "queued"
    assert left_behind(site) == {"blobs": 0, "leases": 0, "scratch": 0, "store": 0}
    monkeypatch.undo()
    assert tenant.upload(made, RAW).status == 204


def test_lost_bytes_are_the_stores_fault(own_site: OwnSite) -> None:
    site = own_site()
    tenant = site.tenant()
    made = tenant.make()["id"]
    assert tenant.upload(made, RAW).status == 204
    backend = site.core.stores.get("default")
    for found in list(backend.list()):
        backend.delete(found.name)
    assert tenant.download(made).status == 503


def test_deleting_lets_the_bytes_go(own_site: OwnSite) -> None:
    site = own_site()
    tenant = site.tenant()
    made = tenant.make()["id"]
    assert tenant.upload(made, RAW).status == 204
    assert tenant.call("DELETE", f"/v2/images/{made}").status == 204
    for _ in until(10.0):  # they go behind the answer, without a sweep
        if not any(left_behind(site).values()):
            break


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_images_of_a_process_that_died_become_queued_again(own_site: OwnSite, kind: str) -> None:
    site = own_site(kind)
    tenant = site.tenant()
    dead, alive = tenant.make()["id"], tenant.make()["id"]
    core = site.core

    def begin(conn) -> None:  # type: ignore[no-untyped-def]  # a connection
        from calotype import clock

        for image_id, token in ((dead, "1" * 32), (alive, "2" * 32)):
            quota.reserve_upload(conn, tenant.project, 10)
            move = ("queued", "saving")
            assert store.begin(conn, image_id, UPLOAD_PREFIX + token, move, clock.now())
        lease = leases.Lease("default", UPLOAD_PREFIX + "2" * 32, UPLOAD_PREFIX + "2" * 32)
        leases.take(conn, lease, clock.now())

    core.db.write(begin)
    assert recover(core) == 1
    assert (tenant.show(dead)["status"], tenant.show(alive)["status"]) == ("queued", "saving")
    assert uploads(site, tenant) == 1
    core.sweeper.release(UPLOAD_PREFIX + "2" * 32)
    assert recover(core) == 1
    assert uploads(site, tenant) == 0


def test_members_download_and_others_do_not(site: Site, anybody: Tenant, other: Tenant) -> None:
    from tests.unit.images.making import share

    made = anybody.make(visibility="shared")["id"]
    assert anybody.upload(made, RAW).status == 204
    assert other.download(made).status == 404
    image = site.core.db.read(lambda conn: store.get(conn, made, None))
    assert image is not None
    site.core.db.write(lambda conn: share(conn, image, other.project, "rejected"))
    assert other.download(made).content == RAW
    assert other.show(made)["status"] == "active"
    assert made not in other.list()
    assert made in other.list(("member_status", "rejected"))
