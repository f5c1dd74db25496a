# SPDX-License-Identifier: Apache-2.0
"""What the parts of the service that need identity hold in their hands; made once by `app.py`."""

from __future__ import annotations

from dataclasses import dataclass

from calotype.db.session import Database
from calotype.iam.access_keys import Wrapper
from calotype.iam.limits import Limits
from calotype.iam.login import Login
from calotype.iam.passwords import Cost, Passwords
from calotype.iam.snapshot import Snapshots
from calotype.settings import Settings


@dataclass(frozen=True, slots=True)
class IamRoom:
    """Identity of one process. Call `close` at shutdown."""

    region: str
    limits: Limits
    keys: Wrapper
    passwords: Passwords
    snapshots: Snapshots
    login: Login

    def close(self) -> None:
        """End the pool of the passwords."""
        self.passwords.close()


def open_room(
    settings: Settings, database: Database, keys: Wrapper, *, cost: Cost | None = None
) -> IamRoom:
    """Make the room. `cost` is the work of a password hash; tests give a cheap one."""
    passwords = Passwords(cost)
    snapshots = Snapshots()
    return IamRoom(
        region=settings.region,
        limits=Limits(
            users=settings.users_per_account,
            groups=settings.groups_per_account,
            groups_per_user=settings.groups_per_user,
            policies=settings.policies_per_account,
            keys_per_user=settings.keys_per_user,
            enterprise_projects=settings.eps_per_account,
        ),
        keys=keys,
        passwords=passwords,
        snapshots=snapshots,
        login=Login(
            database,
            passwords,
            snapshots,
            region=settings.region,
            hours=settings.token_hours,
        ),
    )
