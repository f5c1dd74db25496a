# SPDX-License-Identifier: Apache-2.0
"""A request as it came in, before anybody is known: head, addresses, and its body as a stream.

Identity headers from outside are never read (security contract P4); forwarded headers only from
proxies that the settings trust.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from calotype import clock
from calotype.errors import Invalid
from calotype.gate.answer import Receive, Scope
from calotype.gate.request import Headers, Pairs
from calotype.gate.signature_canonical import read_query

# Many a proxy hands on what a client says here.
_SCHEME = re.compile(r"https?\Z")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ClientGone(Exception):
    """The connection ended before the body did."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where this service says it is, and whose forwarding it believes."""

    public_endpoint: str
    trusted: tuple[Network, ...]

    @classmethod
    def of(cls, public_endpoint: str, trusted_proxies: Sequence[str]) -> Places:
        """Read the two settings."""
        networks = tuple(ipaddress.ip_network(entry, strict=False) for entry in trusted_proxies)
        return cls(public_endpoint.rstrip("/"), networks)

    def trusts(self, address: str) -> bool:
        """Tell whether `address` is a proxy of ours."""
        if not self.trusted:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self.trusted)


class Incoming:
    """One request of the wire."""

    __slots__ = (
        "arrived_at",
        "headers",
        "method",
        "query_string",
        "raw_path",
        "receive",
        "request_id",
        "scope",
        "started",
    )

    def __init__(self, scope: Scope, receive: Receive, request_id: str) -> None:
        self.scope = scope
        self.receive = receive
        self.request_id = request_id
        self.method: str = scope["method"]
        self.raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        self.query_string: bytes = scope.get("query_string", b"")
        self.headers = Headers(scope["headers"])
        self.arrived_at: datetime = clock.now()
        self.started = clock.monotonic()

    @property
    def length(self) -> int | None:
        """Announced bytes of the body: 0 without one, None when it comes in chunks."""
        if self.headers.get("transfer-encoding"):
            return None
        text = self.headers.get("content-length")
        return int(text) if text and text.isascii() and text.isdigit() else 0

    @property
    def user_agent(self) -> str:
        """What the client calls itself."""
        return self.headers.get("user-agent") or ""

    @property
    def path(self) -> str:
        """The path for logs and audit."""
        return self.raw_path.decode("utf-8", "replace")

    def query(self) -> Pairs:
        """Return the decoded query. Raises Invalid for a broken escape or text not UTF-8."""
        if not self.query_string:
            return ()
        try:
            return tuple(
                (name.decode("utf-8"), value.decode("utf-8"))
                for name, value in read_query(self.query_string)
            )
        except UnicodeDecodeError:
            raise Invalid("the query is not UTF-8", rule="query_escape", field="query") from None

    def source_ip(self, places: Places) -> str:
        """Return the peer, or the left-most untrusted hop behind a trusted proxy."""
        client = self.scope.get("client")
        peer = client[0] if client else ""
        if not places.trusts(peer):
            return peer
        hops = ",".join(self.headers.all("x-forwarded-for")).split(",")
        for hop in reversed([hop.strip() for hop in hops if hop.strip()]):
            if not places.trusts(hop):
                return hop
        return peer

    def base_url(self, places: Places) -> str:
        """Return the address that links begin with, without a trailing slash."""
        if places.public_endpoint:
            return places.public_endpoint
        scheme = self.scope.get("scheme", "http")
        host = self.headers.get("host") or ""
        client = self.scope.get("client")
        if client and places.trusts(client[0]):
            scheme = _fitting(_SCHEME, self.headers.get("x-forwarded-proto"), scheme)
            host = _fitting(_HOST, self.headers.get("x-forwarded-host"), host)
        if not host:
            server = self.scope.get("server") or ("127.0.0.1", 9292)
            host = f"{server[0]}:{server[1]}"
        return f"{scheme}://{host}"

    async def blocks(self) -> AsyncIterator[bytes]:
        """Give the body as it comes; not reading is the back pressure. Raises ClientGone."""
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            block = message.get("body", b"")
            if block:
                yield block
            if not message.get("more_body", False):
                return


def _fitting(form: re.Pattern[str], given: str | None, otherwise: str) -> str:
    return given if given is not None and form.match(given) else otherwise
