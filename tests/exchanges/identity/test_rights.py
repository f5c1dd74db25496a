# SPDX-License-Identifier: Apache-2.0
"""Policies, grants, enterprise projects and accounts over HTTP (contract iam.md 6.2 to 6.5)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert

from calotype import ids
from calotype.db.tables.images import images
from calotype.iam import builtin
from tests.exchanges.identity.conftest import GOOD, Site, Tenant, make_tenant

ROLES = "/v3.0/OS-ROLE/roles"
EPS = "/v1.0/enterprise-projects"


def role_id(name: str) -> str:
    return builtin.compiled()[name].id


def document(*actions: str, effect: str = "Allow") -> dict[str, Any]:
    return {"Version": "1.1", "Statement": [{"Effect": effect, "Action": list(actions)}]}


def test_a_policy_is_made_shown_changed_and_deleted(site: Site, acme: Tenant) -> None:
    role = {
        "display_name": "readers",
        "type": "XA",
        "description": "d",
        "policy": document("ims:images:list"),
    }
    reply = site.call("POST", ROLES, {"role": role}, token=acme.root)
    made = reply.body["role"]
    assert reply.status == 201
    assert {name: made[name] for name in role} == role
    assert (made["domain_id"], made["catalog"]) == (acme.id, "CUSTOMED")
    assert made["name"] == f"custom_{acme.id}_0"
    path = f"{ROLES}/{made['id']}"
    assert site.ok("GET", path, token=acme.root)["role"] == made
    listed = site.ok("GET", ROLES, token=acme.root)
    assert (listed["roles"], listed["total_number"]) == ([made], 1)
    change = {"role": {"policy": document("ims:images:get")}}
    changed = site.ok("PATCH", path, change, token=acme.root)["role"]
    assert changed["policy"] == document("ims:images:get")
    assert changed["display_name"] == "readers"
    assert site.call("DELETE", path, token=acme.root).status == 200
    assert site.call("GET", path, token=acme.root).status == 404


BAD_DOCUMENTS: dict[str, Any] = {
    "/Version": {"Version": "1.0", "Statement": [{"Effect": "Allow", "Action": ["ims:*:*"]}]},
    "/Statement/0/Effect": {"Version": "1.1", "Statement": [{"Action": ["ims:*:*"]}]},
    "/Statement/0/Action/0": document("*"),
    "/Statement/0/Sid": {
        "Version": "1.1",
        "Statement": [{"Sid": "x", "Effect": "Allow", "Action": ["ims:*:*"]}],
    },
    "/Statement/0/Action/1": document("ims:*:*", "iam:*:*"),
}


@pytest.mark.parametrize("pointer", BAD_DOCUMENTS)
def test_a_faulty_document_is_refused_with_the_place_of_the_fault(
    site: Site, acme: Tenant, pointer: str
) -> None:
    role = {"display_name": "p", "type": "XA", "description": "", "policy": BAD_DOCUMENTS[pointer]}
    reply = site.call("POST", ROLES, {"role": role}, token=acme.root)
    assert reply.status == 400
    assert pointer in reply.body["error"]["message"]


def test_a_key_that_occurs_twice_in_a_document_is_refused(site: Site, acme: Tenant) -> None:
    body = (
        '{"role":{"display_name":"p","type":"XA","description":"","policy":{"Version":"1.1",'
        '"Statement":[{"Effect":"Deny","Effect":"Allow","Action":["ims:*:*"]}]}}}'
    )
    reply = site.call("POST", ROLES, body, token=acme.root)
    assert reply.status == 400
    assert "Effect" in reply.body["error"]["message"]


def test_an_unknown_action_is_a_warning(site: Site, acme: Tenant) -> None:
    role = {"display_name": "p", "type": "XA", "description": "", "policy": document("ims:x:y")}
    reply = site.call("POST", ROLES, {"role": role}, token=acme.root)
    assert reply.status == 201
    assert reply.headers["X-Policy-Warning"] == "unknown action: ims:x:y"


def test_built_in_policies_do_not_change(site: Site, acme: Tenant) -> None:
    path = f"{ROLES}/{role_id('IMS FullAccess')}"
    assert site.call("DELETE", path, token=acme.root).status == 403
    change = {"role": {"display_name": "mine"}}
    assert site.call("PATCH", path, change, token=acme.root).status == 403


def test_built_in_policies_are_listed_and_custom_ones_by_account(
    site: Site, acme: Tenant, globex: Tenant
) -> None:
    policy = acme.policy("mine", "ims:images:list")

    def names(query: str) -> list[str]:
        found = site.ok("GET", f"/v3/roles?{query}", token=acme.root)
        assert found["total_number"] == len(found["roles"])
        return [one["display_name"] for one in found["roles"]]

    assert names("") == [row.display_name for row in builtin.BUILTIN]
    assert names("display_name=IMS%20FullAccess") == ["IMS FullAccess"]
    assert names("name=te_admin") == ["Tenant Administrator"]
    assert names("catalog=IMS&permission_type=role") == ["IMS Administrator"]
    assert names(f"domain_id={acme.id}") == ["mine"]
    assert names(f"domain_id={globex.id}") == []
    shown = site.ok("GET", f"/v3/roles/{policy}", token=acme.root)["role"]
    assert shown["display_name"] == "mine"
    shown = site.ok("GET", f"/v3/roles/{role_id('IMS Administrator')}", token=acme.root)["role"]
    assert (shown["domain_id"], shown["policy"]["Version"]) == (None, "1.0")
    depends = [{"catalog": "BASE", "display_name": "Tenant Administrator"}]
    assert shown["policy"]["Depends"] == depends


def test_roles_are_paged(site: Site, acme: Tenant) -> None:
    first = site.ok("GET", "/v3/roles?page=1&per_page=5", token=acme.root)
    second = site.ok("GET", "/v3/roles?page=2&per_page=5", token=acme.root)
    assert len(first["roles"]) == len(second["roles"]) == 5
    assert first["roles"][0]["id"] not in {one["id"] for one in second["roles"]}
    assert first["total_number"] == len(builtin.BUILTIN)
    assert site.call("GET", "/v3/roles?per_page=0", token=acme.root).status == 400


def test_a_policy_of_another_account_does_not_exist(
    site: Site, acme: Tenant, globex: Tenant
) -> None:
    policy = globex.policy("p", "ims:*:*")
    group = acme.group("devs")
    path = f"/v3/projects/{acme.project}/groups/{group}/roles/{policy}"
    for method, where, body in (
        ("GET", f"{ROLES}/{policy}", None),
        ("PATCH", f"{ROLES}/{policy}", {"role": {}}),
        ("DELETE", f"{ROLES}/{policy}", None),
        ("PUT", path, None),
    ):
        assert site.call(method, where, body, token=acme.root).status == 404


@pytest.mark.parametrize(
    "family",
    [
        "/v3/projects/{project}/groups/{group}/roles/{role}",
        "/v3/OS-INHERIT/domains/{domain}/groups/{group}/roles/{role}/inherited_to_projects",
        "/v3/domains/{domain}/groups/{group}/roles/{role}",
    ],
    ids=["project", "all projects", "account"],
)
def test_a_grant_is_made_checked_listed_and_revoked(site: Site, acme: Tenant, family: str) -> None:
    group = acme.group("devs")
    role = role_id("IMS FullAccess")
    path = family.format(project=acme.project, domain=acme.id, group=group, role=role)
    listing = path.replace(f"/roles/{role}", "/roles")
    assert site.call("HEAD", path, token=acme.root).status == 404
    assert site.call("PUT", path, token=acme.root).status == 204
    assert site.call("PUT", path, token=acme.root).status == 204
    assert site.call("HEAD", path, token=acme.root).status == 204
    roles = site.ok("GET", listing, token=acme.root)["roles"]
    assert [one["display_name"] for one in roles] == ["IMS FullAccess"]
    assert site.call("DELETE", path, token=acme.root).status == 204
    assert site.call("DELETE", path, token=acme.root).status == 404
    assert site.ok("GET", listing, token=acme.root)["roles"] == []


def test_grants_on_an_enterprise_project(site: Site, acme: Tenant) -> None:
    alice, _ = acme.user("alice")
    group = acme.group("devs")
    role = role_id("IMS FullAccess")
    start = "/v3.0/OS-PERMISSION/enterprise-projects/0"
    to_group = f"{start}/groups/{group}/roles/{role}"
    to_user = f"{start}/users/{alice}/roles/{role}"
    for path in (to_group, to_user):
        assert site.call("PUT", path, token=acme.root).status == 204
    roles = site.ok("GET", f"{start}/groups/{group}/roles", token=acme.root)["roles"]
    assert [one["id"] for one in roles] == [role]
    holders = site.ok("GET", f"{start}/groups", token=acme.root)["groups"]
    assert [one["id"] for one in holders] == [group]
    old_role = role_id("Tenant Guest")
    refused = site.call("PUT", f"{start}/groups/{group}/roles/{old_role}", token=acme.root)
    assert refused.status == 400
    for path in (to_group, to_user):
        assert site.call("DELETE", path, token=acme.root).status == 204


def test_a_role_without_its_dependency_is_granted_with_a_warning(site: Site, acme: Tenant) -> None:
    group = acme.group("devs")
    role = role_id("IMS Administrator")
    path = f"/v3/projects/{acme.project}/groups/{group}/roles/{role}"
    reply = site.call("PUT", path, token=acme.root)
    assert reply.status == 204
    assert reply.headers["X-Policy-Warning"] == "missing dependency: Tenant Administrator"


def test_nobody_grants_in_another_account(site: Site, acme: Tenant, globex: Tenant) -> None:
    group, foreign = acme.group("devs"), globex.group("devs")
    role = role_id("IMS FullAccess")
    for path in (
        f"/v3/domains/{globex.id}/groups/{group}/roles/{role}",
        f"/v3/domains/{acme.id}/groups/{foreign}/roles/{role}",
        f"/v3/projects/{globex.project}/groups/{group}/roles/{role}",
    ):
        assert site.call("PUT", path, token=acme.root).status == 404


def test_a_right_counts_from_the_next_request_and_so_does_its_loss(
    site: Site, acme: Tenant
) -> None:
    alice, token = acme.user("alice")
    group = acme.group("auditors", alice)
    assert site.call("GET", "/v3/users", token=token).status == 403
    policy = acme.policy("list users", "iam:users:listUsers", kind="AX")
    acme.grant_globally(group, policy)
    assert site.call("GET", "/v3/users", token=token).status == 200
    change = {"role": {"policy": document("iam:users:getUser")}}
    site.ok("PATCH", f"{ROLES}/{policy}", change, token=acme.root)
    assert site.call("GET", "/v3/users", token=token).status == 403
    site.ok(
        "PATCH",
        f"{ROLES}/{policy}",
        {"role": {"policy": document("iam:users:listUsers")}},
        token=acme.root,
    )
    assert site.call("GET", "/v3/users", token=token).status == 200
    site.call("DELETE", f"/v3/groups/{group}/users/{alice}", token=acme.root)
    assert site.call("GET", "/v3/users", token=token).status == 403


def test_the_reserved_group_makes_an_administrator(site: Site, acme: Tenant) -> None:
    alice, token = acme.user("alice")
    groups = site.ok("GET", "/v3/groups?name=admin", token=acme.root)["groups"]
    assert site.call("GET", "/v3/users", token=token).status == 403
    site.ok("PUT", f"/v3/groups/{groups[0]['id']}/users/{alice}", token=acme.root)
    assert site.call("GET", "/v3/users", token=token).status == 200
    assert site.call("DELETE", f"/v3/groups/{groups[0]['id']}", token=acme.root).status == 403


def make_ep(tenant: Tenant, name: str, kind: str = "prod") -> dict[str, Any]:
    body = {"name": name, "description": "d", "type": kind}
    made: dict[str, Any] = tenant.site.ok("POST", EPS, body, token=tenant.root)
    return dict(made["enterprise_project"])


def test_an_enterprise_project_is_made_listed_shown_and_deleted(site: Site, acme: Tenant) -> None:
    made = make_ep(acme, "web", "poc")
    assert (made["name"], made["status"], made["type"]) == ("web", 1, "poc")
    assert site.ok("GET", f"{EPS}/{made['id']}", token=acme.root)["enterprise_project"] == made
    listed = site.ok("GET", EPS, token=acme.root)
    assert listed["total_count"] == 2
    assert [one["name"] for one in listed["enterprise_projects"]] == ["web", "default"]
    assert site.call("DELETE", f"{EPS}/{made['id']}", token=acme.root).status == 204
    assert site.call("GET", f"{EPS}/{made['id']}", token=acme.root).status == 404


def test_the_list_of_enterprise_projects_is_filtered_sorted_and_cut(
    site: Site, acme: Tenant
) -> None:
    for name in ("a1", "a2", "b1"):
        make_ep(acme, name, "poc" if name == "b1" else "prod")

    def names(query: str) -> list[str]:
        found = site.ok("GET", f"{EPS}?{query}", token=acme.root)
        return [one["name"] for one in found["enterprise_projects"]]

    assert names("name=a") == ["a2", "a1", "default"]
    assert names("type=poc") == ["b1"]
    assert names("status=2") == []
    assert names("sort_dir=asc&limit=2&offset=1") == ["a1", "a2"]
    assert names("id=0") == ["default"]
    assert names("offset=100") == []
    for query, code in (
        ("limit=0", "EPS.0017"),
        ("limit=1001", "EPS.0017"),
        ("offset=-1", "EPS.0018"),
        ("sort_dir=up", "EPS.0002"),
    ):
        reply = site.call("GET", f"{EPS}?{query}", token=acme.root)
        assert (reply.status, reply.body["error"]["error_code"]) == (400, code)


@pytest.mark.parametrize("name", ["Default", "a b", "", "x" * 256])
def test_a_wrong_name_of_an_enterprise_project_is_refused(
    site: Site, acme: Tenant, name: str
) -> None:
    reply = site.call("POST", EPS, {"name": name}, token=acme.root)
    assert (reply.status, reply.body["error"]["error_code"]) == (400, "EPS.0007")


def test_a_taken_name_of_an_enterprise_project_is_409(site: Site, acme: Tenant) -> None:
    make_ep(acme, "web")
    reply = site.call("POST", EPS, {"name": "web"}, token=acme.root)
    assert (reply.status, reply.body["error"]["error_code"]) == (409, "EPS.0010")


def test_who_holds_grants_on_some_enterprise_projects_sees_those(site: Site, acme: Tenant) -> None:
    alice, token = acme.user("alice")
    seen, _ = make_ep(acme, "seen"), make_ep(acme, "hidden")
    assert site.call("GET", EPS, token=token).status == 403
    role = role_id("EPS ReadOnlyAccess")
    start = f"/v3.0/OS-PERMISSION/enterprise-projects/{seen['id']}"
    site.ok("PUT", f"{start}/users/{alice}/roles/{role}", token=acme.root)
    found = site.ok("GET", EPS, token=token)
    assert [one["name"] for one in found["enterprise_projects"]] == ["seen"]
    assert found["total_count"] == 1


def test_an_enterprise_project_with_grants_or_images_stays(site: Site, acme: Tenant) -> None:
    group = acme.group("devs")
    granted, holding = make_ep(acme, "granted"), make_ep(acme, "holding")
    role = role_id("IMS FullAccess")
    start = f"/v3.0/OS-PERMISSION/enterprise-projects/{granted['id']}"
    site.ok("PUT", f"{start}/groups/{group}/roles/{role}", token=acme.root)
    put_image(site, acme, holding["id"])
    for project in (granted, holding):
        assert site.call("DELETE", f"{EPS}/{project['id']}", token=acme.root).status == 409
    site.ok("DELETE", f"{start}/groups/{group}/roles/{role}", token=acme.root)
    assert site.call("DELETE", f"{EPS}/{granted['id']}", token=acme.root).status == 204
    reply = site.call("DELETE", f"{EPS}/0", token=acme.root)
    assert (reply.status, reply.body["error"]["error_code"]) == (400, "EPS.0012")


def put_image(site: Site, tenant: Tenant, ep: str) -> None:
    """Add an image row; the rows of images are not served here."""
    values: dict[str, Any] = {}
    for column in images.columns:
        if not column.nullable:
            values[column.name] = 0 if column.type.python_type in (int, bool) else "x"
    values |= {"id": ids.new_uuid(), "account_id": tenant.id, "enterprise_project_id": ep}
    site.database.write(lambda connection: connection.execute(insert(images).values(values)))


def test_the_operator_makes_lists_changes_and_deletes_an_account(site: Site) -> None:
    operator = site.first.operator_token
    body = {
        "account": {
            "name": "acme",
            "eps_enabled": False,
            "root": {"name": "boss", "password": GOOD},
        }
    }
    reply = site.call("POST", "/authz/v1/accounts", body, token=operator)
    assert reply.status == 201
    made = reply.body["account"]
    assert set(made) == {"id", "name", "enabled", "eps_enabled", "root_user_id", "projects"}
    assert (made["name"], made["enabled"], made["eps_enabled"]) == ("acme", True, False)
    assert [one["name"] for one in made["projects"]] == ["region-1"]
    again = site.call("POST", "/authz/v1/accounts", body, token=operator)
    assert again.status == 409
    path = f"/authz/v1/accounts/{made['id']}"
    assert site.ok("GET", path, token=operator)["account"] == made
    listed = site.ok("GET", "/authz/v1/accounts?name=acme", token=operator)["accounts"]
    assert listed == [made]
    change = {"account": {"eps_enabled": True}}
    changed = site.ok("PATCH", path, change, token=operator)["account"]
    assert changed == made | {"eps_enabled": True}
    assert site.login("boss", GOOD, "acme").status == 201
    assert site.call("DELETE", path, token=operator).status == 204
    assert site.call("GET", path, token=operator).status == 404
    assert site.login("boss", GOOD, "acme").status == 401


def test_an_account_is_disabled_with_all_its_tokens(site: Site, acme: Tenant) -> None:
    path = f"/authz/v1/accounts/{acme.id}"
    change = {"account": {"enabled": False}}
    assert site.ok("PATCH", path, change, token=site.first.operator_token)
    assert site.call("GET", "/v3/auth/projects", token=acme.root).status == 401
    assert site.login("acme", GOOD, "acme").status == 401


def test_an_account_with_images_stays(site: Site, acme: Tenant) -> None:
    put_image(site, acme, "0")
    path = f"/authz/v1/accounts/{acme.id}"
    assert site.call("DELETE", path, token=site.first.operator_token).status == 409


def test_the_first_account_stays(site: Site) -> None:
    path = f"/authz/v1/accounts/{site.first.domain_id}"
    token = site.first.operator_token
    assert site.call("DELETE", path, token=token).status == 403
    change = {"account": {"enabled": False}}
    assert site.call("PATCH", path, change, token=token).status == 403


def test_accounts_are_for_the_operator_only(site: Site, acme: Tenant) -> None:
    for method, path in (
        ("GET", "/authz/v1/accounts"),
        ("GET", f"/authz/v1/accounts/{acme.id}"),
        ("DELETE", f"/authz/v1/accounts/{acme.id}"),
    ):
        assert site.call(method, path, token=acme.root).status == 403


def test_a_person_becomes_an_operator_and_stops_being_one(site: Site) -> None:
    admin = site.login("admin", "first password", "calotype").subject
    first = Tenant(site, site.first.domain_id, "calotype", site.first.project_id, "", admin)
    alice, token = first.user("alice")
    group = first.group("operators", alice)
    assert site.call("GET", "/authz/v1/accounts", token=admin).status == 403
    first.grant_globally(group, role_id("Platform Administrator"))
    assert site.call("GET", "/authz/v1/accounts", token=token).status == 200
    site.call("DELETE", f"/v3/groups/{group}/users/{alice}", token=admin)
    assert site.call("GET", "/authz/v1/accounts", token=token).status == 403


def test_the_same_grant_in_another_account_makes_no_operator(site: Site, acme: Tenant) -> None:
    alice, token = acme.user("alice")
    acme.grant_globally(acme.group("operators", alice), role_id("Platform Administrator"))
    assert site.call("GET", "/authz/v1/accounts", token=token).status == 403


def test_the_operator_acts_in_the_account_of_the_project_it_names(site: Site) -> None:
    acme = make_tenant(site, "acme")
    headers = {"X-Project-Id": acme.project}
    found = site.ok("GET", "/v3/users", token=site.first.operator_token, headers=headers)
    assert [one["name"] for one in found["users"]] == ["acme"]


def test_the_operation_table_is_data(site: Site, acme: Tenant) -> None:
    rows = site.ok("GET", "/authz/v1/operations", token=acme.root)["operations"]
    row = next(one for one in rows if one["id"] == "eps.list")
    assert row["actions"][0]["action"] == "eps:enterpriseProjects:list"
    assert row["enterprise_project"] is True
    assert (row["method"], row["path"]) == ("GET", EPS)
