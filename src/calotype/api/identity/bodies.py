# SPDX-License-Identifier: Apache-2.0
"""Reads bodies and queries of the identity calls, strictly and without telling secrets.

Fields that are not known are passed over, because clients of the vendor send many; known ones must
have their type. A refusal names field, value and what is allowed, but never the value of a field
that holds a secret, nor of the object around a missing one (security contract P5).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from calotype.errors import Invalid, NotFound
from calotype.gate.parse import place
from calotype.gate.request import Request

_SHOWN = 60
_SECRETS = frozenset({"password", "original_password", "passcode", "token", "secret", "totp"})
_TEXTS = {
    "missing": "it must be given",
    "string_type": "it must be a string",
    "int_type": "it must be an integer",
    "bool_type": "it must be true or false",
    "list_type": "it must be an array",
    "dict_type": "it must be an object",
    "model_type": "it must be an object",
}
Model = TypeVar("Model", bound="Body")


class Body(BaseModel):
    """A body, or an object inside one."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


def read(model: type[Model], body: object) -> Model:
    """Return `body` as `model`. Raises Invalid for the first wrong field."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False)[0]) from None


def wrong(field: str, value: object, allowed: str, rule: str = "field_wrong") -> Invalid:
    """Return the refusal of a field whose value may be shown."""
    shown = json.dumps(value, ensure_ascii=False, default=str)
    if len(shown) > _SHOWN:
        shown = f"{shown[:_SHOWN]}…"
    return Invalid(
        f"{field}: {shown} is not allowed; {allowed}",
        rule=rule,
        field=field,
        value=shown,
        allowed=allowed,
    )


def one_of(request: Request, name: str, allowed: Sequence[str], default: str) -> str:
    """Return a query parameter that has one of a few words. Raises Invalid."""
    value = request.last(name) or default
    if value not in allowed:
        raise wrong(name, value, f"allowed: {', '.join(allowed)}")
    return value


def flag(request: Request, name: str) -> bool | None:
    """Return a boolean query parameter, None when it is not given. Raises Invalid."""
    value = request.last(name)
    if not value:
        return None
    if value.lower() in ("true", "1"):
        return True
    if value.lower() in ("false", "0"):
        return False
    raise wrong(name, value, "allowed: true, false")


def number(
    request: Request, name: str, limits: tuple[int, int], default: int, rule: str = "query"
) -> int:
    """Return an integer query parameter within limits. Raises Invalid."""
    value = request.last(name)
    if not value:
        return default
    low, high = limits
    if not value.isascii() or not value.isdigit() or not low <= int(value[:12]) <= high:
        raise wrong(name, value, f"allowed: {low} to {high}", rule)
    return int(value)


def require_own_account(request: Request, account_id: str | None, field: str) -> None:
    """Raise NotFound when a body names another account than the caller's."""
    if account_id and account_id != request.caller.principal.account_id:
        raise NotFound(f"{field}: no account {account_id}", kind="account", id=account_id)


def _refusal(detail: ErrorDetails) -> Invalid:
    field = place(detail["loc"]) or "body"
    kind = detail["type"]
    context = detail.get("ctx") or {}
    if kind in _TEXTS:
        allowed = _TEXTS[kind]
    elif "expected" in context:
        allowed = f"allowed: {context['expected']}"
    else:
        allowed = detail["msg"]
    if kind == "missing":
        return Invalid(f"{field}: {allowed}", rule="field_missing", field=field, allowed=allowed)
    if _holds_secret(detail["loc"]) or isinstance(detail["input"], dict | list):
        return Invalid(
            f"{field}: the value is not allowed; {allowed}",
            rule="field_wrong",
            field=field,
            allowed=allowed,
        )
    return wrong(field, detail["input"], allowed)


def _holds_secret(path: Iterable[int | str]) -> bool:
    return any(part in _SECRETS for part in path)
