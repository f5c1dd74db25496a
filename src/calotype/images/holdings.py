# SPDX-License-Identifier: Apache-2.0
"""Whether an account still owns images, asked before something of identity is deleted."""

from __future__ import annotations

from sqlalchemy import Connection, select

from calotype.db.tables.images import images


def any_of(connection: Connection, account_id: str, enterprise_project_id: str | None) -> bool:
    """Tell whether the account owns an image, in one enterprise project or (None) in any."""
    query = select(images.c.id).where(images.c.account_id == account_id).limit(1)
    if enterprise_project_id is not None:
        query = query.where(images.c.enterprise_project_id == enterprise_project_id)
    return connection.execute(query).first() is not None
