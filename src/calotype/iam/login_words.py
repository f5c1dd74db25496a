# SPDX-License-Identifier: Apache-2.0
"""What a login names: an account, a user, a scope, an agency (contract iam.md 5.1)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AccountRef:
    """An account as a login names it; both None: not named."""

    id: str | None = None
    name: str | None = None

    def fits(self, account_id: str, account_name: str) -> bool:
        """Tell whether this names the given account, or none."""
        return self.id in (None, account_id) and self.name in (None, account_name)


@dataclass(frozen=True, slots=True)
class UserRef:
    """A user as a login names it: by id, or by name in an account."""

    id: str | None
    name: str | None
    account: AccountRef


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token is wanted for. Without a project: the account, which `account` may name."""

    project_id: str | None = None
    project_name: str | None = None
    account: AccountRef = AccountRef()

    @property
    def is_project(self) -> bool:
        """Tell whether a project is wanted."""
        return self.project_id is not None or self.project_name is not None


@dataclass(frozen=True, slots=True)
class AgencyWanted:
    """An agency to assume, and the token of the one who wants it."""

    caller_token: str = field(repr=False)
    agency_name: str
    account: AccountRef
