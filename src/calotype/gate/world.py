# SPDX-License-Identifier: Apache-2.0
"""The world that decisions ask, out of the database: images, members, jobs, names of the account.

Rows that it reads for a decision are kept, so that the handler does not read them again. Visibility
is not judged here but by the decision.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from calotype import ids
from calotype.gate.enforce_types import TargetJob
from calotype.iam import lookup
from calotype.iam.snapshot import AccountSnapshot
from calotype.images import members, store, target
from calotype.images.model import Image
from calotype.images.visibility import TargetImage
from calotype.jobs import store as jobs
from calotype.jobs.model import Job


class DatabaseWorld:
    """What one decision may look up, on one connection."""

    def __init__(self, connection: Connection, region: str, snapshot: AccountSnapshot) -> None:
        self._connection = connection
        self._region = region
        self._snapshot = snapshot
        self.rows: dict[str, object] = {}

    @property
    def region(self) -> str:
        """Id of the serving region."""
        return self._region

    def image(self, image_id: str, project_id: str | None) -> TargetImage | None:
        """Return an image with the member status of `project_id`, None when there is none."""
        found = store.get(self._connection, image_id, project_id)
        if found is None:
            return None
        self.rows[image_id] = found
        return target.facts(found)

    def has_member(self, image_id: str, member_id: str) -> bool:
        """Tell whether the image has this member, in any status."""
        return members.get(self._connection, image_id, member_id) is not None

    def present(self, image: TargetImage, name: str) -> object:
        """Return the value that the native dialect shows for a read-only attribute."""
        row = self.rows[image.id]
        assert isinstance(row, Image)
        return target.native_value(row, name)

    def job(self, job_id: str) -> TargetJob | None:
        """Return a job of any project, None when there is none."""
        found = jobs.get(self._connection, job_id)
        if found is None:
            return None
        self.rows[job_id] = found
        return _target(found)

    def eps(self, account_id: str) -> Sequence[str]:
        """Return the enterprise projects of an account, `0` included."""
        if account_id == self._snapshot.account.id:
            return tuple(self._snapshot.enterprise_projects)
        return ("0",)

    def entity(self, kind: str, entity_id: str, account_id: str | None) -> bool:
        """Tell whether the account (None: any) has it."""
        return lookup.exists(self._connection, self._snapshot, kind, entity_id, account_id)

    def key_owner(self, access_key: str) -> str | None:
        """Return the id of the user an access key belongs to."""
        return lookup.key_owner(self._connection, access_key)


def _target(job: Job) -> TargetJob:
    return TargetJob(
        id=ids.job_id(job.id) or job.id,
        project_id=job.project_id,
        ep=job.enterprise_project_id,
        submitter_id=job.submitter_id,
    )
