# SPDX-License-Identifier: Apache-2.0
"""Evaluates the vectors of a file with the service's own router, engine and enforcement.

One result for each vector, document and attempt to assume an agency: what the file expects, what
came out, and which statement decided. Format: head of policy_examples.yaml.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from calotype.cli.policy_callers import Callers, moment
from calotype.cli.policy_lists import shown_images
from calotype.cli.policy_world import FileWorld, Unknown, made_id
from calotype.contract.loader import load_operations
from calotype.errors import CalotypeError, Invalid
from calotype.gate.enforce import Asked, Outcome, Verdict, Why, enforce
from calotype.gate.enforce_context import request_context, service_context
from calotype.gate.routes import MethodNotAllowed, RouteNotFound, Router
from calotype.iam.assume import Agency, Candidate, may_assume
from calotype.iam.evaluate import ANY
from calotype.iam.grants import GrantSet, Matched
from calotype.iam.policy import parse_policy
from calotype.principal import PrincipalType

_HTTP = {"allow": 201, "deny": 403, "not_found": 404}


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the file: good when `expected` and `got` say the same."""

    id: str
    expected: str
    got: str
    by: str
    good: bool

    def line(self) -> str:
        """Return the line that names a mismatch."""
        return f"{self.id}: expected {self.expected}, got {self.got} by {self.by}"


class Evaluator:
    """Holds the world of a file and evaluates its rows."""

    def __init__(self, world: Mapping[str, Any]) -> None:
        self.world = FileWorld(world)
        self._callers = Callers(self.world)
        self._router = Router(load_operations())

    def vector(self, raw: Mapping[str, Any]) -> Result:
        """Evaluate one vector. Faults of the file are results too."""
        expect = raw["expect"]
        want = [str(expect["decision"])]
        if "reason" in expect:
            want.append(str(expect["reason"]))
        if "visible" in expect:
            want.append(",".join(sorted(expect["visible"] or ())))
        failing = _failing_text(expect["failing"]) if "failing" in expect else None
        try:
            got, found_failing, by = self._decide(raw, "visible" in expect)
        except (CalotypeError, Unknown, KeyError) as error:
            return Result(str(raw["id"]), "/".join(want), f"error/{_cause(error)}", "-", False)
        good = got[: len(want)] == want if "reason" in expect else got[:1] == want[:1]
        if "reason" not in expect and "visible" in expect:
            good = good and got[-1] == want[-1]
        expected, shown = "/".join(want), "/".join(got)
        if failing is not None and failing != found_failing:
            good = False
            expected, shown = f"{expected} failing {failing}", f"{shown} failing {found_failing}"
        return Result(str(raw["id"]), expected, shown, by, good)

    def document(self, raw: Mapping[str, Any]) -> Result:
        """Tell whether a document is accepted as a custom policy, and where its fault lies."""
        document = self.world.filled(raw["document"])
        want = "valid" if raw["valid"] else "invalid"
        got, pointer = "valid", None
        try:
            parse_policy(document, kind=_declared_kind(document))
        except Invalid as error:
            got, pointer = "invalid", str(error.facts["pointer"])
        named = raw.get("pointer")
        good = want == got and (named is None or named == pointer)
        expected = want if named is None else f"{want}/{named}"
        return Result(
            str(raw["id"]), expected, got if pointer is None else f"{got}/{pointer}", "-", good
        )

    def assume(self, raw: Mapping[str, Any]) -> Result:
        """Tell whether a principal may assume an agency."""
        expect = raw["expect"]
        want = str(expect["decision"])
        expected = f"{want}/{expect['http']}" if "http" in expect else want
        try:
            got, by = self._assume(raw)
        except (CalotypeError, Unknown, KeyError) as error:
            return Result(str(raw["id"]), expected, f"error/{_cause(error)}", "-", False)
        shown = f"{got}/{_HTTP[got]}"
        good = got == want and int(expect.get("http", _HTTP[got])) == _HTTP[got]
        return Result(str(raw["id"]), expected, shown, by, good)

    # ---- requests

    def _decide(self, raw: Mapping[str, Any], listing: bool) -> tuple[list[str], str, str]:
        request = raw["request"]
        caller, grants = self._callers.caller(raw, request)
        path, _, inline = self.world.filled(request["path"]).partition("?")
        try:
            match = self._router.match(request["method"].upper(), path.encode())
        except (RouteNotFound, MethodNotAllowed):
            return [Outcome.NOT_FOUND.value, Why.NOT_VISIBLE.value], "none", "-"
        asked = Asked(
            match.operation,
            caller,
            match.params,
            [
                *parse_qsl(inline, keep_blank_values=True),
                *_pairs(self.world.filled(request.get("query") or {})),
            ],
            self.world.filled(request.get("body")),
        )
        verdict = self._verdict(asked, grants, request)
        got = [verdict.decision.value, verdict.reason.value]
        if listing:
            got.append(",".join(sorted(shown_images(self.world, asked, verdict))))
        return got, self._failing(verdict), _by(verdict)

    def _verdict(self, asked: Asked, grants: GrantSet, request: Mapping[str, Any]) -> Verdict:
        project = request.get("project")
        if project is not None and asked.caller.principal.type is not PrincipalType.OPERATOR:
            owner = made_id("accounts", self.world.account_of("project", project))
            if owner != asked.caller.principal.account_id:
                return Verdict(Outcome.DENY, Why.SCOPE_NOT_PROJECT)
        return enforce(asked, self.world, grants, services=frozenset())

    def _failing(self, verdict: Verdict) -> str:
        return _failing_text(
            [{"action": check.action, "ep": self._ep_name(check.ep)} for check in verdict.failing]
        )

    def _ep_name(self, ep: str | None) -> str | None:
        return ep if ep is None or ep == ANY else self.world.names.get(("eps", ep), ep)

    # ---- agencies

    def _assume(self, raw: Mapping[str, Any]) -> tuple[str, str]:
        request = {
            "as": raw["as"],
            "context": {"mfa": raw.get("mfa"), **(raw.get("context") or {})},
        }
        caller, grants = self._callers.caller(raw, request)
        principal = caller.principal
        world = self.world
        home = world.names["accounts", principal.account_id]
        who = Candidate(
            account_id=principal.account_id,
            account_enabled=world.accounts[home].get("enabled", True),
            is_root=principal.is_root,
            is_agency=principal.type is PrincipalType.AGENCY,
            context=service_context(request_context(caller), "iam"),
            region=world.region,
            arrived_at=caller.arrived_at,
        )
        attempt = may_assume(who, self._agency(raw), grants)
        by = attempt.decision.by if attempt.decision is not None else ()
        return attempt.outcome.value, _matched(by)

    def _agency(self, raw: Mapping[str, Any]) -> Agency | None:
        entry = self.world.agencies.get(raw["agency"])
        if entry is None or entry["account"] != raw["of"]:
            return None
        ends = entry.get("expire_time")
        if entry.get("expired"):
            ends = "2000-01-01T00:00:00Z"
        return Agency(
            id=made_id("agencies", raw["agency"]),
            account_id=made_id("accounts", entry["account"]),
            account_enabled=self.world.accounts[entry["account"]].get("enabled", True),
            trusts=made_id("accounts", entry["trusts"]),
            expires_at=None if ends is None else moment(self.world.filled(ends)),
        )


def _declared_kind(document: object) -> str:
    """Return the type a client would declare: AX when every service is iam or eps, else XA."""
    services = {
        action.partition(":")[0].lower()
        for statement in _dicts(document.get("Statement") if isinstance(document, dict) else ())
        for action in statement.get("Action") or ()
        if isinstance(action, str)
    }
    concrete = {service for service in services if "*" not in service}
    return "AX" if concrete and concrete <= {"iam", "eps"} else "XA"


def _dicts(value: object) -> list[Mapping[str, Any]]:
    items = value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, dict) and _is_list(item.get("Action"))]


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _failing_text(failing: object) -> str:
    items = failing if isinstance(failing, list) else []
    texts = [f"{one['action']}@{'-' if one['ep'] is None else one['ep']}" for one in items]
    return "+".join(texts) or "none"


def _by(verdict: Verdict) -> str:
    failing = verdict.failing
    deciding = failing or verdict.checks
    for check in deciding:
        if check.by:
            return _matched(check.by)
    return "-"


def _matched(by: tuple[Matched, ...]) -> str:
    return f"{by[0].grant.policy.name}#{by[0].statement.index}" if by else "-"


def _cause(error: Exception) -> str:
    if isinstance(error, CalotypeError):
        return f"{error.rule} ({error.message})"
    return str(error)


def _pairs(query: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        for item in value if isinstance(value, list) else [value]:
            text = json.dumps(item) if isinstance(item, bool) else "" if item is None else str(item)
            pairs.append((name, text))
    return pairs
