# SPDX-License-Identifier: Apache-2.0
"""Native upload: the bytes of one request become those of a queued image, or nothing.

While bytes arrive, the image is `saving` and a token of this upload holds it; its files are leased
before they exist. Publishing is one transaction at the end. Whatever fails puts the image back to
`queued` and leaves no bytes. Nothing here knows HTTP. Source: native.md 13, architecture 6.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from calotype import clock, ids
from calotype.blobs import leases
from calotype.blobs import store as blobs
from calotype.blobs.digest import Digest
from calotype.blobs.intake import Intake
from calotype.blobs.leases import Lease
from calotype.disks.formats import INSPECTOR_VERSION
from calotype.disks.inspect import inspect_file
from calotype.errors import (
    BadImage,
    Gone,
    Invalid,
    QuotaExceeded,
    Reason,
    TooLarge,
    Unavailable,
    WrongState,
)
from calotype.flows.core import Also, Core, nothing
from calotype.images import quota, states, store
from calotype.images.model import Image
from calotype.images.states import UPLOAD_PREFIX
from calotype.images.store import Stored

T = TypeVar("T")
LOG = logging.getLogger("calotype.upload")
_RENEW_SECONDS = leases.LIFE.total_seconds() / 4
_SIGNED = (
    "img_signature",
    "img_signature_hash_method",
    "img_signature_key_type",
    "img_signature_certificate_uuid",
)


class Body(Protocol):
    """The bytes of a request. `finish` proves a signature that covers them, or raises."""

    @property
    def blocks(self) -> Callable[[], AsyncIterator[bytes]]:
        """Make the iterator over the bytes."""

    @property
    def length(self) -> int | None:
        """Announced bytes; None when nobody said."""

    @property
    def finish(self) -> Callable[[str, bool], None]:
        """Take the SHA-256 of all bytes in hex, and whether there were none."""

    @property
    def needs_sha256(self) -> bool:
        """Tell whether the caller is proven by the bytes only."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller said beside the bytes: their number, and the store they shall go to."""

    size: int | None = None
    store: str | None = None


class Uploads:
    """Runs the uploads of one process, so many at once as the settings allow."""

    def __init__(self, core: Core) -> None:
        self._core = core
        places = core.settings.uploads_at_once
        self._places = asyncio.Semaphore(places)
        # Of their own: slow stores must not take the threads that downloads read with.
        self._pool = ThreadPoolExecutor(places, thread_name_prefix="upload")

    async def upload(self, image: Image, wanted: Wanted, body: Body, also: Also = nothing) -> None:
        """Receive, inspect and publish. `image` is as the gate read it.

        Raises Invalid, BadImage, WrongState, QuotaExceeded, TooLarge, Gone, Unavailable, what
        `body` raises, and NotFound (`store_unknown`).
        """
        target = wanted.store or self._core.stores.default
        self._core.stores.writable(target)
        _check(image, wanted, body)
        async with self._place():
            run = _Run(self._core, self._pool, image, target)
            try:
                await run.open(wanted, body)
                await run.publish(await run.receive(wanted, body), also)
            except BaseException as error:
                # Also when the task is cancelled: the image must not stay in `saving`.
                await _settle(run.undo(error))
                raise
            finally:
                run.stop()

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Wait for a free place, with the bytes still unread."""
        seconds = self._core.settings.upload_wait_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._places.acquire()
        except TimeoutError:
            raise Unavailable(
                "too many uploads are running; try again later", rule="busy", retry_after=30
            ) from None
        try:
            yield
        finally:
            self._places.release()


async def _settle(work: Awaitable[T], on_cancel: Callable[[], None] | None = None) -> T:
    """Wait for work in a thread to its end, also when this task is cancelled meanwhile.

    A transaction that commits after its caller was cancelled would be undone by nobody.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if on_cancel is not None:
            on_cancel()
        if not task.done():
            await asyncio.wait([task])
        raise


class _Run:
    """One upload: its token, its two leased names, and how far it has come."""

    def __init__(self, core: Core, pool: Executor, image: Image, target: str) -> None:
        self._core = core
        self._pool = pool
        self._image = image
        self._target = target
        self._token = UPLOAD_PREFIX + ids.new_hex()
        self._path = core.scratch.path(self._token)
        self._leases = (
            core.scratch.lease(self._token, self._token),
            Lease(target, self._token, self._token),
        )
        self._limit = core.settings.upload_limit
        self._counted = False
        self._cancelled = False
        self._renewing: asyncio.Task[None] | None = None

    async def open(self, wanted: Wanted, body: Body) -> None:
        """Count the upload, lease its names and take the image, unless the caller is unproven."""
        await _settle(self._open(wanted, body))
        self._renewing = asyncio.create_task(self._renew())

    async def receive(self, wanted: Wanted, body: Body) -> Digest:
        """Hash and write the bytes, then prove who sent them and how many there are."""
        async with Intake(
            self._path,
            limit=self._limit,
            expected=body.length,
            reserve=self._core.scratch.reserve,
            sha256=body.needs_sha256,
        ) as intake:
            async for block in body.blocks():
                await intake.feed(block)
            digest = await intake.finish()
        body.finish(digest.sha256 or "", digest.size == 0)
        for told in (wanted.size, body.length):
            if told is not None and told != digest.size:
                raise _size_differs(digest.size, told)
        if digest.size == 0:
            _check_empty(self._image)
        if body.needs_sha256:
            await _settle(self._begin_now())
        return digest

    async def publish(self, digest: Digest, also: Also) -> None:
        """Inspect the bytes, store them, and make the image active in one transaction."""
        virtual_size = 0
        if digest.size:
            inspection = self._in_thread(self._inspect)
            virtual_size = await _settle(inspection, on_cancel=self._cancel)
        await _settle(self._in_thread(self._put))
        stored = Stored(
            ids.new_uuid(), digest.size, virtual_size, digest.md5, digest.sha512, (self._target,)
        )
        await _settle(self._publish_now(stored, digest, also))

    async def undo(self, error: BaseException) -> None:
        """Give back what was taken; a torn body is remembered (CLIENT-NEEDS M42)."""
        if not self._counted:
            return
        broken = self._image.broken_upload or not isinstance(error, BadImage)

        def work(conn: Connection) -> None:
            store.requeue(conn, self._image.id, self._token, broken=broken)
            quota.release_upload(conn, self._image.owner)

        await self._core.db.run_write(work)
        await self._in_thread(lambda: self._core.sweeper.release(self._token))

    def stop(self) -> None:
        """Stop renewing the leases."""
        if self._renewing is not None:
            self._renewing.cancel()

    def _cancel(self) -> None:
        """Have the inspector give up."""
        self._cancelled = True

    async def _open(self, wanted: Wanted, body: Body) -> None:
        expected = body.length if body.length is not None else wanted.size

        def work(conn: Connection) -> Image:
            settings = self._core.settings
            quota.reserve_upload(conn, self._image.owner, settings.uploads_per_project)
            self._limit = _limit(conn, self._core, self._image.owner, expected)
            for lease in self._leases:
                leases.take(conn, lease, clock.now())
            return self._image if body.needs_sha256 else self._begin(conn)

        self._image = await self._core.db.run_write(work)
        self._counted = True

    async def _begin_now(self) -> None:
        self._image = await self._core.db.run_write(self._begin)

    async def _publish_now(self, stored: Stored, digest: Digest, also: Also) -> None:
        def work(conn: Connection) -> None:
            self._publish(conn, stored, digest)
            also(conn)

        await self._core.db.run_write(work)
        self._counted = False

    def _begin(self, conn: Connection) -> Image:
        """Take the image for this upload; return it as it is now."""
        move = (states.Status.QUEUED, states.Status.SAVING)
        taken = store.begin(conn, self._image.id, self._token, move, clock.now())
        image = store.get(conn, self._image.id, None)
        if image is None:
            raise _gone(self._image.id)
        if not taken:
            states.require(image, "upload")
            raise WrongState(
                "another upload of the image has begun", status=image.status, operation="upload"
            )
        _check_formats(image)
        return image

    def _in_thread(self, work: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _put(self) -> None:
        backend = self._core.stores.writable(self._target)
        backend.put(self._token, self._path, move=True)

    def _inspect(self) -> int:
        found = inspect_file(
            self._path,
            claim=self._image.disk_format,
            container=self._image.container_format or "bare",
            cancel=lambda: self._cancelled,
        )
        return found.virtual_size

    def _publish(self, conn: Connection, stored: Stored, digest: Digest) -> None:
        now = clock.now()
        copies = (blobs.Copy(self._target, self._token),)
        blobs.add(conn, stored.blob_id, digest, copies, INSPECTOR_VERSION, now)
        if not store.publish(conn, self._image.id, self._token, stored, now):
            raise _gone(self._image.id)
        owner = self._image.owner
        quota.reserve_bytes(conn, owner, digest.size, self._core.settings.bytes_per_project)
        quota.release_upload(conn, owner)
        for lease in self._leases:
            leases.release(conn, lease)

    async def _renew(self) -> None:
        """Keep the leases alive while bytes arrive; a failure is tried again in time."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            try:
                await self._core.db.run_write(
                    lambda conn: leases.renew(conn, [self._token], clock.now())
                )
            except Unavailable:
                LOG.warning("the leases of an upload could not be renewed")


def _check(image: Image, wanted: Wanted, body: Body) -> None:
    """Refuse what can be refused before a byte is read."""
    states.require(image, "upload")
    _check_formats(image)
    _check_signed(image)
    if wanted.size is not None and body.length not in (None, wanted.size):
        raise _size_differs(body.length, wanted.size)
    if body.length == 0 and not body.needs_sha256:
        _check_empty(image)


def _check_formats(image: Image) -> None:
    for name in ("disk_format", "container_format"):
        if getattr(image, name) is None:
            raise Invalid(
                f"{name} must be set before bytes are uploaded", rule="formats_missing", field=name
            )


def _check_signed(image: Image) -> None:
    """Refuse an image that asks for a signature: no store of certificates is connected."""
    given = [name for name in _SIGNED if name in image.properties]
    if given:
        missing = sorted(set(_SIGNED) - set(given))
        text = f"{missing[0]} is missing" if missing else "its certificate cannot be fetched"
        raise BadImage(
            Reason.SIGNATURE_INVALID, f"the image's signature cannot be verified: {text}"
        )


def _check_empty(image: Image) -> None:
    """Take an empty body for raw only, and not as a blind repetition of a torn one (M42)."""
    if image.disk_format != "raw":
        raise BadImage(Reason.EMPTY, "the body is empty; only a raw image may be")
    if image.broken_upload:
        raise BadImage(
            Reason.EMPTY, "the body is empty after an upload that broke; send the bytes again"
        )


def _limit(conn: Connection, core: Core, owner: str, expected: int | None) -> int:
    """Return how many bytes may come. Raises QuotaExceeded, TooLarge for an announced length."""
    limit = core.settings.upload_limit
    if expected is not None and expected > limit:
        raise TooLarge(
            f"an image has at most {limit} bytes, not {expected}", limit=limit, value=expected
        )
    room = quota.room(conn, owner, core.settings.bytes_per_project)
    if room is None:
        return limit
    if expected is not None and expected > room:
        raise QuotaExceeded(
            f"the project may store {room} bytes more, not {expected}",
            rule="byte_quota",
            quota="bytes",
            limit=room,
            used=0,
        )
    return min(limit, room)


def _size_differs(found: int | None, told: int) -> Invalid:
    return Invalid(
        f"the body has {found} bytes, not {told}", rule="size_mismatch", field="size", value=found
    )


def _gone(image_id: str) -> Gone:
    return Gone("the image was deleted while its bytes arrived", kind="image", id=image_id)
