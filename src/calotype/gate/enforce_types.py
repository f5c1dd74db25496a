# SPDX-License-Identifier: Apache-2.0
"""What enforcement is asked, what it asks the world, and what it answers.

The World is the database in the service and a file in `calotype policy test`; the decision is the
same function. A target is built from the world only, never from the request's body (security P1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from calotype import ids
from calotype.contract.loader import Operation
from calotype.errors import CalotypeError, NotAllowed, NotFound, ReadOnly
from calotype.iam.evaluate import ANY, Ignored
from calotype.iam.grants import Matched
from calotype.images.visibility import ListFilter, TargetImage
from calotype.principal import Caller

Pairs = Sequence[tuple[str, str]]


class Outcome(StrEnum):
    """What becomes of a request."""

    ALLOW = "allow"
    DENY = "deny"
    NOT_FOUND = "not_found"


class Why(StrEnum):
    """The top-level reason of a decision (contract iam.md 7)."""

    ROOT = "root"
    ALLOWED = "allowed"
    NO_ACTION_REQUIRED = "no_action_required"
    EXPLICIT_DENY = "explicit_deny"
    IMPLICIT_DENY = "implicit_deny"
    EP_GRANT_NOT_SUPPORTED = "ep_grant_not_supported"
    NOT_VISIBLE = "not_visible"
    NOT_OWNER = "not_owner"
    NOT_MEMBER = "not_member"
    READ_ONLY_ATTRIBUTE = "read_only_attribute"
    SCOPE_NOT_PROJECT = "scope_not_project"


@dataclass(frozen=True, slots=True)
class TargetJob:
    """A job as far as rights ask. `ep` None: it belongs to no enterprise project."""

    id: str
    project_id: str
    ep: str | None
    submitter_id: str  # user or agency


class World(Protocol):
    """What enforcement wants to know. Visibility is judged by enforcement, not here."""

    @property
    def region(self) -> str:
        """Id of the serving region."""

    def image(self, image_id: str, project_id: str | None) -> TargetImage | None:
        """Return an image, `member_status` being that of `project_id`; None: no such image."""

    def has_member(self, image_id: str, member_id: str) -> bool:
        """Tell whether the image has this member, in any status."""

    def present(self, image: TargetImage, name: str) -> object:
        """Return the value that the native dialect shows for a read-only attribute, or None."""

    def job(self, job_id: str) -> TargetJob | None:
        """Return a job of any project; None: no such job."""

    def eps(self, account_id: str) -> Sequence[str]:
        """Return the enterprise projects of an account, `0` included, disabled ones too."""

    def entity(self, kind: str, entity_id: str, account_id: str | None) -> bool:
        """Tell whether the account (None: any) has it.

        Kinds: user, group, project, agency, policy (built-in ones are everybody's),
        enterprise_project, access_key.
        """

    def key_owner(self, access_key: str) -> str | None:
        """Return the id of the user an access key belongs to; None: no such key."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its row, who asks, and what the row's decision may depend on.

    `body` is the parsed JSON, None when there is none; `query` keeps order and repetitions.
    """

    operation: Operation
    caller: Caller
    params: Mapping[str, str]
    query: Pairs = ()
    body: object = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What authorization needs from the request, read before anything is looked up."""

    project_id: str | None = None  # in which images are looked for and grants count
    image_ids: tuple[str, ...] = ()
    member_id: str | None = None
    job_id: str | None = None
    target_ep: str = "0"  # where a new image, or a copy, will lie
    moves_to: tuple[str, ...] = ()  # enterprise projects that the request sets, in order
    only_ep: str | None = None  # of a list
    disk: str = "system"  # or data
    word: str = ""  # `action` of a body that chooses one
    user_id: str | None = None  # whom a self-service row is about
    objects: tuple[str, ...] = ()  # bucket:key texts


@dataclass(frozen=True, slots=True)
class Found:
    """The addressed things."""

    images: tuple[TargetImage, ...] = ()
    job: TargetJob | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A request with everything that its decision depends on."""

    asked: Asked
    wanted: Wanted
    found: Found

    @property
    def caller(self) -> Caller:
        """Who asks."""
        return self.asked.caller

    @property
    def body(self) -> Mapping[str, object]:
        """The body when it is an object, else nothing."""
        return self.asked.body if isinstance(self.asked.body, dict) else {}

    def is_foreign(self, image: TargetImage) -> bool:
        """Tell whether the image belongs to another account."""
        return image.account_id != self.caller.principal.account_id


@dataclass(frozen=True, slots=True)
class Check:
    """One action, decided. `ep`: the enterprise project, `any`, or None where none counts."""

    action: str
    ep: str | None
    allowed: bool
    reason: str
    by: tuple[Matched, ...] = ()
    image_id: str | None = None
    ignored: tuple[Ignored, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on one request.

    `checks` are those of the row in table order, `rights` those of other services. `rule` is the
    word of the refusal when it is not the usual one; `attribute` the name that may not be set.
    `eps` limits a list of enterprise projects, None: no limit.
    """

    decision: Outcome
    reason: Why
    checks: tuple[Check, ...] = ()
    rights: tuple[Check, ...] = ()
    images: tuple[TargetImage, ...] = ()
    job: TargetJob | None = None
    relation: tuple[str, str] | None = None  # required, result
    list_filter: ListFilter | None = None
    eps: frozenset[str] | None = None
    target_ep: str | None = None
    kind: str = "image"  # what was not found
    wanted_id: str = ""
    rule: str | None = None
    attribute: str | None = None
    decision_id: str = field(default_factory=ids.new_ulid)

    @property
    def allowed(self) -> bool:
        """Whether authorization passed."""
        return self.decision is Outcome.ALLOW

    @property
    def failing(self) -> tuple[Check, ...]:
        """The failing checks in table order, equal ones once."""
        found: dict[tuple[str, str | None], Check] = {}
        for one in (*self.checks, *self.rights):
            if not one.allowed:
                found.setdefault((one.action, one.ep), one)
        return tuple(found.values())

    def error(self) -> CalotypeError:
        """Return the refusal as an error of the core; call it only when nothing was allowed."""
        if self.decision is Outcome.NOT_FOUND:
            text = f"No {self.kind} found with ID {self.wanted_id}"
            if self.kind == "job":  # one text for malformed, unknown and foreign ids (jobs.md 1)
                text = "there is no such job in this project"
            own = self.kind in ("image", "member", "job")
            rule = f"{self.kind}_not_found" if own else "entity_not_found"
            return NotFound(text, rule=rule, kind=self.kind, id=self.wanted_id)
        text = f"{self._cause()} (decision {self.decision_id})"
        facts = {"reason": self.reason.value, "decision_id": self.decision_id}
        if self.reason is Why.READ_ONLY_ATTRIBUTE:
            return ReadOnly(text, rule=self.rule, field=self.attribute, **facts)
        action = self.failing[0].action if self.failing else None
        return NotAllowed(text, rule=self.rule, action=action, **facts)

    def _cause(self) -> str:
        if self.failing:
            return f"{self.failing[0].action} is not allowed"
        return {
            Why.NOT_OWNER: "only the project that owns it may do that",
            Why.NOT_MEMBER: "only the member project itself may do that",
            Why.SCOPE_NOT_PROJECT: "the credential is not scoped to a project",
            Why.READ_ONLY_ATTRIBUTE: f"the attribute {self.attribute} cannot be set by the caller",
        }.get(self.reason, "only the operator may do that")


__all__ = [
    "ANY",
    "Asked",
    "Case",
    "Check",
    "Found",
    "ListFilter",
    "Outcome",
    "Pairs",
    "TargetImage",
    "TargetJob",
    "Verdict",
    "Wanted",
    "Why",
    "World",
]
