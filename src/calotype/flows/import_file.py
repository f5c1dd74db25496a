# SPDX-License-Identifier: Apache-2.0
"""The flow that makes an image of a file in a bucket: fetch, inspect, convert, store, publish.

Kinds F and O of `ims.create`, quick imports, data images and `ims.register` are one flow with
different wishes (ims.md, values.md 10, jobs.md 4). Nothing is visible before the publication and
nothing changes after it; a failed creation is killed, a failed register is queued again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from sqlalchemy import Connection

from calotype import clock, ids
from calotype.blobs import leases
from calotype.blobs import store as blobs
from calotype.blobs.digest import Digest, digest_file
from calotype.blobs.leases import Lease
from calotype.blobs.store import Copy
from calotype.disks.formats import INSPECTOR_VERSION, Format
from calotype.disks.inspect import Inspection, inspect_file
from calotype.errors import (
    BadImage,
    CalotypeError,
    Conflict,
    Gone,
    ProgramFailed,
    QuotaExceeded,
    Reason,
)
from calotype.flows.core import Core
from calotype.flows.fetching import fetch
from calotype.flows.making import make
from calotype.flows.side_by_side import side_by_side
from calotype.flows.sources import GIB, Source, Wanted, from_document, wanted_from
from calotype.flows.workspace import Workspace
from calotype.images import quota
from calotype.images import store as images
from calotype.images.store import Stored
from calotype.jobs.flow import Attempt, Results, Step
from calotype.jobs.model import Document, Job
from calotype.jobs.states import Failure, JobFailed, JobReason

T = TypeVar("T")
FLOW = "import"
REGISTER = "register"
_CONVERTED_NAME = "converted"
_KILLED_BY = ("signal", "limit", "timeout")


@dataclass(frozen=True, slots=True)
class Order:
    """What the job's row says about its work."""

    source: Source
    wanted: Wanted
    store: str

    def document(self) -> dict[str, Any]:
        """Return it as JSON for the job's row."""
        return {
            "source": self.source.document(),
            "wanted": self.wanted.document(),
            "store": self.store,
        }


def order_of(job: Job) -> Order:
    """Return what a job's row says about its work."""
    request = job.request
    return Order(from_document(request["source"]), wanted_from(request["wanted"]), request["store"])


class ImportFlow:
    """Imports one file. Every step may be run again by a later attempt, also on another host."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.steps = (
            Step("fetch", 20.0, self._fetch),
            Step("inspect", 22.0, self._inspect, risky=True),
            Step("convert", 85.0, self._convert, risky=True),
            Step("store", 98.0, self._store),
        )

    def started(self, conn: Connection, job: Job) -> None:
        """The image becomes `saving`."""
        move = ("queued", "saving")
        if not images.begin(conn, _image_of(job), job.id, move, clock.now()):
            raise JobFailed(JobReason.STATE, "the image is not waiting for this job any more")

    def publish(self, conn: Connection, job: Job, results: Results) -> Document:
        """The image becomes `active` with a blob that is referred to once."""
        stored, found = results["store"], results["inspect"]
        now = clock.now()
        name, store_id = stored["name"], stored["store"]
        if not leases.release(conn, Lease(store_id, name, job.id)):
            raise JobFailed(JobReason.STORE, "the stored bytes were removed before publication")
        digest = Digest(**stored["digest"])
        blob_id = ids.new_uuid()
        blobs.add(conn, blob_id, digest, (Copy(store_id, name),), INSPECTOR_VERSION, now)
        limit = self._core.settings.bytes_per_project
        quota.reserve_bytes(conn, job.project_id, digest.size, limit)
        ready = Stored(
            blob_id, digest.size, found["virtual_size"], digest.md5, digest.sha512, (store_id,)
        )
        changes = self._changes(conn, job, found["virtual_size"], stored["format"])
        if not images.publish(conn, _image_of(job), job.id, ready, now, changes):
            raise Gone("the image was deleted while its bytes were on their way")
        return {"image_id": job.image_id, "size": digest.size, "format": stored["format"]}

    def failed(self, conn: Connection, job: Job, failure: Failure) -> None:
        """A creation is killed, a register queued again; what was reserved is given back."""
        if job.flow == REGISTER:
            images.requeue(conn, _image_of(job), job.id)
        else:
            images.fail(conn, _image_of(job), job.id, clock.now())

    def cleanup(self, job: Job) -> None:
        """Remove everything that is still leased to the job."""
        self._core.sweeper.release(job.id)

    def abandoned(self, attempt: Attempt) -> None:
        """Remove what only this attempt wrote."""
        for place in (self._core.scratch.place, *self._core.stores.ids()):
            self._core.sweeper.discard(Lease(place, attempt.name, attempt.job.id))

    def _fetch(self, attempt: Attempt, results: Results) -> Document:
        space = self._space(attempt)
        order = order_of(attempt.job)
        path = fetch(self._core.buckets, order.source, order.wanted.byte_limit, space)
        return {"directory": attempt.name, "size": path.stat().st_size}

    def _inspect(self, attempt: Attempt, results: Results) -> Document:
        order = order_of(attempt.job)
        source = self._source(attempt, results)
        self._refuse_poison(source, attempt)
        claim = order.source.claim

        def work() -> Inspection:
            return inspect_file(source, claim=claim, cancel=attempt.stopping)

        found = self._noting_kills(source, attempt, work)
        order.wanted.check_format(found.format)
        if order.wanted.is_too_small(found.virtual_size):
            size = -(-found.virtual_size // GIB)
            text = f"the disk has {size} GB, min_disk is {order.wanted.min_disk} GB"
            raise JobFailed(JobReason.MIN_DISK, text, rule=order.wanted.disk_rule)
        self._check_quota(attempt.job, found.virtual_size)
        return {"format": str(found.format), "virtual_size": found.virtual_size}

    def _convert(self, attempt: Attempt, results: Results) -> Document:
        order = order_of(attempt.job)
        found, wanted = Format(results["inspect"]["format"]), order.wanted.format
        if found == wanted:
            return {"directory": None}
        space = self._space(attempt)
        source = self._source(attempt, results)
        target = space.path(_CONVERTED_NAME)
        virtual_size = results["inspect"]["virtual_size"]
        limits = (virtual_size, self._size_limit(attempt.job, order.wanted, virtual_size))

        def work() -> Digest:
            return make((source, found), (target, wanted), limits, space)

        digest = self._noting_kills(source, attempt, work)
        return {"directory": attempt.name, "digest": asdict(digest)}

    def _store(self, attempt: Attempt, results: Results) -> Document:
        converted = results["convert"]
        order = order_of(attempt.job)
        if converted["directory"] is None:
            return self._keep(attempt, results, order)
        document = {
            "store": order.store,
            "format": str(order.wanted.format),
            "digest": converted["digest"],
        }
        backend = self._core.stores.writable(order.store)
        size, name = converted["digest"]["size"], converted["directory"]
        stat = backend.stat(name)
        if stat is not None and stat.size == size:
            # An attempt died after its put was whole and before that was noted.
            return document | {"name": name}
        path = self._space(attempt).made(name, _CONVERTED_NAME, size)
        if path is None:
            # The file was made on another host: make it here.
            again = self._convert(attempt, results)
            path = self._space(attempt).made(attempt.name, _CONVERTED_NAME, again["digest"]["size"])
            document["digest"] = again["digest"]
        if path is None:
            raise JobFailed(JobReason.INTERNAL, "the converted file was lost")
        self._put(attempt, path, order.store)
        return document | {"name": attempt.name}

    def _keep(self, attempt: Attempt, results: Results, order: Order) -> Document:
        """Store the source as it is, byte for byte; hash it while it is copied."""
        source = self._source(attempt, results)
        failed = Event()
        # Opened before the store may take the file away.
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

        def stop() -> bool:
            return failed.is_set() or attempt.stopping()

        def hashed() -> Digest:
            return digest_file(
                descriptor,
                progress=lambda done, total: attempt.progress(done / max(1, total)),
                cancel=stop,
            )

        try:
            digest, _ = side_by_side(
                failed, hashed, lambda: self._put(attempt, source, order.store)
            )
        finally:
            os.close(descriptor)
        assert isinstance(digest, Digest)
        return {
            "store": order.store,
            "name": attempt.name,
            "format": results["inspect"]["format"],
            "digest": asdict(digest),
        }

    def _put(self, attempt: Attempt, path: Path, store_id: str) -> None:
        backend = self._core.stores.writable(store_id)
        self._space(attempt).lease(store_id, attempt.name)
        try:
            backend.put(attempt.name, path, move=path.stat().st_nlink == 1)
        except Conflict:
            # The name is this attempt's alone: a put before this one did not get to its end.
            backend.delete(attempt.name)
            backend.put(attempt.name, path, move=path.stat().st_nlink == 1)

    def _space(self, attempt: Attempt) -> Workspace:
        return Workspace(self._core.db, self._core.scratch, attempt)

    def _source(self, attempt: Attempt, results: Results) -> Path:
        """Return the fetched file; fetch it again where it is not on this host."""
        fetched = results["fetch"]
        space = self._space(attempt)
        path = space.made(fetched["directory"], "source", fetched["size"])
        if path is not None:
            return path
        order = order_of(attempt.job)
        own = space.made(attempt.name, "source", fetched["size"])
        return own or fetch(self._core.buckets, order.source, order.wanted.byte_limit, space)

    def _changes(
        self, conn: Connection, job: Job, virtual_size: int, stored_format: str
    ) -> Mapping[str, object]:
        """Return the columns that are known only now."""
        changes: dict[str, object] = {"disk_format": stored_format}
        image = images.get(conn, _image_of(job), None)
        if image is not None and image.container_format is None:
            changes["container_format"] = "bare"
        if image is not None and not image.min_disk:
            changes["min_disk"] = -(-virtual_size // GIB)
        return changes

    def _check_quota(self, job: Job, virtual_size: int) -> None:
        room = self._room(job)
        if room is not None and virtual_size > room:
            raise QuotaExceeded(
                f"the disk may need {virtual_size} bytes; the project has {room} left",
                quota="bytes",
                limit=room,
            )

    def _room(self, job: Job) -> int | None:
        limit = self._core.settings.bytes_per_project
        return self._core.db.read(lambda conn: quota.room(conn, job.project_id, limit))

    def _size_limit(self, job: Job, wanted: Wanted, virtual_size: int) -> int:
        """Return how many bytes a conversion may write: never more than disk and quota allow."""
        # Tables and one more cluster for each piece are what a full disk needs beside its content.
        full = virtual_size + virtual_size // 256 + (64 << 20)
        room = self._room(job)
        limits = [full, wanted.byte_limit, *([] if room is None else [room])]
        return min(limits) if wanted.format != Format.RAW else max(min(limits), virtual_size)

    def _refuse_poison(self, source: Path, attempt: Attempt) -> None:
        """Refuse content that tools were killed on again and again (security C2)."""
        size = source.stat().st_size
        db = self._core.db
        if not db.read(lambda conn: blobs.may_be_poisoned(conn, size)):
            return
        digest = digest_file(source, cancel=attempt.stopping)
        if db.read(lambda conn: blobs.is_poisoned(conn, digest.sha512)):
            text = "tools were killed on this content before; it is not read again"
            raise BadImage(Reason.EXPANSION_LIMIT, text)

    def _noting_kills(self, source: Path, attempt: Attempt, work: Callable[[], T]) -> T:
        """Run a tool; remember the content when the tool had to be killed on it."""
        try:
            return work()
        except CalotypeError as error:
            cause = error if isinstance(error, ProgramFailed) else error.__cause__
            if isinstance(cause, ProgramFailed) and cause.how in _KILLED_BY:
                attempt.check()
                digest = digest_file(source, cancel=attempt.stopping)
                self._core.db.write(
                    lambda conn: blobs.note_killed(conn, digest.sha512, digest.size, clock.now())
                )
            raise


def _image_of(job: Job) -> str:
    assert job.image_id is not None  # every import names its image
    return job.image_id
