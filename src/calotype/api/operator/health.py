# SPDX-License-Identifier: Apache-2.0
"""`/healthz`, `/readyz`, `/metrics`. They tell of the process, never of tenants."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from sqlalchemy import Connection, text

from calotype.errors import NotAllowed, Unavailable
from calotype.flows.core import Core
from calotype.gate.metrics import TYPE, Metrics
from calotype.gate.request import Answer, Handler, Request, reads
from calotype.iam import tokens

_ALIVE = text("SELECT 1")


def handlers(core: Core, metrics: Metrics, ready: Callable[[], bool]) -> dict[str, Handler]:
    """Return the handlers. `ready` tells whether the start is over and no drain has begun."""

    def readyz(connection: Connection, request: Request) -> Answer:
        del request
        connection.execute(_ALIVE)
        if not ready():
            raise Unavailable("the service is starting or ending", rule="busy")
        core.stores.get(core.stores.default)
        return Answer(200, json={"status": "ready"})

    def scrape(connection: Connection, request: Request) -> Answer:
        if not _is_loopback(request.caller.source_ip) and not _is_operator(connection, request):
            raise NotAllowed("metrics are for loopback peers and the operator token")
        return Answer(200, content=metrics.render(), content_type=TYPE)

    return {
        "operator.healthz": reads(lambda connection, request: Answer(200, json={"status": "ok"})),
        "operator.readyz": reads(readyz),
        "operator.metrics": reads(scrape),
    }


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _is_operator(connection: Connection, request: Request) -> bool:
    token = request.headers.get("x-auth-token")
    if not token:
        return False
    return tokens.find_operator(connection, tokens.fingerprint(token), None) is not None
