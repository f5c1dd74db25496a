# SPDX-License-Identifier: Apache-2.0
"""Statements that a request costs: few, and as many for a thousand images as for ten.

Counted at the driver, on the whole application in this process, for callers whose rights come
through groups. What is batched (audit records of reads) belongs to no request. The first request
after a change of an account reads the account; it is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from calotype import app
from calotype.audit.trail import Trail
from calotype.db.session import Database, normalise_url, sqlite_url
from calotype.db.tables import METADATA
from calotype.iam import credentials_file
from calotype.settings import Settings
from tests.exchanges.native.site import BASE, PASSWORD, Reply, Site, Tenant
from tests.people import fresh, policy_of

LISTS = ("/v2/images", "/v2/cloudimages")
LIST, SHOW, CREATE = "ims:images:list", "ims:images:get", "ims:images:create"
PEOPLE = ("project", "enterprise project", "all images but one", "all images but tagged ones")


@dataclass
class World:
    """A site with one account. `people` have their rights through a group, each another kind."""

    site: Site
    root: Tenant
    people: dict[str, Tenant]
    image: str

    def more_images(self, count: int) -> None:
        """Make images of the account."""
        for number in range(count):
            self.root.make(name=f"image-{number}", tags=["team=red"], os_distro="debian")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("statements")
    if request.param == "sqlite":
        database = Database(sqlite_url(directory))
    else:
        database = Database(normalise_url(request.getfixturevalue("postgres").fresh_url()))
    yield populate(open_whole(directory, database))
    database.close()


def open_whole(directory: Path, database: Database) -> Site:
    """Make the whole application over an empty database."""
    METADATA.create_all(database.engine)
    settings = Settings(data_dir=directory, scratch_reserve=0, images_per_project=10_000)
    core = app.open_core(settings, database)
    core.scratch.prepare()
    app.first_start(core, BASE)
    first = credentials_file.read(directory)
    assert first is not None
    # A trail that was not started keeps the records of reads: they are written in batches.
    gate = app.build(core, Trail(database), app.Readiness(started=True))
    return Site(gate, core, first.operator_token)


def populate(site: Site) -> World:
    """Make an account with enterprise projects, its people, and ten images."""
    name = fresh("account")
    wanted = {"name": name, "eps_enabled": True, "root": {"password": PASSWORD}}
    made = site.call(
        "POST", "/authz/v1/accounts", token=site.operator_token, body={"account": wanted}
    ).json["account"]
    project, domain = made["projects"][0]["id"], made["id"]
    admin = Tenant(site, "", _login(site, name, name, {"domain": {"id": domain}}))
    root = Tenant(site, project, _login(site, name, name, {"project": {"id": project}}))
    image = root.make(name="one", tags=["team=red"])["id"]
    ep = _ok(
        admin, "POST", "/v1.0/enterprise-projects", {"name": "ep", "description": "", "type": "poc"}
    )["enterprise_project"]["id"]
    on_project = f"/v3/projects/{project}/groups/{{}}/roles/{{}}"
    on_ep = f"/v3.0/OS-PERMISSION/enterprise-projects/{ep}/groups/{{}}/roles/{{}}"
    one: dict[str, Any] = {"Resource": [f"ims:*:*:image:{image}"]}
    tagged: dict[str, Any] = {"Condition": {"StringEquals": {"g:ResourceTag/team": ["blue"]}}}
    rights: dict[str, tuple[str, dict[str, Any]]] = {
        "project": (on_project, policy_of(LIST, SHOW, CREATE)),
        "enterprise project": (on_ep, policy_of(LIST, SHOW)),
        "all images but one": (on_project, _but(one)),
        "all images but tagged ones": (on_project, _but(tagged)),
    }
    people = {}
    for kind, (path, policy) in rights.items():
        user = fresh("user")
        body = {"name": user, "domain_id": domain, "password": PASSWORD, "enabled": True}
        person = _ok(admin, "POST", "/v3/users", {"user": body})["user"]["id"]
        body = {"name": fresh("group"), "domain_id": domain}
        group = _ok(admin, "POST", "/v3/groups", {"group": body})["group"]["id"]
        _ok(admin, "PUT", f"/v3/groups/{group}/users/{person}")
        role = {"display_name": fresh("p"), "type": "XA", "description": "", "policy": policy}
        made = _ok(admin, "POST", "/v3.0/OS-ROLE/roles", {"role": role})["role"]["id"]
        _ok(admin, "PUT", path.format(group, made))
        scope = {"project": {"id": project}}
        people[kind] = Tenant(site, project, _login(site, user, name, scope))
    world = World(site, root, people, image)
    world.more_images(9)
    return world


def _but(what: dict[str, Any]) -> dict[str, Any]:
    """Return a policy that allows reading and denies it for some images."""
    policy = policy_of(LIST, SHOW)
    policy["Statement"] += policy_of(LIST, SHOW, effect="Deny", **what)["Statement"]
    return policy


def _login(site: Site, user: str, account: str, scope: dict[str, Any]) -> str:
    named = {"name": user, "password": PASSWORD, "domain": {"name": account}}
    identity = {"methods": ["password"], "password": {"user": named}}
    body = {"auth": {"identity": identity, "scope": scope}}
    reply = site.call("POST", "/v3/auth/tokens", body=body)
    assert reply.status == 201, reply.text
    return reply.headers["x-subject-token"]


def _ok(tenant: Tenant, method: str, path: str, body: object = None) -> Any:
    reply = tenant.call(method, path, body=body)
    assert 200 <= reply.status < 300, f"{method} {path}: {reply.status} {reply.text}"
    return reply.json if reply.content else None


@contextmanager
def counted(site: Site) -> Iterator[list[str]]:
    """Collect the statements that reach the driver; the begin of a transaction is none."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    engines = site.core.db.engines
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


def cost(site: Site, call: Callable[[], Reply], status: int = 200) -> list[str]:
    """Return the statements of a request, made a second time so that the account is known."""
    assert call().status == status
    with counted(site) as seen:
        reply = call()
    assert reply.status == status, reply.text
    return seen


@pytest.mark.parametrize("kind", PEOPLE)
def test_an_ims_list_costs_two_statements_however_many_images_there_are(
    world: World, kind: str
) -> None:
    person = world.people[kind]
    few = cost(world.site, lambda: person.call("GET", "/v2/cloudimages"))
    world.more_images(60)
    many = cost(world.site, lambda: person.call("GET", "/v2/cloudimages"))
    assert len(few) <= 2
    assert few == many


def test_a_native_list_costs_two_statements_however_many_images_there_are(world: World) -> None:
    person = world.people["project"]
    few = cost(world.site, lambda: person.call("GET", "/v2/images"))
    world.more_images(60)
    many = cost(world.site, lambda: person.call("GET", "/v2/images"))
    assert len(few) <= 2
    assert few == many


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "query", [("name", "one"), ("status", "active"), ("tag", "team=red"), ("os_distro", "debian")]
)
def test_a_filter_costs_no_statement_more(world: World, path: str, query: tuple[str, str]) -> None:
    person = world.people["project"]
    filtered = cost(world.site, lambda: person.call("GET", path, query=[query]))
    assert len(filtered) <= 2


@pytest.mark.parametrize("path", LISTS)
def test_a_further_page_costs_one_statement_more_for_its_marker(world: World, path: str) -> None:
    person = world.people["project"]
    query = [("limit", "3"), ("marker", world.image)]
    assert len(cost(world.site, lambda: person.call("GET", path, query=query))) <= 3


@pytest.mark.parametrize(
    ("kind", "status"),
    [("project", 200), ("enterprise project", 403), ("all images but one", 403)],
)
def test_an_image_is_shown_or_refused_with_two_statements(
    world: World, kind: str, status: int
) -> None:
    person = world.people[kind]
    native = cost(world.site, lambda: person.call("GET", f"/v2/images/{world.image}"), status)
    query = [("id", world.image)]
    ims = cost(world.site, lambda: person.call("GET", "/v2/cloudimages", query=query))
    assert len(native) <= 2
    assert len(ims) <= 2


def test_a_creation_costs_four_statements_and_one_for_each_side_table(world: World) -> None:
    person = world.people["project"]
    plain = {"disk_format": "raw", "container_format": "bare", "min_disk": 1}

    def make(**more: object) -> list[str]:
        body = plain | more
        return cost(world.site, lambda: person.call("POST", "/v2/images", body=body), 201)

    assert len(make()) <= 4
    assert len(make(tags=["a", "b"])) <= 5
    assert len(make(tags=["a"], os_distro="debian", build="7")) <= 6


def test_a_refusal_costs_no_more_than_what_it_refuses(world: World) -> None:
    stranger = world.site.tenant()
    hidden = cost(world.site, lambda: stranger.call("GET", f"/v2/images/{world.image}"), 404)
    assert len(hidden) <= 2
    person = world.people["all images but one"]
    body = {"disk_format": "raw", "container_format": "bare"}
    denied = cost(world.site, lambda: person.call("POST", "/v2/images", body=body), 403)
    assert len(denied) <= 2


def test_without_a_token_nothing_is_asked(world: World) -> None:
    with counted(world.site) as seen:
        assert world.site.call("GET", "/v2/images").status == 401
    assert seen == []
