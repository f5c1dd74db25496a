# SPDX-License-Identifier: Apache-2.0
"""Patterns of the policy language: actions, resources, and the wildcards inside them.

Patterns come from tenants and are compared with texts that come from tenants, so matching takes
time proportional to the text, never a backtracking expression. Source: contract iam.md 2.1, 2.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Parts = tuple[str, str, str]
_SEGMENT = re.compile(r"[A-Za-z0-9\-_.*]+\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Glob:
    """A text with `*` (any run, also empty) and, where asked, `?` (one character).

    `fold` compares without regard to letter case.
    """

    __slots__ = ("_first", "_fold", "_last", "_middle", "_question", "any", "text")

    def __init__(self, text: str, *, fold: bool = False, question: bool = False) -> None:
        self.text = text
        self._fold = fold
        self._question = question
        pieces = (text.casefold() if fold else text).split("*")
        self.any = text != "" and not any(pieces)
        self._first = pieces[0]
        self._last = pieces[-1] if len(pieces) > 1 else None
        self._middle = [piece for piece in pieces[1:-1] if piece]

    def matches(self, text: str) -> bool:
        """Tell whether the whole of `text` has this form."""
        if self.any:
            return True
        if self._fold:
            text = text.casefold()
        if self._last is None:
            return len(text) == len(self._first) and self._at(text, self._first, 0)
        start, end = len(self._first), len(text) - len(self._last)
        if start > end or not self._at(text, self._first, 0):
            return False
        if not self._at(text, self._last, end):
            return False
        for piece in self._middle:
            place = self._find(text, piece, start, end)
            if place < 0:
                return False
            start = place + len(piece)
        return True

    def _at(self, text: str, piece: str, place: int) -> bool:
        if not self._question or "?" not in piece:
            return text.startswith(piece, place)
        return all(
            wanted in ("?", found)
            for wanted, found in zip(piece, text[place : place + len(piece)], strict=True)
        )

    def _find(self, text: str, piece: str, start: int, end: int) -> int:
        if not self._question or "?" not in piece:
            return text.find(piece, start, end)
        for place in range(start, end - len(piece) + 1):
            if self._at(text, piece, place):
                return place
        return -1


@dataclass(frozen=True, slots=True)
class ActionPattern:
    """`service:type:operation`, each segment with `*`, compared without regard to case."""

    text: str
    segments: tuple[Glob, Glob, Glob]

    def matches(self, parts: Parts) -> bool:
        """Tell whether an action, split by `action_parts`, has this form."""
        return (
            self.segments[0].matches(parts[0])
            and self.segments[1].matches(parts[1])
            and self.segments[2].matches(parts[2])
        )

    @property
    def service(self) -> str:
        """The first segment in lower case, wildcards included."""
        return self.segments[0].text.lower()


@dataclass(frozen=True, slots=True)
class ResourcePattern:
    """`service:region:account:type:path`; a `*` crosses a colon in the path only."""

    text: str
    head: tuple[Glob, Glob, Glob, Glob]
    path: Glob

    def head_matches(self, resource: Resource) -> bool:
        """Tell whether everything but the path fits."""
        return all(glob.matches(part) for glob, part in zip(self.head, resource.head, strict=True))

    def matches(self, resource: Resource) -> bool:
        """Tell whether the resource has this form."""
        return self.path.matches(resource.path) and self.head_matches(resource)


@dataclass(frozen=True, slots=True)
class Resource:
    """What a question is about. An empty path: no single thing is addressed."""

    service: str
    region: str
    account_id: str
    type: str
    path: str = ""

    @property
    def head(self) -> tuple[str, str, str, str]:
        """The four segments before the path."""
        return self.service, self.region, self.account_id, self.type


def action_parts(action: str) -> Parts:
    """Return the three segments of an action. Raises ValueError when there are not three."""
    service, kind, operation = action.split(":")
    return service, kind, operation


def read_action(text: str) -> ActionPattern | None:
    """Return the pattern, or None when `text` breaks the grammar."""
    parts = text.split(":")
    if len(parts) != 3 or not all(_SEGMENT.match(part) for part in parts):
        return None
    service, kind, operation = (Glob(part, fold=True) for part in parts)
    return ActionPattern(text, (service, kind, operation))


def read_resource(text: str) -> ResourcePattern | None:
    """Return the pattern, or None when `text` breaks the grammar."""
    parts = text.split(":", 4)
    if len(parts) != 5 or not all(_SEGMENT.match(part) for part in parts[:4]):
        return None
    if parts[4] == "" or _CONTROL.search(parts[4]):
        return None
    service, region, account, kind = (Glob(part, fold=True) for part in parts[:4])
    return ResourcePattern(text, (service, region, account, kind), Glob(parts[4]))
