# SPDX-License-Identifier: Apache-2.0
"""Every flow by its name, and what a worker does besides running them.

`app.py` gives both to the runner; the jobs room itself knows no flow.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta

from calotype import clock
from calotype.blobs import leases
from calotype.blobs.sweep import Sweeper
from calotype.flows import export_submit, import_file, upload_recovery
from calotype.flows.core import Core
from calotype.flows.export_file import BUCKET_PLACE, ExportFlow
from calotype.flows.import_file import ImportFlow
from calotype.jobs import store as jobs
from calotype.jobs.flow import Flow
from calotype.jobs.runner import Hooks

_DAY = timedelta(days=1)


def flows_of(core: Core) -> Mapping[str, Flow]:
    """Return the flows that a worker of this deployment runs."""
    importing = ImportFlow(core)
    return {
        import_file.FLOW: importing,
        import_file.REGISTER: importing,
        export_submit.FLOW: ExportFlow(core, sweeper_of(core)),
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
            daily(sweeper.store_strays),
            daily(core.buckets.sweep),
        ),
    )


def sweeper_of(core: Core) -> Sweeper:
    """Return a sweeper that also reaches files of buckets that are not published."""
    others = {BUCKET_PLACE: core.buckets.discard}
    return Sweeper(core.db, core.stores, core.scratch, jobs.open_ids, others)


def daily(work: Callable[[], object]) -> Callable[[], None]:
    """Return a chore that does its work once a day, first a day after it was made."""
    last = clock.monotonic()

    def chore() -> None:
        nonlocal last
        if clock.monotonic() - last >= _DAY.total_seconds():
            last = clock.monotonic()
            work()

    return chore
