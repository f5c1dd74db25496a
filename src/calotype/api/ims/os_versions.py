# SPDX-License-Identifier: Apache-2.0
"""`ims.os_version`: the operating systems that images may carry (contract ims.md, values.md 13).

A top-level array, platforms and versions in catalogue order; several tags narrow the list.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from calotype.api.ims.query import QUERY, Query
from calotype.api.ims.refusal import refuse
from calotype.contract import catalogue
from calotype.contract.catalogue import OSVersion
from calotype.flows.core import Core
from calotype.gate.request import Answer, Handler, Request, reads


def handlers(core: Core) -> dict[str, Handler]:
    """Return the handler of this chapter."""
    del core  # the catalogue is a file of the program
    return {"ims.os_version": reads(_list)}


def _list(connection: Connection, request: Request) -> Answer:
    del connection
    tags = read_tags(request.query)
    return Answer(200, json=body(row for row in catalogue.rows() if tags <= row.tags))


def read_tags(query: Query) -> frozenset[str]:
    """Return the tags asked for: `tag` repeats and takes comma lists. Raises IMSRefusal."""
    words = [word for name, value in query if name == "tag" for word in value.split(",") if word]
    for word in words:
        if word not in catalogue.TAGS:
            raise refuse(QUERY, "tag", word, f"allowed: {', '.join(catalogue.TAGS)}")
    return frozenset(words)


def body(rows: Iterable[OSVersion]) -> list[dict[str, Any]]:
    """Return the answer: one element for each platform that has rows."""
    platforms: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        platforms.setdefault(row.platform, []).append(
            {
                "platform": row.platform,
                "os_version_key": row.os_version,
                "os_version": row.os_version,
                "os_bit": row.bits,
                "os_type": row.os_type,
            }
        )
    return [{"platform": name, "version_list": found} for name, found in platforms.items()]
