# SPDX-License-Identifier: Apache-2.0
"""A signed request, the access key behind it, and the project and account it acts in.

Owns the rule that X-Project-Id, the project of the path and X-Domain-Id must belong to the key,
listed in the signature or not (contract iam.md 5.2). Refuses with NotAllowed (`foreign_project`,
`foreign_domain`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from calotype.errors import NotAllowed
from calotype.gate.signature_canonical import HeaderLines, single_value

ProjectAccount = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it came on the wire. `query` is without the question mark.

    `headers` as sent, `host` included, names in any case. `path_project` is the decoded
    `{project_id}` of the matched route, if it has one; a text in braces counts as none.
    """

    method: str
    raw_path: bytes
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    path_project: str | None = None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is known of an access key. `default_project_id` must be an enabled project or None.

    `security_token_sha256` (hex) makes it a temporary key. A key that is not `active` or past
    `expires_at` counts as unknown. `locked_until` is a lock that somebody else has recorded.
    """

    access: str
    secret: bytes = field(repr=False)
    account_id: str
    default_project_id: str | None = None
    security_token_sha256: str | None = field(default=None, repr=False)
    active: bool = True
    expires_at: datetime | None = None
    locked_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """The project and the account a signed request acts in, and why it must not, if so.

    `project_id` is None if the request names none and the account has no default one.
    """

    project_id: str | None
    domain_id: str
    foreign: NotAllowed | None

    def require(self) -> None:
        """Raise NotAllowed unless both belong to the key's account."""
        if self.foreign is not None:
            raise self.foreign


def read_scope(
    request: SignedRequest, key: KeyRecord, lines: HeaderLines, project_account: ProjectAccount
) -> Scope:
    """Return the scope of a request; asks `project_account` only for a project that is named."""
    in_path = request.path_project
    if in_path is not None and in_path.startswith("{") and in_path.endswith("}"):
        in_path = None
    project = _text(lines, b"x-project-id") or in_path
    domain = _text(lines, b"x-domain-id") or key.account_id
    foreign = None
    if project is not None and project_account(project) != key.account_id:
        foreign = NotAllowed(
            f"project {project!r} is not an enabled project of the account of this access key",
            rule="foreign_project",
            project_id=project,
        )
    elif domain != key.account_id:
        foreign = NotAllowed(
            f"X-Domain-Id {domain!r} is not the account of this access key",
            rule="foreign_domain",
            domain_id=domain,
        )
    return Scope(project or key.default_project_id, domain, foreign)


def _text(lines: HeaderLines, name: bytes) -> str | None:
    value = single_value(lines, name)
    return value.decode("utf-8", "replace") if value else None
