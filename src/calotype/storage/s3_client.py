# SPDX-License-Identifier: Apache-2.0
"""How a bucket is addressed: URL, endpoint and the library's options, all of them set explicitly.

Neither the AWS variables nor the proxy variables of the process's environment may redirect a
tenant's bytes (security contract N1, N3). Addresses are path-style; http only on this machine.
The library follows redirects of the endpoint, without the credential to another host, and cannot
be told not to: only endpoints that an operator chose may be given here.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from calotype.errors import Invalid, Unsupported
from calotype.storage.base import Credentials, own_name

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Credential
    from obstore.store import S3Store as Client

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_REGION = re.compile(r"[a-z0-9-]{1,64}\Z")


def split_url(url: str) -> tuple[str, str]:
    """Return bucket and prefix of `s3://bucket/prefix`."""
    parts = urlsplit(url)
    bucket, prefix = parts.netloc, parts.path.strip("/")
    numeric = bucket.replace(".", "").isdigit()
    odd = any(pair in bucket for pair in ("..", ".-", "-."))
    plain = parts.scheme == "s3" and not (parts.query or parts.fragment)
    if plain and _BUCKET.match(bucket) and not numeric and not odd:
        try:
            return bucket, own_name(prefix) if prefix else ""
        except Invalid:
            pass
    raise Invalid("An S3 store is s3://bucket/prefix.", rule="store_url", field="url")


def _endpoint(credentials: Credentials) -> str:
    """Return the address to speak to: https, or http on this machine itself."""
    if not _REGION.match(credentials.region):
        raise Invalid("The region is no region's name.", rule="store_endpoint", field="region")
    if credentials.endpoint is None:
        return f"https://s3.{credentials.region}.amazonaws.com"
    parts = urlsplit(credentials.endpoint)
    host = parts.hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    scheme = parts.scheme == "https" or (parts.scheme == "http" and local)
    if not (host and plain and scheme and parts.path in ("", "/")):
        raise Invalid(
            "An endpoint is https://host[:port]; http only on this machine itself.",
            rule="store_endpoint",
            field="endpoint",
        )
    return credentials.endpoint.rstrip("/")


def make_client(bucket: str, prefix: str, credentials: Credentials, patience: timedelta) -> Client:
    """Make the library's store; no request is sent yet."""
    try:
        from obstore.store import S3Store as Client
    except ImportError:
        raise Unsupported("S3 needs the extra package `s3`.", rule="extra_missing") from None

    endpoint = _endpoint(credentials)

    def keys() -> S3Credential:
        return {
            "access_key_id": credentials.access_key,
            "secret_access_key": credentials.secret_key,
            "token": None,
            "expires_at": None,
        }

    # Whatever is not set here the library takes from AWS_* variables of the process.
    config: S3Config = {
        "endpoint": endpoint,
        "aws_endpoint_url_s3": endpoint,
        "region": credentials.region,
        "skip_signature": False,
        "virtual_hosted_style_request": False,
        "request_payer": False,
        "s3_express": False,
        "unsigned_payload": False,
        "conditional_put": "etag",
        "disable_bulk_delete": True,
    }
    options: ClientConfig = {
        "allow_http": endpoint.startswith("http:"),
        "allow_invalid_certificates": False,
        "connect_timeout": "5s",
        "read_timeout": "120s",
        # The whole answer of a large read or part: stalls are found by the read timeout.
        "timeout": "30days",
        # A proxy that is excluded for every host is the library's only way to say "no proxy".
        "proxy_url": "http://127.0.0.1:1",
        "proxy_excludes": "*,0.0.0.0/0,::/0",
    }
    return Client(
        bucket,
        prefix=prefix or None,
        config=config,
        client_options=options,
        retry_config={
            "max_retries": 20,
            "retry_timeout": patience,
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=10),
                "base": 2,
            },
        },
        credential_provider=keys,
    )
