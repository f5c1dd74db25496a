# SPDX-License-Identifier: Apache-2.0
"""The composition root: settings in, backends picked by name, rows joined to handlers.

`open_core` makes the rooms, `build` the application, `run_service` and `run_worker` a process.
Nothing above this module makes a room, nothing below it reads settings for another.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

from sqlalchemy import Connection
from uvicorn._types import ASGI3Application

from calotype import clock, log, programs
from calotype.api import identity, ims, native
from calotype.api.operator import health
from calotype.audit.trail import Trail
from calotype.blobs.scratch import Scratch
from calotype.blobs.stores import Stores
from calotype.blobs.sweep import Sweeper
from calotype.buckets import store as bucket_rows
from calotype.buckets.room import BucketRoom
from calotype.buckets.store import Bucket
from calotype.contract.error_table import load_errors
from calotype.contract.loader import load_operations
from calotype.db import migrate as migrations
from calotype.db.session import Database, normalise_url, sqlite_url
from calotype.errors import Invalid, NotFound, Unsupported
from calotype.flows.core import Core
from calotype.flows.table import flows_of, hooks_of
from calotype.gate.authenticate import Authenticator
from calotype.gate.dispatch import Gate, Parts
from calotype.gate.incoming import Places
from calotype.gate.metrics import Metrics
from calotype.gate.predicates import require_known
from calotype.gate.recording import Recording
from calotype.gate.routes import Router
from calotype.gate.signature import ReplayCache, Verifier
from calotype.iam import accounts, bootstrap
from calotype.iam.bootstrap import FirstStart
from calotype.iam.new_account import MadeAccount
from calotype.iam.room import open_room
from calotype.jobs import store as job_rows
from calotype.jobs.queue import JobQueue
from calotype.jobs.runner import Runner
from calotype.keys.provider import KeyProvider
from calotype.server.limits import Limits
from calotype.server.listen import Listen
from calotype.server.run import Hooks, serve
from calotype.settings import Settings


@dataclass(frozen=True, slots=True)
class Buckets:
    """The bucket room for one account, for the command line."""

    room: BucketRoom
    account_id: str


@dataclass(slots=True)
class Readiness:
    """Whether the service takes work."""

    started: bool = False
    draining: bool = False

    def __call__(self) -> bool:
        return self.started and not self.draining


def open_database(settings: Settings) -> Database:
    """Open the database of the settings; SQLite in the data directory by default."""
    url = settings.database_url.get_secret_value()
    if url:
        return Database(normalise_url(url))
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Database(sqlite_url(settings.data_dir.absolute()))


def open_core(settings: Settings, database: Database) -> Core:
    """Make the rooms. The schema is current and the key file exists, or may be made."""
    # Others must not list what lies here, whoever makes the directory first.
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    first = database.read(accounts.first) is None
    keys = KeyProvider.open(settings.master_key_file, create=first)
    stores = Stores(settings)
    scratch = Scratch(settings.scratch, settings.scratch_reserve)
    return Core(
        settings=settings,
        db=database,
        stores=stores,
        scratch=scratch,
        sweeper=Sweeper(database, stores, scratch, job_rows.open_ids),
        buckets=BucketRoom(database, settings, keys),
        jobs=JobQueue(settings),
        keys=keys,
        iam=open_room(settings, database, keys),
        errors=load_errors(),
    )


def first_start(core: Core, base_url: str) -> bool:
    """Make the first account with its bucket, and the two files; nothing when they are there."""
    settings = core.settings
    bucket = f"{settings.region}-{secrets.token_hex(4)}"

    def add_bucket(connection: Connection, made: MadeAccount) -> None:
        row = Bucket(bucket, made.account.id, settings.buckets_place(), False, None)
        bucket_rows.insert_bucket(connection, row, clock.now())

    wanted = FirstStart(
        directory=settings.data_dir,
        base_url=base_url,
        bucket=bucket,
        password=settings.admin_password.get_secret_value(),
        also=add_bucket,
    )
    return bootstrap.first_start(core.db, core.iam, wanted)


def build(core: Core, trail: Trail, ready: Readiness) -> Gate:
    """Join rows and handlers. Raises RowsAndHandlersDiffer, BadRow."""
    settings = core.settings
    operations = load_operations()
    require_known(operations)
    metrics = Metrics()
    handlers = {
        **ims.handlers(core),
        **native.handlers(core),
        **identity.handlers(core),
        **health.handlers(core, metrics, ready),
    }
    verifier = Verifier(
        strict=settings.signature_strict, replay=ReplayCache() if settings.replay_cache else None
    )
    native_form = native.renderer(core.errors)
    identity_form = identity.renderer(core.errors)
    parts = Parts(
        router=Router(operations),
        handlers=handlers,
        authenticator=Authenticator(core.iam.snapshots, core.keys, verifier),
        recording=Recording(trail),
        metrics=metrics,
        database=core.db,
        renderers={
            "ims": ims.renderer(core.errors),
            "native": native_form,
            "operator": native_form,
            "iam": identity_form,
            "authz": identity_form,
            "eps": identity_form,
        },
        places=Places.of(settings.public_endpoint, settings.trusted_proxies),
        region=settings.region,
        json_limit=settings.json_limit,
    )
    return Gate(parts, operations)


def run_service(settings: Settings, *, worker: bool) -> int:
    """Run the API, and the worker beside it, until a signal; return the exit code."""
    log.configure(settings.log_level)
    database = open_database(settings)
    if database.is_sqlite:
        migrations.ensure(database)
    else:
        migrations.require(database)
    _require_sandbox(settings)
    core = open_core(settings, database)
    core.scratch.prepare()
    if database.is_sqlite:
        first_start(core, _address(settings))
    trail = Trail(database)
    ready = Readiness()
    gate = build(core, trail, ready)
    runner = Runner(database, flows_of(core), settings, hooks_of(core)) if worker else None
    if runner is not None:
        core.jobs.on_wake(runner.wake)

    async def start() -> None:
        trail.start()

    def announce(url: str) -> None:
        bootstrap.refresh_endpoints(settings.data_dir, settings.public_endpoint or url)
        ready.started = True
        # Last: loading the engine would take its time from the start.
        if runner is not None:
            runner.start()

    async def drain() -> None:
        ready.draining = True
        if runner is not None:
            await asyncio.to_thread(runner.stop, settings.drain_seconds)

    listen = Listen(settings.host, settings.port, None, settings.tls_cert, settings.tls_key)
    hooks = Hooks(start=start, ready=announce, drain=drain)
    try:
        return serve(cast(ASGI3Application, gate), listen, limits=_limits(settings), hooks=hooks)
    finally:
        trail.close()
        core.iam.close()
        database.close()


def run_worker(settings: Settings) -> int:
    """Run jobs until a signal; return the exit code."""
    log.configure(settings.log_level)
    database = open_database(settings)
    migrations.require(database)
    _require_sandbox(settings)
    core = open_core(settings, database)
    core.scratch.prepare()
    runner = Runner(database, flows_of(core), settings, hooks_of(core))
    runner.start()
    try:
        asyncio.run(_until_signal())
    finally:
        runner.stop(settings.drain_seconds)
        core.iam.close()
        database.close()
    return 0


def migrate(settings: Settings) -> Iterator[str]:
    """Bring the schema up to date and make the first account; say what was done."""
    database = open_database(settings)
    try:
        before = migrations.ensure(database)
        yield f"schema: {before or 'empty'} -> {migrations.HEAD}"
        core = open_core(settings, database)
        if first_start(core, settings.public_endpoint or _address(settings)):
            yield f"first account made; credentials: {settings.data_dir / 'credentials.json'}"
        core.iam.close()
    finally:
        database.close()


@contextlib.contextmanager
def open_buckets(settings: Settings, account: str) -> Iterator[Buckets]:
    """Give the buckets of an account (empty: the first one). Raises NotFound, Invalid."""
    if not settings.database_url.get_secret_value() and not settings.data_dir.exists():
        raise Invalid(
            f"{settings.data_dir} is no data directory; start the service first, or name another",
            rule="no_data_dir",
        )
    database = open_database(settings)
    try:
        migrations.require(database)
        found = database.read(
            lambda connection: (
                accounts.find_by_name(connection, account)
                if account
                else accounts.first(connection)
            )
        )
        if found is None:
            raise NotFound(f"there is no account {account}", rule="account_not_found")
        keys = KeyProvider.open(settings.master_key_file, create=False)
        yield Buckets(BucketRoom(database, settings, keys), found.id)
    finally:
        database.close()


def _require_sandbox(settings: Settings) -> None:
    """Refuse to start without a sandbox where the settings ask for one. Raises Unsupported."""
    if settings.sandbox == "require" and programs.sandbox_kind().name != "bubblewrap":
        raise Unsupported(
            "CALOTYPE_SANDBOX=require: bubblewrap is missing or does not work on this machine;"
            " see `calotype check`",
            rule="sandbox_missing",
        )


def _address(settings: Settings) -> str:
    scheme = "https" if settings.tls_cert else "http"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return settings.public_endpoint or f"{scheme}://{host}:{settings.port}"


def _limits(settings: Settings) -> Limits:
    return replace(Limits(), grace_seconds=settings.drain_seconds)


async def _until_signal() -> None:
    import signal

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
