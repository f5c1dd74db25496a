# SPDX-License-Identifier: Apache-2.0
"""What a deployment offers and a project uses: `glance.info_*` (native.md 18).

No path, bucket or endpoint of a store is shown, to the operator neither.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from calotype.api.native import shapes
from calotype.flows.core import Core
from calotype.gate.request import Answer, Handler, Request, reads
from calotype.images import usage
from calotype.images.usage import Figure
from calotype.settings import StoreSetting
from calotype.storage import base, s3

MIB = 1 << 20
RESERVED = "os_glance_"
NO_LIMIT = -1


def handlers(core: Core) -> dict[str, Handler]:
    """Return the handlers of this chapter."""

    def methods(connection: Connection, request: Request) -> Answer:
        del connection, request
        value = list(shapes.import_methods(core.settings))
        body = {"description": "Import methods available.", "type": "array", "value": value}
        return Answer(200, json={"import-methods": body})

    def stores(connection: Connection, request: Request) -> Answer:
        del connection, request
        return Answer(200, json={"stores": [store_body(core, one) for one in _stores(core)]})

    def details(connection: Connection, request: Request) -> Answer:
        del connection, request
        found = [store_body(core, one) | detail_body(one) for one in _stores(core)]
        return Answer(200, json={"stores": found})

    def used(connection: Connection, request: Request) -> Answer:
        figures = usage.figures(connection, request.caller.project_id or "", core.settings)
        body = {
            "image_size_total": _mebibytes(figures.stored),
            "image_stage_total": _mebibytes(figures.staged),
            "image_count_total": _count(figures.images),
            "image_count_uploading": _count(figures.uploading),
        }
        return Answer(200, json={"usage": body})

    return {
        "glance.info_import": reads(methods),
        "glance.info_stores": reads(stores),
        "glance.info_stores_detail": reads(details),
        "glance.info_usage": reads(used),
    }


def store_body(core: Core, store: StoreSetting) -> dict[str, Any]:
    """Return a store as everybody sees it: flags are strings, absent when not set."""
    body: dict[str, Any] = {"id": store.id}
    if store.description:
        body["description"] = store.description
    if store.id == core.stores.default:
        body["default"] = "true"
    if store.read_only:
        body["read-only"] = "true"
    return body


def detail_body(store: StoreSetting) -> dict[str, Any]:
    """Return what the operator sees beside; sizes of S3 in MiB, as its clients expect."""
    kind = store.url.partition(":")[0]
    properties: dict[str, Any] = {"chunk_size": base.BLOCK, "thin_provisioning": True}
    if kind == "s3":
        properties = {
            "s3_store_large_object_size": s3.PART // MIB,
            "s3_store_large_object_chunk_size": s3.PART // MIB,
            "s3_store_thread_pools": s3.PARTS_IN_FLIGHT,
        }
    return {"type": kind, "weight": store.weight, "properties": properties}


def _stores(core: Core) -> list[StoreSetting]:
    known = [core.stores.setting(one) for one in core.stores.ids()]
    return [one for one in known if not one.id.startswith(RESERVED)]


def _mebibytes(figure: Figure) -> dict[str, int]:
    limit = NO_LIMIT if figure.limit is None else figure.limit // MIB
    return {"usage": figure.used // MIB, "limit": limit}


def _count(figure: Figure) -> dict[str, int]:
    return {"usage": figure.used, "limit": NO_LIMIT if figure.limit is None else figure.limit}
