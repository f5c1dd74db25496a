# SPDX-License-Identifier: Apache-2.0
"""What a call was refused with: the code, and the message that people read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from calotype.api.ims.refusal import IMSRefusal

ACCEPTED = "accepted"


def refusal_of(call: Callable[..., object], *given: Any, **named: Any) -> tuple[str, str]:
    """Return code and message of the refusal, or ACCEPTED and an empty text."""
    try:
        call(*given, **named)
    except IMSRefusal as refusal:
        return refusal.code, refusal.message
    return ACCEPTED, ""


def code_of(call: Callable[..., object], *given: Any, **named: Any) -> str:
    """Return the code of the refusal, or ACCEPTED."""
    return refusal_of(call, *given, **named)[0]
