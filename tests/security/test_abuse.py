# SPDX-License-Identifier: Apache-2.0
"""Requests that are meant to cost much are refused early and cost little (security section 6).

Times are those of the processor, so that a busy machine does not decide. What the server itself
refuses (heads, slow bodies, conflicting lengths) is in `tests/server`.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from calotype.errors import Malformed
from calotype.gate import parse
from tests.exchanges.native.site import JSON, PATCH, Tenant
from tests.security.conftest import Door
from tests.service import Service
from tests.wire import Api, operator_of

MEGABYTE = 1 << 20


def _filled(piece: bytes, start: bytes = b"") -> bytes:
    return (start + piece * (MEGABYTE // len(piece)))[:MEGABYTE]


BODIES = {
    "a string that is not closed, full of quotes": _filled(b'\\"', b'"'),
    "quotes": _filled(b'"'),
    "escapes": _filled(b"\\"),
    "arrays in arrays": _filled(b"["),
    "objects in objects": _filled(b'{"a":'),
    "a number without end": _filled(b"9"),
    "an exponent without end": _filled(b"9", b"1e"),
    "blanks": _filled(b" "),
    "commas": _filled(b","),
    "half pairs": _filled(b"\\ud800", b'["'),
    "names": b"{" + b",".join(b'"%d":1' % number for number in range(80_000)) + b"}",
    "one name again and again": b"{" + b",".join([b'"a":1'] * 100_000) + b"}",
}


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Fail if what runs inside takes this process more time."""
    started = time.process_time()
    yield
    assert time.process_time() - started < seconds


@pytest.mark.parametrize("name", BODIES)
def test_no_body_takes_long_to_be_read(name: str) -> None:
    with at_most(2.0), contextlib.suppress(Malformed):
        parse.read_json(BODIES[name])


@pytest.mark.parametrize("name", BODIES)
def test_such_a_body_is_refused_by_the_open_door_of_logins(service: Service, name: str) -> None:
    """Nobody is known yet there, so that it must cost little of all."""
    url = f"{service.base_url}/v3/auth/tokens"
    answer = httpx.post(url, content=BODIES[name], headers={"Content-Type": JSON}, trust_env=False)
    assert answer.status_code == 400, answer.text
    assert len(answer.content) < 2000


@pytest.fixture
def door(house: Door) -> Door:
    return house


@pytest.fixture
def tenant(door: Door) -> Tenant:
    return door.tenant()


ODD = (
    b'{"name": "a", "name": "b"}', b'{"name": "\\ud800"}', b'{"name": "\xff"}',
    b'{"min_disk": NaN}',
    b'{"min_disk": Infinity}', b'{"min_disk": 1e999}', b'{"x": ' + b"[" * 33 + b"]" * 33 + b"}",
    b'\xef\xbb\xbf{}', b'{"name": "a"} {}', b"{'name': 'a'}", b'{"name": "a",}', b'"\\u0000"',
)  # fmt: skip


@pytest.mark.parametrize("content", ODD)
@pytest.mark.parametrize(
    ("path", "code"),
    [("/v2/images", ""), ("/v2/cloudimages/action", "IMG."), ("/v3/users", ""),
     ("/v1.0/enterprise-projects", "EPS.")],
)  # fmt: skip
def test_what_is_no_plain_json_is_refused_in_every_dialect(
    tenant: Tenant, path: str, code: str, content: bytes
) -> None:
    headers = {"Content-Type": JSON}
    answer = tenant.call("POST", path, content=[content], headers=headers)
    assert answer.status == 400, answer.text
    assert code in answer.text


MANY = {
    "properties": "&".join(f"p{number}=1" for number in range(1200)),
    "tags": "&".join(f"tag=t{number}" for number in range(1200)),
    "values": "name=in:" + ",".join(str(number) for number in range(3000)),
    "moments": "&".join(["created_at=gte:2020-01-01T00:00:00Z"] * 380),
}


@pytest.mark.parametrize(
    ("path", "what"),
    [("/v2/images", "properties"), ("/v2/images", "tags"), ("/v2/images", "values"),
     ("/v2/cloudimages", "tags"), ("/v2/cloudimages", "moments"),
     ("/v1.1/images/detail", "properties")],
)  # fmt: skip
def test_more_filters_than_an_image_can_have_are_refused(
    tenant: Tenant, path: str, what: str
) -> None:
    query = MANY[what]
    if path == "/v1.1/images/detail":
        query = query.replace("p", "property-p")
    pairs = [tuple(pair.split("=", 1)) for pair in query.split("&")]
    with at_most(1.0):
        answer = tenant.call("GET", path, query=pairs)
    assert answer.status == 400, answer.text


def test_as_many_filters_as_an_image_can_have_are_answered(tenant: Tenant) -> None:
    for query in ([("tag", f"t{number}") for number in range(100)],
                  [(f"p{number}", "1") for number in range(100)]):  # fmt: skip
        assert tenant.call("GET", "/v2/images", query=query).status == 200


def test_ten_thousand_values_and_nested_comparisons_are_refused(service: Service) -> None:
    operator = operator_of(service, service.credentials["project_id"])
    values = ",".join(str(number) for number in range(10_000))
    assert operator.call("GET", f"/v2/images?id=in:{values}").status_code in (400, 414)
    for text in ("gt:gt:2020-01-01T00:00:00Z", "in:2020-01-01T00:00:00Z", "eq:", "x:y", "9" * 5000):
        for path in ("/v2/images", "/v2/cloudimages"):
            answer = operator.call("GET", path, params={"created_at": text})
            assert answer.status_code == 400, (path, text)


@pytest.mark.parametrize("name", ["limit", "min_disk", "min_ram", "size_min", "size_max", "marker"])
def test_numbers_without_end_are_no_fault(tenant: Tenant, name: str) -> None:
    for text in ("9" * 5000, "-" + "9" * 5000, "1" + "0" * 400, "\u0661", "1_0", "0x1", "1.5", ""):
        for path in ("/v2/images", "/v2/cloudimages", "/v1.1/images/detail"):
            answer = tenant.call("GET", path, query=[(name, text)])
            assert answer.status in (200, 400), (path, text[:9], answer.text)


def test_a_patch_of_many_operations_is_refused_before_any_is_read(tenant: Tenant) -> None:
    image = tenant.make()["id"]
    change = {"op": "replace", "path": "/name", "value": "x"}
    for path, media in ((f"/v2/images/{image}", PATCH), (f"/v2/cloudimages/{image}", JSON)):
        with at_most(1.0):
            body = [change] * 10_000
            answer = tenant.call("PATCH", path, body=body, headers={"Content-Type": media})
        assert answer.status == 400
        assert "at most 100" in answer.text
    long = [change | {"path": "/" + "~1" * 200_000}]
    with at_most(1.0):
        path = f"/v2/images/{image}"
        assert tenant.call("PATCH", path, body=long, headers={"Content-Type": PATCH}).status == 400


def _raw(base_url: str, head: str) -> bytes:
    """Send a head and nothing more; return the answer that comes all the same."""
    parts = urlsplit(base_url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as wire:
        wire.sendall(head.replace("\n", "\r\n").encode())
        return wire.recv(65536)


def test_an_upload_that_is_refused_is_not_read(
    service: Service, root: Api, account: object
) -> None:
    del account
    image = root.make()
    head = (
        "PUT /v2/images/{image}/file HTTP/1.1\nHost: x\nContent-Type: application/octet-stream\n"
        "Content-Length: 1073741824\nExpect: 100-continue\n{more}\n"
    )
    token = f"X-Auth-Token: {root.token}\n"
    missing = "00000000-0000-4000-8000-000000000000"
    for name, more, status in (
        (image, "", b"401"),
        (image, "X-Auth-Token: unknown\n", b"401"),
        (missing, token, b"404"),
        (image, token.replace("\n", "\nX-Image-Meta-Store: nowhere\n"), b"400"),
    ):
        answer = _raw(service.base_url, head.format(image=name, more=more))
        assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
    assert root.native(image)["status"] == "queued"


def test_answers_do_not_grow_with_what_was_sent(tenant: Tenant) -> None:
    """A refusal shows a piece of a value, never all of it."""
    big = "x" * 500_000
    for path, body in (
        ("/v2/images", {"name": big}), ("/v2/images", {"disk_format": big}),
        ("/v2/images", {"tags": [big]}), ("/v2/images", {big: "x"}), ("/v2/images", {"id": big}),
        ("/v2/cloudimages/action", {"name": big, "image_url": "b:o.raw", "min_disk": 1}),
        ("/v2/cloudimages/action", {"name": "n", "image_url": big, "min_disk": 1}),
        ("/v2/cloudimages/action", {"name": "n", "image_url": "b:o.raw", "min_disk": big}),
        ("/v2/cloudimages/action", {big: 1}), ("/v2/cloudimages/action", {"os_version": big}),
        ("/v3/users", {"user": {"name": big}}),
        ("/v3/users", {"user": {"name": "n", "email": big}}),
        ("/v3/groups", {"group": {"name": big}}), ("/v1.0/enterprise-projects", {"name": big}),
        ("/v3/users", {"user": {"name": "n", "domain_id": big}}),
        ("/v3.0/OS-ROLE/roles", {"role": {"display_name": "d", "type": "XA", "policy": {big: 1}}}),
        ("/v3.0/OS-ROLE/roles", {"role": {"display_name": "d", "type": big, "policy": {}}}),
        ("/v3.0/OS-CREDENTIAL/credentials", {"credential": {"user_id": big}}),
    ):  # fmt: skip
        answer = tenant.call("POST", path, body=body)
        assert 400 <= answer.status < 500, (path, answer.status)
        assert len(answer.content) < 5000, (path, list(body))
    twice = json.dumps({big: 1})[:-1] + f', "{big}": 2}}'
    answer = tenant.call("POST", "/v2/images", content=[twice.encode()],
                         headers={"Content-Type": JSON})  # fmt: skip
    assert (answer.status, len(answer.content) < 5000) == (400, True)
