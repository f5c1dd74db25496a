# SPDX-License-Identifier: Apache-2.0
"""The clients that people really use, pointed at a service by nothing but its credentials.json.

huaweicloudsdkims signs with the access key; openstacksdk, glanceclient and both command lines log
in by password through discovery and catalog. None is patched or configured beyond that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import glanceclient
import openstack
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkims.v2 import (
    CreateImageRequest,
    CreateImageRequestBody,
    ExportImageRequest,
    ExportImageRequestBody,
    ImsClient,
    ListImagesRequest,
    ShowJobRequest,
)
from keystoneauth1 import session as keystone_session
from keystoneauth1.identity import v3 as keystone_identity

from tests.service import Service, until

BIN = Path(sys.executable).parent
Credentials = dict[str, Any]


class Ims:
    """huaweicloudsdkims, and the waiting that it leaves to its users."""

    def __init__(self, known: Credentials) -> None:
        keys = BasicCredentials(known["access_key"], known["secret_key"], known["project_id"])
        builder = ImsClient.new_builder().with_credentials(keys)
        self.client: Any = builder.with_endpoint(known["image_endpoint"]).build()

    def create(self, **body: Any) -> str:
        """Submit a creation; return the job's id."""
        request = CreateImageRequest(body=CreateImageRequestBody(**body))
        return str(self.client.create_image(request).job_id)

    def export(self, image_id: str, url: str, file_format: str) -> str:
        """Submit an export; return the job's id."""
        body = ExportImageRequestBody(bucket_url=url, file_format=file_format)
        request = ExportImageRequest(image_id=image_id, body=body)
        return str(self.client.export_image(request).job_id)

    def job(self, job_id: str) -> Any:
        """Ask for a job once."""
        return self.client.show_job(ShowJobRequest(job_id=job_id))

    def done(self, job_id: str, seconds: float = 90.0) -> Any:
        """Poll a job that must succeed, as scripts do; return its last answer."""
        percent = -1.0
        for _ in until(seconds, 0.15):
            found = self.job(job_id)
            assert found.status in ("INIT", "RUNNING", "SUCCESS"), found
            if found.status == "SUCCESS":
                return found
            now = found.entities.process_percent
            assert percent <= now <= 100.0, "the percentage went back"
            percent = now
        raise AssertionError("unreachable")

    def images(self, **filters: Any) -> list[Any]:
        """List images."""
        found: list[Any] = self.client.list_images(ListImagesRequest(**filters)).images
        return found


def connection(known: Credentials) -> Any:
    """Return an openstacksdk connection."""
    return openstack.connect(
        auth_url=known["auth_url"],
        username=known["username"],
        password=known["password"],
        user_domain_name=known["domain_name"],
        project_name=known["project_name"],
        project_domain_name=known["domain_name"],
        region_name=known["region"],
        load_yaml_config=False,
        load_envvars=False,
        app_name="journey",
    )


def glance(known: Credentials) -> Any:
    """Return a glanceclient (v2) that finds the endpoint in the catalog."""
    auth = keystone_identity.Password(
        auth_url=known["auth_url"],
        username=known["username"],
        password=known["password"],
        user_domain_name=known["domain_name"],
        project_name=known["project_name"],
        project_domain_name=known["domain_name"],
    )
    session = keystone_session.Session(auth=auth)
    return glanceclient.Client("2", session=session, region_name=known["region"])


def openstack_cli(service: Service, *arguments: str | Path) -> str:
    """Run the `openstack` command with the clouds.yaml that the service wrote."""
    environment = {"OS_CLIENT_CONFIG_FILE": str(service.data_dir / "clouds.yaml")}
    return _run(service, "openstack", environment, ["--os-cloud", "calotype", *arguments])


def glance_cli(service: Service, *arguments: str | Path) -> str:
    """Run the `glance` command with the usual OS_ variables."""
    known = service.credentials
    environment = {
        "OS_AUTH_URL": known["auth_url"],
        "OS_USERNAME": known["username"],
        "OS_PASSWORD": known["password"],
        "OS_PROJECT_NAME": known["project_name"],
        "OS_USER_DOMAIN_NAME": known["domain_name"],
        "OS_PROJECT_DOMAIN_NAME": known["domain_name"],
        "OS_REGION_NAME": known["region"],
        "OS_IDENTITY_API_VERSION": "3",
    }
    return _run(service, "glance", environment, list(arguments))


def _run(
    service: Service, program: str, environment: dict[str, str], arguments: list[str | Path]
) -> str:
    """Run a client with a home directory of its own; return what it printed."""
    home = service.root / "home"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [str(BIN / program), *map(str, arguments)],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{program} {arguments}: {done.stdout}\n{done.stderr}"
    return done.stdout
