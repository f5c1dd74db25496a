# SPDX-License-Identifier: Apache-2.0
"""Corners of the IMS dialect: order of checks, whole images, public images, what messages name.

The rules are ims.md C1, ims.list and ims.create_whole, values.md 6.1, iam.md 4.5.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.made_disks import raw_bytes
from tests.people import Account, fresh
from tests.service import Service
from tests.wire import PATCH_21, Api, ims_error, operator_of

WHOLE = "/v1/cloudimages/wholeimages/action"
SERVER = "5be1d5a8-5b0b-4b0c-9c53-2f7f2c1d8e11"
CREATE = "/v2/cloudimages/action"


@pytest.fixture(scope="module")
def api(service: Service) -> Api:
    """The root user of an account of this file."""
    return Account.make(service).root


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "IMG.0001"),
        ([{"op": "replace", "path": "name", "value": ""}], "IMG.0066"),
        ([{"op": "add", "path": "/enterprise_project_id", "value": "x"}], "IMG.0066"),
    ],
)
def test_the_id_in_the_path_is_checked_between_the_json_and_the_fields(
    api: Api, body: Any, code: str
) -> None:
    status, found, message = ims_error(api.call("PATCH", "/v2/cloudimages/no-id", body))
    assert (status, found) == (400, code), message
    assert code != "IMG.0066" or "no-id" in message


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({}, "IMG.0105", ["backup"]),
        ({"name": None}, "IMG.0013", ["name"]),
        ({"backup_id": SERVER}, "IMG.0001", ["instance_id", "backup_id"]),
        ({"instance_id": None}, "IMG.0019", ["instance_id", "backup_id"]),
        ({"instance_id": ""}, "IMG.0012", ["instance_id"]),
        ({"instance_id": "x"}, "IMG.0012", ["instance_id", '"x"']),
        ({"instance_id": None, "backup_id": ""}, "IMG.0019", ["backup_id"]),
        ({"instance_id": None, "backup_id": "x"}, "IMG.0019", ["backup_id", '"x"']),
        ({"instance_id": None, "backup_id": SERVER}, "IMG.0105", ["backup"]),
        (
            {"instance_id": None, "backup_id": SERVER, "whole_image_type": "ABC"},
            "IMG.0001",
            ["whole_image_type", "ABC", "CSBS", "CBR"],
        ),
        ({"whole_image_type": "ABC"}, "IMG.0105", ["backup"]),
        ({"whole_image_type": 5}, "IMG.0001", ["whole_image_type", "5"]),
        ({"vault_id": "x"}, "IMG.0031", ["vault_id", '"x"']),
        ({"min_ram": "1"}, "IMG.0055", ["min_ram", '"1"', "2147483647"]),
        ({"min_ram": 2, "max_ram": 1}, "IMG.0055", ["max_ram", "1", "2"]),
        ({"volume_id": SERVER}, "IMG.0001", ["volume_id"]),
    ],
)
def test_a_whole_image_passes_all_checks_and_then_lacks_its_backend(
    api: Api, change: dict[str, Any], code: str, words: list[str]
) -> None:
    body = {"name": "whole", "instance_id": SERVER} | change
    status, found, message = ims_error(api.call("POST", WHOLE, body))
    assert (status, found) == (400, code), message
    assert [word for word in words if word not in message] == []


def publish(service: Service, image_id: str) -> None:
    content = b'[{"op": "replace", "path": "/visibility", "value": "public"}]'
    answer = operator_of(service).call(
        "PATCH", f"/v2/images/{image_id}", content=content, headers={"Content-Type": PATCH_21}
    )
    assert answer.status_code == 200, answer.text


def test_a_public_image_is_protected_and_lies_in_no_enterprise_project(
    service: Service, api: Api, account: Account
) -> None:
    name = fresh("gold")
    image_id = api.make(raw_bytes(), name=name)
    usual = {"__imagetype": "gold", "visibility": "public", "protected": "true", "name": name}

    def found(caller: Api, **filters: str) -> list[str]:
        return [image["id"] for image in caller.ims_images(**filters)]

    assert found(api, name=name, protected="false") == [image_id]
    assert found(api, name=name, enterprise_project_id="0") == [image_id]
    publish(service, image_id)
    for caller in (api, account.root):
        assert caller.ims_images(**usual)[0]["protected"] is True
        assert found(caller, **usual | {"protected": "false"}) == []
        assert found(caller, name=name, enterprise_project_id="0") == []
        assert found(caller, name=name, __imagetype="gold", enterprise_project_id="0") == []
    assert api.native(image_id)["protected"] is False
    deleted = operator_of(service).call("DELETE", f"/v2/images/{image_id}")
    assert deleted.status_code == 204


def test_a_refused_object_is_named(account: Account, tmp_path: Path) -> None:
    bucket = account.bucket()
    body = {"name": "x", "image_url": f"{bucket}:none/such.raw", "min_disk": 1}
    status, code, message = ims_error(account.root.call("POST", CREATE, body))
    assert (status, code) == (400, "IMG.0057")
    assert f"image_url: {bucket}:none/such.raw" in message
    file = tmp_path / "there.raw"
    file.write_bytes(raw_bytes())
    there = {"bucket_url": account.put(file, bucket, "there.raw"), "file_format": "raw"}
    image_id = account.root.make(raw_bytes())
    path = f"/v1/cloudimages/{image_id}/file"
    status, code, message = ims_error(account.root.call("POST", path, there))
    assert (status, code) == (400, "IMG.0070")
    assert f"bucket_url: {bucket}:there.raw" in message


def test_a_message_shows_no_sign_that_turns_text_around(api: Api) -> None:
    body = {"name": "x", "image_url": "bucket:x.raw", "min_disk": 1, "description": "a\u202e键"}
    message = ims_error(api.call("POST", CREATE, body))[2]
    assert "a\\u202e键" in message
