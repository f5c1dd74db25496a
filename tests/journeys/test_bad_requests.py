# SPDX-License-Identifier: Apache-2.0
"""Nothing that a client can send is a fault of the service: each operation, each kind of nonsense.

Generated from the operation table over all rows that are not planned. Each answer must be below
500, carry a request id and have the error form of its dialect; where the contract fixes status and
code for a class of mistakes they are asserted too (ims.md C1, native.md 1).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from calotype.contract.loader import Operation, load_operations
from tests.made_disks import raw_bytes
from tests.people import Account
from tests.service import Service
from tests.wire import JSON, Api, ims_error

OPERATIONS = [row for row in load_operations() if not row.planned]
WITH_JSON = [row for row in OPERATIONS if row.body in ("json", "optional_json")]
WITH_PARAMETERS = [row for row in OPERATIONS if "{" in row.path]
READS = [row for row in OPERATIONS if row.method == "GET"]

MALFORMED = {
    "not JSON": b"{",
    "a scalar": b'"x"',
    "null": b"null",
    "two documents": b"{} {}",
    "a duplicate key": b'{"name": "a", "name": "b"}',
    "a duplicate key inside": b'[{"op": "add", "op": "add", "path": "/x", "value": "y"}]',
    "40 levels": b'{"a":' * 40 + b"1" + b"}" * 40,
    "50000 levels": b"[" * 50000,
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "a lone surrogate": b'{"name": "\\ud800"}',
    "NaN": b'{"min_disk": NaN}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "a NUL": b'{"name": "a\x00b"}',
    "an infinity": b'{"min_disk": 1e999}',
    "5000 digits": b'{"min_disk": ' + b"9" * 5000 + b"}",
}
ODD = {
    "an unknown member": b'{"no_such_member": 1}',
    "a huge number": b'{"name": "x", "min_disk": 9' + b"9" * 400 + b"}",
    "an escaped NUL": b'{"name": "a\\u0000b", "image_url": "a:\\u0000.raw"}',
    "wrong types": b'{"name": [], "tags": {}, "user": 3, "role": [], "auth": 1, "min_disk": {}}',
    "an array of scalars": b"[1, null, true]",
    "an empty object": b"{}",
    "an empty array": b"[]",
}
BAD_SEGMENTS = (
    "x",
    "%00",
    "%2e%2e",
    "..%2f..%2fetc%2fpasswd",
    "%ff%fe",
    "%zz",
    "'%20OR%201=1--",
    "a%0d%0aX-Evil:%201",
    "é",
    "x" * 3000,
    ";x=1",
    str(uuid.UUID(int=1)),
    "0" * 32,
    "0",
)
BAD_QUERIES = (
    "limit=x",
    "limit=-1",
    "limit=99999999999999999999999",
    "limit=1&limit=2",
    "marker=%00",
    "marker=nope&limit=1",
    "name=%ff%fe",
    "name=%00",
    "sort_key=nope&sort_dir=up",
    "created_at=gt:never&updated_at=lte:9999-99-99",
    "tag=%27%3B--&size_min=1e9&member_status=%F0%9F%92%A9",
    "in:=%22&status=in:%22a",
    "name=in:" + ",".join("abcd"[n % 4] for n in range(3000)),
    "&&&===&%",
    "enterprise_project_id=%00&visibility=nope&__imagetype=nope",
)


@dataclass(frozen=True)
class Caller:
    """A root user with an image of his own, in project and in account scope."""

    account: Account
    image: str

    def of(self, row: Operation) -> Api:
        return self.account.root if row.dialect in ("ims", "native") else self.account.admin

    def path(self, row: Operation, **others: str) -> str:
        known = {
            "project_id": self.account.project,
            "image_id": self.image,
            "domain_id": self.account.id,
            "account_id": self.account.id,
            "version": "v2",
        }
        path = row.path
        for name in row.patterns:
            value = others.get(name) or known.get(name) or str(uuid.UUID(int=2))
            path = path.replace(f"{{{name}}}", value)
        return path


@pytest.fixture(scope="module")
def caller(service: Service) -> Caller:
    account = Account.make(service)
    return Caller(account, account.root.make(raw_bytes(), name="target"))


def by_id(row: object) -> str:
    return row.id if isinstance(row, Operation) else str(row)


def assert_well_formed(row: Operation, answer: httpx.Response) -> None:
    """Fail unless the answer is no fault of the service and has the form of its dialect."""
    assert answer.status_code < 500, f"{answer.request.url} {answer.status_code} {answer.text}"
    assert answer.headers["X-Request-Id"] == answer.headers["X-Openstack-Request-Id"]
    assert "Traceback" not in answer.text
    if answer.status_code < 400 or row.method == "HEAD":
        return
    if row.dialect == "ims":
        ims_error(answer)
    elif row.dialect == "native":
        assert answer.headers["Content-Type"] == "text/html; charset=UTF-8"
    elif row.dialect in ("iam", "authz", "eps"):
        assert isinstance(answer.json()["error"], dict)


def refusals(
    caller: Caller, row: Operation, bodies: dict[str, bytes], media: str = JSON
) -> Iterator[tuple[str, httpx.Response]]:
    for name, content in bodies.items():
        headers = {"Content-Type": row.media[-1] if row.media and media == JSON else media}
        answer = caller.of(row).call(row.method, caller.path(row), content=content, headers=headers)
        assert_well_formed(row, answer)
        yield name, answer


@pytest.mark.parametrize("row", WITH_JSON, ids=by_id)
def test_a_malformed_body_is_a_400(caller: Caller, row: Operation) -> None:
    for name, answer in refusals(caller, row, MALFORMED):
        allowed = {400}
        if row.operator_when == "always":
            allowed.add(403)
        if row.dialect in ("iam", "eps", "authz"):  # a missing object may be told first
            allowed.add(404)
        assert answer.status_code in allowed, (name, answer.status_code, answer.text)
        if row.dialect == "ims":
            assert ims_error(answer)[1] == "IMG.0001", name


@pytest.mark.parametrize("row", WITH_JSON, ids=by_id)
def test_an_odd_body_is_never_a_fault(caller: Caller, row: Operation) -> None:
    for name, answer in refusals(caller, row, ODD):
        assert answer.status_code != 401, name


@pytest.mark.parametrize("row", [row for row in WITH_JSON if row.dialect == "ims"], ids=by_id)
def test_ims_bodies_that_are_missing_too_large_or_of_another_type(
    caller: Caller, row: Operation
) -> None:
    large = {"large": json.dumps({"name": "x" * 2**20}).encode()}
    expected = [
        ({"empty": b""}, JSON, (400, "IMG.0007")),
        (large, JSON, (413, "IMG.0413")),
        ({"text": b"{}"}, "text/plain", (415, "IMG.0415")),
        ({"form": b"a=b"}, "application/x-www-form-urlencoded", (415, "IMG.0415")),
        ({"octets": b"{}"}, "application/octet-stream", (415, "IMG.0415")),
    ]
    for bodies, media, outcome in expected:
        for name, answer in refusals(caller, row, bodies, media):
            assert ims_error(answer)[:2] == outcome, name


def test_native_bodies_that_are_missing_too_large_or_of_another_type(caller: Caller) -> None:
    api, image = caller.account.root, f"/v2/images/{caller.image}"
    large = json.dumps({"name": "x" * 2**20}).encode()

    def status(method: str, path: str, content: bytes, media: str) -> int:
        headers = {"Content-Type": media}
        return api.call(method, path, content=content, headers=headers).status_code

    assert status("POST", "/v2/images", b"", JSON) == 400
    assert status("POST", "/v2/images", large, JSON) == 413
    assert status("POST", "/v2/images", b"{}", "text/plain") == 415
    assert status("POST", "/v2/images", b"{}", "application/json; charset=utf-8") == 201
    for media in ("application/json", "text/plain", "application/json-patch+json"):
        answer = api.call("PATCH", image, content=b"[]", headers={"Content-Type": media})
        assert answer.status_code == 415
        assert "openstack-images-v2.1-json-patch" in answer.headers["Accept-Patch"]
    for media in ("application/json", "text/plain", ""):
        assert status("PUT", f"{image}/file", b"x", media) == 415


@pytest.mark.parametrize("row", WITH_PARAMETERS, ids=by_id)
def test_bad_path_segments_are_refused(caller: Caller, row: Operation) -> None:
    api = caller.of(row)
    body = b"{}" if row.body == "json" else None
    headers = {"Content-Type": row.media[-1] if row.media else JSON} if body else {}
    for name in row.patterns:
        for segment in BAD_SEGMENTS:
            path = caller.path(row, **{name: segment})
            answer = api.call(row.method, path, content=body, headers=headers)
            assert answer.status_code < 500, f"{row.method} {path}: {answer.status_code}"
            assert "x-evil" not in answer.headers
            if answer.status_code >= 400 and row.dialect == "ims" and row.method != "HEAD":
                ims_error(answer)


@pytest.mark.parametrize("row", READS, ids=by_id)
def test_bad_queries_are_never_a_fault(caller: Caller, row: Operation) -> None:
    for query in BAD_QUERIES:
        answer = caller.of(row).call("GET", f"{caller.path(row)}?{query}")
        assert_well_formed(row, answer)


@pytest.mark.parametrize("row", OPERATIONS, ids=by_id)
def test_without_a_credential_only_open_operations_answer(caller: Caller, row: Operation) -> None:
    api = Api(caller.account.service.base_url, "", "")
    answer = api.call(row.method, caller.path(row))
    assert_well_formed(row, answer)
    if row.authentication:
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Keystone uri=")
        if row.dialect == "ims":
            assert ims_error(answer)[1] == "IMG.0401"
    else:
        assert answer.status_code != 401 or row.id == "iam.token_create"


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v2/cloudimages/nope/nope", "ims"),
        ("/v1/cloudimages/x/y/z", "ims"),
        ("/v2/images/a/b/c/d", "native"),
        ("/v2/nope", "native"),
        ("/nope/nope", "native"),
        ("/v2/images/", None),
        ("//v2/images", None),
        ("/v2//images", None),
        ("/v2/./images", None),
        ("/v2/images/../images", None),
    ],
)
def test_unknown_paths_are_404_in_the_form_of_their_prefix(
    caller: Caller, path: str, dialect: str | None
) -> None:
    answer = caller.account.root.call("GET", path)
    if dialect is None:
        assert answer.status_code < 500
    elif dialect == "ims":
        assert ims_error(answer)[:2] == (404, "IMG.0404")
    else:
        assert answer.status_code == 404


def test_a_method_that_a_path_does_not_offer_is_405_with_allow(caller: Caller) -> None:
    ims = caller.account.root.call("PUT", "/v2/cloudimages")
    assert ims_error(ims)[:2] == (405, "IMG.0405")
    assert ims.headers["Allow"] == "GET"
    native = caller.account.root.call("PUT", f"/v2/images/{caller.image}")
    assert native.status_code == 405
    assert {"GET", "PATCH", "DELETE"} <= set(native.headers["Allow"].split(", "))
    assert caller.account.root.call("HEAD", f"/v2/images/{caller.image}/file").status_code == 405
