# SPDX-License-Identifier: Apache-2.0
"""What was taken away does not count from the next request on (iam.md 1.1, 5.1).

Against the running service, whose requests overlap.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.people import Account, User, password
from tests.service import Service
from tests.wire import Api, Signer, client, login, operator_of

ACTIONS = ("ims:images:get", "ims:images:list")


def status(api: Api, path: str = "/v2/images") -> int:
    return api.call("GET", path).status_code


@pytest.fixture
def user(account: Account) -> User:
    return account.user()


def test_a_revoked_grant_does_not_count_while_others_are_asking(
    account: Account, user: User
) -> None:
    """Of many overlapping requests, none that began after the revocation's answer is allowed."""
    policy = account.policy(*ACTIONS)
    path = f"/v3/projects/{account.project}/groups/{user.group}/roles/{policy}"
    seen: list[tuple[float, float, int]] = []
    ending = threading.Event()

    def ask() -> None:
        api = Api(user.api.base_url, user.api.token, user.api.project_id)
        while not ending.is_set():
            began = time.monotonic()
            code = status(api)
            seen.append((began, time.monotonic(), code))

    def codes(start: float, end: float) -> set[int]:
        return {code for began, ended, code in list(seen) if start <= began and ended <= end}

    with ThreadPoolExecutor(4) as pool:
        askers = [pool.submit(ask) for _ in range(4)]
        try:
            for _ in range(5):
                account.grant(user.group, policy)
                granted = time.monotonic()
                assert [status(user.api) for _ in range(3)] == [200] * 3
                revoking = time.monotonic()
                account.admin.ok("DELETE", path)
                revoked = time.monotonic()
                assert [status(user.api) for _ in range(3)] == [403] * 3
                assert codes(granted, revoking) <= {200}
                assert codes(revoked, time.monotonic()) <= {403}
        finally:
            ending.set()
        for asker in askers:
            asker.result(timeout=30)
    assert {code for _, _, code in seen} == {200, 403}


def test_a_changed_policy_and_a_left_group_count_at_once(account: Account, user: User) -> None:
    policy = account.allow(user, ACTIONS)
    assert status(user.api) == 200
    document = {"Version": "1.1", "Statement": [{"Effect": "Deny", "Action": ["ims:*:*"]}]}
    path = f"/v3.0/OS-ROLE/roles/{policy}"
    role = {"display_name": "changed", "type": "XA", "description": "", "policy": document}
    account.admin.ok("PATCH", path, {"role": role})
    assert status(user.api) == 403
    account.drop_policy(policy)
    account.allow(user, ACTIONS)
    assert status(user.api) == 200
    account.admin.ok("DELETE", f"/v3/groups/{user.group}/users/{user.id}")
    assert status(user.api) == 403


def test_tokens_end_with_a_password_a_user_and_a_revocation(
    service: Service, account: Account, user: User
) -> None:
    account.allow(user, ACTIONS)
    again = login(service, user.name, user.password, account.name, project=account.project)
    assert (status(user.api), status(again)) == (200, 200)
    again.ok("DELETE", "/v3/auth/tokens", headers={"X-Subject-Token": user.api.token})
    assert (status(user.api), status(again)) == (401, 200)
    secret = password()
    body = {"user": {"password": secret, "original_password": user.password}}
    again.ok("POST", f"/v3/users/{user.id}/password", body)
    assert status(again) == 401
    third = login(service, user.name, secret, account.name, project=account.project)
    assert status(third) == 200
    account.admin.ok("PATCH", f"/v3/users/{user.id}", {"user": {"enabled": False}})
    assert status(third) == 401
    account.admin.ok("PATCH", f"/v3/users/{user.id}", {"user": {"enabled": True}})
    fourth = login(service, user.name, secret, account.name, project=account.project)
    account.admin.ok("DELETE", f"/v3/users/{user.id}")
    assert (status(third), status(fourth)) == (401, 401)


def test_an_account_that_is_suspended_stops_at_once_and_wakes_again(
    service: Service, account: Account, user: User
) -> None:
    account.allow(user, ACTIONS)
    path = f"/authz/v1/accounts/{account.id}"
    operator = operator_of(service)
    key = Signer(service.base_url, *account.access_key(user.id), "access")
    assert key.call("GET", "/v2/images").status_code == 200
    operator.ok("PATCH", path, {"account": {"enabled": False}})
    assert key.call("GET", "/v2/images").status_code == 401
    for api in (user.api, account.root, account.admin):
        assert status(api, "/v3/auth/projects") == 401
    refused = _try_login(service, user, account)
    assert refused.status_code == 401
    assert refused.text == _try_login(service, None, account).text
    operator.ok("PATCH", path, {"account": {"enabled": True}})
    assert _try_login(service, user, account).status_code == 201
    assert key.call("GET", "/v2/images").status_code == 200


def test_a_token_for_the_account_does_nothing_with_images(account: Account) -> None:
    for path, method in (
        ("/v2/images", "GET"), ("/v2/cloudimages", "GET"), ("/v1.1/images/detail", "GET"),
        ("/v2/images/00000000-0000-4000-8000-000000000000", "DELETE"), ("/v2/images", "POST"),
    ):  # fmt: skip
        answer = account.admin.call(method, path, {} if method == "POST" else None)
        assert answer.status_code == 403, answer.text
        assert "the credential is not scoped to a project" in answer.text
        assert answer.headers["X-Decision-Id"]
    assert status(account.admin, "/v2/schemas/image") == 200


def _try_login(service: Service, user: User | None, account: Account) -> httpx.Response:
    name = user.name if user else "nobody"
    secret = user.password if user else password()
    given = {"name": name, "password": secret, "domain": {"name": account.name}}
    identity = {"methods": ["password"], "password": {"user": given}}
    body = {"auth": {"identity": identity, "scope": {"project": {"id": account.project}}}}
    answer = client().post(f"{service.base_url}/v3/auth/tokens", json=body)
    if answer.status_code == 201:
        service.secrets.add(answer.headers["X-Subject-Token"])
    return answer
