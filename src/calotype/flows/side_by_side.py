# SPDX-License-Identifier: Apache-2.0
"""Works that run at once, each in a thread, and end together."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from threading import Event

from calotype.errors import Cancelled


def side_by_side(failed: Event, *works: Callable[[], object]) -> list[object]:
    """Run works at once and return what they gave; when one fails, `failed` stops the others.

    Raises what failed first in earnest, not the Cancelled of those that were stopped for it.
    """
    with ThreadPoolExecutor(len(works), thread_name_prefix="making") as pool:
        running: list[Future[object]] = [pool.submit(work) for work in works]
        wait(running, return_when=FIRST_EXCEPTION)
        failed.set()
    errors = [error for error in (one.exception() for one in running) if error is not None]
    if errors:
        raise min(errors, key=lambda error: isinstance(error, Cancelled))
    return [one.result() for one in running]
