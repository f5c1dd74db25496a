# SPDX-License-Identifier: Apache-2.0
"""Step 5 of a decision: every needed action, each in its own enterprise project.

The account owner is asked like everybody else, with grants that allow everything, so that a
session policy narrows his credential too. Source: contract iam.md 3 (note 3), 4.2, 4.3, 4.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from calotype.contract.loader import ObjectRight, Operation, Requirement
from calotype.gate.enforce_context import (
    action_resource,
    image_context,
    image_resource,
    request_context,
    service_context,
)
from calotype.gate.enforce_types import ANY, Case, Check, TargetImage, World
from calotype.gate.predicates import holds, moved_to
from calotype.iam.assume import uri_of
from calotype.iam.builtin import root_grants
from calotype.iam.evaluate import (
    Collector,
    Decision,
    Question,
    Reason,
    decide,
    decide_any,
    ep_would_allow,
)
from calotype.iam.grants import GrantSet
from calotype.iam.matching import Resource
from calotype.iam.policy import CompiledPolicy


@dataclass(frozen=True, slots=True)
class Powers:
    """What the caller brings: grants, a session policy, and who he is."""

    grants: GrantSet
    session: CompiledPolicy | None
    is_root: bool
    is_operator: bool

    @property
    def held(self) -> GrantSet:
        """The grants that are asked."""
        return root_grants() if self.is_root else self.grants


class Actions:
    """Decides the actions of one case."""

    def __init__(self, case: Case, world: World, powers: Powers, explain: bool) -> None:
        self._case = case
        self._world = world
        self._powers = powers
        self._explain = explain
        self._context = request_context(case.caller)

    @property
    def powers(self) -> Powers:
        """What the caller brings."""
        return self._powers

    def row(self) -> tuple[Check, ...]:
        """Return the checks of the row in table order."""
        checks: list[Check] = []
        for need in self._case.asked.operation.requirements:
            if holds(need.when, self._case):
                checks += self._need(need)
        return tuple(checks)

    def rights(self, services: frozenset[str]) -> tuple[Check, ...]:
        """Return the checks of other services' rights, where the service exists."""
        return tuple(
            check
            for right in self._case.asked.operation.object_rights
            if right.any_of[0].partition(":")[0] in services and holds(right.when, self._case)
            for check in self._right(right)
        )

    def question(self, action: str, image: TargetImage | None = None) -> Question:
        """Return the question about `action`, evaluated in no enterprise project yet."""
        case = self._case
        context = service_context(self._context, action.partition(":")[0])
        if not action.startswith("ims:"):
            agency = case.asked.params.get("agency_id")
            return Question(
                action=action,
                resource=action_resource(case.asked, self._world.region, action),
                project_id=case.wanted.project_id,
                context=context,
                uri=None if agency is None else uri_of(agency),
            )
        if image is not None:
            context = image_context(context, image, foreign=case.is_foreign(image))
        return Question(
            action=action,
            resource=image_resource(
                case.asked, self._world.region, "" if image is None else image.id
            ),
            project_id=case.wanted.project_id,
            context=context,
        )

    def _need(self, need: Requirement) -> Iterator[Check]:
        case = self._case
        for image in case.found.images or (None,):
            question = self.question(need.action, image)
            if not case.asked.operation.enterprise_project:
                yield self._fixed(question, None, image)
                continue
            place = need.evaluated_in
            if place == "image":
                assert image is not None
                yield self._in_image(question, image)
            elif place == "source":
                assert image is not None
                yield self._fixed(question, image.ep, image)
            elif place == "target":
                targets = moved_to(case) if case.asked.operation.dialect == "ims" else ()
                for ep in targets or case.wanted.moves_to:
                    yield self._fixed(question, ep, image)
            elif place == "request":
                yield self._fixed(question, case.wanted.target_ep, image)
            elif place == "list" and case.wanted.only_ep is not None:
                yield self._fixed(question, case.wanted.only_ep, None)
            elif place == "job":
                assert case.found.job is not None
                yield self._fixed(question, case.found.job.ep, None, refine=False)
            else:
                yield self._anywhere(question, image)

    def _in_image(self, question: Question, image: TargetImage) -> Check:
        if self._case.is_foreign(image):
            return self._anywhere(question, image)
        return self._fixed(question, image.ep, image)

    def _fixed(
        self, question: Question, ep: str | None, image: TargetImage | None, *, refine: bool = True
    ) -> Check:
        if self._powers.is_operator:
            return _check(question.action, ep, Decision(True, Reason.ALLOWED), image, None)
        here = replace(question, ep=ep, ep_counts=ep is not None)
        collector = Collector() if self._explain else None
        powers = self._powers
        decision = decide(powers.held, here, session=powers.session, collector=collector)
        if refine and ep is None and decision.reason is Reason.IMPLICIT_DENY:
            decision = self._refined(question, image, decision)
        return _check(question.action, ep, self._as_root(decision), image, collector)

    def _anywhere(self, question: Question, image: TargetImage | None) -> Check:
        if self._powers.is_operator:
            return _check(question.action, ANY, Decision(True, Reason.ALLOWED), image, None)
        eps = self._world.eps(self._case.caller.principal.account_id)
        collector = Collector() if self._explain else None
        powers = self._powers
        decision = decide_any(
            powers.held, question, eps, session=powers.session, collector=collector
        )
        return _check(question.action, ANY, self._as_root(decision), image, collector)

    def _refined(
        self, question: Question, image: TargetImage | None, decision: Decision
    ) -> Decision:
        """Say so when only the row's column keeps an enterprise project's grant from counting."""
        eps: Sequence[str] = self._powers.grants.eps
        if image is not None and not self._case.is_foreign(image):
            eps = (image.ep,)
        if not ep_would_allow(self._powers.held, question, eps, self._powers.session):
            return decision
        return Decision(False, Reason.EP_GRANT_NOT_SUPPORTED)

    def _as_root(self, decision: Decision) -> Decision:
        if self._powers.is_root and decision.allowed:
            return Decision(True, Reason.ROOT)
        return decision

    def _right(self, right: ObjectRight) -> Iterator[Check]:
        for resource in self._resources(right):
            checks = [
                self._fixed(replace(self.question(action), resource=resource(action)), None, None)
                for action in right.any_of
            ]
            yield next((check for check in checks if check.allowed), checks[0])

    def _resources(self, right: ObjectRight) -> Iterator[_Resource]:
        if right.resource in ("image_url", "bucket_url"):
            paths = [text.replace(":", "/", 1) for text in self._case.wanted.objects]
        elif right.resource == "image":
            paths = [image.cmk_id or "" for image in self._case.found.images]
        else:
            value = self._case.body.get(right.resource) if right.resource else ""
            paths = [value if isinstance(value, str) else ""]
        for path in paths:
            yield _Resource(self._case, self._world.region, path)


@dataclass(frozen=True, slots=True)
class _Resource:
    """A path of another service's thing, completed by the action that asks for it."""

    case: Case
    region: str
    path: str

    def __call__(self, action: str) -> Resource:
        return action_resource(self.case.asked, self.region, action, self.path)


def operator_missing(operation: Operation, case: Case, powers: Powers) -> bool:
    """Tell whether the row is the operator's here and the caller is none."""
    if operation.operator_when is None or powers.is_operator:
        return False
    return operation.operator_when == "always" or holds(operation.operator_when, case)


def _check(
    action: str,
    ep: str | None,
    decision: Decision,
    image: TargetImage | None,
    collector: Collector | None,
) -> Check:
    return Check(
        action,
        ep,
        decision.allowed,
        decision.reason.value,
        decision.by,
        None if image is None else image.id,
        () if collector is None else tuple(collector.ignored),
    )
