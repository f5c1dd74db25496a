# SPDX-License-Identifier: Apache-2.0
"""Tags: one store of strings, read as pairs by half of the interface (contract values.md 3).

The string form of a pair is `key` when the value is empty, else `key=value`; a string splits at
its first `=`. Every function returns a new sorted tuple and writes nothing. The grammar of what
may be written differs between dialects and is checked by the face that takes it in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from calotype.errors import NotFound, QuotaExceeded

Tags = tuple[str, ...]


def join(key: str, value: str) -> str:
    """Return the string form of a pair."""
    return f"{key}={value}" if value else key


def split(text: str) -> tuple[str, str]:
    """Return the pair of a string form."""
    key, _, value = text.partition("=")
    return key, value


def pairs(tags: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return all pairs in the order of their string forms."""
    return tuple(split(text) for text in tags)


def mapping(tags: Iterable[str]) -> Mapping[str, str]:
    """Return key -> value for conditions; of several strings with one key the last counts."""
    return dict(split(text) for text in tags)


def normal(tags: Iterable[str]) -> Tags:
    """Return tags without duplicates, sorted by code point."""
    return tuple(sorted(set(tags)))


def add(tags: Tags, text: str) -> Tags:
    """Add one string as it is; `a=1` and `a=2` may stand beside each other (native.md 17)."""
    return normal((*tags, text))


def discard(tags: Tags, text: str) -> Tags:
    """Remove one string. Raises NotFound when it is not there."""
    if text not in tags:
        raise NotFound(f"the image has no tag {text}", rule="tag_not_found", kind="tag", id=text)
    return tuple(tag for tag in tags if tag != text)


def put_pair(tags: Tags, key: str, value: str) -> Tags:
    """Set the value of `key`: every string with that key gives way to one."""
    return normal((*(tag for tag in tags if split(tag)[0] != key), join(key, value)))


def remove_key(tags: Tags, key: str, value: str | None = None) -> Tags:
    """Remove the pairs of `key`, with `value` only those of that value. Raises NotFound."""
    kept = tuple(
        tag
        for tag in tags
        if split(tag)[0] != key or (value is not None and split(tag)[1] != value)
    )
    if len(kept) == len(tags):
        raise NotFound(f"the image has no tag {key}", rule="tag_not_found", kind="tag", id=key)
    return kept


def check_limit(before: Tags, after: Tags, limit: int) -> None:
    """Refuse growth beyond `limit`; an image over it may still replace and remove."""
    if len(after) > limit and len(after) > len(before):
        raise QuotaExceeded(
            f"an image has at most {limit} tags, not {len(after)}",
            rule="tags_too_many",
            quota="tags",
            limit=limit,
            used=len(before),
        )
