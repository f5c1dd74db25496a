# SPDX-License-Identifier: Apache-2.0
"""CLIENT-NEEDS 6, Must 1 to 13 and 52 to 57: login, signing, discovery, error forms.

Each test carries the number of its Must. The signer is that of the signing tests, written from the
rules and not from the verifier.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import FreshService
from tests.made_disks import raw_bytes
from tests.people import Account
from tests.service import Service
from tests.unit.gate.signer import ACCESS, CREDENTIAL, FORMS, UNSIGNED_HOST
from tests.wire import JSON, OCTETS, PATCH_21, Api, Signer, client, ims_error, login

LIST = "/v2/cloudimages?limit=1"
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")


@pytest.fixture(scope="module")
def owner(service: Service) -> Account:
    """An account of this file."""
    return Account.make(service)


@pytest.fixture(scope="module")
def keys(owner: Account) -> tuple[str, str]:
    """An access key of the account's root user."""
    return owner.access_key(owner.root_id)


def signer(owner: Account, keys: tuple[str, str], form: str) -> Signer:
    return Signer(owner.service.base_url, *keys, form)


@pytest.mark.parametrize("form", FORMS)
def test_m01_m03_every_form_of_signature_is_accepted(
    owner: Account, keys: tuple[str, str], form: str
) -> None:
    signed = signer(owner, keys, form)
    headers = {"Content-Type": JSON, "Accept": JSON, "User-Agent": "test"}
    assert signed.call("GET", LIST, headers=headers).status_code == 200
    with_project = headers | {"X-Project-Id": owner.project}
    assert signed.call("GET", LIST, headers=with_project).status_code == 200
    made = signed.call("POST", "/v2/images", b'{"name": "signed"}', with_project)
    assert made.status_code == 201, made.text
    odd = "/v2/cloudimages?tag=b%20c&tag=a&name=%E5%90%8D%2F~&visibility=private"
    assert signed.call("GET", odd, headers=headers).status_code == 200


def test_m03_the_credential_form_signs_a_post_without_a_body_in_its_own_way(
    owner: Account, keys: tuple[str, str]
) -> None:
    signed = signer(owner, keys, CREDENTIAL)
    answer = signed.call("POST", "/v2/cloudimages/action?b=2&a=1&a=0", None)
    assert ims_error(answer)[:2] == (400, "IMG.0007"), "authenticated, then: no body"
    other_day = "20200101T000000Z"
    assert signed.call("GET", LIST, date=other_day).status_code == 401


def test_m02_unsigned_project_domain_and_token_headers_must_belong_to_the_key(
    service: Service, owner: Account, keys: tuple[str, str]
) -> None:
    foreign = Account.make(service)
    for form in (UNSIGNED_HOST, CREDENTIAL):
        signed = signer(owner, keys, form)
        for header, status in (
            ({"X-Project-Id": foreign.project}, 403),
            ({"X-Domain-Id": foreign.id}, 403),
            ({"X-Domain-Id": owner.id, "X-Project-Id": owner.project}, 200),
        ):
            assert signed.call("GET", LIST, headers=header).status_code == status, header
        refused = signed.call("GET", LIST, headers={"X-Security-Token": "made-up"})
        assert (refused.status_code, refused.json()["error_code"]) == (401, "APIGW.0301")


def test_m04_a_body_outside_the_signature_is_accepted_only_when_it_says_so(
    owner: Account, keys: tuple[str, str]
) -> None:
    sdk, go = signer(owner, keys, ACCESS), signer(owner, keys, UNSIGNED_HOST)
    image_id = owner.root.make()
    patch = b'[{"op": "replace", "path": "/name", "value": "patched"}]'
    headers = {"Content-Type": PATCH_21}
    assert sdk.call("PATCH", f"/v2/images/{image_id}", patch, headers).status_code == 200
    assert go.call("PATCH", f"/v2/images/{image_id}", patch, headers).status_code == 200
    octets = {"Content-Type": OCTETS}
    assert go.call("PUT", f"/v2/images/{image_id}/file", raw_bytes(), octets).status_code == 204
    assert owner.root.download(image_id).content == raw_bytes()


@pytest.mark.parametrize("what", ["patch", "upload"])
def test_m04_a_body_that_is_not_the_signed_one_is_refused_and_changes_nothing(
    owner: Account, keys: tuple[str, str], what: str
) -> None:
    signed = signer(owner, keys, UNSIGNED_HOST)
    image_id = owner.root.make(name="kept")
    if what == "patch":
        method, path, media = "PATCH", f"/v2/images/{image_id}", PATCH_21
        real: bytes = b'[{"op": "replace", "path": "/name", "value": "real"}]'
        sent = real.replace(b"real", b"fake")
    else:
        method, path, media = "PUT", f"/v2/images/{image_id}/file", OCTETS
        real, sent = raw_bytes(), raw_bytes(seed=8)
    honest = signed.http
    signed = replace(signed, http=_Swapping(honest, sent))  # type: ignore[arg-type] # a test double of the wire only
    answer = signed.call(method, path, real, {"Content-Type": media})
    assert (answer.status_code, answer.json()["error_code"]) == (401, "APIGW.0301")
    image = owner.root.native(image_id)
    assert (image["name"], image["status"], image["size"]) == ("kept", "queued", None)


class _Swapping:
    """Sends another body of the same request: somebody between client and server."""

    def __init__(self, http: Any, body: bytes) -> None:
        self._http, self._body = http, body

    def send(self, request: Any) -> Any:
        lines = [line for line in request.headers.raw if line[0].lower() != b"content-length"]
        other = type(request)(request.method, request.url, headers=lines, content=self._body)
        return self._http.send(other)


@pytest.mark.parametrize("form", FORMS)
def test_m05_without_a_project_the_default_project_is_meant(
    owner: Account, keys: tuple[str, str], form: str
) -> None:
    made = signer(owner, keys, form).call("POST", "/v2/images", b"{}", {"Content-Type": JSON})
    assert made.json()["owner"] == owner.project


def test_m06_an_unfilled_project_placeholder_is_named(
    owner: Account, keys: tuple[str, str]
) -> None:
    path = f"/v1/{quote('{project_id}')}/jobs/{'0' * 32}"
    status, code, message = ims_error(signer(owner, keys, ACCESS).call("GET", path))
    assert (status, code) == (400, "IMG.0030")
    assert "project id" in message.lower().replace("_", " ")


@pytest.mark.parametrize("form", FORMS)
def test_m07_the_first_calls_of_clients_need_no_project(
    owner: Account, keys: tuple[str, str], form: str
) -> None:
    signed = signer(owner, keys, form)
    region = owner.service.credentials["region"]
    projects = signed.call("GET", f"/v3/projects?name={region}").json()["projects"]
    assert [project["id"] for project in projects] == [owner.project]
    domains = signed.call("GET", "/v3/auth/domains").json()["domains"]
    assert domains[0]["id"] == owner.id
    named = signed.call("GET", f"/v3/auth/domains?name={owner.name}").json()["domains"]
    assert [domain["name"] for domain in named] == [owner.name]
    types = {each["type"] for each in signed.call("GET", "/v3/auth/catalog").json()["catalog"]}
    assert {"identity", "image", "imsv2", "eps"} <= types


def test_m08_m12_discovery_answers_everybody_with_links_that_work(owner: Account) -> None:
    base = owner.service.base_url
    for api in (Api(base, "", ""), owner.root, Api(base, "made-up-token", "")):
        for path, status in (("/", 300), ("/versions", 200), ("/v2", 300), ("/v2/", 300)):
            answer = api.call("GET", path)
            assert answer.status_code == status, path
            versions = answer.json()["versions"]
            for version in versions:
                assert re.fullmatch(r"v\d+(\.\d+)?", version["id"])
                assert version["status"] in ("CURRENT", "SUPPORTED", "DEPRECATED")
                (link,) = version["links"]
                assert link["href"].startswith(f"{base}/v")
        assert sum(version["status"] == "CURRENT" for version in versions) == 1
        identity = api.call("GET", "/v3")
        assert identity.status_code == 200
        assert identity.json()["version"]["links"][0]["href"] == f"{base}/v3/"
    named = client().get(f"{base}/", headers={"Host": "images.example:1234"}).json()
    assert named["versions"][0]["links"][0]["href"] == "http://images.example:1234/v2/"


def catalog_of(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.ok("GET", "/v3/auth/catalog")["catalog"]
    return found


def test_m09_the_image_endpoint_is_the_bare_root_of_its_region(owner: Account) -> None:
    known = owner.service.credentials
    (image,) = [each for each in catalog_of(owner.root) if each["type"] == "image"]
    endpoints = [each for each in image["endpoints"] if each["interface"] == "public"]
    assert [each["url"] for each in endpoints] == [known["image_endpoint"]]
    assert known["image_endpoint"] == owner.service.base_url
    for endpoint in endpoints:
        assert endpoint["region"] == endpoint["region_id"] == known["region"]
    assert known["project_name"].split("_")[0] == known["region"]
    assert known["auth_url"] == f"{owner.service.base_url}/v3"


def test_m10_token_times_are_rfc_3339_and_a_dead_token_is_401_everywhere(owner: Account) -> None:
    user = owner.user()
    token = user.api.token
    headers = {"X-Subject-Token": token}
    body = user.api.ok("GET", "/v3/auth/tokens", headers=headers)["token"]
    for field in ("issued_at", "expires_at"):
        assert RFC3339.fullmatch(body[field])
    assert datetime.fromisoformat(body["expires_at"]) > datetime.now(UTC)
    gone = user.api.call("DELETE", "/v3/auth/tokens", headers=headers)
    assert gone.status_code == 204
    paths = ("/v2/images", "/v2/cloudimages", f"/v2/images/{'0' * 8}-0000-0000-0000-{'0' * 12}")
    for path in (*paths, "/v3/users", "/v1.0/enterprise-projects", "/authz/v1/operations"):
        assert user.api.call("GET", path).status_code == 401, path


def test_m11_a_domain_scoped_token_of_any_user_has_a_catalog(owner: Account) -> None:
    user = owner.user()
    api = login(owner.service, user.name, user.password, owner.name)
    body = api.ok("GET", "/v3/auth/tokens", headers={"X-Subject-Token": api.token})["token"]
    assert body["domain"]["id"] == owner.id
    assert "project" not in body
    assert body["catalog"]


# ---- errors


def test_m52_ims_errors_have_their_form(owner: Account) -> None:
    for path in ("/v2/cloudimages?limit=0", "/v2/cloudimages/nope", "/v2/cloudimages/x/y"):
        ims_error(owner.root.call("GET", path, headers={"Accept": "text/html"}))
    ims_error(Api(owner.service.base_url, "bad", "").call("GET", "/v2/cloudimages"))


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, "text/html; charset=UTF-8"),
        ("", "text/html; charset=UTF-8"),
        ("*/*", "text/html; charset=UTF-8"),
        ("text/html", "text/html; charset=UTF-8"),
        ("application/json", "application/json; charset=UTF-8"),
        ("text/plain", "text/plain; charset=UTF-8"),
    ],
)
def test_m53_native_errors_follow_accept(owner: Account, accept: str | None, media: str) -> None:
    http = client()
    del http.headers["Accept"]
    headers = {"X-Auth-Token": owner.root.token}
    if accept is not None:
        headers["Accept"] = accept
    answer = http.get(f"{owner.service.base_url}/v2/images/nope", headers=headers)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, media)
    assert "No image found with ID nope" in answer.text
    if media.startswith(JSON):
        assert set(answer.json()) == {"message", "code", "title"}
        assert answer.json()["code"] == "404 Not Found"


def test_m54_every_answer_has_its_request_ids(owner: Account) -> None:
    for path in ("/", "/v2/images", "/v2/images/x", "/v2/cloudimages", "/v2/cloudimages/x", "/x"):
        headers = owner.root.call("GET", path).headers
        assert re.fullmatch(r"req-[0-9a-f-]{36}", headers["X-Request-Id"]), path
        assert headers["X-Request-Id"] == headers["X-Openstack-Request-Id"]


def test_m56_the_same_signed_request_is_processed_twice_unless_the_replay_check_is_on(
    owner: Account, keys: tuple[str, str], fresh_service: FreshService
) -> None:
    body, headers = b'{"name": "again"}', {"Content-Type": JSON}
    now = datetime.now(UTC)
    signed = signer(owner, keys, UNSIGNED_HOST)
    sent = [signed.call("POST", "/v2/images", body, headers, date=now) for _ in range(2)]
    assert [answer.status_code for answer in sent] == [201, 201]
    strict = fresh_service(REPLAY_CACHE="true")
    known = strict.credentials
    pair = (known["access_key"], known["secret_key"])
    signed = Signer(strict.base_url, *pair, UNSIGNED_HOST)
    sent = [signed.call("POST", "/v2/images", body, headers, date=now) for _ in range(2)]
    assert [answer.status_code for answer in sent] == [201, 401]
    assert "signature already used" in sent[1].json()["error_msg"]


def test_m57_a_locked_key_says_that_it_is_locked(owner: Account) -> None:
    user = owner.user()
    access, secret = owner.access_key(user.id)
    wrong = Signer(owner.service.base_url, access, "wrong" * 8, ACCESS)
    texts = [wrong.call("GET", LIST).json()["error_msg"] for _ in range(6)]
    assert all("verify aksk signature fail" in text for text in texts[:5])
    assert "AK access failed to reach the limit,forbidden" in texts[5]
    right = Signer(owner.service.base_url, access, secret, ACCESS)
    started = time.monotonic()
    locked = right.call("GET", LIST)
    assert time.monotonic() - started < 30
    assert locked.status_code == 401
    assert "AK access failed to reach the limit,forbidden" in locked.json()["error_msg"]
