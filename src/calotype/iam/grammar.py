# SPDX-License-Identifier: Apache-2.0
"""Reads a policy document: every fault is refused with the JSON pointer of its place.

Owns the grammar, the limits and the kinds (project-level or global services). Keys are compared
as spelled; unknown ones are faults. Source: contract iam.md 1.2, 2.1, 2.3, 2.4.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from calotype.errors import Invalid
from calotype.iam.conditions import OPERATORS, Condition, normalise_key, read_value
from calotype.iam.matching import ActionPattern, ResourcePattern, read_action, read_resource
from calotype.iam.statement import Effect, Statement

DOCUMENT_LIMIT = 6144
STATEMENT_LIMIT = 8
ACTION_LIMIT = 100
KEY_LIMIT = 10
VALUE_LIMIT = 10
GLOBAL_SERVICES = frozenset({"iam", "eps"})
_URI = re.compile(r"/iam/agencies/[A-Za-z0-9_\-]{1,64}\Z")
_TOP = ("Version", "Statement", "Depends")
_STATEMENT = ("Effect", "Action", "Resource", "Condition")


def refuse(pointer: str, problem: str) -> NoReturn:
    """Raise Invalid for the place `pointer` of the document."""
    raise Invalid(
        f"the policy is not valid at {pointer or 'its top'}: {problem}",
        rule="policy_invalid",
        pointer=pointer,
        problem=problem,
    )


def below(pointer: str, *names: object) -> str:
    """Return the JSON pointer of a place below `pointer`."""
    steps = (str(name).replace("~", "~0").replace("/", "~1") for name in names)
    return "".join((pointer, *(f"/{step}" for step in steps)))


def read_document(
    document: object, *, custom: bool, kind: str | None
) -> tuple[str, tuple[Statement, ...], tuple[str, ...]]:
    """Return language, statements and the display names of roles it depends on. Raises Invalid."""
    top = _object(document, "")
    size = len(json.dumps(top, ensure_ascii=False, separators=(",", ":"), default=str))
    if size > DOCUMENT_LIMIT:
        refuse("", f"{size} characters, at most {DOCUMENT_LIMIT} are allowed")
    _known(top, _TOP, "")
    language = _version(top, custom)
    depends = _depends(top, language)
    raw = _list(_given(top, "Statement", ""), "/Statement", STATEMENT_LIMIT)
    statements = tuple(_statement(item, index) for index, item in enumerate(raw))
    if custom:
        _one_kind(statements, kind)
    return language, statements, depends


def concrete_actions(statements: Sequence[Statement]) -> Iterator[tuple[str, ActionPattern]]:
    """Yield the pointer and pattern of every action."""
    for statement in statements:
        for place, pattern in enumerate(statement.actions):
            yield below("/Statement", statement.index, "Action", place), pattern


def kind_of(pattern: ActionPattern) -> str | None:
    """Return AX or XA for an action pattern, None for one of any service."""
    if "*" in pattern.service:
        return None
    return "AX" if pattern.service in GLOBAL_SERVICES else "XA"


def _one_kind(statements: Sequence[Statement], kind: str | None) -> None:
    for pointer, pattern in concrete_actions(statements):
        found = kind_of(pattern)
        if found is None:
            continue
        kind = kind or found
        if found != kind:
            services = "global services" if kind == "AX" else "project-level services"
            refuse(pointer, f"{pattern.text} in a policy of {services}; both kinds may not mix")


def _version(top: Mapping[str, Any], custom: bool) -> str:
    version = _given(top, "Version", "")
    allowed = ("1.1",) if custom else ("1.0", "1.1")
    if version not in allowed:
        refuse("/Version", f"allowed: {', '.join(allowed)}")
    return str(version)


def _depends(top: Mapping[str, Any], language: str) -> tuple[str, ...]:
    if "Depends" not in top:
        return ()
    if language != "1.0":
        refuse("/Depends", "belongs to Version 1.0")
    names: list[str] = []
    for index, item in enumerate(_list(top["Depends"], "/Depends", STATEMENT_LIMIT)):
        pointer = below("/Depends", index)
        depend = _object(item, pointer)
        _known(depend, ("catalog", "display_name"), pointer)
        for key in ("catalog", "display_name"):
            _text(_given(depend, key, pointer), below(pointer, key))
        names.append(depend["display_name"])
    return tuple(names)


def _statement(raw: object, index: int) -> Statement:
    pointer = below("/Statement", index)
    statement = _object(raw, pointer)
    _known(statement, _STATEMENT, pointer)
    effect = _given(statement, "Effect", pointer)
    actions = _given(statement, "Action", pointer)
    if effect not in ("Allow", "Deny"):
        refuse(below(pointer, "Effect"), "allowed: Allow, Deny")
    resources, uris = _resource(statement, below(pointer, "Resource"))
    return Statement(
        index=index,
        effect=Effect(effect),
        actions=_actions(actions, below(pointer, "Action")),
        resources=resources,
        uris=uris,
        conditions=_conditions(statement, below(pointer, "Condition")),
    )


def _actions(raw: object, pointer: str) -> tuple[ActionPattern, ...]:
    patterns: list[ActionPattern] = []
    for index, item in enumerate(_list(raw, pointer, ACTION_LIMIT)):
        place = below(pointer, index)
        pattern = read_action(_text(item, place))
        if pattern is None:
            refuse(place, "an action is service:type:operation, of letters, digits, - _ . *")
        patterns.append(pattern)
    return tuple(patterns)


def _resource(
    statement: Mapping[str, Any], pointer: str
) -> tuple[tuple[ResourcePattern, ...] | None, frozenset[str] | None]:
    if "Resource" not in statement:
        return None, None
    raw = statement["Resource"]
    if isinstance(raw, dict):
        _known(raw, ("uri",), pointer)
        place = below(pointer, "uri")
        return None, _uris(_given(raw, "uri", pointer), place)
    patterns: list[ResourcePattern] = []
    for index, item in enumerate(_list(raw, pointer, None)):
        place = below(pointer, index)
        pattern = read_resource(_text(item, place))
        if pattern is None:
            refuse(place, "a resource is service:region:account:type:path")
        patterns.append(pattern)
    return tuple(patterns), None


def _uris(raw: object, pointer: str) -> frozenset[str]:
    uris: set[str] = set()
    for index, item in enumerate(_list(raw, pointer, None)):
        place = below(pointer, index)
        uri = _text(item, place)
        if not _URI.match(uri):
            refuse(place, "a uri is /iam/agencies/<id>")
        uris.add(uri)
    return frozenset(uris)


def _conditions(statement: Mapping[str, Any], pointer: str) -> tuple[Condition, ...]:
    if "Condition" not in statement:
        return ()
    conditions: list[Condition] = []
    for name, keys in _filled(statement["Condition"], pointer).items():
        place = below(pointer, name)
        if name not in OPERATORS:
            refuse(place, "is no operator of the policy language")
        for key, values in _filled(keys, place).items():
            conditions.append(_condition(name, key, values, below(place, key)))
    if len(conditions) > KEY_LIMIT:
        refuse(pointer, f"{len(conditions)} keys, at most {KEY_LIMIT} are allowed")
    return tuple(conditions)


def _condition(name: str, key: str, raw: object, pointer: str) -> Condition:
    normal = normalise_key(key)
    if normal is None:
        refuse(pointer, "is no condition key")
    many = isinstance(raw, list)
    items = _list(raw, pointer, VALUE_LIMIT) if many else [raw]
    texts: list[str] = []
    values: list[Any] = []
    for index, item in enumerate(items):
        place = below(pointer, index) if many else pointer
        text = _scalar(item, place)
        try:
            values.append(read_value(name, text))
        except ValueError:
            refuse(place, f"{text!r} is no value for {name}")
        texts.append(text)
    return Condition(name, normal, key, tuple(texts), tuple(values))


def _scalar(item: object, pointer: str) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, bool | int | float):
        return json.dumps(item)
    refuse(pointer, "a condition value is a string, a number or true or false")


def _object(value: object, pointer: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        refuse(pointer, "must be an object")
    return value


def _filled(value: object, pointer: str) -> dict[str, Any]:
    found = _object(value, pointer)
    if not found:
        refuse(pointer, "must not be empty")
    return found


def _list(value: object, pointer: str, limit: int | None) -> list[object]:
    if not isinstance(value, list):
        refuse(pointer, "must be an array")
    if not value:
        refuse(pointer, "must not be empty")
    if limit is not None and len(value) > limit:
        refuse(pointer, f"{len(value)} elements, at most {limit} are allowed")
    return value


def _text(value: object, pointer: str) -> str:
    if not isinstance(value, str):
        refuse(pointer, "must be a string")
    return value


def _given(value: Mapping[str, Any], key: str, pointer: str) -> Any:
    if key not in value:
        refuse(below(pointer, key), "must be given")
    return value[key]


def _known(value: Mapping[str, Any], keys: Sequence[str], pointer: str) -> None:
    for key in value:
        if key not in keys:
            refuse(below(pointer, key), f"unknown key; allowed: {', '.join(keys)}")
