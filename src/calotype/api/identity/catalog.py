# SPDX-License-Identifier: Apache-2.0
"""The service catalog, and regions, services and endpoints as resources (contract iam.md 5.1).

Made from the address that the client used, or the configured one, and the region. The image
endpoint is the bare root: clients append versions themselves. Ids are derived from what they name,
so they are the same in every process and after every start.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Service:
    name: str
    type: str
    path: str
    everywhere: bool  # also listed for the region `*`


_SERVICES = (
    _Service("iam", "identity", "/v3", True),
    _Service("glance", "image", "", False),
    _Service("ims", "imsv2", "/v2", False),
    _Service("eps", "eps", "/v1.0", True),
)


def catalog(base_url: str, region: str) -> list[Json]:
    """Return the catalog of a token."""
    return [
        {
            "id": _id(service.type),
            "name": service.name,
            "type": service.type,
            "endpoints": [
                {
                    "id": _id(service.type, where),
                    "interface": "public",
                    "region": where,
                    "region_id": where,
                    "url": base_url + service.path,
                }
                for where in _regions_of(service, region)
            ],
        }
        for service in _SERVICES
    ]


def regions(base_url: str, region: str) -> list[Json]:
    """Return the regions."""
    return [
        {
            "id": region,
            "type": "public",
            "description": "",
            "parent_region_id": None,
            "locales": {"en-us": region},
            "links": {"self": f"{base_url}/v3/regions/{region}"},
        }
    ]


def services(base_url: str) -> list[Json]:
    """Return the services."""
    return [
        {
            "id": _id(service.type),
            "name": service.name,
            "type": service.type,
            "description": "",
            "enabled": True,
            "links": {"self": f"{base_url}/v3/services/{_id(service.type)}"},
        }
        for service in _SERVICES
    ]


def endpoints(base_url: str, region: str) -> list[Json]:
    """Return the endpoints."""
    return [
        {
            **endpoint,
            "service_id": service["id"],
            "enabled": True,
            "links": {"self": f"{base_url}/v3/endpoints/{endpoint['id']}"},
        }
        for service in catalog(base_url, region)
        for endpoint in service["endpoints"]
    ]


def _regions_of(service: _Service, region: str) -> tuple[str, ...]:
    return ("*", region) if service.everywhere else (region,)


def _id(*names: str) -> str:
    return hashlib.sha256(b"calotype catalog " + "/".join(names).encode()).hexdigest()[:32]
