# SPDX-License-Identifier: Apache-2.0
"""Whether an account has images at all: asked before an enterprise project or account goes.

Every row counts, whatever its state, because it would be left without its owner.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select

from calotype.db.tables.images import images

_OF_ACCOUNT = select(images.c.id).where(images.c.account_id == bindparam("account")).limit(1)
_OF_ENTERPRISE_PROJECT = _OF_ACCOUNT.where(images.c.enterprise_project_id == bindparam("ep"))


def has_images(conn: Connection, account_id: str) -> bool:
    """Tell whether the account owns an image."""
    return conn.execute(_OF_ACCOUNT, {"account": account_id}).first() is not None


def has_images_in(conn: Connection, account_id: str, ep_id: str) -> bool:
    """Tell whether an image of the account lies in the enterprise project."""
    parameters = {"account": account_id, "ep": ep_id}
    return conn.execute(_OF_ENTERPRISE_PROJECT, parameters).first() is not None
