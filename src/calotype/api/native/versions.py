# SPDX-License-Identifier: Apache-2.0
"""Version discovery: which minor versions are offered, in one order (native.md 2, 11)."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from calotype.errors import NotFound
from calotype.flows.core import Core
from calotype.gate.request import Answer, Handler, Request, reads
from calotype.settings import Settings

_WITH_CACHE = frozenset({18, 16, 14})
_V1 = ("v1.1", "v1.0")


def handlers(core: Core) -> dict[str, Handler]:
    """Return the handlers of discovery."""

    def root(connection: Connection, request: Request) -> Answer:
        del connection
        return _answer(300, core.settings, request, ids_of(core.settings))

    def explicit(connection: Connection, request: Request) -> Answer:
        del connection
        return _answer(200, core.settings, request, ids_of(core.settings))

    def one(connection: Connection, request: Request) -> Answer:
        del connection
        found = choose(core.settings, request.params["version"])
        return _answer(300, core.settings, request, found)

    return {
        "glance.versions": reads(root),
        "glance.versions_explicit": reads(explicit),
        "glance.version": reads(one),
    }


def ids_of(settings: Settings) -> tuple[str, ...]:
    """Return every listed id, newest first."""
    cache = settings.cache_max_size > 0
    minors = (minor for minor in range(18, -1, -1) if cache or minor not in _WITH_CACHE)
    return (*(f"v2.{minor}" for minor in minors), *_V1)


def choose(settings: Settings, version: str) -> tuple[str, ...]:
    """Return the ids that a path segment names. Raises NotFound."""
    listed = ids_of(settings)
    if version in listed:
        return (version,)
    if version == "v2":
        return tuple(one for one in listed if one.startswith("v2."))
    if version == "v1":
        return _V1
    raise NotFound("The resource could not be found.", rule="path_unknown", kind="version")


def _answer(status: int, settings: Settings, request: Request, chosen: Iterable[str]) -> Answer:
    current = ids_of(settings)[0]
    return Answer(
        status, json={"versions": [_entry(one, current, request.base_url) for one in chosen]}
    )


def _entry(version: str, current: str, base: str) -> dict[str, object]:
    if version in _V1:
        status, href = "DEPRECATED", f"{base}/v1"
    else:
        status, href = ("CURRENT" if version == current else "SUPPORTED"), f"{base}/v2/"
    return {"id": version, "status": status, "links": [{"rel": "self", "href": href}]}
