# SPDX-License-Identifier: Apache-2.0
"""Reads the packaged contract files: plain YAML, errors that name file and row.

The tables are read at every start and have to cost milliseconds, so the C parser's events are
turned into values here. That also refuses what the general loader lets pass: a repeated key,
anchors, tags, and words it would guess to be dates or numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import yaml

_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


class BadRow(ValueError):
    """A contract file holds something that the program does not understand."""

    def __init__(self, file: str, row: str, problem: str) -> None:
        super().__init__(f"{file}: {row}: {problem}")
        self.file = file
        self.row = row
        self.problem = problem


def read_table(name: str) -> Mapping[str, Any]:
    """Return the mapping of the contract file `name`. Raises BadRow when it is none."""
    text = files("calotype.contract").joinpath(name).read_text(encoding="utf-8")
    return parse_table(name, text)


def parse_table(name: str, text: str) -> Mapping[str, Any]:
    """Return the mapping that `text` holds. Raises BadRow."""
    try:
        data = _read(name, text)
    except yaml.YAMLError as error:
        raise BadRow(name, "file", f"is no YAML: {error}") from None
    if not isinstance(data, dict):
        raise BadRow(name, "file", "is no mapping")
    return data


def _read(name: str, text: str) -> object:
    stack: list[_Open] = [_Open(None)]
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        kind = type(event)
        if kind is yaml.ScalarEvent:
            stack[-1].add(name, _scalar(event))
        elif kind is yaml.MappingStartEvent:
            stack.append(_Open({}))
        elif kind is yaml.SequenceStartEvent:
            stack.append(_Open([]))
        elif kind in (yaml.MappingEndEvent, yaml.SequenceEndEvent):
            value = stack.pop().value
            stack[-1].add(name, value)
        elif kind is yaml.AliasEvent:
            raise BadRow(name, "file", "has an alias")
    return stack[0].value


def _scalar(event: Any) -> object:
    value: str = event.value
    if event.style:  # quoted: text whatever it looks like
        return value
    if value in _WORDS:
        return _WORDS[value]
    return int(value) if value.isascii() and value.isdigit() else value


class _Open:
    """A mapping, a list or the document that is being filled."""

    __slots__ = ("_key", "value")

    def __init__(self, value: object) -> None:
        self.value = value
        self._key: str | None = None

    def add(self, file: str, item: object) -> None:
        target = self.value
        if isinstance(target, list):
            target.append(item)
        elif not isinstance(target, dict):
            self.value = item
        elif self._key is None:
            if not isinstance(item, str) or item in target:
                raise BadRow(file, str(item), "is no text, or occurs twice, as a key")
            self._key = item
        else:
            target[self._key] = item
            self._key = None
