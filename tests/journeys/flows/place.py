# SPDX-License-Identifier: Apache-2.0
"""One deployment without HTTP: rooms over a data directory, a caller, and looks at what is left."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from calotype import clock
from calotype.blobs import leases
from calotype.blobs import store as blobs
from calotype.blobs.scratch import Scratch
from calotype.blobs.stores import Stores
from calotype.blobs.sweep import Sweeper
from calotype.buckets.room import BucketRoom
from calotype.contract.error_table import load_errors
from calotype.db.session import Database, normalise_url, sqlite_url
from calotype.flows.core import Core
from calotype.flows.export_submit import Target, submit_export
from calotype.flows.import_submit import SYSTEM, Made, submit_creation
from calotype.flows.sources import Source
from calotype.flows.table import flows_of
from calotype.iam.room import IamRoom
from calotype.images import quota
from calotype.images import store as images
from calotype.images.model import Image
from calotype.jobs import store as jobs
from calotype.jobs.inline import InlineRunner
from calotype.jobs.model import Job
from calotype.jobs.queue import JobQueue
from calotype.keys.provider import KeyProvider
from calotype.principal import Caller, Credential, Principal, PrincipalType
from calotype.settings import Settings

ACCOUNT, PROJECT, USER = "a" * 32, "b" * 32, "c" * 32
BUCKET = "disks"


def open_core(settings: Settings) -> Core:
    """Return the rooms of a deployment; the schema exists already."""
    url = settings.database_url.get_secret_value()
    database = Database(normalise_url(url) if url else sqlite_url(settings.data_dir))
    stores = Stores(settings)
    scratch = Scratch(settings.scratch, 0)
    scratch.prepare()
    keys = KeyProvider({"k": bytes(32)})
    return Core(
        settings=settings,
        db=database,
        stores=stores,
        scratch=scratch,
        sweeper=Sweeper(database, stores, scratch, jobs.open_ids),
        buckets=BucketRoom(database, settings, keys),
        jobs=JobQueue(settings),
        keys=keys,
        iam=cast(IamRoom, None),  # no flow of these tests asks it
        errors=load_errors(),
    )


def caller(project: str = PROJECT, account: str = ACCOUNT) -> Caller:
    """Return a person of a project."""
    return Caller(
        principal=Principal(PrincipalType.USER, USER, "ann", account, "acme"),
        credential=Credential("token", "12345678"),
        project_id=project,
        project_name="region-1",
        eps_enabled=False,
        source_ip="127.0.0.1",
        user_agent="tests",
        request_id="req-1",
        arrived_at=clock.now(),
    )


def draft(**changes: Any) -> Image:
    """Return an image as a face hands it over."""
    now = clock.now()
    plain = Image(
        id="",
        owner="",
        account_id="",
        created_at=now,
        updated_at=now,
        name="web-base",
        min_disk=10,
        properties={"__data_origin": "file,disks:k"},
    )
    return dataclasses.replace(plain, **changes)


@dataclass
class Deployment:
    """Rooms, and what a test asks again and again."""

    core: Core

    def put(self, key: str, path: Path) -> None:
        """Put a file into the bucket."""
        self.core.buckets.put(ACCOUNT, BUCKET, key, path)

    def create(
        self,
        key: str,
        extension: str,
        *,
        variant: str = SYSTEM,
        compression: str | None = None,
        checksum: str | None = None,
        **image: Any,
    ) -> Made:
        """Submit a creation from an object of the bucket."""
        source = Source(
            bucket=BUCKET,
            key=key,
            extension=extension,
            compression=compression,
            checksum=checksum,
        )
        return submit_creation(self.core, caller(), draft(**image), source, variant)

    def export(self, image: Image, key: str, wanted: Any) -> str:
        """Submit an export into the bucket."""
        target = Target(bucket=BUCKET, key=key, format=wanted)
        return submit_export(self.core, caller(), image, target)

    def run(self) -> None:
        """Run everything that was accepted, in this thread."""
        InlineRunner(self.core.db, flows_of(self.core), self.core.settings).run_waiting()

    def job(self, job_id: str) -> Job:
        """Return a job."""
        job = self.core.db.read(lambda conn: jobs.get(conn, job_id))
        assert job is not None
        return job

    def image(self, image_id: str) -> Image:
        """Return an image."""
        image = self.core.db.read(lambda conn: images.get(conn, image_id, PROJECT))
        assert image is not None
        return image

    def bytes_of(self, image: Image) -> Path:
        """Return the stored file of an active image."""
        assert image.blob_id is not None
        blob_id = image.blob_id
        blob = self.core.db.read(lambda conn: blobs.get(conn, blob_id))
        assert blob is not None
        return self.blob_files()[blob.copies[0].name]

    def blob_files(self) -> dict[str, Path]:
        """Return every file of the store of blobs."""
        root = self.core.settings.data_dir / "blobs"
        return {path.name: path for path in root.rglob("*") if path.is_file()}

    def leftovers(self) -> list[str]:
        """Return leases, files in scratch, and stored files that no image has."""
        core = self.core
        places = (core.scratch.place, "buckets", "attached", *core.stores.ids())
        held = [
            lease
            for place in places
            for lease in core.db.read(partial(leases.held_in, place=place))
        ]
        names = tuple(self.blob_files())
        known = core.db.read(lambda conn: blobs.named(conn, "default", names))
        return [
            *core.scratch.names(),
            *(f"lease {lease.place} {lease.name}" for lease in held),
            *(f"stored {name}" for name in names if name not in known),
        ]

    def used(self) -> tuple[int, int]:
        """Return how many images and bytes the project uses."""
        usage = self.core.db.read(lambda conn: quota.read(conn, PROJECT))
        return usage.images, usage.bytes
