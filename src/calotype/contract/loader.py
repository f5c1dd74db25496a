# SPDX-License-Identifier: Apache-2.0
"""The operation table: one frozen value for each method and path that the service answers.

Owns the reading of `operations/*.yaml` and nothing of their meaning. Promises that every row has
only known keys and known words, that ids and calls are unique and that parameters have a grammar;
refuses anything else with the file and the id of the row. Source: contract operations.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from calotype.contract.files import BadRow, read_table

CHAPTERS = (
    "management",
    "tagging",
    "schema",
    "sharing",
    "replication",
    "quota",
    "jobs",
    "safe_mode",
    "native",
    "cache",
    "metadefs",
    "identity",
    "eps",
    "authz",
    "operator",
)
IMAGE_DIALECTS = frozenset({"ims", "native"})
DIALECTS = IMAGE_DIALECTS | {"iam", "eps", "authz", "operator"}
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
BODIES = frozenset({"none", "forbidden", "json", "optional_json", "stream"})
RELATIONS = frozenset({"own", "see", "mem", "own/mem", "self"})
ROW_PLACES = frozenset({"image", "request", "list", "any", "job"})
ACTION_PLACES = frozenset({"request", "target", "source"})
IMAGE_TARGETS = frozenset({"image", "member", "image_in_body", "images_in_body", "moved_image"})
TARGETS = IMAGE_TARGETS | {"none", "new_image", "list", "job"}
_ALWAYS = frozenset(
    "id dialect method path summary actions success source level errors body".split()
)
_IMAGE_ALWAYS = _ALWAYS | frozenset(
    "iam_project enterprise_project requires_role job deprecated in_seed target".split()
)
_MAYBE = frozenset(
    "evaluated_in who since authentication note media object_rights handler planned".split()
)
_ACTION = re.compile(r"[a-z]+:[A-Za-z]+:[A-Za-z]+\Z")
_PARAMETER = re.compile(r"\{([a-z_]+)\}\Z")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One action of a row. `when` names a predicate of the gate; None: always needed."""

    action: str
    when: str | None
    evaluated_in: str | None
    prose: str | None


@dataclass(frozen=True, slots=True)
class ObjectRight:
    """A right of another service: one of `any_of` is needed when the predicate holds.

    `resource` is the body field that names the object or key, `image`, or None.
    """

    any_of: tuple[str, ...]
    when: str | None
    resource: str | None


@dataclass(frozen=True, slots=True)
class JobType:
    """A published job type of a row, with the case (prose) in which it is used."""

    type: str
    prose: str | None


@dataclass(frozen=True, slots=True)
class Operation:
    """One row. Field meanings: head of `operations/head.yaml`."""

    id: str
    dialect: str
    method: str
    path: str
    summary: str
    requirements: tuple[Requirement, ...]
    iam_project: bool
    enterprise_project: bool
    evaluated_in: str | None
    who: str | None
    operator_when: str | None  # "always", a predicate, or None
    roles: tuple[str, ...]  # roles of other services as the vendor names them
    object_rights: tuple[ObjectRight, ...]
    success: tuple[int, ...]
    job: tuple[JobType, ...]
    deprecated: bool
    in_seed: bool
    source: str
    level: str
    since: str | None
    errors: tuple[str, ...]
    authentication: bool
    target: str
    body: str
    media: tuple[str, ...] | None
    handler: str
    planned: bool
    patterns: Mapping[str, re.Pattern[str]]
    routing: frozenset[str]  # parameters whose pattern decides whether the path is this one


def load_operations() -> tuple[Operation, ...]:
    """Return every row in the order of the chapters. Raises BadRow."""
    head = read_table("operations/head.yaml")
    chapters = [(name, read_table(f"operations/{name}.yaml")) for name in CHAPTERS]
    return build_operations(head, chapters)


def build_operations(
    head: Mapping[str, Any], chapters: list[tuple[str, Mapping[str, Any]]]
) -> tuple[Operation, ...]:
    """Return the rows of `chapters` as values. Raises BadRow."""
    reader = _Reader(head)
    rows: list[Operation] = []
    calls: dict[tuple[str, str], str] = {}
    places: dict[str, str] = {}
    for name, chapter in chapters:
        file = f"{name}.yaml"
        if set(chapter) != {"operations"}:
            raise BadRow(file, "file", "needs exactly the key operations")
        for raw in chapter["operations"]:
            row = reader.row(file, raw)
            if row.id in places:
                raise BadRow(file, row.id, f"is already in {places[row.id]}")
            twin = calls.get((row.method, row.path))
            if twin is not None:
                raise BadRow(file, row.id, f"{row.method} {row.path} is already row {twin}")
            places[row.id] = file
            calls[row.method, row.path] = row.id
            rows.append(row)
    for row in rows:
        if row.handler not in places:
            raise BadRow(places[row.id], row.id, f"handler {row.handler} is no row")
    return tuple(rows)


class _Reader:
    """Turns raw rows into values; knows the head, the file and the row it is at."""

    def __init__(self, head: Mapping[str, Any]) -> None:
        if set(head) != {"version", "error_sets", "parameters"} or head["version"] != 1:
            raise BadRow("head.yaml", "file", "needs version 1, error_sets and parameters")
        self._sets: Mapping[str, list[object]] = head["error_sets"]
        self._patterns = {
            name: re.compile(f"(?:{rule['pattern']})\\Z")
            for name, rule in head["parameters"].items()
        }
        self._routing = {name for name, rule in head["parameters"].items() if rule.get("routes")}
        self._file = ""
        self._id = ""

    def row(self, file: str, raw: Mapping[str, Any]) -> Operation:
        self._file = file
        self._id = str(raw.get("id", "a row without id"))
        self._keys(raw)
        dialect = self._word(raw, "dialect", DIALECTS)
        names = self._parameters(raw["path"])
        operator_when, roles = self._roles(raw.get("requires_role", []))
        target = self._word(raw, "target", TARGETS, "none")
        row = Operation(
            id=raw["id"],
            dialect=dialect,
            method=self._word(raw, "method", METHODS),
            path=raw["path"],
            summary=raw["summary"],
            requirements=tuple(
                self._requirement(item, raw.get("evaluated_in")) for item in raw["actions"]
            ),
            iam_project=self._flag(raw, "iam_project", True),
            enterprise_project=self._flag(raw, "enterprise_project", False),
            evaluated_in=self._optional_word(raw, "evaluated_in", ROW_PLACES),
            who=self._optional_word(raw, "who", RELATIONS),
            operator_when=operator_when,
            roles=roles,
            object_rights=tuple(self._right(item) for item in raw.get("object_rights", [])),
            success=tuple(int(status) for status in raw["success"]),
            job=self._jobs(raw.get("job")),
            deprecated=self._flag(raw, "deprecated", False),
            in_seed=self._flag(raw, "in_seed", False),
            source=raw["source"],
            level=self._word(raw, "level", frozenset({"required", "wanted"})),
            since=raw.get("since"),
            errors=self._errors(raw["errors"]),
            authentication=raw.get("authentication") != "none",
            target=target,
            body=self._word(raw, "body", BODIES),
            media=tuple(raw["media"]) if "media" in raw else None,
            handler=raw.get("handler", raw["id"]),
            planned=self._flag(raw, "planned", False),
            patterns={name: self._patterns[name] for name in names},
            routing=frozenset(names & self._routing),
        )
        self._agree(row, names)
        return row

    def _bad(self, problem: str) -> BadRow:
        return BadRow(self._file, self._id, problem)

    def _keys(self, raw: Mapping[str, Any]) -> None:
        needed = _IMAGE_ALWAYS if raw.get("dialect") in IMAGE_DIALECTS else _ALWAYS
        missing = needed - set(raw)
        unknown = set(raw) - _IMAGE_ALWAYS - _MAYBE
        if missing or unknown:
            raise self._bad(f"lacks {sorted(missing)}, has unknown {sorted(unknown)}")

    def _word(
        self, raw: Mapping[str, Any], key: str, words: frozenset[str], default: str | None = None
    ) -> str:
        value = raw.get(key, default)
        if value not in words:
            raise self._bad(f"{key} is {value!r}, allowed: {sorted(words)}")
        return str(value)

    def _optional_word(self, raw: Mapping[str, Any], key: str, words: frozenset[str]) -> str | None:
        return None if raw.get(key) is None else self._word(raw, key, words)

    def _flag(self, raw: Mapping[str, Any], key: str, default: bool) -> bool:
        value = raw.get(key, default)
        if not isinstance(value, bool):
            raise self._bad(f"{key} is {value!r}, allowed: true, false")
        return value

    def _parameters(self, path: object) -> set[str]:
        if not isinstance(path, str) or not path.startswith("/"):
            raise self._bad("path does not start with /")
        names: set[str] = set()
        for segment in path.split("/")[1:]:
            match = _PARAMETER.match(segment)
            if match is None and "{" in segment:
                raise self._bad(f"path segment {segment!r} is neither text nor parameter")
            if match is not None:
                if match[1] not in self._patterns or match[1] in names:
                    raise self._bad(f"parameter {match[1]} has no grammar, or occurs twice")
                names.add(match[1])
        return names

    def _requirement(self, raw: Mapping[str, Any], place: str | None) -> Requirement:
        if set(raw) - {"action", "when", "predicate", "in"} or "action" not in raw:
            raise self._bad(f"action row {dict(raw)} has unknown keys or no action")
        if not _ACTION.match(raw["action"]):
            raise self._bad(f"{raw['action']!r} is no action")
        if ("when" in raw) != ("predicate" in raw):
            raise self._bad(f"{raw['action']}: when and predicate need each other")
        if raw.get("in") is not None:
            place = self._word(raw, "in", ACTION_PLACES)
        return Requirement(raw["action"], raw.get("predicate"), place, raw.get("when"))

    def _right(self, raw: Mapping[str, Any]) -> ObjectRight:
        if set(raw) - {"any_of", "predicate", "resource"} or not raw.get("any_of"):
            raise self._bad(f"object right {dict(raw)} has unknown keys or no any_of")
        if not all(_ACTION.match(action) for action in raw["any_of"]):
            raise self._bad(f"{raw['any_of']!r} are no actions")
        return ObjectRight(tuple(raw["any_of"]), raw.get("predicate"), raw.get("resource"))

    def _roles(self, raw: list[Mapping[str, Any]]) -> tuple[str | None, tuple[str, ...]]:
        operator_when: str | None = None
        roles: list[str] = []
        for item in raw:
            if set(item) - {"role", "when", "predicate"} or "role" not in item:
                raise self._bad(f"requires_role {dict(item)} has unknown keys or no role")
            if item["role"] != "operator":
                roles.append(item["role"])
            elif ("when" in item) != ("predicate" in item):
                raise self._bad("operator: when and predicate need each other")
            else:
                operator_when = item.get("predicate", "always")
        return operator_when, tuple(roles)

    def _jobs(self, raw: object) -> tuple[JobType, ...]:
        if raw is None:
            return ()
        if isinstance(raw, str):
            return (JobType(raw, None),)
        if not isinstance(raw, list):
            raise self._bad("job is neither null, a word nor a list")
        return tuple(JobType(item["type"], item["when"]) for item in raw)

    def _errors(self, raw: list[object]) -> tuple[str, ...]:
        codes: list[str] = []
        for item in raw:
            text = str(item)
            if text.startswith("set:"):
                if text[4:] not in self._sets:
                    raise self._bad(f"{text} is no set of head.yaml")
                codes += [str(code) for code in self._sets[text[4:]]]
            else:
                codes.append(text)
        return tuple(dict.fromkeys(codes))

    def _agree(self, row: Operation, names: set[str]) -> None:
        if not row.iam_project:
            raise self._bad("a grant on the IAM project counts in every row")
        if row.enterprise_project != (row.evaluated_in is not None):
            raise self._bad("evaluated_in belongs to enterprise_project: true, and only to it")
        if row.target in {"image", "member"} and "image_id" not in names:
            raise self._bad(f"target {row.target} needs {{image_id}} in the path")
        if row.target == "member" and "member_id" not in names:
            raise self._bad("target member needs {member_id} in the path")
        if (row.target in IMAGE_TARGETS) != (row.who not in {None, "self"}):
            raise self._bad("who and an image as target need each other")
        if not row.authentication and row.requirements:
            raise self._bad("an action needs a credential")
