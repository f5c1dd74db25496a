# SPDX-License-Identifier: Apache-2.0
"""A refusal that already knows its code, raised where this dialect checks its own fields."""

from __future__ import annotations

import json

from calotype.errors import CalotypeError

_SHOWN = 80


class IMSRefusal(CalotypeError):
    """`code` is one of contract errors.yaml; the status is looked up there."""

    default_rule = "ims"

    def __init__(self, code: str, message: str, **facts: object) -> None:
        super().__init__(message, rule=code, **facts)
        self.code = code


def refuse(code: str, field: str, value: object, allowed: str) -> IMSRefusal:
    """Return the refusal of a field: names it, shows its value, says what is allowed."""
    return IMSRefusal(
        code, f"{field}: {shown(value)} is not allowed; {allowed}", field=field, value=shown(value)
    )


def shown(value: object) -> str:
    """Return a value as text for a message, shortened; what does not print is escaped."""
    plain = json.dumps(value, ensure_ascii=False, default=str)
    text = "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in plain)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
