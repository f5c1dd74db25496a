# SPDX-License-Identifier: Apache-2.0
"""Making and changing custom policies: the grammar decides, then the row is written.

A policy is refused with the JSON pointer of its fault; what is merely unknown is accepted with a
warning (contract iam.md 2.1, 6.2). Built-in policies never change.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection

from calotype import ids
from calotype.errors import ReadOnly
from calotype.iam import builtin, names, policies_store
from calotype.iam.policies_store import NewPolicy, StoredPolicy
from calotype.iam.policy import parse_policy

Warnings = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyDraft:
    """What a caller gives; None: not given. `kind` is AX or XA."""

    display_name: str | None = None
    kind: str | None = None
    description: str | None = None
    document: object | None = None


def create(
    connection: Connection, account_id: str, draft: PolicyDraft, limit: int
) -> tuple[StoredPolicy, Warnings]:
    """Make a policy of a draft with name, kind and document; return it with warnings.

    Raises Invalid, Conflict for a taken name, QuotaExceeded past `limit` policies.
    """
    assert draft.display_name is not None and draft.kind is not None
    parsed = parse_policy(draft.document, custom=True, kind=draft.kind)
    policy = NewPolicy(
        id=ids.new_hex(),
        account_id=account_id,
        display_name=names.policy(draft.display_name, "role.display_name"),
        type=draft.kind,
        description=names.description(draft.description or "", "role.description"),
        document=_text(draft.document),
    )
    return policies_store.add(connection, policy, limit), parsed.warnings


def change(
    connection: Connection, account_id: str, policy_id: str, draft: PolicyDraft
) -> tuple[StoredPolicy, Warnings]:
    """Change what is given; return the policy with warnings. Raises NotFound, Invalid, Conflict,
    ReadOnly for a built-in one."""
    refuse_builtin(policy_id)
    known = policies_store.get(connection, account_id, policy_id)
    columns: dict[str, str] = {}
    if draft.display_name is not None:
        columns["display_name"] = names.policy(draft.display_name, "role.display_name")
    if draft.description is not None:
        columns["description"] = names.description(draft.description, "role.description")
    wanted = json.loads(known.document) if draft.document is None else draft.document
    parsed = parse_policy(wanted, custom=True, kind=draft.kind or known.type)
    if draft.kind is not None:
        columns["type"] = draft.kind
    if draft.document is not None:
        columns["document"] = _text(draft.document)
    return policies_store.change(connection, account_id, policy_id, **columns), parsed.warnings


def remove(connection: Connection, account_id: str, policy_id: str) -> StoredPolicy:
    """Delete a policy with its grants. Raises NotFound, ReadOnly for a built-in one."""
    refuse_builtin(policy_id)
    return policies_store.remove(connection, account_id, policy_id)


def refuse_builtin(policy_id: str) -> None:
    """Raise ReadOnly for the id of a built-in policy."""
    if policy_id in builtin.compiled_by_id():
        raise ReadOnly("built-in policies cannot be changed or deleted", rule="policy_builtin")


def _text(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
