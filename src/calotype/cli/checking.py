# SPDX-License-Identifier: Apache-2.0
"""What `calotype check` looks at: this machine, its network side, and (`checking_places`) the rest.

Each look gives findings and raises nothing for a state that it is there to find. Nothing is made
that the first start would make, except a probe in each store that exists, removed at once.
"""

from __future__ import annotations

import ipaddress
import platform
import ssl
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from calotype import clock
from calotype.cli import checking_places
from calotype.cli.finding import Finding, missing, ok, warn
from calotype.disks import convert
from calotype.settings import Settings

_OLDEST_PYTHON = (3, 11)
_OLDEST_TOOL = (6, 0)
_EXPIRES_SOON = timedelta(days=30)
_SHORTEST_PASSWORD = 12


def findings(settings: Settings) -> list[Finding]:
    """Return every finding, in the order of the table."""
    return [*_machine(settings), *checking_places.findings(settings), *_network(settings)]


def _machine(settings: Settings) -> Iterator[Finding]:
    version = platform.python_version()
    if sys.version_info >= _OLDEST_PYTHON:
        yield ok("python", version)
    else:
        yield missing("python", version, "use Python 3.11 or newer")
    tools = convert.check_tools()
    yield _converter(tools.qemu_img)
    yield _sandbox(tools, required=settings.sandbox == "require")


def _converter(version: str | None) -> Finding:
    install = "apt-get install --no-install-recommends qemu-utils"
    if version is None:
        return missing("qemu-img", "not there, or does not start", install)
    if tuple(map(int, version.split(".")[:2])) < _OLDEST_TOOL:
        return warn("qemu-img", version, "older than 6.0, which is the oldest one tried")
    return ok("qemu-img", version)


def _sandbox(tools: convert.Tools, *, required: bool) -> Finding:
    kind = tools.sandbox
    if kind.name == "bubblewrap":
        filtered = "with" if kind.call_filter else "without"
        return ok("sandbox", f"bubblewrap, {filtered} a system-call filter")
    advice = (
        "apt-get install bubblewrap; where it is installed, allow user name spaces"
        " (sysctl kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu 24.04)"
    )
    if required:
        return missing("sandbox", "resource limits only, and SANDBOX is `require`", advice)
    return warn("sandbox", "resource limits only", advice)


def _network(settings: Settings) -> Iterator[Finding]:
    yield _exposure(settings)
    if settings.tls_cert is not None:
        yield _certificate(settings.tls_cert, settings.tls_key)
    allowed = settings.import_allow
    if "any-public" in allowed:
        advice = "name the origins that may be imported from, as scheme://host[:port]"
        yield warn("web imports", "from any public address", advice)
    else:
        yield ok("web imports", ", ".join(allowed) or "off")
    password = settings.admin_password.get_secret_value()
    if password and (len(password) < _SHORTEST_PASSWORD or password.isalpha()):
        yield missing(
            "root password",
            "ADMIN_PASSWORD can be guessed",
            f"leave it out for a random one, or take {_SHORTEST_PASSWORD} mixed characters",
        )


def _exposure(settings: Settings) -> Finding:
    what = "address"
    place = f"{settings.host} port {settings.port}"
    public = settings.public_endpoint
    if settings.tls_cert is not None:
        return ok(what, f"https on {place}")
    if public.startswith("https://"):
        return ok(what, f"http on {place}, behind {public}")
    if not _is_loopback(settings.host):
        advice = "give --tls-cert and --tls-key, or put a proxy before it and name PUBLIC_ENDPOINT"
        return warn(what, f"http on {place}: passwords and tokens travel in the clear", advice)
    return ok(what, f"http on {place}, this machine only")


def _certificate(cert: Path, key: Path | None) -> Finding:
    what = "certificate"
    from cryptography import x509

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
        end = x509.load_pem_x509_certificate(cert.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        text = getattr(error, "strerror", None) or str(error)
        return missing(what, f"{cert}: {text}", "give a PEM chain and the key that belongs to it")
    left = end - clock.now()
    if left < timedelta(0):
        return missing(what, f"ended on {end:%Y-%m-%d}", "renew it")
    if left < _EXPIRES_SOON:
        return warn(what, f"ends on {end:%Y-%m-%d}", "renew it")
    return ok(what, f"until {end:%Y-%m-%d}")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
