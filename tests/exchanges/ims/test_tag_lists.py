# SPDX-License-Identifier: Apache-2.0
"""Tags over all images of a project, and the search by tags (contract ims.md, iam.md 4.5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from calotype.db.session import Database, normalise_url, sqlite_url
from tests.exchanges.ims.answers import code
from tests.exchanges.native.site import Reply, Site, Tenant, open_site

BY_TAGS = "images/resource_instances/action"


def ask(who: Tenant, **body: object) -> Reply:
    return who.call("POST", f"/v2/{who.project}/{BY_TAGS}", body={"action": "filter", **body})


def names(who: Tenant, **body: object) -> list[str]:
    """Return the sorted names that a search finds, and check that counting agrees."""
    reply = ask(who, limit="1000", **body)
    assert reply.status == 200, reply.text
    found = sorted(one["resource_name"] for one in reply.json["resources"])
    counted = ask(who, **body | {"action": "count"}).json
    assert counted == {"total_count": len(found)} == {"total_count": reply.json["total_count"]}
    return found


def group(key: str, *values: str) -> dict[str, Any]:
    return {"key": key, "values": list(values)}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A site of this module's own: every list holds what others published."""
    directory = tmp_path_factory.mktemp("lists")
    url = sqlite_url(directory)
    if request.param == "postgresql":
        url = normalise_url(request.getfixturevalue("postgres").fresh_url())
    made = open_site(directory, Database(url), images_per_project=500)
    yield made
    made.core.iam.close()
    made.core.db.close()


@pytest.fixture(scope="module")
def anybody(site: Site) -> Tenant:
    return site.tenant()


@pytest.fixture(scope="module")
def stocked(site: Site) -> Tenant:
    """A tenant with images a to f."""
    tenant = site.tenant()
    for name, tags in {
        "a": ["env=prod", "web"],
        "b": ["env=stage", "web"],
        "c": ["env=prod", "env=stage", "db=pg"],
        "d": ["env", "Web"],
        "e": [],
        "f": ["env=", "k=v=w"],
    }.items():
        tenant.make(name=name, tags=tags)
    return tenant


SEARCHES: list[tuple[dict[str, Any], str]] = [
    ({}, "abcdef"),
    ({"tags": [group("env", "prod", "stage")]}, "abc"),
    ({"tags": [group("env", "prod"), group("web")]}, "a"),
    ({"tags": [group("env")]}, "abcdf"),
    ({"tags": [group("env", "")]}, "df"),
    ({"tags": [group("web", "")]}, "ab"),
    ({"tags": [group("Web")]}, "d"),
    ({"tags": [group("en")]}, ""),
    ({"tags": [group("k", "v=w")]}, "f"),
    ({"tags": [group("k=v", "w")]}, ""),
    ({"tags": [group("e%"), group("_nv")]}, ""),
    ({"tags": [group("env", "\0")]}, ""),
    ({"tags_any": [group("db"), group("web")]}, "abc"),
    ({"tags_any": [group("x"), group("k=v")]}, ""),
    ({"not_tags": [group("env", "prod"), group("web")]}, "bcdef"),
    ({"not_tags_any": [group("env", "prod"), group("web")]}, "def"),
    ({"not_tags": [group("\0")]}, "abcdef"),
    ({"tags": [group("env")], "not_tags_any": [group("db")], "tags_any": [group("web")]}, "ab"),
    ({"without_any_tag": True}, "e"),
    ({"without_any_tag": True, "tags": "not looked at", "not_tags": []}, "e"),
    ({"without_any_tag": False, "tags": None}, "abcdef"),
    ({"matches": [{"key": "resource_name", "value": "A"}]}, "a"),
    ({"matches": [{"key": "resource_name", "value": "%"}]}, ""),
    ({"matches": [{"key": "resource_id", "value": "malformed\0"}]}, ""),
]


@pytest.mark.parametrize(("body", "wanted"), SEARCHES)
def test_a_search_finds_exactly_what_its_conditions_say(
    stocked: Tenant, body: dict[str, Any], wanted: str
) -> None:
    assert names(stocked, **body) == list(wanted)


def test_names_are_found_without_case_and_the_empty_name_only_exactly(tenant: Tenant) -> None:
    made = {name: tenant.make(name=name)["id"] for name in ("Web-Base", "WEBER", "ÄPFEL", "")}
    nameless = tenant.make()["id"]

    def find(value: str, **more: object) -> list[str]:
        matches = [{"key": "resource_name", "value": value}]
        reply = ask(tenant, matches=matches, limit=1000, **more)
        total = ask(tenant, matches=matches, action="count").json["total_count"]
        assert reply.json["total_count"] == total
        return [one["resource_id"] for one in reply.json["resources"]]

    assert set(find("web")) == {made["Web-Base"], made["WEBER"]}
    assert find("äpf") == [made["ÄPFEL"]]
    assert set(find("")) == {made[""], nameless}
    assert find("web", offset=1) == [made["Web-Base"]], "newest first"
    found = ask(tenant, matches=[{"key": "resource_id", "value": nameless.upper()}])
    assert found.json["resources"][0]["resource_name"] == ""


def test_resources_have_the_published_form_newest_first_and_in_pages(tenant: Tenant) -> None:
    made = [tenant.make(name=str(number), tags=["b=2", "a"])["id"] for number in range(12)]
    assert tenant.upload(made[-1], b"x").status == 204
    first = ask(tenant).json
    assert (first["total_count"], len(first["resources"])) == (12, 10), "ten by default"
    assert first["resources"][0] == {
        "resource_id": made[-1],
        "resource_name": "11",
        "resource_detail": {"status": "active"},
        "tags": [{"key": "a", "value": ""}, {"key": "b", "value": "2"}],
    }
    paged: list[str] = []
    for offset in ("0", 5, "10", 15):
        page = ask(tenant, limit="5", offset=offset).json
        assert page["total_count"] == 12
        paged += [one["resource_id"] for one in page["resources"]]
    assert paged == made[::-1]
    assert ask(tenant, offset=10**30).json["resources"] == []
    assert ask(tenant, offset="9" * 5000).json["resources"] == []
    counted = ask(tenant, action="count", limit=7000, offset="-1").json
    assert counted == {"total_count": 12}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"action": "FILTER"}, "IMG.0001"),
    ({"action": None}, "IMG.0001"),
    ({"without_any_tag": "true"}, "IMG.0001"),
    ({"limit": 0}, "IMG.0001"),
    ({"limit": "1001"}, "IMG.0001"),
    ({"limit": True}, "IMG.0001"),
    ({"limit": 1.5}, "IMG.0001"),
    ({"offset": -1}, "IMG.0001"),
    ({"offset": "x"}, "IMG.0001"),
    ({"action": "count", "limit": []}, "IMG.0001"),
    ({"matches": []}, "IMG.0001"),
    ({"matches": [{"key": "name", "value": "x"}]}, "IMG.0001"),
    ({"matches": [{"key": "resource_name"}]}, "IMG.0001"),
    ({"matches": [{"key": "resource_id", "value": "a"}] * 2}, "IMG.0001"),
    ({"unknown": 1}, "IMG.0001"),
    ({"tags": []}, "IMG.0001"),
    ({"tags_any": "x"}, "IMG.0001"),
    ({"not_tags": [1]}, "IMG.0001"),
    ({"tags": [{"key": 1, "values": []}]}, "IMG.0001"),
    ({"tags": [{"key": "a", "values": "b"}]}, "IMG.0001"),
    ({"tags": [{"key": "a", "values": [1]}]}, "IMG.0001"),
    ({"tags": [{"key": "a"}]}, "IMG.0115"),
    ({"tags": [group("a"), group("a", "b")]}, "IMG.0115"),
    ({"tags": [group("")]}, "IMG.0115"),
    ({"tags": [group("k" * 129)]}, "IMG.0115"),
    ({"tags": [group("a", "v" * 256)]}, "IMG.0115"),
    ({"tags": [group("a", "b", "b")]}, "IMG.0115"),
    ({"not_tags_any": [group("a", *map(str, range(11)))]}, "IMG.0115"),
    ({"tags": [group(str(number)) for number in range(11)]}, "IMG.0115"),
]


@pytest.mark.parametrize(("body", "wanted"), BAD)
def test_a_search_is_refused_with_the_code_of_its_field(
    anybody: Tenant, body: dict[str, Any], wanted: str
) -> None:
    assert code(ask(anybody, **body)) == (400, wanted)


def tags(who: Tenant, *query: tuple[str, str]) -> list[str]:
    reply = who.call("GET", "/v1/cloudimages/tags", query=query)
    assert reply.status == 200, reply.text
    found: list[str] = reply.json["tags"]
    return found


ALL_TAGS = sorted({"env=prod", "env=stage", "web", "db=pg", "env", "Web", "env=", "k=v=w"})


def test_the_tags_of_all_matching_images_are_listed_once_by_code_point(stocked: Tenant) -> None:
    own = ("owner", stocked.project)
    assert tags(stocked, own) == ALL_TAGS
    assert tags(stocked, own, ("limit", "3")) == ALL_TAGS[:3]
    assert tags(stocked, own, ("limit", "3"), ("page", "3")) == ALL_TAGS[6:]
    assert tags(stocked, own, ("limit", "3"), ("page", "9" * 30)) == []
    assert tags(stocked, own, ("page", "2")) == [], "without a limit there is one page"
    assert tags(stocked, own, ("name", "a")) == ["env=prod", "web"]
    assert tags(stocked, own, ("tag", "db.pg")) == ["db=pg", "env=prod", "env=stage"]
    ignored = (("marker", "nonsense"), ("sort_key", "nonsense"), ("sort_dir", "up"))
    assert tags(stocked, own, *ignored) == ALL_TAGS


@pytest.mark.parametrize(
    ("value", "found"),
    [("0", True), ("", True), ("all_granted_eps", True), ("1", False), ("x" * 40, False)],
)
def test_an_enterprise_project_is_a_plain_filter_of_tags(
    stocked: Tenant, value: str, found: bool
) -> None:
    query = (("owner", stocked.project), ("enterprise_project_id", value))
    assert tags(stocked, *query) == (ALL_TAGS if found else [])


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("limit", "0", "IMG.0017"),
        ("limit", "1001", "IMG.0017"),
        ("limit", "x", "IMG.0017"),
        ("page", "0", "IMG.0017"),
        ("page", "-1", "IMG.0017"),
        ("__imagetype", "silver", "IMG.0024"),
        ("min_ram", "x", "IMG.0055"),
        ("__os_type", "linux", "IMG.0122"),
        ("architecture", "sparc", "IMG.0212"),
        ("flavor_id", "x", "IMG.0192"),
        ("status", "nonsense", "IMG.0017"),
    ],
)
def test_filters_of_tags_have_the_codes_of_the_list(
    anybody: Tenant, name: str, value: str, wanted: str
) -> None:
    reply = anybody.call("GET", "/v1/cloudimages/tags", query=[(name, value)])
    assert code(reply) == (400, wanted)
    twice = anybody.call("GET", "/v1/cloudimages/tags", query=[(name, value)] * 2)
    assert code(twice) == (400, "IMG.0017")


def test_lists_of_tags_hold_what_the_project_may_see(
    site: Site, tenant: Tenant, operator: Tenant, other: Tenant
) -> None:
    tenant.make(name="own", tags=["own=1"])
    public = operator.make(visibility="public", name="open", tags=[f"open={tenant.project}"])
    image_id = other.make(name="lent", tags=["lent=1", "lent=2", "lent"])["id"]
    other.make(name="hidden", tags=["hidden"])
    path = f"/v2/images/{image_id}/members"
    assert other.call("POST", path, body={"member": tenant.project}).status == 200
    keys = f"/v2/{tenant.project}/images/tags"

    def everything() -> tuple[set[str], dict[str, list[str]], list[str]]:
        pairs = tenant.call("GET", keys).json["tags"]
        found = {one["key"]: one["values"] for one in pairs}
        assert list(found) == sorted(found)
        return set(tags(tenant)), found, names(tenant)

    strings, found, seen = everything()
    assert {"own=1", f"open={tenant.project}"} <= strings
    assert strings.isdisjoint({"lent=1", "hidden"}) and "lent" not in seen
    assert found["own"] == ["1"] and tenant.project in found["open"] and "lent" not in found
    answer = tenant.call("PUT", f"{path}/{tenant.project}", body={"status": "accepted"})
    assert answer.status == 200
    strings, found, seen = everything()
    assert {"lent=1", "lent=2", "lent"} <= strings and "lent" in seen
    assert found["lent"] == ["", "1", "2"]
    assert "hidden" not in found
    assert operator.call("DELETE", f"/v2/images/{public['id']}").status == 204
