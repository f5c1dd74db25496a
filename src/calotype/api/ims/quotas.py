# SPDX-License-Identifier: Apache-2.0
"""`ims.quota`: how many images the project has and may have (contract ims.md)."""

from __future__ import annotations

from sqlalchemy import Connection

from calotype.flows.core import Core
from calotype.gate.request import Answer, Handler, Request, reads
from calotype.images import usage


def handlers(core: Core) -> dict[str, Handler]:
    """Return the handlers of this chapter."""
    settings = core.settings

    def show(connection: Connection, request: Request) -> Answer:
        figure = usage.image_figure(connection, request.caller.project_id or "", settings)
        resource = {
            "type": "image",
            "used": figure.used,
            "quota": figure.limit,
            "min": settings.image_quota_min,
            "max": settings.image_quota_max,
        }
        return Answer(200, json={"quotas": {"resources": [resource]}})

    return {"ims.quota": reads(show)}
