# SPDX-License-Identifier: Apache-2.0
"""Reads request bodies: bounded, and strict JSON.

Refused before anything else looks at them: more than the byte limit, deeper than 32, duplicate
keys, NaN and infinities, text that is not UTF-8 or half a surrogate pair (security contract,
section 6).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import AsyncIterator, Iterable
from typing import NoReturn

from calotype.errors import Malformed, TooLarge

DEPTH_LIMIT = 32
_SHOWN = 60
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# A string that is not closed is one to the end: looking again behind each of its quotes would take
# time by the square of its length.
_STRUCTURE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)


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
    """Return the JSON object or array in `data`. Raises Malformed, naming what is wrong."""
    _check_depth(data)
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
        if not isinstance(value, dict | list):
            raise Malformed("the body is neither a JSON object nor an array")
        if _SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except UnicodeDecodeError:
        raise Malformed("the body is not UTF-8") from None
    except UnicodeEncodeError:
        raise Malformed("the body has half a surrogate pair") from None
    except json.JSONDecodeError as error:
        raise Malformed(f"the body is not JSON: {error.msg} at byte {error.pos}") from None
    except ValueError:  # the interpreter's own bound on digits
        raise Malformed("the body has a number with too many digits") from None
    except RecursionError:
        raise Malformed(f"the body is nested deeper than {DEPTH_LIMIT}") from None


def place(path: Iterable[int | str]) -> str:
    """Return the place of a field as people write it: `data_images[0].name`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


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


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Malformed("the body has a number that is too large")
    return value


def _refuse_constant(text: str) -> NoReturn:
    raise Malformed(f"{text} is no JSON value")
