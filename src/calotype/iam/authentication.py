# SPDX-License-Identifier: Apache-2.0
"""From a credential to who asks, in which project, with which grants; for the gate.

Each credential costs one statement while its account stands still. Nothing here reads a request:
the gate takes the token or the AK from it, verifies signatures, and refuses suspended projects
(contract iam.md 4.1, 5, 6.5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from calotype.errors import NotAllowed
from calotype.iam import access_keys, tokens
from calotype.iam.access_keys import KeyRecord, Wrapper
from calotype.iam.grants import GrantSet
from calotype.iam.holders import Holder
from calotype.iam.snapshot import AccountSnapshot, Snapshots, applicable, is_operator
from calotype.iam.tokens import OperatorRecord, ScopeProject, TokenRecord
from calotype.principal import Credential, Principal, PrincipalType

OPERATOR_ID = "operator"


@dataclass(frozen=True, slots=True)
class Identified:
    """Who asks. `project` None: for the account as a whole."""

    principal: Principal
    credential: Credential
    project: ScopeProject | None
    snapshot: AccountSnapshot
    grants: GrantSet

    @property
    def eps_enabled(self) -> bool:
        """Whether the account uses enterprise projects."""
        return self.snapshot.account.eps_enabled


def by_token(
    connection: Connection, token: str, snapshots: Snapshots, project_id: str | None = None
) -> Identified | None:
    """Return who presents this token, or None when it is unknown, expired or ended.

    `project_id` (32 hex digits) counts for the operator's token only: the project it acts in, of
    any account. Raises NotAllowed with rule `foreign_project` when the operator names none there
    is.
    """
    sha256 = tokens.fingerprint(token)
    if token.startswith(tokens.OPERATOR_START):
        found = tokens.find_operator(connection, sha256, project_id)
        return None if found is None else _operator(connection, found, snapshots, project_id)
    record = tokens.find(connection, sha256)
    return None if record is None else of_token(connection, record, snapshots)


def of_token(connection: Connection, record: TokenRecord, snapshots: Snapshots) -> Identified:
    """Return who presents a token that was found already."""
    credential = Credential(
        kind="token", id=record.sha256[:8], mfa_at=record.mfa_at, expires_at=record.expires_at
    )
    return _identified(connection, record.holder, credential, record.project, snapshots)


def by_key(
    connection: Connection, access: str, snapshots: Snapshots, wrapper: Wrapper
) -> tuple[KeyRecord, Identified] | None:
    """Return the key of this AK and who signs with it, or None when it is unknown or ended.

    Nothing is proven before the gate has verified the signature with the key's secret; `in_project`
    then chooses the project.
    """
    record = access_keys.find(connection, access, wrapper)
    if record is None:
        return None
    credential = Credential(
        kind="ak" if record.security_token is None else "temp_ak",
        id=record.access,
        session_policy=record.session_policy,
        expires_at=record.expires_at,
    )
    return record, _identified(connection, record.holder, credential, None, snapshots)


def in_project(identified: Identified, project_id: str | None) -> Identified:
    """Return the same caller in a project of its account, by id or the default one.

    No statement. Raises NotAllowed with rule `foreign_project` for any other project.
    """
    snapshot = identified.snapshot
    if project_id is None:
        project = snapshot.default_project
    else:
        project = snapshot.projects.get(project_id)
        if project is None:
            raise _foreign(project_id)
    scope = None if project is None else ScopeProject(project.id, project.name, project.enabled)
    return replace(identified, project=scope)


def _identified(
    connection: Connection,
    holder: Holder,
    credential: Credential,
    project: ScopeProject | None,
    snapshots: Snapshots,
) -> Identified:
    snapshot = snapshots.get(connection, holder.account_id, holder.iam_version)
    principal = holder.principal()
    if is_operator(snapshot, principal):
        principal = replace(principal, is_operator=True)
    return Identified(principal, credential, project, snapshot, applicable(snapshot, principal))


def _operator(
    connection: Connection, record: OperatorRecord, snapshots: Snapshots, project_id: str | None
) -> Identified:
    if project_id is not None and record.project is None:
        raise _foreign(project_id)
    principal = Principal(
        type=PrincipalType.OPERATOR,
        id=OPERATOR_ID,
        name=OPERATOR_ID,
        account_id=record.account_id,
        account_name=record.account_name,
        is_operator=True,
    )
    credential = Credential(kind="operator", id=record.sha256[:8])
    snapshot = snapshots.get(connection, record.account_id, record.iam_version)
    return Identified(principal, credential, record.project, snapshot, GrantSet())


def _foreign(project_id: str) -> NotAllowed:
    return NotAllowed(
        f"project {project_id} is not a project of the account", rule="foreign_project"
    )
