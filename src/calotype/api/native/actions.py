# SPDX-License-Identifier: Apache-2.0
"""`glance.deactivate`, `glance.reactivate` (native.md 15)."""

from __future__ import annotations

from sqlalchemy import Connection

from calotype import clock
from calotype.api.native.images import image_of
from calotype.gate.request import Answer, Handler, Request, writes
from calotype.images import activation


def handlers() -> dict[str, Handler]:
    """Return the handlers of this chapter."""
    return {"glance.deactivate": writes(_deactivate), "glance.reactivate": writes(_reactivate)}


def _deactivate(connection: Connection, request: Request) -> Answer:
    activation.deactivate(connection, image_of(request), clock.now())
    return Answer(204)


def _reactivate(connection: Connection, request: Request) -> Answer:
    activation.reactivate(connection, image_of(request), clock.now())
    return Answer(204)
