# SPDX-License-Identifier: Apache-2.0
"""Every flow by its name, and what a worker does besides running them.

`app.py` gives both to the runner; the jobs room itself knows no flow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from functools import partial

from sqlalchemy import Connection

from calotype import clock
from calotype.audit import trail
from calotype.blobs import leases
from calotype.blobs.sweep import Sweeper
from calotype.errors import NotFound, ReadOnly
from calotype.flows import export_submit, import_file, member_order, upload_recovery
from calotype.flows.core import Core
from calotype.flows.export_file import BUCKET_PLACE, ExportFlow
from calotype.flows.import_file import ImportFlow
from calotype.flows.members import MembersFlow
from calotype.iam import tokens
from calotype.images import expiry
from calotype.images import store as images
from calotype.jobs import store as jobs
from calotype.jobs.flow import Flow
from calotype.jobs.runner import Hooks

_DAY = timedelta(days=1)
_AT_ONCE = 200


def flows_of(core: Core) -> Mapping[str, Flow]:
    """Return the flows that a worker of this deployment runs."""
    importing = ImportFlow(core)
    return {
        import_file.FLOW: importing,
        import_file.REGISTER: importing,
        export_submit.FLOW: ExportFlow(core, sweeper_of(core)),
        member_order.FLOW: MembersFlow(core),
    }


def hooks_of(core: Core) -> Hooks:
    """Return what a worker does for the rooms: leases of running jobs, sweeps."""
    sweeper = sweeper_of(core)

    def keep(running: Collection[str]) -> None:
        core.db.write(lambda conn: leases.renew(conn, running, clock.now()))

    return Hooks(
        keep=keep,
        chores=(
            sweeper.sweep,
            lambda: upload_recovery.recover(core),  # looks at the leases that the sweep left
            lambda: forget_killed(core),
            daily(sweeper.store_strays),
            daily(core.buckets.sweep),
            daily(lambda: forget_old(core)),
        ),
    )


def sweeper_of(core: Core) -> Sweeper:
    """Return a sweeper that also reaches files of buckets that are not published."""
    others = {BUCKET_PLACE: core.buckets.discard}
    return Sweeper(core.db, core.stores, core.scratch, jobs.open_ids, others)


def forget_killed(core: Core) -> int:
    """Delete images that were killed long ago; return how many."""
    before = clock.now() - timedelta(days=core.settings.killed_days)
    ids = core.db.read(lambda conn: expiry.killed_before(conn, before, _AT_ONCE))

    def forget(conn: Connection, image_id: str) -> None:
        with contextlib.suppress(NotFound, ReadOnly):  # gone already, or kept by its owner
            images.delete_image(conn, image_id, clock.now())

    for image_id in ids:
        core.db.write(partial(forget, image_id=image_id))
    return len(ids)


def forget_old(core: Core) -> tuple[int, int]:
    """Remove tokens that ended and whole days of records past their time; return how many."""
    oldest = clock.now().replace(hour=0, minute=0, second=0, microsecond=0) - trail.RETENTION
    gone = core.db.write(tokens.drop_expired)
    return gone, core.db.write(lambda conn: trail.drop_before(conn, oldest))


def daily(work: Callable[[], object]) -> Callable[[], None]:
    """Return a chore that does its work once a day, first a day after it was made."""
    last = clock.monotonic()

    def chore() -> None:
        nonlocal last
        if clock.monotonic() - last >= _DAY.total_seconds():
            last = clock.monotonic()
            work()

    return chore
