# SPDX-License-Identifier: Apache-2.0
"""The flow that adds, updates or removes members of several images (ims.md members, jobs.md 6).

Each pair is a transaction of its own that also notes the pair as done, so a worker that takes over
goes on behind the last one and nothing is done twice. A pair that fails undoes no other; the job
fails at the end when one did. What was checked at acceptance is checked again on the locked row.
"""

from __future__ import annotations

import logging

from sqlalchemy import Connection

from calotype import clock
from calotype.errors import CalotypeError, NotFound, QuotaExceeded, Unavailable
from calotype.flows.core import Core
from calotype.flows.member_order import Change, Mark, MemberOrder, kept, marks_of, order_of
from calotype.images import members
from calotype.images import store as images
from calotype.images.model import Image
from calotype.images.states import Status
from calotype.jobs import store as jobs
from calotype.jobs.flow import Attempt, Fenced, Results, Step
from calotype.jobs.model import Document, Job
from calotype.jobs.states import Failure, JobFailed, JobReason

_LOG = logging.getLogger(__name__)


class MembersFlow:
    """Changes members."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.steps = (Step("apply", 98.0, self._apply),)

    def started(self, conn: Connection, job: Job) -> None:
        """Nothing was reserved and nothing is held."""

    def publish(self, conn: Connection, job: Job, results: Results) -> Document:
        """Every pair is visible already; the result stays."""
        return results["apply"]

    def failed(self, conn: Connection, job: Job, failure: Failure) -> None:
        """What was done stays done."""

    def cleanup(self, job: Job) -> None:
        """Nothing was written beside the database."""

    def abandoned(self, attempt: Attempt) -> None:
        """Nothing was written beside the database."""

    def _apply(self, attempt: Attempt, results: Results) -> Document:
        order = order_of(attempt.job)
        pairs = order.pairs()
        # Not from the attempt: an earlier turn of this step may have noted more.
        now = self._core.db.read(lambda conn: jobs.get(conn, attempt.job.id))
        marks = "" if now is None else marks_of(now)
        while len(marks) < len(pairs):
            attempt.check()
            marks += self._one(attempt.job, order, pairs[len(marks)], marks)
            attempt.progress(len(marks) / len(pairs))
        failed = sum(mark != Mark.DONE for mark in marks)
        if failed:
            raise JobFailed(JobReason.PARTIAL, f"{failed} of {len(pairs)} failed")
        return kept(marks)

    def _one(self, job: Job, order: MemberOrder, pair: tuple[str, str], before: str) -> Mark:
        """Work on one pair and note it, in one transaction; a failed one is noted by itself."""

        def work(conn: Connection) -> Mark:
            mark = _change(conn, self._core.settings.members_per_image, (job, order), pair)
            self._note(conn, job, before + mark)
            return mark

        try:
            return self._core.db.write(work)
        except Unavailable:
            raise
        except QuotaExceeded:
            mark = Mark.QUOTA
        except NotFound:
            mark = Mark.GONE
        except Exception as error:
            if order.change is Change.UPDATE:
                raise  # no published result says it
            if not isinstance(error, CalotypeError):
                _LOG.exception("a member was not changed", extra={"job_id": job.id})
            mark = Mark.FAILED
        self._core.db.write(lambda conn: self._note(conn, job, before + mark))
        return mark

    def _note(self, conn: Connection, job: Job, marks: str) -> None:
        if not jobs.note(conn, job, kept(marks)):
            raise Fenced


def _change(
    conn: Connection, limit: int, work: tuple[Job, MemberOrder], pair: tuple[str, str]
) -> Mark:
    """Change one pair. Raises what the members room raises."""
    (job, order), (image_id, project) = work, pair
    image = images.get(conn, image_id, project, lock=True)
    if image is None:
        return Mark.GONE
    if order.change is Change.UPDATE:
        return _answer(conn, order, image, project)
    if image.owner != job.project_id:
        return Mark.OWNER
    if order.change is Change.DELETE:
        if image.member_status is not None:
            members.remove(conn, image.id, project, clock.now())
        return Mark.DONE
    if image.status != Status.ACTIVE:
        return Mark.STATE
    if image.member_status is None:
        members.add(conn, image, project, clock.now(), limit)
    return Mark.DONE


def _answer(conn: Connection, order: MemberOrder, image: Image, project: str) -> Mark:
    if image.visibility != "shared" or image.member_status is None:
        return Mark.GONE
    assert order.status is not None
    members.set_status(conn, image.id, project, order.status, clock.now())
    return Mark.DONE
