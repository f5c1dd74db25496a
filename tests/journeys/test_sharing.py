# SPDX-License-Identifier: Apache-2.0
"""Two tenants share images: huaweicloudsdkims, signed, and openstacksdk, by password.

The clients are unmodified. The owner shares and tags through one dialect, the receiver answers
through the other, and each sees what the other did (ims.md, native.md 16 to 18, jobs.md 6).
"""

from __future__ import annotations

from typing import Any

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkims.v2 import (
    AddImageTagRequest,
    AddImageTagRequestBody,
    BatchAddMembersRequest,
    BatchAddMembersRequestBody,
    BatchAddOrDeleteTagsRequest,
    BatchAddOrDeleteTagsRequestBody,
    BatchDeleteMembersRequest,
    BatchDeleteTagsRequest,
    BatchDeleteTagsRequestBody,
    BatchUpdateMembersRequest,
    BatchUpdateMembersRequestBody,
    DeleteImageTagRequest,
    ListImageByTagsRequest,
    ListImageByTagsRequestBody,
    ListImageMembersRequest,
    ListImagesTagsRequest,
    ListImageTagsRequest,
    ListTagsRequest,
    ResourceTag,
    ShowImageMemberRequest,
    ShowImageQuotaRequest,
    TagKeyValue,
    Tags,
)
from openstack.exceptions import ForbiddenException, NotFoundException

from tests import sdk
from tests.made_disks import raw_bytes
from tests.people import Account
from tests.service import Service, until


def ims_of(account: Account) -> sdk.Ims:
    """Return huaweicloudsdkims with an access key of the account's root user."""
    access, secret = account.access_key(account.root_id)
    known = account.service.credentials | {
        "access_key": access,
        "secret_key": secret,
        "project_id": account.project,
    }
    return sdk.Ims(known)


def cloud_of(account: Account) -> Any:
    """Return openstacksdk with the root user's token of the account."""
    user = account.user()
    account.allow(user, ("ims:*:*",))
    known = account.service.credentials
    return sdk.connection(
        known
        | {
            "username": user.name,
            "password": user.password,
            "domain_name": account.name,
            "project_name": known["project_name"],
        }
    )


def ended(ims: sdk.Ims, job_id: str) -> Any:
    """Poll a job to its end, good or bad."""
    for _ in until(60, 0.1):
        found = ims.job(job_id)
        if found.status in ("SUCCESS", "FAIL"):
            return found
    raise AssertionError("unreachable")


def add_members(ims: sdk.Ims, images: list[str], projects: list[str]) -> Any:
    body = BatchAddMembersRequestBody(images=images, projects=projects)
    return ended(ims, ims.client.batch_add_members(BatchAddMembersRequest(body=body)).job_id)


def answer(ims: sdk.Ims, images: list[str], project: str, status: str) -> Any:
    body = BatchUpdateMembersRequestBody(images=images, project_id=project, status=status)
    job_id = ims.client.batch_update_members(BatchUpdateMembersRequest(body=body)).job_id
    return ended(ims, job_id)


@pytest.mark.heavy
def test_images_shared_in_one_dialect_are_received_in_the_other(
    service: Service, account: Account
) -> None:
    receiver = Account.make(service)
    ims, cloud = ims_of(account), cloud_of(receiver)
    content = raw_bytes()
    images = [account.root.make(content, name=f"shared {number}") for number in range(2)]
    done = add_members(ims, images, [receiver.project])
    assert (done.status, done.job_type) == ("SUCCESS", "imsAddImageMembersJob")
    assert [(one.image_id, one.project_id, one.status) for one in done.entities.results] == [
        (image_id, receiver.project, "success") for image_id in images
    ]
    first, second = images
    waiting = {image.id for image in cloud.image.images(member_status="pending")}
    assert set(images) <= waiting and cloud.image.get_image(first).visibility == "shared"
    cloud.image.update_member(receiver.project, first, status="accepted")
    cloud.image.update_member(receiver.project, second, status="rejected")
    assert [image.id for image in cloud.image.images()] == [first]
    assert cloud.image.download_image(first).content == content
    (record,) = cloud.image.members(first)
    assert (record.member_id, record.status) == (receiver.project, "accepted")
    listed = ims.client.list_image_members(ListImageMembersRequest(image_id=second))
    (shown,) = listed.members
    assert (shown.member_id, shown.status) == (receiver.project, "rejected")
    assert (listed.page_info.current_count, listed.page_info.next_marker) == (1, None)
    one = ShowImageMemberRequest(image_id=first, member_id=receiver.project)
    assert ims.client.show_image_member(one).status == "accepted"
    body = BatchAddMembersRequestBody(images=images, projects=[receiver.project])
    gone = ims.client.batch_delete_members(BatchDeleteMembersRequest(body=body)).job_id
    assert ended(ims, gone).job_type == "imsDelImageMembersJob"
    with pytest.raises(NotFoundException):
        cloud.image.get_image(first)


@pytest.mark.heavy
def test_images_shared_natively_are_accepted_by_a_job(service: Service, account: Account) -> None:
    receiver = Account.make(service)
    ims, cloud = ims_of(receiver), cloud_of(account)
    image_id = account.root.make(raw_bytes(), name="lent", visibility="private")
    made = cloud.image.add_member(image_id, member_id=receiver.project)
    assert made.status == "pending"
    assert cloud.image.get_image(image_id).visibility == "shared"
    with pytest.raises(ForbiddenException):
        cloud.image.update_member(receiver.project, image_id, status="accepted")
    done = answer(ims, [image_id], receiver.project, "accepted")
    assert (done.status, done.job_type) == ("SUCCESS", "imsUpdateImageMembersJob")
    assert [image.id for image in ims.images(imagetype="shared")] == [image_id]
    cloud.image.deactivate_image(image_id)
    with pytest.raises(ClientRequestException) as refused:
        add_members(ims_of(account), [image_id], [service.credentials["project_id"]])
    assert refused.value.error_code == "IMG.0046"
    cloud.image.reactivate_image(image_id)
    cloud.image.remove_member(receiver.project, image_id)
    assert ims.images(imagetype="shared") == []
    assert cloud.image.get_image(image_id).visibility == "private"


@pytest.mark.heavy
def test_tags_of_both_clients_meet_in_one_store(account: Account) -> None:
    ims, cloud = ims_of(account), cloud_of(account)
    image_id = account.root.make(raw_bytes(), name="tagged")
    tag = ResourceTag(key="env", value="prod")
    ims.client.add_image_tag(
        AddImageTagRequest(image_id=image_id, body=AddImageTagRequestBody(tag=tag))
    )
    image = cloud.image.get_image(image_id)
    cloud.image.add_tag(image, "lts")
    assert sorted(cloud.image.get_image(image_id).tags) == ["env=prod", "lts"]
    more = [ResourceTag(key="env", value="stage"), ResourceTag(key="web", value="")]
    body = BatchAddOrDeleteTagsRequestBody(action="create", tags=more)
    ims.client.batch_add_or_delete_tags(BatchAddOrDeleteTagsRequest(image_id=image_id, body=body))
    found = ims.client.list_image_tags(ListImageTagsRequest(image_id=image_id)).tags
    pairs = [("env", "stage"), ("lts", ""), ("web", "")]
    assert [(one.key, one.value) for one in found] == pairs
    search = ListImageByTagsRequestBody(
        action="filter",
        limit="10",
        offset="0",
        tags=[Tags(key="env", values=["stage"])],
        not_tags=[Tags(key="absent", values=[])],
        matches=[TagKeyValue(key="resource_name", value="TAG")],
    )
    answer = ims.client.list_image_by_tags(ListImageByTagsRequest(body=search))
    (resource,) = answer.resources
    assert (answer.total_count, resource.resource_id) == (1, image_id)
    assert resource.resource_detail.status == "active"
    strings = ims.client.list_tags(ListTagsRequest(name="tagged")).tags
    assert strings == ["env=stage", "lts", "web"]
    every = ims.client.list_images_tags(ListImagesTagsRequest()).tags
    assert ("env", ["stage"]) in [(one.key, one.values) for one in every]
    ims.client.delete_image_tag(DeleteImageTagRequest(image_id=image_id, key="web"))
    gone = BatchDeleteTagsRequestBody(tags=[ResourceTag(key="env", value="stage")])
    ims.client.batch_delete_tags(BatchDeleteTagsRequest(image_id=image_id, body=gone))
    cloud.image.remove_tag(cloud.image.get_image(image_id), "lts")
    assert cloud.image.get_image(image_id).tags == []


@pytest.mark.heavy
def test_both_clients_read_quota_and_information(account: Account) -> None:
    ims, cloud = ims_of(account), cloud_of(account)
    account.root.make(raw_bytes(), name="counted")
    (resource,) = ims.client.show_image_quota(ShowImageQuotaRequest()).quotas.resources
    assert (resource.type, resource.used, resource.quota) == ("image", 1, 2000)
    assert [store.id for store in cloud.image.stores()] == ["default"]
    methods = cloud.image.get_import_info().import_methods
    assert "glance-direct" in methods["value"]
    assert cloud.image.get_task_schema().properties["status"]["enum"]
