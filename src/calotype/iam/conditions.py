# SPDX-License-Identifier: Apache-2.0
"""Conditions of the policy language: keys, operators, and how values are read and compared.

One line of `_FAMILIES` is one operator. An absent key makes any operator false, negated ones
included, and true with `IfExists`; a request value that cannot be read counts as absent; a policy
value that cannot be read is refused when the policy is made. Source: contract iam.md 2.3, 2.4.
"""

from __future__ import annotations

import ipaddress
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from calotype.iam.matching import Glob

EP_KEY = "g:enterpriseprojectid"
TAG_PREFIX = "g:resourcetag/"
IMAGE_KEYS = frozenset({"ims:visibility", "ims:imagetype"})
G_KEYS = frozenset(
    f"g:{name}"
    for name in (
        "currenttime domainname domainid projectname projectid username userid mfapresent mfaage"
        " servicename sourceip enterpriseprojectid"
    ).split()
)
IF_EXISTS = "IfExists"
Lookup = Callable[[str], tuple[str, ...]]
_KEY = re.compile(r"[A-Za-z0-9_\-]+:[^\x00-\x1f]+\Z")
_NUMBER = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,3})?\Z", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)\Z", re.ASCII)
_PREFIX = re.compile(r"[0-9a-fA-F.:]+(/\d{1,3})?\Z", re.ASCII)


def read_text(value: str) -> str:
    """Return the text itself."""
    return value


def read_folded(value: str) -> str:
    """Return the text without letter case."""
    return value.casefold()


def read_pattern(value: str) -> Glob:
    """Return a pattern with `*` and `?`."""
    return Glob(value, question=True)


def read_number(value: str) -> Decimal:
    """Return a decimal number. Raises ValueError."""
    if not _NUMBER.match(value):
        raise ValueError(value)
    try:
        return Decimal(value)
    except InvalidOperation:
        raise ValueError(value) from None


def read_date(value: str) -> datetime:
    """Return an instant, ISO 8601 with `Z` or an offset. Raises ValueError."""
    if not _DATE.match(value):
        raise ValueError(value)
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except OverflowError:
        raise ValueError(value) from None


def read_bool(value: str) -> bool:
    """Return a truth value. Raises ValueError."""
    word = value.lower()
    if word not in {"true", "false"}:
        raise ValueError(value)
    return word == "true"


def read_network(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return an address or CIDR block. Raises ValueError."""
    if not _PREFIX.match(value):
        raise ValueError(value)
    return ipaddress.ip_network(value, strict=False)


def read_address(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address. Raises ValueError."""
    return ipaddress.ip_address(value)


def _matches(found: str, wanted: Glob) -> bool:
    return wanted.matches(found)


def _inside(found: Any, wanted: Any) -> bool:
    return found.version == wanted.version and found in wanted


@dataclass(frozen=True, slots=True)
class _Family:
    policy: Callable[[str], Any]
    request: Callable[[str], Any]
    compare: Callable[[Any, Any], bool]
    negated: bool = False


def _pair(name: str, negative: str, family: _Family) -> dict[str, _Family]:
    return {name: family, negative: replace(family, negated=True)}


_FAMILIES: dict[str, _Family] = {
    **_pair("StringEquals", "StringNotEquals", _Family(read_text, read_text, operator.eq)),
    **_pair(
        "StringEqualsIgnoreCase",
        "StringNotEqualsIgnoreCase",
        _Family(read_folded, read_folded, operator.eq),
    ),
    **_pair("StringStartWith", "StringNotStartWith", _Family(read_text, read_text, str.startswith)),
    **_pair("StringEndWith", "StringNotEndWith", _Family(read_text, read_text, str.endswith)),
    **_pair("StringLike", "StringNotLike", _Family(read_pattern, read_text, _matches)),
    **_pair("NumberEquals", "NumberNotEquals", _Family(read_number, read_number, operator.eq)),
    "NumberLessThan": _Family(read_number, read_number, operator.lt),
    "NumberLessThanEquals": _Family(read_number, read_number, operator.le),
    "NumberGreaterThan": _Family(read_number, read_number, operator.gt),
    "NumberGreaterThanEquals": _Family(read_number, read_number, operator.ge),
    "DateLessThan": _Family(read_date, read_date, operator.lt),
    "DateLessThanEquals": _Family(read_date, read_date, operator.le),
    "DateGreaterThan": _Family(read_date, read_date, operator.gt),
    "DateGreaterThanEquals": _Family(read_date, read_date, operator.ge),
    "Bool": _Family(read_bool, read_bool, operator.eq),
    **_pair("IpAddress", "NotIpAddress", _Family(read_network, read_address, _inside)),
}
NULL = "Null"
OPERATORS = frozenset(_FAMILIES) | {f"{name}{IF_EXISTS}" for name in _FAMILIES} | {NULL}


@dataclass(frozen=True, slots=True)
class Condition:
    """One key under one operator. `key` is normalised, `label` as the policy spells it."""

    operator: str
    key: str
    label: str
    texts: tuple[str, ...]
    values: tuple[Any, ...]

    @property
    def of_image(self) -> bool:
        """Whether the addressed image decides it."""
        return self.key.startswith(TAG_PREFIX) or self.key in IMAGE_KEYS

    def holds(self, lookup: Lookup) -> bool:
        """Tell whether the condition holds for what `lookup` gives for a key (empty: absent)."""
        found = lookup(self.key)
        if self.operator == NULL:
            return (not found) in self.values
        name = self.operator.removesuffix(IF_EXISTS)
        family = _FAMILIES[name]
        known = _read_all(found, family.request)
        if not known:
            return name != self.operator
        hit = any(family.compare(one, wanted) for one in known for wanted in self.values)
        return hit is not family.negated


def _read_all(texts: tuple[str, ...], read: Callable[[str], Any]) -> list[Any]:
    known = []
    for text in texts:
        try:
            known.append(read(text))
        except ValueError:
            continue
    return known


def normalise_key(key: str) -> str | None:
    """Return the key as it is compared, or None when the policy may not name it.

    Keys of other services are known and always absent.
    """
    if not _KEY.match(key):
        return None
    head, slash, tail = key.partition("/")
    folded = head.lower() + slash + tail
    if folded.startswith("g:"):
        is_tag = folded.startswith(TAG_PREFIX) and tail != ""
        return folded if is_tag or folded in G_KEYS else None
    if folded.startswith("ims:"):
        return folded if folded in IMAGE_KEYS else None
    return folded


def read_value(name: str, text: str) -> Any:
    """Return a policy value read for the operator `name`. Raises ValueError."""
    if name == NULL:
        return read_bool(text)
    return _FAMILIES[name.removesuffix(IF_EXISTS)].policy(text)
