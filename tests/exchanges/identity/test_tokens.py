# SPDX-License-Identifier: Apache-2.0
"""Tokens, catalog and what clients ask before their first image call (contract iam.md 5.1, 5.3)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from calotype.iam.tokens import fingerprint
from tests.exchanges.identity.conftest import BASE, GOOD, Site, Tenant

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\Z")


def auth_of(**parts: Any) -> dict[str, Any]:
    user = {"name": "acme", "password": GOOD, "domain": {"name": "acme"}}
    identity = {"methods": ["password"], "password": {"user": user}}
    return {"auth": {"identity": identity, **parts}}


def test_the_version_document_is_what_keystone_clients_read(site: Site) -> None:
    for path in ("/v3", "/v3/"):
        version = site.ok("GET", path)["version"]
        assert (version["id"], version["status"]) == ("v3.14", "stable")
        assert version["links"] == [{"rel": "self", "href": f"{BASE}/v3/"}]


def test_a_project_token_has_the_body_of_the_contract(site: Site, acme: Tenant) -> None:
    reply = site.login("acme", GOOD, "acme")
    token = reply.body["token"]
    domain = {"id": acme.id, "name": "acme"}
    assert reply.status == 201
    assert re.fullmatch(r"[A-Za-z0-9_-]{22,1024}", reply.subject)
    assert token["methods"] == ["password"]
    assert MOMENT.match(token["issued_at"])
    assert MOMENT.match(token["expires_at"])
    assert token["user"] == {
        "id": acme.root_id,
        "name": "acme",
        "domain": domain,
        "password_expires_at": None,
    }
    assert token["project"] == {"id": acme.project, "name": "region-1", "domain": domain}
    assert "domain" not in token
    assert {"id": "0", "name": "member"} in token["roles"]
    assert [(one["name"], one["type"]) for one in token["catalog"]] == [
        ("iam", "identity"),
        ("glance", "image"),
        ("ims", "imsv2"),
        ("eps", "eps"),
    ]


def test_the_image_endpoint_is_the_bare_root_in_the_region(site: Site, acme: Tenant) -> None:
    catalog = {
        one["type"]: one for one in site.login("acme", GOOD, "acme").body["token"]["catalog"]
    }
    (endpoint,) = catalog["image"]["endpoints"]
    assert endpoint["url"] == BASE
    assert endpoint["region"] == endpoint["region_id"] == "region-1"
    assert endpoint["interface"] == "public"
    regions = [one["region"] for one in catalog["identity"]["endpoints"]]
    assert regions == ["*", "region-1"]
    assert {one["url"] for one in catalog["eps"]["endpoints"]} == {f"{BASE}/v1.0"}


@pytest.mark.parametrize(
    "scope",
    [None, "unscoped", {"domain": {"name": "acme"}}],
    ids=["absent", "unscoped", "domain"],
)
def test_without_a_project_the_token_is_for_the_account_and_has_a_catalog(
    site: Site, acme: Tenant, scope: object
) -> None:
    parts = {} if scope is None else {"scope": scope}
    token = site.ok("POST", "/v3/auth/tokens", auth_of(**parts))["token"]
    assert token["domain"] == {"id": acme.id, "name": "acme"}
    assert "project" not in token
    assert token["catalog"]


def test_a_scope_with_project_and_domain_means_the_project(site: Site, acme: Tenant) -> None:
    scope = {"project": {"name": "region-1"}, "domain": {"name": "acme"}}
    token = site.ok("POST", "/v3/auth/tokens", auth_of(scope=scope))["token"]
    assert token["project"]["id"] == acme.project


def test_a_catalog_is_left_out_on_request(site: Site, acme: Tenant) -> None:
    for query in ("?nocatalog", "?nocatalog=x"):
        token = site.ok("POST", f"/v3/auth/tokens{query}", auth_of())["token"]
        assert "catalog" not in token


def test_every_wrong_login_has_one_answer(site: Site, acme: Tenant) -> None:
    user_id, _ = acme.user("alice")
    site.ok("PATCH", f"/v3/users/{user_id}", {"user": {"enabled": False}}, token=acme.root)
    replies = [
        site.login("acme", "wrong horse", "acme"),
        site.login("nobody", GOOD, "acme"),
        site.login("acme", GOOD, "nowhere"),
        site.login("alice", GOOD, "acme"),
    ]
    assert {reply.status for reply in replies} == {401}
    assert len({str(reply.body) for reply in replies}) == 1
    assert replies[0].body["error"]["code"] == 401
    assert replies[0].body["error"]["title"] == "Unauthorized"
    assert replies[0].headers["WWW-Authenticate"] == f'Keystone uri="{BASE}/v3"'


def test_a_source_that_keeps_failing_gets_429_with_the_time_to_wait(
    site: Site, acme: Tenant
) -> None:
    for _ in range(100):
        reply = site.login("nobody", "wrong horse", "acme")
        if reply.status != 401:
            break
    assert reply.status == 429
    assert int(reply.headers["Retry-After"]) >= 1
    assert reply.body["error"]["code"] == 429


def test_an_unknown_project_is_401_and_the_whole_system_403(site: Site, acme: Tenant) -> None:
    assert site.login("acme", GOOD, "acme", project="region-9").status == 401
    reply = site.call("POST", "/v3/auth/tokens", auth_of(scope={"system": {"all": True}}))
    assert reply.status == 403


MALFORMED: dict[str, object] = {
    "auth": {},
    "auth.identity": {"auth": {}},
    "auth.identity.methods": {"auth": {"identity": {"methods": ["saml2"]}}},
    "auth.identity.password": {"auth": {"identity": {"methods": ["password"]}}},
    "auth.identity.password.user.name": {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": {"password": "geheim1"}}}
        }
    },
    "auth.identity.password.user.domain": {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": "acme", "password": "geheim1"}},
            }
        }
    },
    "auth.identity.password.user.password": {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": "acme", "password": 424242}},
            }
        }
    },
    "auth.scope": auth_of(scope="everything"),
    "auth.scope.project.id": auth_of(scope={"project": {}}),
    "auth.scope.project.name": auth_of(scope={"project": {"name": 7}}),
}


@pytest.mark.parametrize("field", MALFORMED)
def test_a_malformed_login_names_the_field_and_tells_no_secret(
    site: Site, acme: Tenant, field: str
) -> None:
    reply = site.call("POST", "/v3/auth/tokens", MALFORMED[field])
    assert reply.status == 400
    message = reply.body["error"]["message"]
    assert message.startswith(f"{field}:")
    assert "geheim1" not in message
    assert "424242" not in message
    assert GOOD not in message


def test_one_time_passcodes_are_refused_with_a_clear_text(site: Site) -> None:
    body = {"auth": {"identity": {"methods": ["password", "totp"]}}}
    reply = site.call("POST", "/v3/auth/tokens", body)
    assert reply.status == 400
    assert "one-time passcodes are not offered" in reply.body["error"]["message"]


def test_a_token_is_shown_checked_and_revoked(site: Site, acme: Tenant) -> None:
    _, subject = acme.user("alice")
    headers = {"X-Subject-Token": subject}
    shown = site.call("GET", "/v3/auth/tokens", token=acme.root, headers=headers)
    assert shown.status == 200
    assert shown.subject == subject
    assert shown.body["token"]["user"]["name"] == "alice"
    assert shown.body["token"]["catalog"]
    checked = site.call("HEAD", "/v3/auth/tokens", token=acme.root, headers=headers)
    assert (checked.status, checked.body) == (200, None)
    revoked = site.call("DELETE", "/v3/auth/tokens", token=acme.root, headers=headers)
    assert revoked.status == 204
    assert site.call("GET", "/v3/auth/tokens", token=acme.root, headers=headers).status == 404
    assert site.call("GET", "/v3/auth/projects", token=subject).status == 401


def test_a_token_of_another_account_does_not_exist(
    site: Site, acme: Tenant, globex: Tenant
) -> None:
    headers = {"X-Subject-Token": globex.root}
    for method in ("GET", "HEAD", "DELETE"):
        reply = site.call(method, "/v3/auth/tokens", token=acme.root, headers=headers)
        assert reply.status == 404
    assert site.call("GET", "/v3/auth/projects", token=globex.root).status == 200


def test_without_a_subject_the_request_is_malformed(site: Site, acme: Tenant) -> None:
    reply = site.call("GET", "/v3/auth/tokens", token=acme.root)
    assert reply.status == 400
    assert "X-Subject-Token" in reply.body["error"]["message"]


def test_a_token_is_rescoped(site: Site, acme: Tenant) -> None:
    first = site.login("acme", GOOD, "acme", project=None)
    identity = {"methods": ["token"], "token": {"id": first.subject}}
    body = {"auth": {"identity": identity, "scope": {"project": {"id": acme.project}}}}
    again = site.call("POST", "/v3/auth/tokens", body)
    assert again.status == 201
    assert again.body["token"]["project"]["id"] == acme.project
    assert again.body["token"]["expires_at"] == first.body["token"]["expires_at"]


def test_assuming_an_unknown_agency_is_404_and_needs_a_token(site: Site, acme: Tenant) -> None:
    identity = {
        "methods": ["assume_role"],
        "assume_role": {"xrole_name": "ops", "domain_name": "globex"},
    }
    body = {"auth": {"identity": identity}}
    assert site.call("POST", "/v3/auth/tokens", body).status == 401
    assert site.call("POST", "/v3/auth/tokens", body, token=acme.root).status == 404


def test_no_secret_of_a_login_is_in_the_database(site: Site, acme: Tenant) -> None:
    token = site.login("acme", GOOD, "acme").subject
    with site.database.engine.connect() as connection:
        dump = "\n".join(connection.connection.driver_connection.iterdump())  # type: ignore[union-attr]  # SQLite only
    assert fingerprint(token) in dump
    assert token not in dump
    assert GOOD not in dump


def test_the_calls_before_the_first_image_call_answer(site: Site, acme: Tenant) -> None:
    token = site.login("acme", GOOD, "acme", project=None).subject
    projects = site.ok("GET", "/v3/projects?name=region-1", token=token)["projects"]
    assert [one["id"] for one in projects] == [acme.project]
    assert projects[0]["parent_id"] == projects[0]["domain_id"] == acme.id
    assert site.ok("GET", "/v3/projects?name=region-2", token=token)["projects"] == []
    domains = site.ok("GET", "/v3/auth/domains?name=acme", token=token)["domains"]
    assert [one["id"] for one in domains] == [acme.id]
    assert site.ok("GET", "/v3/auth/catalog", token=token)["catalog"]
    assert len(site.ok("GET", "/v3/auth/projects", token=token)["projects"]) == 1
    user = site.ok("GET", f"/v3/users/{acme.root_id}/projects", token=token)
    assert [one["id"] for one in user["projects"]] == [acme.project]
    shown = site.ok("GET", f"/v3/projects/{acme.project}", token=token)["project"]
    assert shown["name"] == "region-1"


def test_a_project_of_another_account_does_not_exist(
    site: Site, acme: Tenant, globex: Tenant
) -> None:
    assert site.call("GET", f"/v3/projects/{globex.project}", token=acme.root).status == 404


@pytest.mark.parametrize("many", ["regions", "services", "endpoints"])
def test_what_comes_from_the_configuration_is_listed_and_shown(
    site: Site, acme: Tenant, many: str
) -> None:
    items = site.ok("GET", f"/v3/{many}", token=acme.root)[many]
    assert items
    for item in items:
        shown = site.ok("GET", f"/v3/{many}/{item['id']}", token=acme.root)
        assert shown[many.removesuffix("s")] == item
    assert site.call("GET", f"/v3/{many}/none", token=acme.root).status == 404


def test_services_are_filtered_by_their_fields(site: Site, acme: Tenant) -> None:
    found = site.ok("GET", "/v3/services?type=image", token=acme.root)["services"]
    assert [one["name"] for one in found] == ["glance"]
    service = found[0]["id"]
    endpoints = site.ok("GET", f"/v3/endpoints?service_id={service}", token=acme.root)["endpoints"]
    assert [one["url"] for one in endpoints] == [BASE]


def test_without_a_credential_the_answer_is_401_in_the_form_of_identity(site: Site) -> None:
    reply = site.call("GET", "/v3/projects")
    assert reply.status == 401
    assert set(reply.body["error"]) == {"code", "message", "title"}
    reply = site.call("GET", "/v1.0/enterprise-projects")
    assert reply.body["error"]["error_code"] == "EPS.0003"


def test_an_unknown_path_and_method_answer_in_the_form_of_their_dialect(site: Site) -> None:
    assert (
        site.call("GET", "/v3/nowhere", token=site.first.operator_token).body["error"]["code"]
        == 404
    )
    reply = site.call("PATCH", "/v1.0/enterprise-projects", token=site.first.operator_token)
    assert reply.status == 405
    assert reply.headers["Allow"] == "GET, POST"
    assert reply.body["error"]["error_code"].startswith("EPS.")
