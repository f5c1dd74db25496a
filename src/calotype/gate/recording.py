# SPDX-License-Identifier: Apache-2.0
"""What is known of a request as it passes the gate, and its one record in the audit trail.

A request that changes something is recorded in its own transaction; everything else, refusals
included, with the next batch (contract iam.md, section 8). Who did not prove itself has no name in
a record, and an image of another account no enterprise project.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from calotype import ids
from calotype.audit.trail import Check, Record, Trail
from calotype.contract.loader import IMAGE_DIALECTS, Operation
from calotype.errors import NotAllowed, Unauthenticated
from calotype.gate import enforce
from calotype.gate.enforce import Verdict
from calotype.gate.incoming import Incoming
from calotype.gate.request import Answer
from calotype.principal import Caller


@dataclass(slots=True)
class Trace:
    """One request on its way; filled in as the steps go by."""

    incoming: Incoming
    source_ip: str
    dialect: str = "native"
    operation: Operation | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    caller: Caller | None = None
    verdict: Verdict | None = None
    error: Exception | None = None
    recorded: bool = False

    def learn(self, caller: Caller) -> None:
        """Note who asks."""
        self.caller = caller


class Recording:
    """Turns traces into audit records."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail

    def write(self, connection: Connection, trace: Trace, answer: Answer) -> None:
        """Record a change in its transaction. Raises Unavailable when that is not possible."""
        self._trail.write(connection, _record(trace, answer))
        trace.recorded = True

    def finish(self, trace: Trace, answer: Answer | None) -> None:
        """Record what has no record yet: reads, refusals, and requests whose client left (None).

        Open rows have no decision, nor has what is refused as malformed before one is made.
        """
        if trace.recorded and trace.error is None:
            return
        if trace.verdict is None and not isinstance(trace.error, Unauthenticated | NotAllowed):
            return
        self._trail.queue(_record(trace, answer))


def _record(trace: Trace, answer: Answer | None) -> Record:
    verdict, incoming = trace.verdict, trace.incoming
    unproven = isinstance(trace.error, Unauthenticated)
    decision, reason = _outcome(trace)
    checks = (*verdict.checks, *verdict.rights) if verdict and not unproven else ()
    return Record(
        id=verdict.decision_id if verdict else ids.new_ulid(),
        at=incoming.arrived_at,
        caller=None if unproven else trace.caller,
        request_id=incoming.request_id,
        source_ip=trace.source_ip,
        user_agent=incoming.user_agent,
        operation=trace.operation.id if trace.operation else "unknown",
        method=incoming.method,
        path=incoming.path,
        **_resource(trace),
        checks=[_check(check) for check in checks],
        decision=decision,
        reason=reason,
        http_status=answer.status if answer else None,
        listed=answer.listed if answer else (None, None),
    )


def _outcome(trace: Trace) -> tuple[str, str]:
    """Return decision and reason. A signature that covers a body fails after the decision."""
    if isinstance(trace.error, Unauthenticated):
        return "unauthenticated", "unauthenticated"
    if trace.verdict is not None:
        return trace.verdict.decision, trace.verdict.reason
    assert isinstance(trace.error, NotAllowed)
    return "deny", str(trace.error.facts.get("reason") or trace.error.rule)


def _resource(trace: Trace) -> dict[str, Any]:
    verdict, row = trace.verdict, trace.operation
    kind: str | None
    ep: str | None
    if verdict is not None and verdict.job is not None:
        found, kind, ep = [verdict.job.id], "job", verdict.job.ep
    else:
        images = verdict.images if verdict else ()
        is_image = row is not None and row.dialect in IMAGE_DIALECTS
        account = trace.caller.principal.account_id if trace.caller else None
        kind = "image" if is_image else None
        found = [image.id for image in images]
        ep = images[0].ep if images and images[0].account_id == account else None
    return {
        "resource_type": kind,
        "resource_ids": found,
        "enterprise_project_id": ep,
        "target_enterprise_project_id": verdict.target_ep if verdict else None,
    }


def _check(check: enforce.Check) -> Check:
    return Check(
        action=check.action,
        enterprise_project_id=check.ep,
        decision="allow" if check.allowed else "deny",
        grant_ids=[one.grant.id for one in check.by],
        policy_ids=[one.grant.policy.id for one in check.by],
        policy_versions=[one.grant.policy.number for one in check.by],
    )
