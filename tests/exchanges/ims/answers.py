# SPDX-License-Identifier: Apache-2.0
"""What an answer of this dialect is, for comparisons."""

from __future__ import annotations

from tests.exchanges.native.site import Reply


def code(reply: Reply) -> tuple[int, str]:
    """Return status and code of a refusal, or the status and an empty text."""
    if reply.status < 400:
        return reply.status, ""
    return reply.status, reply.json["error"]["code"]
