# SPDX-License-Identifier: Apache-2.0
"""What is known of a request as it passes the gate, and its one record in the audit trail.

A request that changes something is recorded in its own transaction; everything else, refusals
included, with the next batch (contract iam.md, section 8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from calotype import ids
from calotype.audit.trail import Check, Record, Trail
from calotype.contract.loader import Operation
from calotype.errors import Unauthenticated
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


class Recording:
    """Turns traces into audit records."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail

    def write(self, connection: Connection, trace: Trace, answer: Answer) -> None:
        """Record a change in its transaction."""
        self._trail.write(connection, _record(trace, answer))
        trace.recorded = True

    def finish(self, trace: Trace, answer: Answer) -> None:
        """Record what has no record yet: reads and refusals; open rows have no decision."""
        refused = isinstance(trace.error, Unauthenticated)
        if trace.recorded and trace.error is None:
            return
        if trace.verdict is None and not refused:
            return
        self._trail.queue(_record(trace, answer))


def _record(trace: Trace, answer: Answer) -> Record:
    verdict = trace.verdict
    incoming = trace.incoming
    return Record(
        id=verdict.decision_id if verdict else ids.new_ulid(),
        at=incoming.arrived_at,
        caller=trace.caller,
        request_id=incoming.request_id,
        source_ip=trace.source_ip,
        user_agent=incoming.user_agent,
        operation=trace.operation.id if trace.operation else "unknown",
        method=incoming.method,
        path=incoming.path,
        image_ids=[image.id for image in verdict.images] if verdict else (),
        enterprise_project_id=verdict.images[0].ep if verdict and verdict.images else None,
        target_enterprise_project_id=verdict.target_ep if verdict else None,
        checks=[_check(check) for check in (*verdict.checks, *verdict.rights)] if verdict else (),
        decision=verdict.decision if verdict else "unauthenticated",
        reason=verdict.reason if verdict else "unauthenticated",
        http_status=answer.status,
        listed=answer.listed,
    )


def _check(check: enforce.Check) -> Check:
    return Check(
        action=check.action,
        enterprise_project_id=check.ep,
        decision="allow" if check.allowed else "deny",
        grant_ids=[one.grant.id for one in check.by],
        policy_ids=[one.grant.policy.id for one in check.by],
        policy_versions=[one.grant.policy.number for one in check.by],
    )
