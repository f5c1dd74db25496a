# SPDX-License-Identifier: Apache-2.0
"""The router: a tree of path segments made from the operation table, and from nothing else.

Literal segments are taken first and never taken back, then {project_id}, then the other
parameters. Each segment is percent-decoded once, after the split, so that an encoded slash stays
inside its segment. Source: contract operations.yaml (head), native.md 1, errors.yaml (bodies).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from calotype.contract.loader import Operation

SLASH_ALLOWED = frozenset({b"/v2/", b"/v2/images/", b"/v3/"})
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_ORDER = {"project_id": 0, "image_id": 2}  # every other parameter is 1
_IDENTITY = frozenset({"v3", "v3.0", "v3-ext"})
_IMS_VERSIONS = frozenset({"v1", "v2", "v2.1"})
_NATIVE_V2 = frozenset({"images", "schemas", "info", "metadefs", "stores", "tasks", "cache"})


@dataclass(frozen=True, slots=True)
class Match:
    """The row of a request, and what its path parameters are, decoded."""

    operation: Operation
    params: Mapping[str, str]


class RouteNotFound(LookupError):
    """No row has this path. `dialect` says whose error form answers."""

    def __init__(self, dialect: str) -> None:
        super().__init__("no operation has this path")
        self.dialect = dialect


class MethodNotAllowed(LookupError):
    """The path exists with other methods: `allow`, sorted."""

    def __init__(self, allow: tuple[str, ...], dialect: str) -> None:
        super().__init__(f"the path offers {', '.join(allow)}")
        self.allow = allow
        self.dialect = dialect


@dataclass(slots=True)
class _Row:
    operation: Operation
    names: tuple[str, ...]
    fixed: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Node:
    """One place of the tree; parameters are kept in the order in which they are tried."""

    literals: dict[str, _Node] = field(default_factory=dict)
    parameters: list[tuple[str, re.Pattern[str] | None, _Node]] = field(default_factory=list)
    rows: dict[str, _Row] = field(default_factory=dict)


class Router:
    """Finds the row of a method and path."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._root = _Node()
        rows = list(operations)
        for row in rows:
            self._add(row)
        for row in rows:
            self._lend(row)

    def match(self, method: str, raw_path: bytes) -> Match:
        """Return the row. `raw_path` is the path as sent, without query.

        Raises RouteNotFound or MethodNotAllowed.
        """
        segments, good = split_path(raw_path)
        node = self._root
        values: list[str] = []
        for segment in segments if good else ():
            following = node.literals.get(segment)
            if following is None:
                following = _by_parameter(node, segment)
                values.append(segment)
            if following is None:
                raise RouteNotFound(dialect_of(segments))
            node = following
        if not good or not node.rows:
            raise RouteNotFound(dialect_of(segments))
        row = node.rows.get(method)
        if row is None:
            allow = tuple(sorted(node.rows))
            raise MethodNotAllowed(allow, node.rows[allow[0]].operation.dialect)
        return Match(row.operation, {**dict(zip(row.names, values, strict=True)), **row.fixed})

    def _add(self, operation: Operation) -> None:
        node = self._root
        names: list[str] = []
        for segment in _segments(operation):
            name = _parameter(segment)
            if name is None:
                node = node.literals.setdefault(segment, _Node())
                continue
            names.append(name)
            known = next((child for one, _, child in node.parameters if one == name), None)
            if known is None:
                known = _Node()
                pattern = operation.patterns[name] if name in operation.routing else None
                node.parameters.append((name, pattern, known))
                node.parameters.sort(key=lambda entry: _ORDER.get(entry[0], 1))
            node = known
        node.rows[operation.method] = _Row(operation, tuple(names))

    def _lend(self, operation: Operation) -> None:
        """Let a literal that only begins longer paths answer as the parameter beside it.

        `/v2` begins many paths and is also a value of `/{version}`.
        """
        segments = _segments(operation)
        name = _parameter(segments[-1]) if segments else None
        if name is None or name not in operation.routing:
            return
        node = self._root
        for segment in segments[:-1]:
            node = node.literals[segment]
        for literal, child in node.literals.items():
            if not child.rows and operation.patterns[name].match(literal):
                child.rows[operation.method] = _Row(operation, (), {name: literal})


def split_path(raw_path: bytes) -> tuple[list[str], bool]:
    """Return the segments of a path, decoded, and whether every one of them could be decoded."""
    if raw_path in SLASH_ALLOWED:
        raw_path = raw_path[:-1]
    if raw_path in (b"", b"/"):
        return [], True
    good = raw_path.startswith(b"/")
    segments: list[str] = []
    for piece in raw_path.split(b"/")[1:]:
        plain = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), piece)
        good = good and not _BAD_ESCAPE.search(piece)
        try:
            segments.append(plain.decode("utf-8"))
        except UnicodeDecodeError:
            good = False
            segments.append(plain.decode("utf-8", "replace"))
    return segments, good


def dialect_of(segments: list[str]) -> str:
    """Return whose error form answers on a path that no row has."""
    first = segments[0] if segments else ""
    second = segments[1] if len(segments) > 1 else ""
    if first in _IDENTITY:
        return "iam"
    if (first, second) == ("authz", "v1"):
        return "authz"
    if (first, second) == ("v1.0", "enterprise-projects"):
        return "eps"
    if first in _IMS_VERSIONS and second == "cloudimages":
        return "ims"
    if len(segments) > 2 and first == "v1" and second != "images":
        return "ims"
    if len(segments) > 2 and first == "v2" and segments[2] == "images":
        return "native" if second in _NATIVE_V2 else "ims"
    return "native"


def _by_parameter(node: _Node, segment: str) -> _Node | None:
    if segment == "":
        return None
    for _, pattern, child in node.parameters:
        if pattern is None or pattern.match(segment):
            return child
    return None


def _segments(operation: Operation) -> list[str]:
    return [] if operation.path == "/" else operation.path.split("/")[1:]


def _parameter(segment: str) -> str | None:
    return segment[1:-1] if segment.startswith("{") else None
