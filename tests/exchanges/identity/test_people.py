# SPDX-License-Identifier: Apache-2.0
"""Users, groups and access keys over HTTP (contract iam.md 6.1)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.exchanges.identity.conftest import GOOD, Site, Tenant


def test_a_user_is_made_shown_changed_and_deleted(site: Site, acme: Tenant) -> None:
    body = {
        "user": {
            "name": "alice",
            "domain_id": acme.id,
            "password": GOOD,
            "description": "d",
            "email": "a@example.com",
            "xuser_type": "passed over",
        }
    }
    reply = site.call("POST", "/v3.0/OS-USER/users", body, token=acme.root)
    assert reply.status == 201
    made = reply.body["user"]
    assert (made["name"], made["domain_id"], made["enabled"]) == ("alice", acme.id, True)
    assert made["access_mode"] == "default"
    assert made["is_domain_owner"] is False
    assert GOOD not in str(reply.body)
    path = f"/v3/users/{made['id']}"
    assert site.ok("GET", path, token=acme.root)["user"] == made
    os_path = f"/v3.0/OS-USER/users/{made['id']}"
    assert site.ok("GET", os_path, token=acme.root)["user"] == made
    change = {"user": {"name": "alicia", "description": ""}}
    changed = site.ok("PATCH", path, change, token=acme.root)["user"]
    assert changed == made | {"name": "alicia", "description": ""}
    changed = site.ok("PUT", os_path, {"user": {"email": "b@example.com"}}, token=acme.root)
    assert changed["user"]["email"] == "b@example.com"
    names = [one["name"] for one in site.ok("GET", "/v3/users", token=acme.root)["users"]]
    assert names == ["acme", "alicia"]
    found = site.ok("GET", "/v3/users?name=alicia&enabled=true", token=acme.root)["users"]
    assert [one["id"] for one in found] == [made["id"]]
    assert site.ok("GET", "/v3/users?enabled=false", token=acme.root)["users"] == []
    assert site.call("DELETE", path, token=acme.root).status == 204
    assert site.call("GET", path, token=acme.root).status == 404


WRONG_USERS: dict[str, dict[str, Any]] = {
    "user.name": {"name": "1alice"},
    "user.password": {"name": "alice", "password": "short"},
    "user.enabled": {"name": "alice", "enabled": "yes"},
    "user.access_mode": {"name": "alice", "access_mode": "remote"},
    "user.description": {"name": "alice", "description": "x" * 256},
}


@pytest.mark.parametrize("field", WRONG_USERS)
def test_a_wrong_field_of_a_user_is_named(site: Site, acme: Tenant, field: str) -> None:
    reply = site.call("POST", "/v3/users", {"user": WRONG_USERS[field]}, token=acme.root)
    assert reply.status == 400
    assert reply.body["error"]["message"].startswith(f"{field}:")
    assert "short" not in reply.body["error"]["message"]


def test_a_taken_name_is_409_and_a_foreign_account_404(
    site: Site, acme: Tenant, globex: Tenant
) -> None:
    acme.user("alice")
    assert (
        site.call("POST", "/v3/users", {"user": {"name": "alice"}}, token=acme.root).status == 409
    )
    body = {"user": {"name": "bob", "domain_id": globex.id}}
    assert site.call("POST", "/v3/users", body, token=acme.root).status == 404
    for method, wanted in (("GET", None), ("PATCH", {"user": {}}), ("DELETE", None)):
        path = f"/v3/users/{globex.root_id}"
        assert site.call(method, path, wanted, token=acme.root).status == 404


def test_a_user_without_rights_manages_itself_only(site: Site, acme: Tenant) -> None:
    alice, token = acme.user("alice")
    bob, _ = acme.user("bob")
    assert site.call("GET", f"/v3/users/{alice}", token=token).status == 200
    assert site.call("GET", f"/v3/users/{alice}/groups", token=token).status == 200
    assert site.call("GET", f"/v3/users/{bob}", token=token).status == 403
    assert site.call("GET", "/v3/users", token=token).status == 403
    refused = site.call("PATCH", f"/v3/users/{alice}", {"user": {"email": "x"}}, token=token)
    assert refused.status == 403
    assert "iam:users:updateUser" in refused.body["error"]["message"]
    assert refused.headers["X-Decision-Id"]


def test_a_new_own_password_ends_every_token(site: Site, acme: Tenant) -> None:
    alice, token = acme.user("alice")
    path = f"/v3/users/{alice}/password"
    wrong = {"user": {"password": "another horse", "original_password": "wrong horse"}}
    assert site.call("POST", path, wrong, token=token).status == 401
    weak = {"user": {"password": "x", "original_password": GOOD}}
    assert site.call("POST", path, weak, token=token).status == 400
    good = {"user": {"password": "another horse", "original_password": GOOD}}
    assert site.call("POST", path, good, token=token).status == 204
    assert site.call("GET", f"/v3/users/{alice}", token=token).status == 401
    assert site.login("alice", GOOD, "acme").status == 401
    assert site.login("alice", "another horse", "acme").status == 201


def test_nobody_changes_the_password_of_another_this_way(site: Site, acme: Tenant) -> None:
    alice, _ = acme.user("alice")
    body = {"user": {"password": "another horse", "original_password": GOOD}}
    reply = site.call("POST", f"/v3/users/{alice}/password", body, token=acme.root)
    assert reply.status == 403


def test_guessing_the_own_password_locks_as_a_login_does(site: Site, acme: Tenant) -> None:
    alice, token = acme.user("alice")
    body = {"user": {"password": "another horse", "original_password": "wrong horse"}}
    for _ in range(5):
        assert site.call("POST", f"/v3/users/{alice}/password", body, token=token).status == 401
    assert site.login("alice", GOOD, "acme").status == 401


def test_a_new_password_from_the_administrator_unlocks(site: Site, acme: Tenant) -> None:
    alice, _ = acme.user("alice")
    for _ in range(5):
        site.login("alice", "wrong horse", "acme")
    assert site.login("alice", GOOD, "acme").status == 401
    change = {"user": {"password": "another horse"}}
    site.ok("PATCH", f"/v3/users/{alice}", change, token=acme.root)
    assert site.login("alice", "another horse", "acme").status == 201


@pytest.mark.parametrize("change", [{"enabled": False}, {"password": "another horse"}])
def test_a_change_by_the_administrator_ends_tokens(
    site: Site, acme: Tenant, change: dict[str, Any]
) -> None:
    alice, token = acme.user("alice")
    site.ok("PATCH", f"/v3/users/{alice}", {"user": change}, token=acme.root)
    assert site.call("GET", "/v3/auth/projects", token=token).status == 401


def test_the_root_user_is_neither_deleted_nor_disabled(site: Site, acme: Tenant) -> None:
    path = f"/v3/users/{acme.root_id}"
    assert site.call("DELETE", path, token=acme.root).status == 403
    reply = site.call("PATCH", path, {"user": {"enabled": False}}, token=acme.root)
    assert reply.status == 403


def test_groups_and_their_members(site: Site, acme: Tenant) -> None:
    alice, _ = acme.user("alice")
    group = acme.group("devs", alice)
    shown = site.ok("GET", f"/v3/groups/{group}", token=acme.root)["group"]
    assert (shown["name"], shown["domain_id"]) == ("devs", acme.id)
    names = [one["name"] for one in site.ok("GET", "/v3/groups", token=acme.root)["groups"]]
    assert names == ["admin", "devs"]
    members = site.ok("GET", f"/v3/groups/{group}/users", token=acme.root)["users"]
    assert [one["id"] for one in members] == [alice]
    mine = site.ok("GET", f"/v3/users/{alice}/groups", token=acme.root)["groups"]
    assert [one["id"] for one in mine] == [group]
    path = f"/v3/groups/{group}/users/{alice}"
    assert site.call("HEAD", path, token=acme.root).status == 204
    assert site.call("PUT", path, token=acme.root).status == 204
    assert site.call("DELETE", path, token=acme.root).status == 204
    assert site.call("HEAD", path, token=acme.root).status == 404
    assert site.call("DELETE", path, token=acme.root).status == 404
    change = {"group": {"name": "makers", "description": "who make"}}
    changed = site.ok("PATCH", f"/v3/groups/{group}", change, token=acme.root)["group"]
    assert (changed["name"], changed["description"]) == ("makers", "who make")
    assert site.call("DELETE", f"/v3/groups/{group}", token=acme.root).status == 204


def test_the_count_of_groups_is_limited_with_its_own_code(site: Site, acme: Tenant) -> None:
    for number in range(3):
        acme.group(f"g{number}")
    reply = site.call("POST", "/v3/groups", {"group": {"name": "g3"}}, token=acme.root)
    assert (reply.status, reply.body["error"]["code"]) == (403, "QUOTA_EXCEEDED")


def test_a_user_makes_its_own_keys_and_sees_the_secret_once(site: Site, acme: Tenant) -> None:
    alice, token = acme.user("alice")
    path = "/v3.0/OS-CREDENTIAL/credentials"
    body = {"credential": {"user_id": alice, "description": "laptop"}}
    reply = site.call("POST", path, body, token=token)
    assert reply.status == 201
    made = reply.body["credential"]
    assert made["status"] == "active"
    assert len(made["secret"]) == 40
    shown = {name: value for name, value in made.items() if name != "secret"}
    assert site.ok("GET", path, token=token)["credentials"] == [shown]
    one = f"{path}/{made['access']}"
    assert site.ok("GET", one, token=token)["credential"] == shown
    assert site.call("POST", path, {"credential": {}}, token=token).status == 201
    third = site.call("POST", path, body, token=token)
    assert (third.status, third.body["error"]["code"]) == (403, "QUOTA_EXCEEDED")
    assert site.call("DELETE", one, token=token).status == 204
    assert site.call("GET", one, token=token).status == 404


def test_keys_of_others_need_a_right_and_foreign_ones_do_not_exist(
    site: Site, acme: Tenant, globex: Tenant
) -> None:
    alice, token = acme.user("alice")
    bob, _ = acme.user("bob")
    path = "/v3.0/OS-CREDENTIAL/credentials"
    body = {"credential": {"user_id": bob}}
    assert site.call("POST", path, body, token=token).status == 403
    made = site.ok("POST", path, body, token=acme.root)["credential"]
    assert site.call("GET", f"{path}/{made['access']}", token=token).status == 403
    assert site.call("GET", f"{path}?user_id={bob}", token=token).status == 403
    assert site.call("DELETE", f"{path}/{made['access']}", token=globex.root).status == 404
    assert site.call("GET", f"{path}?user_id={alice}", token=globex.root).status == 404
