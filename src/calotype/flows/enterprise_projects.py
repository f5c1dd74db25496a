# SPDX-License-Identifier: Apache-2.0
"""Deleting an enterprise project: only when it holds neither images nor grants (iam.md 6.4)."""

from __future__ import annotations

from sqlalchemy import Connection

from calotype.errors import Conflict
from calotype.iam import accounts, enterprise_projects
from calotype.iam.enterprise_projects import EnterpriseProject
from calotype.images import ownership


def delete_enterprise_project(
    connection: Connection, account_id: str, ep_id: str
) -> EnterpriseProject:
    """Delete it; return what it was.

    Raises NotFound, ReadOnly for the built-in one, Conflict while it holds images or grants.
    """
    accounts.bump(connection, account_id)
    enterprise_projects.get(connection, account_id, ep_id)
    if ep_id != enterprise_projects.DEFAULT and ownership.has_images_in(
        connection, account_id, ep_id
    ):
        raise Conflict(
            f"the enterprise project {ep_id} holds images; move or delete them first",
            rule="enterprise_project_in_use",
        )
    return enterprise_projects.remove(connection, account_id, ep_id)
