# SPDX-License-Identifier: Apache-2.0
"""`glance.tag_add`, `glance.tag_delete` (native.md 17): strings, kept apart exactly as given."""

from __future__ import annotations

from sqlalchemy import Connection

from calotype import clock
from calotype.api.native import fields
from calotype.api.native.images import image_of
from calotype.flows.core import Core
from calotype.gate.request import Answer, Handler, Request, writes
from calotype.images import tagging, tags


def handlers(core: Core) -> dict[str, Handler]:
    """Return the handlers of this chapter."""
    limit = core.settings.native_tags_per_image

    def add(connection: Connection, request: Request) -> Answer:
        tag = _tag(request)
        tagging.change(
            connection, image_of(request), lambda old: tags.add(old, tag), limit, clock.now()
        )
        return Answer(204)

    def delete(connection: Connection, request: Request) -> Answer:
        tag = _tag(request)
        tagging.change(
            connection, image_of(request), lambda old: tags.discard(old, tag), limit, clock.now()
        )
        return Answer(204)

    return {"glance.tag_add": writes(add), "glance.tag_delete": writes(delete)}


def _tag(request: Request) -> str:
    (tag,) = fields.tags("tag", [request.params["tag"]])
    return tag
