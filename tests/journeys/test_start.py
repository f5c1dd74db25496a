# SPDX-License-Identifier: Apache-2.0
"""Starting and stopping: what the first start makes, that a second finds it, and the cluster shape.

Source: architecture, sections 1 and 3.
"""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests import sdk
from tests.conftest import FreshService
from tests.leftovers import assert_clean
from tests.made_disks import make_disk, raw_bytes, same_content
from tests.service import Service, until
from tests.wire import Api, login, operator_of, root_of

WRITTEN = {
    "auth_url",
    "username",
    "password",
    "domain_name",
    "domain_id",
    "project_name",
    "project_id",
    "region",
    "access_key",
    "secret_key",
    "image_endpoint",
    "bucket",
    "operator_token",
}


def test_the_first_start_makes_an_account_and_two_files_for_its_clients(service: Service) -> None:
    path = service.data_dir / "credentials.json"
    known = service.credentials
    assert set(known) == WRITTEN
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (known["domain_name"], known["username"]) == ("calotype", "admin")
    assert known["project_name"] == known["region"] == "region-1"
    clouds = service.data_dir / "clouds.yaml"
    assert stat.S_IMODE(clouds.stat().st_mode) == 0o600
    cloud = yaml.safe_load(clouds.read_text())["clouds"]["calotype"]
    assert cloud["auth"]["auth_url"] == known["auth_url"] == f"{service.base_url}/v3"
    for secret in (known["password"], known["secret_key"], known["operator_token"]):
        assert secret not in service.logs()


def test_health_and_metrics_answer(service: Service) -> None:
    api = Api(service.base_url, "", "")
    assert api.call("GET", "/healthz").status_code == 200
    assert api.call("GET", "/readyz").status_code == 200
    assert api.call("GET", "/metrics").status_code == 200, "a loopback peer may read them"


def test_the_operator_token_makes_accounts_and_nobody_else_does(
    service: Service, root: Api
) -> None:
    found = operator_of(service).ok("GET", "/authz/v1/accounts")
    assert "calotype" in {account["name"] for account in found["accounts"]}
    body = {"account": {"name": "mine", "root": {"password": "Pw.0123456789abcdef"}}}
    assert root.call("POST", "/authz/v1/accounts", body).status_code == 403


def test_a_second_start_finds_everything_again_and_corrects_the_addresses(
    fresh_service: FreshService, tmp_path: Path
) -> None:
    service = fresh_service(ADMIN_PASSWORD="chosen-Password.1")
    api = root_of(service)
    image_id = api.make(raw_bytes(), name="kept")
    before = service.credentials
    assert before["password"] == "chosen-Password.1"
    service.stop()
    service.base_url = ""
    service.start()
    after = service.credentials
    moved = {"auth_url", "image_endpoint"}
    assert {k: v for k, v in after.items() if k not in moved} == {
        k: v for k, v in before.items() if k not in moved
    }
    assert after["image_endpoint"] == service.base_url != before["image_endpoint"]
    old_token = Api(service.base_url, api.token, api.project_id)
    assert old_token.native(image_id)["status"] == "active", "tokens survive a restart"
    assert root_of(service).download(image_id).content == raw_bytes()
    cloud = yaml.safe_load((service.data_dir / "clouds.yaml").read_text())["clouds"]["calotype"]
    assert cloud["auth"]["auth_url"] == after["auth_url"]


def test_sigterm_lets_a_running_upload_end(fresh_service: FreshService) -> None:
    service = fresh_service()
    api = root_of(service)
    image_id = api.make()
    stopping = threading.Event()

    def slow() -> Iterator[bytes]:
        yield raw_bytes()
        for _ in until(20, 0.02):
            if root_of(service).native(image_id)["status"] == "saving":
                break
        stopping.set()
        for _ in until(20, 0.05):
            if not ready(service):
                break
        yield raw_bytes()

    stopper = threading.Thread(target=lambda: (stopping.wait(30), service.stop()))
    stopper.start()
    assert api.upload(image_id, slow()).status_code == 204
    stopper.join()
    service.restart()
    image = root_of(service).native(image_id)
    assert (image["status"], image["size"]) == ("active", 2 * len(raw_bytes()))


def ready(service: Service) -> bool:
    try:
        return httpx.get(f"{service.base_url}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_check_says_what_this_machine_offers(service: Service) -> None:
    done = service.cli("check", "--json")
    found = {each["what"]: each for each in json.loads(done.stdout)}
    assert done.returncode == 0, done.stdout
    assert any("qemu-img" in what for what in found)


@pytest.mark.heavy
@pytest.mark.xdist_group("cluster")
def test_the_cluster_shape_does_the_main_job_on_postgresql_and_s3(
    start_cluster: Any, tmp_path: Path
) -> None:
    cluster = start_cluster(workers=1)
    service = cluster.service
    known = service.credentials
    disk = make_disk(tmp_path, "vhdx", seed=81)
    url = service.bucket_put(disk.path, "in/disk.vhdx")
    ims = sdk.Ims(known)
    image_id = ims.done(ims.create(name="clustered", image_url=url, min_disk=1)).entities.image_id
    with sdk.connection(known) as cloud:
        found = cloud.image.find_image("clustered", ignore_missing=False)
        assert (found.id, found.status) == (image_id, "active")
        file = tmp_path / "disk.qcow2"
        cloud.image.download_image(found, output=str(file))
    assert same_content(file, "qcow2", disk.raw, "raw")
    target = f"{known['bucket']}:out/disk.vmdk"
    ims.done(ims.export(image_id, target, "vmdk"))
    exported = service.bucket_get(target, tmp_path / "disk.vmdk")
    assert same_content(exported, "vmdk", disk.raw, "raw")
    api = root_of(service)
    other = api.make(raw_bytes())
    part = api.download(other, Range="bytes=100-199")
    assert (part.status_code, part.content) == (206, raw_bytes()[100:200])
    assert api.call("DELETE", f"/v2/images/{other}").status_code == 204
    assert_clean(service, cluster.stored)
    user = login(service, known["username"], known["password"], known["domain_name"])
    assert user.ok("GET", "/v3/auth/projects")["projects"][0]["id"] == known["project_id"]
