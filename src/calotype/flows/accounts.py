# SPDX-License-Identifier: Apache-2.0
"""Deleting an account: only when it owns neither images nor buckets (iam.md 6.5)."""

from __future__ import annotations

from sqlalchemy import Connection

from calotype.buckets import store as buckets
from calotype.errors import Conflict, ReadOnly
from calotype.iam import accounts
from calotype.iam.accounts import Account
from calotype.images import ownership


def delete_account(connection: Connection, account_id: str) -> Account:
    """Delete it with all its people and rights; return what it was.

    Raises NotFound, ReadOnly for the first account, Conflict while it owns images or buckets.
    """
    account = accounts.get(connection, account_id)
    if account.is_first:
        raise ReadOnly("the first account cannot be deleted", rule="first_account")
    accounts.bump(connection, account_id)
    for what, holds in (
        ("images", ownership.has_images(connection, account_id)),
        ("buckets", bool(buckets.of_account(connection, account_id))),
    ):
        if holds:
            raise Conflict(
                f"the account {account.name} owns {what}; delete them first", rule="in_use"
            )
    accounts.remove(connection, account_id)
    return account
