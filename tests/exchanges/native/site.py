# SPDX-License-Identifier: Apache-2.0
"""The gate with the rows of both image dialects, in this process: as the service, but no socket.

`Site.call` sends a request whose body a test may hold back, tear or slow down; the answer comes
with all of its bytes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from calotype import app
from calotype.api import identity, ims, native
from calotype.audit.trail import Trail
from calotype.contract.loader import load_operations
from calotype.db.session import Database
from calotype.db.tables import METADATA
from calotype.flows.core import Core
from calotype.gate.authenticate import Authenticator
from calotype.gate.dispatch import Gate, Parts
from calotype.gate.incoming import Places
from calotype.gate.metrics import Metrics
from calotype.gate.recording import Recording
from calotype.gate.routes import Router
from calotype.gate.signature import Verifier
from calotype.iam import credentials_file
from calotype.settings import Settings

BASE = "http://img.example"
JSON = "application/json"
OCTETS = "application/octet-stream"
PATCH = "application/openstack-images-v2.1-json-patch"
PASSWORD = "correct horse 9"

Pieces = Iterable[bytes] | AsyncIterator[bytes]


class Torn(Exception):
    """Raised by a body to say that the client went away."""


@dataclass(frozen=True)
class Reply:
    """One answer."""

    status: int
    headers: httpx.Headers
    content: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.content)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode()


@dataclass
class Site:
    """One service over one database."""

    gate: Gate
    core: Core
    operator_token: str
    accounts: int = 0

    def call(self, *args: Any, **more: Any) -> Reply:
        """Send one request in a loop of its own; see `send`."""
        reply = asyncio.run(self.send(*args, **more))
        assert reply is not None
        return reply

    async def send(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        query: Any = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        content: Pieces | None = None,
    ) -> Reply | None:
        """Send one request; None when it was given up because the client had gone."""
        lines = {
            "host": "img.example",
            **{name.lower(): text for name, text in (headers or {}).items()},
        }
        if token is not None:
            lines["x-auth-token"] = token
        if body is not None:
            content = [json.dumps(body).encode()]
            lines.setdefault("content-type", JSON)
            lines["content-length"] = str(len(content[0]))
        elif content is not None:
            lines.setdefault("content-type", OCTETS)
            if "content-length" not in lines:
                lines["transfer-encoding"] = "chunked"
        raw_query = urlencode(query or [], quote_via=quote)
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(),
            "query_string": raw_query.encode(), "scheme": "http", "client": ("192.0.2.1", 5000),
            "headers": [(name.encode(), text.encode("latin-1")) for name, text in lines.items()],
            "extensions": {},
        }  # fmt: skip
        sent: list[Mapping[str, Any]] = []

        async def collect(message: Mapping[str, Any]) -> None:
            sent.append(message)

        await self.gate(scope, _receiver(content), collect)
        if not sent:
            return None
        got = httpx.Headers(sent[0]["headers"])
        pieces = (message.get("body", b"") for message in sent[1:])
        return Reply(sent[0]["status"], got, b"".join(pieces))

    def tenant(self) -> Tenant:
        """Make an account with a project and a token of its root user."""
        self.accounts += 1
        name = f"tenant-{self.accounts}"
        body = {"account": {"name": name, "root": {"password": PASSWORD}}}
        made = self.call("POST", "/authz/v1/accounts", token=self.operator_token, body=body)
        assert made.status == 201, made.text
        project = made.json["account"]["projects"][0]["id"]
        user = {"name": name, "password": PASSWORD, "domain": {"name": name}}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"id": project}},
        }
        login = self.call("POST", "/v3/auth/tokens", body={"auth": auth})
        assert login.status == 201, login.text
        return Tenant(self, project, login.headers["x-subject-token"])

    def operator(self, project: str) -> Tenant:
        """Return the operator, acting in a project."""
        return Tenant(self, project, self.operator_token, {"X-Project-Id": project})


@dataclass
class Tenant:
    """Somebody who calls either dialect."""

    site: Site
    project: str
    token: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, **more: Any) -> Reply:
        """Send one request."""
        headers = {**self.headers, **more.pop("headers", {})}
        return self.site.call(method, path, token=self.token, headers=headers, **more)

    async def send(self, method: str, path: str, **more: Any) -> Reply | None:
        """Send one request within a running loop."""
        headers = {**self.headers, **more.pop("headers", {})}
        return await self.site.send(method, path, token=self.token, headers=headers, **more)

    def make(self, **body: object) -> dict[str, Any]:
        """Create an image; return it."""
        formats = {"disk_format": "raw", "container_format": "bare"}
        made = self.call("POST", "/v2/images", body=formats | body)
        assert made.status == 201, made.text
        found: dict[str, Any] = made.json
        return found

    def show(self, image_id: str) -> dict[str, Any]:
        """Return an image."""
        reply = self.call("GET", f"/v2/images/{image_id}")
        assert reply.status == 200, reply.text
        found: dict[str, Any] = reply.json
        return found

    def list(self, *query: tuple[str, str]) -> list[str]:
        """Return the ids of a page of images."""
        reply = self.call("GET", "/v2/images", query=query)
        assert reply.status == 200, reply.text
        return [one["id"] for one in reply.json["images"]]

    def patch(self, image_id: str, *operations: object, form: str = PATCH) -> Reply:
        """Change an image."""
        headers = {"Content-Type": form}
        return self.call("PATCH", f"/v2/images/{image_id}", body=list(operations), headers=headers)

    def upload(self, image_id: str, *pieces: bytes, **headers: str) -> Reply:
        """Send the bytes of an image, in chunks."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        path = f"/v2/images/{image_id}/file"
        return self.call("PUT", path, content=list(pieces), headers=named)

    def download(self, image_id: str, *query: tuple[str, str], **headers: str) -> Reply:
        """Fetch the bytes of an image."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.call("GET", f"/v2/images/{image_id}/file", query=query, headers=named)


def open_site(directory: Path, database: Database, **settings: Any) -> Site:
    """Make the rooms, the first account and the gate."""
    found = Settings(data_dir=directory, scratch_reserve=0, **settings)
    METADATA.create_all(database.engine)
    core = app.open_core(found, database)
    core.scratch.prepare()
    app.first_start(core, BASE)
    handlers = {**ims.handlers(core), **native.handlers(core), **identity.handlers(core)}
    rows = tuple(row for row in load_operations() if row.planned or row.handler in handlers)
    native_form, identity_form = native.renderer(core.errors), identity.renderer(core.errors)
    parts = Parts(
        router=Router(rows),
        handlers=handlers,
        authenticator=Authenticator(core.iam.snapshots, core.keys, Verifier()),
        recording=Recording(Trail(database)),
        metrics=Metrics(),
        database=database,
        renderers={
            "ims": ims.renderer(core.errors),
            "native": native_form,
            **dict.fromkeys(("iam", "authz", "eps"), identity_form),
        },
        places=Places.of("", ()),
        region="region-1",
        json_limit=found.json_limit,
    )
    first = credentials_file.read(directory)
    assert first is not None
    return Site(Gate(parts, rows), core, first.operator_token)


def _receiver(content: Pieces | None) -> Any:
    async def pieces() -> AsyncIterator[bytes]:
        if content is None:
            return
        if isinstance(content, AsyncIterator):
            async for piece in content:
                yield piece
        else:
            for piece in content:
                yield piece

    source = pieces()

    async def receive() -> Mapping[str, Any]:
        try:
            piece = await anext(source)
        except StopAsyncIteration:
            return {"type": "http.request", "body": b"", "more_body": False}
        except Torn:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": True}

    return receive
