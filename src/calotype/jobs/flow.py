# SPDX-License-Identifier: Apache-2.0
"""What a flow is to the runner, and what a running attempt gives to its steps.

A flow is a row of steps with a start, a publication and an undo, each run inside one transaction
with the move of the job. Every step must stand being run twice: it writes only to names made of
job id and attempt, and reads results of earlier steps as plain JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from calotype import clock
from calotype.errors import Cancelled
from calotype.jobs.model import Document, Job
from calotype.jobs.signals import Signal
from calotype.jobs.states import Failure, JobFailed, JobReason

Results = Mapping[str, Document]

_PROGRESS_SECONDS = 0.5


class Fenced(BaseException):
    """Another attempt owns the job now. No handler of expected errors may swallow it."""


class HandedOver(BaseException):
    """This process ends; the job goes on in another. No handler of errors may swallow it."""


class Attempt:
    """One try of a job in this process. `number` counts from 1; with the job's id it makes names.

    `advance` stores a percentage and says whether this attempt still owns the job.
    """

    def __init__(
        self,
        job: Job,
        signal: Signal,
        advance: Callable[[float], bool],
        deadline: float,
    ) -> None:
        self.job = job
        self.number = job.attempts
        self.signal = signal
        self.start = 0.0  # percentage at which the running step begins
        self._end = 0.0
        self._advance = advance
        self._deadline = deadline  # of clock.monotonic()
        self._told = 0.0

    @property
    def name(self) -> str:
        """The name that everything this attempt writes begins with."""
        return f"{self.job.id}-{self.number}"

    def enter(self, start: float, end: float) -> None:
        """Give the next step its share of the percentage."""
        self.start, self._end = start, end
        self._told = 0.0

    def progress(self, fraction: float) -> None:
        """Note how much of the step is done, 0 to 1; stored at most twice a second."""
        now = clock.monotonic()
        if now - self._told < _PROGRESS_SECONDS:
            return
        self._told = now
        share = (self._end - self.start) * min(1.0, max(0.0, fraction))
        if not self._advance(self.start + share):
            self.signal.lose()

    def stopping(self) -> bool:
        """Tell a tool, which asks often, whether it must end now."""
        return self.signal.set or clock.monotonic() > self._deadline

    def wait(self, seconds: float) -> None:
        """Wait, unless the attempt must end; then raise like `check`."""
        self.signal.wait(seconds)
        self.check()

    def check(self) -> None:
        """Raise when the attempt must end: HandedOver, Fenced, Cancelled, JobFailed (TIMEOUT)."""
        if self.signal.lost:
            raise Fenced
        if self.signal.leaving:
            raise HandedOver
        if self.signal.cancelled:
            raise Cancelled("the job was cancelled")
        if clock.monotonic() > self._deadline:
            raise JobFailed(JobReason.TIMEOUT, "the job took longer than allowed")


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its word, the percentage at its end, and its work.

    `risky`: it runs a tool on a stranger's bytes, so a death of the worker counts against the job.
    """

    name: str
    share: float
    run: Callable[[Attempt, Results], Document]
    risky: bool = False


class Flow(Protocol):
    """A long operation."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps, in their order."""
        ...

    def started(self, conn: Connection, job: Job) -> None:
        """Begin, in the transaction in which the job becomes RUNNING. May raise CalotypeError."""
        ...

    def publish(self, conn: Connection, job: Job, results: Results) -> Document:
        """Make the outcome visible, in the transaction in which the job becomes SUCCESS.

        Returns the job's result. Raises CalotypeError when the outcome is not wanted any more.
        """
        ...

    def failed(self, conn: Connection, job: Job, failure: Failure) -> None:
        """Undo what acceptance reserved, in the transaction in which the job becomes FAIL."""
        ...

    def cleanup(self, job: Job) -> None:
        """Remove bytes that nothing refers to, after the job ended. May be run again."""
        ...

    def abandoned(self, attempt: Attempt) -> None:
        """Remove what this attempt alone wrote: another attempt owns the job."""
        ...
