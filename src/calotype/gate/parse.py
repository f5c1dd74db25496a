# SPDX-License-Identifier: Apache-2.0
"""Reads request bodies: bounded, strict JSON, and models with errors that name the field.

Refused before anything else looks at them: more than the byte limit, deeper than 32, duplicate
keys, NaN and infinities, text that is not UTF-8 (security contract, section 6).
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable
from typing import NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from calotype.errors import Invalid, Malformed, TooLarge

DEPTH_LIMIT = 32
_SHOWN = 60
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
Model = TypeVar("Model", bound=BaseModel)


async def read_bounded(blocks: AsyncIterator[bytes], limit: int) -> bytes:
    """Collect a body of at most `limit` bytes. Raises TooLarge."""
    pieces: list[bytes] = []
    total = 0
    async for block in blocks:
        total += len(block)
        if total > limit:
            raise TooLarge(
                f"the body is larger than {limit} bytes", rule="body_too_large", limit=limit
            )
        pieces.append(block)
    return b"".join(pieces)


def read_json(data: bytes) -> object:
    """Return the JSON value of `data`. Raises Malformed, naming what is wrong."""
    _check_depth(data)
    try:
        text = data.decode("utf-8")
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise Malformed("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise Malformed(f"the body is not JSON: {error.msg} at byte {error.pos}") from None
    except RecursionError:
        raise Malformed(f"the body is nested deeper than {DEPTH_LIMIT}") from None


def validate(model: type[Model], body: object) -> Model:
    """Return `body` as `model`. Raises Invalid for the first wrong field, with all of them as data.

    Facts: `field` (dotted place), `value` (shortened), `allowed`, `errors` (every wrong place).
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        details = error.errors(include_url=False)
        first = details[0]
        field = place(first["loc"])
        allowed = _allowed(first)
        raise Invalid(
            f"{field or 'body'}: {_shown(first['input'])} is not allowed; {allowed}",
            rule="field_missing" if first["type"] == "missing" else "field_wrong",
            field=field,
            value=_shown(first["input"]),
            allowed=allowed,
            errors=[(place(item["loc"]), item["type"]) for item in details],
        ) from None


def place(path: Iterable[int | str]) -> str:
    """Return the place of a field as people write it: `data_images[0].name`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _allowed(detail: ErrorDetails) -> str:
    context = detail.get("ctx") or {}
    kind = detail["type"]
    limits = {
        "missing": "it must be given",
        "extra_forbidden": "no such field is known",
        "string_type": "it must be a string",
        "int_type": "it must be an integer",
        "bool_type": "it must be true or false",
        "list_type": "it must be an array",
        "dict_type": "it must be an object",
        "model_type": "it must be an object",
    }
    if kind in limits:
        return limits[kind]
    if "expected" in context:
        return f"allowed: {context['expected']}"
    shown = ", ".join(f"{name} {value}" for name, value in context.items() if name != "error")
    return f"allowed: {shown}" if shown else "see the API reference for what is allowed"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _check_depth(data: bytes) -> None:
    depth = 0
    for match in _STRUCTURE.finditer(data):
        token = match.group()
        if token in (b"[", b"{"):
            depth += 1
            if depth > DEPTH_LIMIT:
                raise Malformed(f"the body is nested deeper than {DEPTH_LIMIT}")
        elif token in (b"]", b"}"):
            depth -= 1


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise Malformed(f"the member {_shown(name)} occurs twice", field=name)
            seen.add(name)
    return result


def _refuse_constant(text: str) -> NoReturn:
    raise Malformed(f"{text} is no JSON value")
