# SPDX-License-Identifier: Apache-2.0
"""CLIENT-NEEDS 6, Must 19, 29, 30, 48, 51 and section 4: tags, members, quota, OS list.

The sequences are those of the Terraform providers (CLIENT-NEEDS 3.2, 3.3).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.made_disks import raw_bytes
from tests.people import Account, fresh
from tests.service import Service, until
from tests.type_table import SECONDS, UUID, check_job, number, text
from tests.wire import Api


@pytest.fixture(scope="module")
def owner(service: Service) -> Account:
    return Account.make(service)


@pytest.fixture(scope="module")
def consumer(service: Service) -> Account:
    return Account.make(service)


def poll(api: Api, job_id: str) -> dict[str, Any]:
    """Poll as the share resource does: any other word than these three is an error there."""
    for _ in until(60, 0.05):
        job = api.job(job_id)
        check_job(job)
        assert job["status"] in ("INIT", "RUNNING", "SUCCESS"), job
        if job["status"] == "SUCCESS":
            return job
    raise AssertionError("unreachable")


@pytest.mark.parametrize("query", ["", "?tag=x86", "?tag=x86&tag=uefi", "?tag=arm,bms"])
def test_m19_the_os_list_is_a_bare_array_and_takes_repeated_tags(
    owner: Account, query: str
) -> None:
    found = owner.root.ok("GET", f"/v1/cloudimages/os_version{query}")
    assert isinstance(found, list)
    assert found
    for platform in found:
        assert set(platform) == {"platform", "version_list"}
        for version in platform["version_list"]:
            assert version["platform"] == platform["platform"]
            assert version["os_version_key"] == version["os_version"]
            assert version["os_bit"] in (32, 64)
            assert version["os_type"] in ("Linux", "Windows", "Other")


def test_m29_tags_are_readable_when_the_job_says_success_and_are_replaced_by_two_calls(
    owner: Account, tmp_path: Path
) -> None:
    file = tmp_path / "disk.raw"
    file.write_bytes(raw_bytes())
    url = owner.put(file, owner.bucket(), "disk.raw")
    tags = [{"key": "env", "value": "prod"}, {"key": "web", "value": ""}]
    image_id = owner.root.import_file(url, fresh("tagged"), image_tags=tags)
    path = f"/v2/{owner.project}/images/{image_id}/tags"
    assert owner.root.ok("GET", path) == {"tags": tags}
    for action, changed in (("delete", tags), ("create", [{"key": "env", "value": "test"}])):
        body = {"action": action, "tags": changed}
        assert owner.root.call("POST", f"{path}/action", body).status_code == 204
    assert owner.root.ok("GET", path) == {"tags": [{"key": "env", "value": "test"}]}
    assert owner.root.ims_images(id=image_id)[0]["tags"] == ["env=test"]


def test_m30_member_jobs_of_three_methods_answer_exactly_200(
    owner: Account, consumer: Account
) -> None:
    image_id = owner.root.make(raw_bytes(), visibility="private")
    shared = {"images": [image_id], "projects": [consumer.project]}
    path = "/v1/cloudimages/members"
    job = poll(owner.root, owner.root.submit(path, shared))
    assert job["job_type"] == "imsAddImageMembersJob"
    (result,) = job["entities"]["results"]
    assert result == {"image_id": image_id, "project_id": consumer.project, "status": "success"}
    assert consumer.root.ims_images(id=image_id) == [], "pending: not in default lists"
    taken = {"images": [image_id], "project_id": consumer.project, "status": "accepted"}
    poll(consumer.root, consumer.root.submit(path, taken, "PUT"))
    (seen,) = consumer.root.ims_images(id=image_id)
    assert (seen["__imagetype"], seen["owner"]) == ("shared", owner.project)
    assert "__data_origin" not in seen
    poll(owner.root, owner.root.submit(path, shared, "DELETE"))
    assert consumer.root.ims_images(id=image_id) == []


def test_m48_a_native_member_is_pending_until_it_accepts_itself(
    owner: Account, consumer: Account
) -> None:
    image_id = owner.root.make(raw_bytes())
    path = f"/v2/images/{image_id}/members"
    added = owner.root.call("POST", path, {"member": consumer.project})
    assert added.status_code == 200
    one = f"{path}/{consumer.project}"
    member = owner.root.ok("GET", one)
    assert member["status"] == "pending"
    for field in ("member_id", "image_id", "status", "schema"):
        assert text(member[field])
    assert SECONDS(member["created_at"])
    assert SECONDS(member["updated_at"])
    assert owner.root.call("PUT", one, {"status": "accepted"}).status_code == 403
    accepted = consumer.root.call("PUT", one, {"status": "accepted"})
    assert (accepted.status_code, accepted.json()["status"]) == (200, "accepted")
    assert consumer.root.ok("GET", one)["status"] == "accepted"
    assert consumer.root.call("PUT", one, {"status": "rejected"}).status_code == 200
    assert owner.root.call("DELETE", one).status_code == 204
    assert owner.root.call("GET", one).status_code == 404


def test_m51_the_import_methods_and_the_stores_are_told(owner: Account) -> None:
    methods = owner.root.ok("GET", "/v2/info/import")["import-methods"]
    assert methods["type"] == "array"
    assert isinstance(methods["value"], list)
    stores = owner.root.ok("GET", "/v2/info/stores")["stores"]
    assert [(store["id"], store.get("default")) for store in stores] == [("default", "true")]


def test_section_4_quota_and_search_by_tags_have_numbers(owner: Account) -> None:
    owner.root.make(tags=["sought=yes"], name="found by its tag")
    (quota,) = owner.root.ok("GET", "/v1/cloudimages/quota")["quotas"]["resources"]
    assert quota["type"] == "image"
    assert all(number(quota[field]) for field in ("used", "quota", "min", "max"))
    body: dict[str, Any] = {"action": "filter", "limit": "1000", "offset": "0"}
    body["tags"] = [{"key": "sought", "values": ["yes"]}]
    path = f"/v2/{owner.project}/images/resource_instances/action"
    found = owner.root.ok("POST", path, body)
    assert number(found["total_count"])
    (resource,) = found["resources"]
    assert UUID(resource["resource_id"])
    assert isinstance(resource["resource_detail"], dict)
    assert resource["tags"] == [{"key": "sought", "value": "yes"}]
    past = owner.root.ok("POST", path, body | {"offset": "1000"})
    assert (past["resources"], past["total_count"]) == ([], 1)
