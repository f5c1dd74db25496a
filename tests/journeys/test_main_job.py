# SPDX-License-Identifier: Apache-2.0
"""The main job end to end with unmodified clients: a disk in a bucket becomes an image and back.

huaweicloudsdkims imports and exports, openstacksdk finds and downloads, qemu-img judges whether a
guest would read the same bytes. Nothing but credentials.json is given to the clients.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from tests import sdk
from tests.made_disks import FORMATS, Disk, make_disk, real_format, same_content, sha512
from tests.people import fresh
from tests.service import Service

EXPORTS = ("qcow2", "vhd", "vmdk", "raw")
UBUNTU = "Ubuntu 22.04 server 64bit"


def import_with_sdk(service: Service, ims: sdk.Ims, disk: Disk, name: str) -> str:
    url = service.bucket_put(disk.path, f"in/{name}.{disk.format}")
    job = ims.create(name=name, image_url=url, os_version=UBUNTU, min_disk=1)
    found = ims.done(job)
    assert found.job_type == "imsImportImageJob"
    assert found.error_code is None
    assert found.fail_reason is None
    assert found.entities.image_name == name
    return str(found.entities.image_id)


def assert_exports_have_the_content(
    service: Service, ims: sdk.Ims, image_id: str, disk: Disk, target: Path
) -> None:
    bucket = service.credentials["bucket"]
    urls = {word: f"{bucket}:out/{image_id}.{word}" for word in EXPORTS}
    jobs = {word: ims.export(image_id, url, word) for word, url in urls.items()}
    for word, url in urls.items():
        assert ims.done(jobs[word]).job_type == "imsNativeExportImageJob"
        file = service.bucket_get(url, target / f"exported.{word}")
        assert real_format(file) == word
        assert same_content(file, word, disk.raw, "raw"), word


@pytest.mark.heavy
@pytest.mark.parametrize("format", FORMATS)
def test_a_disk_of_any_format_becomes_an_image_in_both_dialects_and_goes_out_unchanged(
    service: Service, tmp_path: Path, format: str
) -> None:
    disk = make_disk(tmp_path, format, seed=FORMATS.index(format))
    name = fresh(f"main-{format}")
    ims = sdk.Ims(service.credentials)
    image_id = import_with_sdk(service, ims, disk, name)
    stored = "iso" if format == "iso" else "qcow2"

    by_name = ims.images(name=name)
    assert [image.id for image in by_name] == [image_id]
    assert image_id in {image.id for image in ims.images(imagetype="private")}
    listed = by_name[0]
    assert (listed.status, listed.disk_format, listed.min_disk) == ("active", stored, 1)
    assert (listed.os_version, listed.os_type, listed.platform) == (UBUNTU, "Linux", "Ubuntu")
    assert listed.virtual_env_type == ("IsoImage" if format == "iso" else "FusionCompute")

    with sdk.connection(service.credentials) as cloud:
        image = cloud.image.find_image(name, ignore_missing=False)
        assert (image.id, image.status, image.disk_format) == (image_id, "active", stored)
        file = tmp_path / "downloaded"
        cloud.image.download_image(image, output=str(file))
    assert file.stat().st_size == image.size == int(listed.image_size)
    assert image.hash_algo == "sha512"
    assert sha512(file) == image.hash_value
    assert same_content(file, stored, disk.raw, "raw")

    if format == "iso":
        assert file.read_bytes() == disk.path.read_bytes()
        with pytest.raises(ClientRequestException) as refused:
            ims.export(image_id, f"{service.credentials['bucket']}:out/{name}.raw", "raw")
        assert refused.value.error_code == "IMG.0167"
    else:
        assert_exports_have_the_content(service, ims, image_id, disk, tmp_path)
