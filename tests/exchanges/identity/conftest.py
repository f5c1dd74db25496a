# SPDX-License-Identifier: Apache-2.0
"""The gate with the identity rows only, in this process, on a database of its own.

Requests pass routing, authentication, decision, transaction and error forms as in the service;
only the socket is missing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from calotype.api import identity
from calotype.api.identity.handlers import handlers_of
from calotype.api.identity.parts import Parts
from calotype.audit.trail import Trail
from calotype.contract.error_table import load_errors
from calotype.contract.loader import load_operations
from calotype.db.session import Database, sqlite_url
from calotype.db.tables import METADATA
from calotype.gate.authenticate import Authenticator
from calotype.gate.dispatch import Gate
from calotype.gate.dispatch import Parts as GateParts
from calotype.gate.incoming import Places
from calotype.gate.metrics import Metrics
from calotype.gate.recording import Recording
from calotype.gate.routes import Router
from calotype.gate.signature import Verifier
from calotype.iam import bootstrap, credentials_file
from calotype.iam.bootstrap import FirstStart
from calotype.iam.credentials_file import Credentials
from calotype.iam.passwords import Cost
from calotype.iam.room import IamRoom, open_room
from calotype.keys import KeyProvider
from calotype.settings import Settings

BASE = "http://cloud.example:9292"
GOOD = "correct horse"
READY = ("iam.role_list", "iam.role_show")  # have a handler, whatever the table says of them


@dataclass(frozen=True)
class Reply:
    """One answer."""

    status: int
    headers: httpx.Headers
    body: Any

    @property
    def subject(self) -> str:
        """The token that was issued."""
        return self.headers["X-Subject-Token"]


@dataclass(frozen=True)
class Site:
    """The gate, and what its first start made."""

    gate: Gate
    database: Database
    room: IamRoom
    first: Credentials

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request; a `str` body goes as it is, any other as JSON."""
        sent = dict(headers or {})
        if token is not None:
            sent["X-Auth-Token"] = token
        content = None
        if body is not None:
            sent["Content-Type"] = "application/json"
            content = body if isinstance(body, str) else json.dumps(body)

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.gate, client=("192.0.2.1", 5000))
            async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
                return await client.request(method, path, content=content, headers=sent)

        answer = asyncio.run(send())
        parsed = json.loads(answer.content) if answer.content else None
        return Reply(answer.status_code, answer.headers, parsed)

    def ok(self, method: str, path: str, body: object = None, **more: Any) -> Any:
        """Send a request that must succeed; return its JSON."""
        reply = self.call(method, path, body, **more)
        assert reply.status < 300, (reply.status, reply.body)
        return reply.body

    def login(
        self, name: str, password: str, account: str, *, project: str | None = "region-1"
    ) -> Reply:
        """Ask for a token by password."""
        domain = {"name": account}
        scope: dict[str, Any] = {"domain": domain}
        if project is not None:
            scope = {"project": {"name": project, "domain": domain}}
        user = {"name": name, "password": password, "domain": domain}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": scope,
        }
        return self.call("POST", "/v3/auth/tokens", {"auth": auth})


@dataclass(frozen=True)
class Tenant:
    """An account that the operator made, with a token of its root user."""

    site: Site
    id: str
    name: str
    project: str
    root_id: str
    root: str  # token

    def user(self, name: str) -> tuple[str, str]:
        """Make a user; return its id and a project token of it."""
        body = {"user": {"name": name, "password": GOOD, "domain_id": self.id}}
        made = self.site.ok("POST", "/v3/users", body, token=self.root)["user"]
        return made["id"], self.site.login(name, GOOD, self.name).subject

    def group(self, name: str, *members: str) -> str:
        """Make a group with members; return its id."""
        body = {"group": {"name": name, "domain_id": self.id}}
        group = self.site.ok("POST", "/v3/groups", body, token=self.root)["group"]["id"]
        for member in members:
            self.site.ok("PUT", f"/v3/groups/{group}/users/{member}", token=self.root)
        return str(group)

    def policy(self, name: str, *actions: str, kind: str = "XA") -> str:
        """Make a custom policy that allows some actions; return its id."""
        document = {
            "Version": "1.1",
            "Statement": [{"Effect": "Allow", "Action": list(actions)}],
        }
        role = {"display_name": name, "type": kind, "description": "", "policy": document}
        made = self.site.ok("POST", "/v3.0/OS-ROLE/roles", {"role": role}, token=self.root)
        return str(made["role"]["id"])

    def grant_globally(self, group: str, policy: str) -> None:
        """Grant a policy to a group on the account."""
        path = f"/v3/domains/{self.id}/groups/{group}/roles/{policy}"
        assert self.site.call("PUT", path, token=self.root).status == 204


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    settings = Settings(data_dir=tmp_path, groups_per_account=3)
    database = Database(sqlite_url(tmp_path))
    METADATA.create_all(database.engine)
    keys = KeyProvider.open(tmp_path / "master.key", create=True)
    room = open_room(settings, database, keys, cost=Cost(memory=8, passes=1))
    wanted = FirstStart(tmp_path, BASE, "images", "first password")
    bootstrap.first_start(database, room, wanted)
    rows = load_operations()
    operations = tuple(
        replace(row, planned=row.planned and row.id not in READY)
        for row in rows
        if row.dialect in ("iam", "eps", "authz")
    )
    render = identity.renderer(load_errors())
    gate = Gate(
        GateParts(
            router=Router(operations),
            handlers=handlers_of(Parts(database, room, operations)),
            authenticator=Authenticator(room.snapshots, keys, Verifier()),
            recording=Recording(Trail(database)),
            metrics=Metrics(),
            database=database,
            renderers={name: render for name in ("iam", "eps", "authz", "native")},
            places=Places.of("", ()),
            region="region-1",
            json_limit=2**20,
        ),
        operations,
    )
    first = credentials_file.read(tmp_path)
    assert first is not None
    yield Site(gate, database, room, first)
    room.close()
    database.close()


def make_tenant(site: Site, name: str) -> Tenant:
    body = {"account": {"name": name, "root": {"password": GOOD}}}
    made = site.ok("POST", "/authz/v1/accounts", body, token=site.first.operator_token)["account"]
    token = site.login(name, GOOD, name).subject
    return Tenant(site, made["id"], name, made["projects"][0]["id"], made["root_user_id"], token)


@pytest.fixture
def acme(site: Site) -> Tenant:
    return make_tenant(site, "acme")


@pytest.fixture
def globex(site: Site) -> Tenant:
    return make_tenant(site, "globex")
