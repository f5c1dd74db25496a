# SPDX-License-Identifier: Apache-2.0
"""Takes the address: sockets, TLS files and the URL that people see.

Sockets are made here and not by the event loop, so that port 0, several addresses of one host name
and a port shared by processes all work the same way.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

_WANTED_FILES = 65536


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen: `uds` (a path) or `host` and `port`; port 0 lets the kernel choose.

    `tls_cert` and `tls_key` are PEM files; with `reuse_port` several processes share one port.
    """

    host: str = "127.0.0.1"
    port: int = 9292
    uds: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    reuse_port: bool = False
    backlog: int = 2048


def bind(listen: Listen) -> list[socket.socket]:
    """Return bound sockets, not yet listening. Raises OSError when the address cannot be taken."""
    if listen.uds is not None:
        return [_bind_path(listen.uds)]
    found = socket.getaddrinfo(
        listen.host or None,
        listen.port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE,
    )
    sockets: list[socket.socket] = []
    port = listen.port
    try:
        for family, address in dict.fromkeys((entry[0], entry[4]) for entry in found):
            sock = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if listen.reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                # `::` and `0.0.0.0` of one name would otherwise fight for the port.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address[0], port, *address[2:]))
            port = sock.getsockname()[1]
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _bind_path(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode) and not _answers(path):
            path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(os.fspath(path))
        path.chmod(0o660)
    except OSError:
        sock.close()
        raise
    return sock


def _answers(path: Path) -> bool:
    """Tell whether a process listens there; a left-over socket of a killed one does not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(os.fspath(path)) == 0


def url_of(sock: socket.socket, listen: Listen) -> str:
    """Return the base URL of a bound socket, with the port that it really has."""
    if listen.uds is not None:
        return f"unix:{listen.uds}"
    host, port = sock.getsockname()[:2]
    scheme = "https" if listen.tls_cert is not None else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def tls_context(listen: Listen) -> ssl.SSLContext | None:
    """Return the server's TLS context, TLS 1.2 or later, or None without a certificate.

    Raises OSError for a missing file and ssl.SSLError for an unusable one.
    """
    if listen.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(listen.tls_cert, listen.tls_key)
    return context


def raise_file_limit() -> None:
    """Let the process hold as many connections as the system allows it to (soft to hard limit)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, _WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
