# SPDX-License-Identifier: Apache-2.0
"""A logged-in session: token by password, the image endpoint of the catalog, JSON calls, bytes.

Raises `Refused` with the code and text of the service, whichever dialect answered, and `NoService`
when nothing answers; nothing is retried silently.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

import httpx

from calotype.client.credentials import Credentials
from calotype.client.errors import NoService, Refused

BLOCK = 2**20


class Session:
    """One login. Use as a context manager."""

    def __init__(self, credentials: Credentials) -> None:
        self._http = httpx.Client(
            timeout=httpx.Timeout(60.0, read=600.0),
            trust_env=False,
            verify=_trusted(credentials.ca_file),
        )
        self._credentials = credentials
        self.project_id = ""
        self.endpoint = ""
        self._login()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.close()

    def call(
        self, method: str, path: str, *, json: object = None, params: Any = None, **headers: str
    ) -> Any:
        """Send a JSON call; return the parsed answer or None. Raises Refused, NoService."""
        try:
            answer = self._http.request(
                method,
                self.endpoint + path,
                json=json,
                params=params,
                headers={"Accept": "application/json", **headers},
            )
        except httpx.TransportError as error:
            raise _silent(self.endpoint, error) from None
        _raise_for(answer)
        return answer.json() if answer.content else None

    def upload(self, path: str, blocks: Iterator[bytes], size: int) -> None:
        """PUT `size` bytes of an image."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        headers["Accept"] = "application/json"
        try:
            answer = self._http.put(self.endpoint + path, content=blocks, headers=headers)
        except httpx.TransportError as error:
            raise NoService(f"the upload broke off: {error}") from None
        _raise_for(answer)

    def forget(self, path: str) -> None:
        """DELETE what a broken call left; silent, because that call's own error is told."""
        with contextlib.suppress(httpx.HTTPError):
            self._http.delete(self.endpoint + path)

    def download(self, path: str) -> Iterator[bytes]:
        """GET the bytes of an image, in blocks; the first item is the length as text bytes."""
        headers = {"Accept": "application/json"}
        try:
            with self._http.stream("GET", self.endpoint + path, headers=headers) as answer:
                if answer.status_code >= 300:
                    answer.read()
                    _raise_for(answer)
                if answer.status_code == 204:
                    raise Refused(204, "", "the image has no bytes yet")
                yield answer.headers.get("content-length", "0").encode()
                yield from answer.iter_raw(BLOCK)
        except httpx.TransportError as error:
            raise NoService(f"the download broke off: {error}") from None

    def _login(self) -> None:
        known = self._credentials
        body = {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {
                        "user": {
                            "name": known.username,
                            "password": known.password,
                            "domain": {"name": known.user_domain},
                        }
                    },
                },
                "scope": {
                    "project": {"name": known.project, "domain": {"name": known.project_domain}}
                },
            }
        }
        url = known.auth_url.rstrip("/") + "/auth/tokens"
        try:
            answer = self._http.post(url, json=body)
        except httpx.TransportError as error:
            raise _silent(known.auth_url, error) from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise NoService(f"{known.source} names no address to log in at") from None
        if answer.status_code != 201:
            raise NoService(
                f"{known.auth_url} refused the login of {known.username or 'nobody'}"
                f" with the credentials of {known.source} ({answer.status_code})"
            )
        try:
            token = answer.json()["token"]
            self._http.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
            self.project_id = token["project"]["id"]
        except (ValueError, KeyError):
            raise NoService(f"{known.auth_url} does not answer as a login service does") from None
        self.endpoint = _image_endpoint(token["catalog"], known.region)


def _trusted(ca_file: str) -> ssl.SSLContext | bool:
    if not ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise NoService(
            f"the CA file {ca_file} cannot be used: {error.strerror or error}"
        ) from None


def _silent(url: str, error: httpx.TransportError) -> NoService:
    if isinstance(error.__cause__ and error.__cause__.__context__, ssl.SSLError):
        return NoService(f"{url} is not trusted ({error}); name its CA in OS_CACERT")
    return NoService(f"{url} does not answer ({error}); is the service running?")


def _image_endpoint(catalog: list[dict[str, Any]], region: str) -> str:
    for service in catalog:
        if service["type"] != "image":
            continue
        for endpoint in service["endpoints"]:
            if endpoint["interface"] == "public" and region in ("", endpoint["region"]):
                return str(endpoint["url"]).rstrip("/")
    raise NoService(f"the catalog has no image endpoint for region {region}")


def _raise_for(answer: httpx.Response) -> None:
    if answer.status_code < 300 or answer.status_code == 300:
        return
    code, message = "", answer.text.strip()[:500]
    try:
        body = answer.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        inner = body.get("error") if isinstance(body.get("error"), dict) else body
        if isinstance(inner, dict):
            code = str(inner.get("code") or inner.get("error_code") or "")
            message = str(inner.get("message") or inner.get("error_msg") or message)
    raise Refused(answer.status_code, code, message)
