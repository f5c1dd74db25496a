# SPDX-License-Identifier: Apache-2.0
"""The flow that writes an image into a user bucket: inspect, convert, write, publish.

An ordinary export converts, a quick one writes the stored bytes (ims.md, export). The object
appears whole or not at all and never in place of another. In a bucket of ours it appears in the
transaction that ends the job; in an attached one with the put, which is taken back when the job
fails after it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import Connection

from calotype.blobs import leases
from calotype.blobs import store as blobs
from calotype.blobs.digest import digest_file
from calotype.blobs.leases import Lease
from calotype.blobs.store import Blob
from calotype.blobs.sweep import Sweeper
from calotype.buckets.objects import AttachedBucket, OpenBucket, Staged
from calotype.disks.convert import compare, convert
from calotype.errors import Conflict, NotFound, Unavailable
from calotype.flows.core import Core
from calotype.flows.export_submit import ExportOrder, order_of
from calotype.flows.workspace import Workspace, link_to
from calotype.images import store as images
from calotype.jobs.flow import Attempt, Results, Step
from calotype.jobs.model import Document, Job
from calotype.jobs.states import Failure, JobFailed, JobReason

BUCKET_PLACE = "buckets"
_ATTACHED_PLACE = "attached"
_SOURCE_NAME = "stored"
_CONVERTED_NAME = "converted"
_CONVERTED = 0.7  # part of the step that conversion is
_EXPANSION = 64 << 20


class ExportFlow:
    """Exports one image."""

    def __init__(self, core: Core, sweeper: Sweeper) -> None:
        """`sweeper` also reaches leases of the place BUCKET_PLACE."""
        self._core = core
        self._sweeper = sweeper
        self.steps = (
            Step("inspect", 2.0, self._inspect),
            Step("convert", 60.0, self._convert, risky=True),
            Step("write", 98.0, self._write),
        )

    def started(self, conn: Connection, job: Job) -> None:
        """The image must still be what was asked for."""
        _require_active(conn, job)

    def publish(self, conn: Connection, job: Job, results: Results) -> Document:
        """The object appears; the blob is referred to once less."""
        _require_active(conn, job)
        order = order_of(job)
        bucket = self._bucket(job, order)
        staged = Staged(**results["write"])
        try:
            bucket.publish(conn, staged)
        except Conflict:
            raise _exists() from None
        for lease in (*self._leases(job, staged.file), _mark(job, staged.etag)):
            leases.release(conn, lease)
        blobs.drop(conn, order.blob_id)
        return {"size": staged.size, "format": str(order.wanted)}

    def failed(self, conn: Connection, job: Job, failure: Failure) -> None:
        """The blob is referred to once less."""
        blobs.drop(conn, order_of(job).blob_id)

    def cleanup(self, job: Job) -> None:
        """Remove what is still leased; take back an object that a failed job put."""
        order = order_of(job)
        held = self._core.db.read(lambda conn: leases.held_by(conn, job.id))
        for lease in held:
            if lease.place == _ATTACHED_PLACE:
                self._take_back(job, order, lease)
        self._sweeper.release(job.id)
        self._sweeper.collect()

    def abandoned(self, attempt: Attempt) -> None:
        """Remove what only this attempt wrote."""
        job, order = attempt.job, order_of(attempt.job)
        self._sweeper.discard(Lease(self._core.scratch.place, attempt.name, job.id))
        file = self._file(order, attempt)
        if file:
            self._sweeper.discard(Lease(BUCKET_PLACE, file, job.id))

    def _inspect(self, attempt: Attempt, results: Results) -> Document:
        """Make sure that the bytes are here and what their row says."""
        blob = self._blob(order_of(attempt.job))
        for copy in blob.copies:
            stat = self._core.stores.get(copy.store).stat(copy.name)
            if stat is not None and stat.size == blob.size:
                return {"store": copy.store, "name": copy.name, "size": blob.size}
        raise Unavailable("no store has the bytes of the image now", rule="store_away")

    def _convert(self, attempt: Attempt, results: Results) -> Document:
        order = order_of(attempt.job)
        if order.found == order.wanted:
            return {"directory": None}
        space = self._space(attempt)
        with self._stored(attempt, results) as source:
            target = space.path(_CONVERTED_NAME)
            self._make(source, target, order, space)
        return {"directory": attempt.name, "size": target.stat().st_size}

    def _make(self, source: Path, target: Path, order: ExportOrder, space: Workspace) -> None:
        """Convert, and compare what guests see."""
        progress = space.attempt.progress
        limit = self._core.settings.quick_limit + _EXPANSION
        space.check_room(0)

        def work(stop: Callable[[], bool]) -> None:
            convert(
                source,
                order.found,
                target,
                order.wanted,
                size_limit=limit,
                progress=lambda percent: progress(_CONVERTED * percent / 100),
                cancel=stop,
            )

        def percent(done: float) -> None:
            progress(_CONVERTED + (1 - _CONVERTED) * done / 100)

        space.guarded(work)
        first, second = (source, order.found), (target, order.wanted)
        if not compare(first, second, progress=percent, cancel=space.attempt.stopping):
            target.unlink(missing_ok=True)
            text = "the converted file is not what its source is; nothing was written"
            raise JobFailed(JobReason.INTERNAL, text, rule="conversion_differs")

    def _write(self, attempt: Attempt, results: Results) -> Document:
        order, made = order_of(attempt.job), results["convert"]
        space = self._space(attempt)
        if made["directory"] is None:
            with self._stored(attempt, results) as source:
                return self._stage(attempt, order, source, move=False)
        path = space.made(made["directory"], _CONVERTED_NAME, made["size"])
        if path is None:
            # The file was made on another host: make it here.
            again = self._convert(attempt, results)
            path = space.made(attempt.name, _CONVERTED_NAME, again["size"])
        if path is None:
            raise JobFailed(JobReason.INTERNAL, "the converted file was lost")
        return self._stage(attempt, order, path, move=True)

    def _stage(self, attempt: Attempt, order: ExportOrder, path: Path, *, move: bool) -> Document:
        job, space = attempt.job, self._space(attempt)
        bucket = self._bucket(job, order)
        attached = isinstance(bucket, AttachedBucket)
        before = bucket.stat(order.key)
        if before is not None:
            # An earlier attempt may have put it and died: then it is the same, byte for byte.
            if not attached or not self._is_ours(attempt, bucket, order, path):
                raise _exists()
            staged = Staged(order.key, "", before.size, before.etag)
        else:
            staged = self._put(attempt, bucket, order, (path, move))
        if attached:
            space.lease(_ATTACHED_PLACE, _mark(job, staged.etag).name)
        return asdict(staged)

    def _put(
        self, attempt: Attempt, bucket: OpenBucket, order: ExportOrder, source: tuple[Path, bool]
    ) -> Staged:
        path, move = source
        file = self._file(order, attempt)
        for lease in self._leases(attempt.job, file):
            self._space(attempt).lease(lease.place, lease.name)
        try:
            return bucket.stage(order.key, path, attempt.name, move=move and bool(file))
        except Conflict:
            if not file:
                raise _exists() from None
            bucket.discard(file)  # this attempt's own, from a put that did not get to its end
            return bucket.stage(order.key, path, attempt.name, move=move)

    def _is_ours(
        self, attempt: Attempt, bucket: OpenBucket, order: ExportOrder, path: Path
    ) -> bool:
        """Tell whether an object that is there already is what this job puts."""
        lease = Lease(_ATTACHED_PLACE, attempt.job.id, attempt.job.id)
        held = self._core.db.read(lambda conn: leases.held_by(conn, attempt.job.id))
        if lease not in held:
            return False
        hasher = hashlib.sha512()
        for block in bucket.read(order.key):
            attempt.check()
            hasher.update(block)
        return hasher.hexdigest() == digest_file(path, cancel=attempt.stopping).sha512

    def _take_back(self, job: Job, order: ExportOrder, lease: Lease) -> None:
        """Remove the very object that this job put: nothing of a failed export stays."""
        try:
            bucket = self._bucket(job, order)
            found = bucket.stat(order.key)
            if found is not None and _mark(job, found.etag) == lease:
                bucket.delete(order.key)
        except JobFailed:
            pass  # the bucket is no longer this account's
        self._core.db.write(lambda conn: leases.release(conn, lease))

    @contextmanager
    def _stored(self, attempt: Attempt, results: Results) -> Iterator[Path]:
        """Give the stored bytes as a local file: linked, or read from the store."""
        where = results["inspect"]
        backend = self._core.stores.get(where["store"])
        space = self._space(attempt)
        target = space.path(_SOURCE_NAME)
        descriptor = backend.open(where["name"])
        if descriptor is not None:
            try:
                linked = link_to(descriptor, target)
            finally:
                os.close(descriptor)
            if linked:
                yield target
                target.unlink(missing_ok=True)
                return
        space.check_room(where["size"])
        with target.open("wb") as file:
            for block in backend.read(where["name"]):
                attempt.check()
                file.write(block)
        yield target
        target.unlink(missing_ok=True)

    def _blob(self, order: ExportOrder) -> Blob:
        blob = self._core.db.read(lambda conn: blobs.get(conn, order.blob_id))
        if blob is None:
            raise JobFailed(JobReason.STATE, "the image has no bytes any more")
        return blob

    def _bucket(self, job: Job, order: ExportOrder) -> OpenBucket:
        try:
            return self._core.buckets.open(job.account_id, order.bucket)
        except NotFound:
            text = "the bucket cannot be used any more"
            raise JobFailed(JobReason.SOURCE_FORBIDDEN, text) from None

    def _file(self, order: ExportOrder, attempt: Attempt) -> str:
        """Return the name of the attempt's file in a bucket of ours, empty for an attached one."""
        return self._bucket(attempt.job, order).file_name(order.key, attempt.name)

    def _leases(self, job: Job, file: str) -> tuple[Lease, ...]:
        """Return what is leased while the object is not published."""
        if file:
            return (Lease(BUCKET_PLACE, file, job.id),)
        return (Lease(_ATTACHED_PLACE, job.id, job.id),)

    def _space(self, attempt: Attempt) -> Workspace:
        return Workspace(self._core.db, self._core.scratch, attempt)


def _require_active(conn: Connection, job: Job) -> None:
    image = images.get(conn, job.image_id or "", None)
    if image is None or image.status != "active":
        raise JobFailed(JobReason.STATE, "the image is not active any more")


def _mark(job: Job, etag: str) -> Lease:
    """Return the lease that remembers which object in an attached bucket this job put."""
    digest = hashlib.sha256(etag.encode()).hexdigest()
    return Lease(_ATTACHED_PLACE, f"{job.id}-{digest}", job.id)


def _exists() -> JobFailed:
    return JobFailed(
        JobReason.TARGET_EXISTS,
        "an object of this name was made meanwhile; it was not overwritten",
        rule="object_exists",
    )
