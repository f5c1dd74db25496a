# SPDX-License-Identifier: Apache-2.0
"""Asks for rows of the operation table, and compares answers with what must not differ.

Also what such questions need: a user without rights, an object in a bucket.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

from sqlalchemy import event

from calotype.contract.loader import Operation
from tests.exchanges.native.site import JSON, OCTETS, PASSWORD, PATCH, Reply, Tenant
from tests.security.conftest import Door

RAW = bytes(1 << 20)
NOWHERE = "00000000-0000-4000-8000-000000000000"
NO_JOB = "0" * 32
BODIES: dict[str, object] = {
    "ims.update": [{"op": "replace", "path": "/name", "value": "x"}],
    "ims.register": {"image_url": "bucket:key.raw"},
    "ims.export": {"bucket_url": "bucket:key.raw", "file_format": "raw"},
    "glance.update": [{"op": "replace", "path": "/name", "value": "x"}],
}


def send(tenant: Tenant, row: Operation, **values: str) -> Reply:
    """Send the request of a row with path values, and a body that fits its form."""
    path = row.path
    known = {"project_id": tenant.project, "member_id": tenant.project, "tag": "t", "key": "k"}
    for name, value in (known | values).items():
        path = path.replace(f"{{{name}}}", value)
    if row.body == "stream":
        return tenant.call(row.method, path, content=[RAW], headers={"Content-Type": OCTETS})
    if row.body != "json":
        return tenant.call(row.method, path)
    media = PATCH if row.id == "glance.update" else JSON
    body = BODIES.get(row.handler, {})
    return tenant.call(row.method, path, body=body, headers={"Content-Type": media})


def shown(reply: Reply, *ids: str) -> tuple[int, list[tuple[str, str]], str]:
    """Return an answer without what differs from request to request."""
    lines = [
        (name, text)
        for name, text in reply.headers.multi_items()
        if name not in ("x-request-id", "x-openstack-request-id")
    ]
    text = reply.text
    for one in ids:
        text = text.replace(one, "ID")
    return reply.status, lines, text


@contextlib.contextmanager
def statements(door: Door) -> Iterator[list[str]]:
    """Collect the statements of what runs inside."""
    found: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        found.append(statement)

    for engine in door.core.db.engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        for engine in door.core.db.engines:
            event.remove(engine, "before_cursor_execute", note)


def without_rights(tenant: Tenant) -> Tenant:
    """Return a user of the same account who holds nothing."""
    name = f"u-{uuid.uuid4().hex[:8]}"
    made = tenant.call("POST", "/v3/users", body={"user": {"name": name, "password": PASSWORD}})
    user = {"id": made.json["user"]["id"], "password": PASSWORD}
    identity = {"methods": ["password"], "password": {"user": user}}
    auth = {"identity": identity, "scope": {"project": {"id": tenant.project}}}
    login = tenant.site.call("POST", "/v3/auth/tokens", body={"auth": auth})
    assert login.status == 201, login.text
    return Tenant(tenant.site, tenant.project, login.headers["x-subject-token"])


def put(door: Door, tenant: Tenant, key: str, content: bytes = RAW) -> str:
    """Put an object into a bucket of a tenant's account; return `bucket:key`."""
    account = tenant.call("GET", "/v3/auth/domains").json["domains"][0]["id"]
    bucket = f"b-{account[:12]}"
    rooms = door.core.buckets
    if not any(one.name == bucket for one in rooms.of_account(account)):
        rooms.create(bucket, account)
    file = door.core.settings.data_dir / "object"
    file.write_bytes(content)
    rooms.put(account, bucket, key, file)
    return f"{bucket}:{key}"
