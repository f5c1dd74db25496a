# SPDX-License-Identifier: Apache-2.0
"""Decodes a file into a raw one with the sandboxed tool, and tells how far that is.

A reader may follow: what the tool reports as done, less a margin for what it still has in flight.
The figure is only a hint, and whoever follows proves his result afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Condition
from types import TracebackType
from typing import Self

from calotype.disks.convert import convert
from calotype.disks.formats import Format
from calotype.disks.layout import CLUSTER, Layout
from calotype.errors import Cancelled
from calotype.flows.workspace import Workspace

_MARGIN = 64 << 20
_LOOK_SECONDS = 0.2


class Decoding:
    """One running decoder; leaving the `with` block stops it and removes nothing."""

    def __init__(
        self, source: tuple[Path, Format], plain: Path, layout: Layout, space: Workspace
    ) -> None:
        self._source = source
        self._plain = plain
        self._space = space
        self._length = layout.virtual_size
        self._total = layout.data_clusters * CLUSTER
        self._percent = 0.0
        self._given_up = False
        self._changed = Condition()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="decoding")
        self._running: Future[None] | None = None

    def open(self) -> int:
        """Return a descriptor of the raw file, as soon as it has its length."""
        while not self._running_ended():
            if self._plain.exists() and self._plain.stat().st_size >= self._length:
                break
            with self._changed:
                self._changed.wait(0.01)
            self._space.attempt.check()
        self._raise()
        return os.open(self._plain, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def wait_for(self, count: int) -> None:
        """Return when so many bytes with content are written, or all of them."""
        with self._changed:
            while not self._running_ended() and self._written() < count:
                self._changed.wait(_LOOK_SECONDS)
                self._space.attempt.check()
        self._raise()

    def finish(self) -> None:
        """Wait for the end. Raises what the decoder raised."""
        while not self._running_ended():
            with self._changed:
                self._changed.wait(_LOOK_SECONDS)
            self._space.attempt.check()
        self._raise()

    def __enter__(self) -> Self:
        self._running = self._pool.submit(self._space.guarded, self._decode)
        self._running.add_done_callback(lambda _: self._tell(100.0))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._given_up = True
        self._pool.shutdown(wait=True)

    def _decode(self, stop: Callable[[], bool]) -> None:
        convert(
            *self._source,
            self._plain,
            Format.RAW,
            size_limit=self._length,
            progress=self._tell,
            cancel=lambda: self._given_up or stop(),
        )

    def _tell(self, percent: float) -> None:
        with self._changed:
            self._percent = max(self._percent, percent)
            self._changed.notify_all()

    def _written(self) -> float:
        return self._total * self._percent / 100 - _MARGIN

    def _running_ended(self) -> bool:
        return self._running is not None and self._running.done()

    def _raise(self) -> None:
        """Raise what ended the decoder before its time."""
        if self._running is not None and self._running.done():
            error = self._running.exception()
            if error is not None and not isinstance(error, Cancelled):
                raise error
            self._space.attempt.check()
            if error is not None:
                raise error
