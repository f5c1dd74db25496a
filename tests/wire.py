# SPDX-License-Identifier: Apache-2.0
"""Plain HTTP to the service: with a token, or signed with an access key in any of the three forms.

Nothing is added behind the back of a test: no proxy of the environment, no retry, no redirect.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.service import Service, until
from tests.unit.gate.signer import sign

JSON = "application/json"
OCTETS = "application/octet-stream"
PATCH_21 = "application/openstack-images-v2.1-json-patch"

Body = bytes | Iterator[bytes] | None


def client() -> httpx.Client:
    """Return an HTTP client that keeps to itself."""
    return httpx.Client(timeout=httpx.Timeout(60.0), trust_env=False)


@dataclass
class Api:
    """A caller with a token, scoped to a project (or to the account: `project_id` empty)."""

    base_url: str
    token: str
    project_id: str
    http: httpx.Client = field(default_factory=client, repr=False)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content: Body = None,
        params: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send one request; `body` goes as JSON, `content` as it is."""
        sent = {"X-Auth-Token": self.token} if self.token else {}
        if body is not None:
            content, sent["Content-Type"] = json.dumps(body).encode(), JSON
        return self.http.request(
            method,
            self.base_url + path,
            content=content,
            params=params,
            headers=sent | dict(headers or {}),
        )

    def ok(self, method: str, path: str, body: object = None, **more: Any) -> Any:
        """As `call`, for an answer that must be a success; return its JSON, or None."""
        answer = self.call(method, path, body, **more)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    # ---- IMS

    def submit(self, path: str, body: object, method: str = "POST") -> str:
        """Start a job; return its id."""
        answer = self.call(method, path, body)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return str(answer.json()["job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Return the body of the job query."""
        found: dict[str, Any] = self.ok("GET", f"/v1/{self.project_id}/jobs/{job_id}")
        return found

    def wait(self, job_id: str, seconds: float = 90.0) -> dict[str, Any]:
        """Return the body of the job when it has ended."""
        for _ in until(seconds, 0.1):
            found = self.job(job_id)
            if found["status"] in ("SUCCESS", "FAIL"):
                return found
        raise AssertionError("unreachable")

    def done(self, job_id: str, seconds: float = 90.0) -> dict[str, Any]:
        """Return the entities of a job that must succeed."""
        found = self.wait(job_id, seconds)
        assert found["status"] == "SUCCESS", found
        entities: dict[str, Any] = found["entities"]
        return entities

    def cancelled(
        self, body: object, steps: Collection[str], seen: Callable[[], bool] = lambda: True
    ) -> dict[str, Any]:
        """Cancel a creation in one of these steps, when `seen` agrees; return the ended job.

        A job may end before it can be cancelled: then another one is tried.
        """
        for _ in range(10):
            job_id = self.submit("/v2/cloudimages/action", body)
            for _ in until(90, 0.005):
                job = self.job(job_id)
                if job["status"] == "SUCCESS":
                    break
                if job["entities"]["current_task"] in steps and seen():
                    break
            answer = self.call("DELETE", f"/v1/{self.project_id}/jobs/{job_id}")
            assert (answer.status_code, answer.content) == (202, b"")
            ended = self.wait(job_id)
            if ended["status"] == "FAIL":
                return ended
        raise AssertionError("every job was quicker than its cancel")

    def import_file(self, url: str, name: str, **more: Any) -> str:
        """Import a system image by IMS and wait; return the image's id."""
        body = {"name": name, "image_url": url, "min_disk": 1, **more}
        return str(self.done(self.submit("/v2/cloudimages/action", body))["image_id"])

    def ims_images(self, **filters: Any) -> list[dict[str, Any]]:
        """Return one page of the IMS list."""
        found: list[dict[str, Any]] = self.ok("GET", "/v2/cloudimages", params=filters)["images"]
        return found

    # ---- native

    def native(self, image_id: str) -> dict[str, Any]:
        """Return an image as the native dialect shows it."""
        found: dict[str, Any] = self.ok("GET", f"/v2/images/{image_id}")
        return found

    def make(self, content: bytes | None = None, **fields: Any) -> str:
        """Make a native image, with bytes when `content` is given; return its id."""
        body = {"disk_format": "raw", "container_format": "bare", **fields}
        made = self.ok("POST", "/v2/images", body)
        if content is not None:
            answer = self.upload(made["id"], content)
            assert answer.status_code == 204, answer.text
        return str(made["id"])

    def upload(self, image_id: str, content: Body, **headers: str) -> httpx.Response:
        """Send the bytes of an image."""
        sent = {"Content-Type": OCTETS} | headers
        return self.call("PUT", f"/v2/images/{image_id}/file", content=content, headers=sent)

    def download(self, image_id: str, **headers: str) -> httpx.Response:
        """Fetch the bytes of an image."""
        return self.call("GET", f"/v2/images/{image_id}/file", headers=headers)

    def patch(self, image_id: str, *operations: Mapping[str, Any]) -> httpx.Response:
        """Change an image in the native dialect."""
        content = json.dumps(operations).encode()
        headers = {"Content-Type": PATCH_21}
        return self.call("PATCH", f"/v2/images/{image_id}", content=content, headers=headers)


@dataclass
class Signer:
    """A caller with an access key. `form` is one of the three of the signing contract."""

    base_url: str
    access_key: str
    secret_key: str
    form: str
    http: httpx.Client = field(default_factory=client, repr=False)

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | Sequence[str]] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """Sign and send one request exactly as the signer wrote it. `more` goes to the signer."""
        url = self.base_url + path
        lines = sign(
            self.form, self.access_key, self.secret_key, method, url, headers or {}, body, **more
        )
        return self.http.send(httpx.Request(method, url, headers=lines, content=body))


def login(
    service: Service,
    name: str,
    password: str,
    domain: str,
    *,
    project: str | None = None,
) -> Api:
    """Log in by password; `project` is a project's id, None: the account itself."""
    scope = {"project": {"id": project}} if project else {"domain": {"name": domain}}
    user = {"name": name, "password": password, "domain": {"name": domain}}
    identity = {"methods": ["password"], "password": {"user": user}}
    http = client()
    answer = http.post(
        f"{service.base_url}/v3/auth/tokens", json={"auth": {"identity": identity, "scope": scope}}
    )
    assert answer.status_code == 201, answer.text
    token = answer.headers["X-Subject-Token"]
    service.secrets |= {token, password}
    return Api(service.base_url, token, project or "", http)


def root_of(service: Service) -> Api:
    """Return the root user of the first account, in its first project."""
    known = service.credentials
    return login(
        service,
        known["username"],
        known["password"],
        known["domain_name"],
        project=known["project_id"],
    )


def operator_of(service: Service, project: str = "") -> Api:
    """Return the operator, acting in `project` where an operation needs one."""
    api = Api(service.base_url, service.credentials["operator_token"], project)
    if project:
        api.http.headers["X-Project-Id"] = project
    return api


def ims_error(answer: httpx.Response) -> tuple[int, str, str]:
    """Return status, code and message of an IMS error, whose form is checked."""
    assert answer.headers["Content-Type"].split(";")[0] == JSON, answer.headers
    body = answer.json()
    assert set(body) == {"error"}, body
    assert set(body["error"]) == {"code", "message"}, body
    code, message = body["error"]["code"], body["error"]["message"]
    assert isinstance(code, str)
    assert isinstance(message, str)
    return answer.status_code, code, message


def wait_a_second() -> None:
    """Wait until the printed time, which has whole seconds, must differ."""
    now = time.time()
    time.sleep(1.0 - now % 1.0 + 0.01)
