# SPDX-License-Identifier: Apache-2.0
"""Finds credentials as OpenStack clients do, else in the data directory.

Order: `OS_CLOUD` in a clouds.yaml, `OS_AUTH_URL` and its companions, `credentials.json` of the
data directory (`--data-dir`, `CALOTYPE_DATA_DIR`, `data`). Besides `settings.py` the only module
that reads the environment, because the client half must start without the settings library.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from calotype.errors import Invalid


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a password login needs. `source` says where it was found, for messages."""

    auth_url: str
    username: str
    password: str
    user_domain: str
    project: str
    project_domain: str
    region: str
    source: str
    ca_file: str = ""


def data_dir(given: Path | None) -> Path:
    """Return the data directory that a command means."""
    return given or Path(os.environ.get("CALOTYPE_DATA_DIR", "data"))


def find(directory: Path | None = None) -> Credentials:
    """Return the credentials of this user. Raises Invalid when none are found."""
    environment = os.environ
    if directory is None:
        if environment.get("OS_CLOUD"):
            return _from_clouds(environment["OS_CLOUD"], environment)
        if environment.get("OS_AUTH_URL"):
            return _from_environment(environment)
    return _from_data_dir(data_dir(directory), environment)


def _from_environment(environment: Mapping[str, str]) -> Credentials:
    domain = environment.get("OS_USER_DOMAIN_NAME") or environment.get("OS_DOMAIN_NAME", "")
    return Credentials(
        auth_url=environment["OS_AUTH_URL"],
        username=environment.get("OS_USERNAME", ""),
        password=environment.get("OS_PASSWORD", ""),
        user_domain=domain,
        project=environment.get("OS_PROJECT_NAME") or environment.get("OS_TENANT_NAME", ""),
        project_domain=environment.get("OS_PROJECT_DOMAIN_NAME") or domain,
        region=environment.get("OS_REGION_NAME", ""),
        source="the OS_ variables",
        ca_file=environment.get("OS_CACERT", ""),
    )


def _from_clouds(name: str, environment: Mapping[str, str]) -> Credentials:
    import yaml

    places = [Path("clouds.yaml"), Path.home() / ".config/openstack/clouds.yaml"]
    if environment.get("OS_CLIENT_CONFIG_FILE"):
        places.insert(0, Path(environment["OS_CLIENT_CONFIG_FILE"]))
    places.append(Path("/etc/openstack/clouds.yaml"))
    for path in places:
        if not path.exists():
            continue
        try:
            cloud = (yaml.safe_load(path.read_text()) or {}).get("clouds", {}).get(name)
        except (yaml.YAMLError, AttributeError):
            raise Invalid(f"{path} is no clouds.yaml", rule="no_credentials") from None
        if cloud is None:
            continue
        auth = cloud.get("auth", {})
        domain = auth.get("user_domain_name", auth.get("domain_name", ""))
        return Credentials(
            auth_url=auth.get("auth_url", ""),
            username=auth.get("username", ""),
            password=auth.get("password", ""),
            user_domain=domain,
            project=auth.get("project_name", ""),
            project_domain=auth.get("project_domain_name", domain),
            region=cloud.get("region_name", ""),
            source=str(path),
            ca_file=cloud.get("cacert") or environment.get("OS_CACERT", ""),
        )
    raise Invalid(
        f"no clouds.yaml holds the cloud {name}; set OS_CLIENT_CONFIG_FILE to the file that does",
        rule="no_credentials",
    )


def _from_data_dir(directory: Path, environment: Mapping[str, str]) -> Credentials:
    path = directory / "credentials.json"
    try:
        found = json.loads(path.read_text())
        return Credentials(
            auth_url=found["auth_url"],
            username=found["username"],
            password=found["password"],
            user_domain=found["domain_name"],
            project=found["project_name"],
            project_domain=found["domain_name"],
            region=found["region"],
            source=str(path),
            ca_file=environment.get("OS_CACERT", ""),
        )
    except FileNotFoundError:
        raise Invalid(
            f"no credentials: there is no {path}; start the service with that data directory, name"
            " another with --data-dir or CALOTYPE_DATA_DIR, or set OS_CLOUD or OS_AUTH_URL",
            rule="no_credentials",
        ) from None
    except PermissionError:
        raise Invalid(
            f"{path} belongs to another user; set OS_CLOUD or OS_AUTH_URL to use your own login",
            rule="no_credentials",
        ) from None
    except (ValueError, KeyError, TypeError):
        raise Invalid(f"{path} is not as the service wrote it", rule="no_credentials") from None
