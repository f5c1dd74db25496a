# SPDX-License-Identifier: Apache-2.0
"""`calotype image`: list, show, import, upload, download and export, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from calotype.cli import job as jobs
from calotype.cli import output
from calotype.cli.options import DataDir, Json

app = typer.Typer(no_args_is_help=True, help="Images of a running service.")

_DISK_FORMATS = ("qcow2", "raw", "vmdk", "vhd", "vhdx", "vdi", "qed", "qcow", "iso")


@app.command("list")
def list_images(
    name: Annotated[str, typer.Option(help="only this name")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """List the images that this project may see, newest first."""
    with output.errors(), jobs.session(data_dir) as session:
        params = {"limit": limit, **({"name": name} if name else {})}
        images = session.call("GET", "/v2/images", params=params)["images"]
        if json:
            output.print_json(images)
            return
        output.print_table(
            ("id", "name", "status", "format", "size", "visibility"),
            [
                (
                    image["id"],
                    image["name"],
                    image["status"],
                    image["disk_format"],
                    output.readable_size(image["size"]),
                    image["visibility"],
                )
                for image in images
            ],
        )


@app.command()
def show(image: str, json: Json = False, data_dir: DataDir = None) -> None:
    """Show one image, by id or by name."""
    with output.errors(), jobs.session(data_dir) as session:
        found = _find(session, image)
        if json:
            output.print_json(found)
        else:
            output.print_fields(found)


@app.command("import")
def import_image(
    source: Annotated[str, typer.Argument(metavar="BUCKET:OBJECT")],
    name: Annotated[str, typer.Option(help="name of the image")],
    min_disk: Annotated[int, typer.Option(help="smallest disk in GB")] = 40,
    os_version: Annotated[str, typer.Option(help="from the OS catalogue")] = "",
    enterprise_project: Annotated[str, typer.Option(help="id of the enterprise project")] = "0",
    wait: Annotated[bool, typer.Option(help="show the job until it has ended")] = True,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Make a system image from a file in a bucket (an IMS job)."""
    body: dict[str, Any] = {
        "name": name,
        "image_url": source,
        "min_disk": min_disk,
        "enterprise_project_id": enterprise_project,
    }
    if os_version:
        body["os_version"] = os_version
    with output.errors(), jobs.session(data_dir) as session:
        job_id = session.call("POST", "/v2/cloudimages/action", json=body)["job_id"]
        jobs.report(session, job_id, wait=wait, json=json)


@app.command()
def upload(
    file: Path,
    name: Annotated[str, typer.Option(help="name of the image; default: that of the file")] = "",
    disk_format: Annotated[str, typer.Option(help=" ".join(_DISK_FORMATS))] = "qcow2",
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Make an image of a local file as it is (native create and upload)."""
    size = file.stat().st_size
    with output.errors(), jobs.session(data_dir) as session:
        body = {
            "name": name or file.stem,
            "disk_format": disk_format,
            "container_format": "bare",
            "visibility": "private",
        }
        image = session.call("POST", "/v2/images", json=body)
        with jobs.bar(f"upload {file.name}", size) as advance:
            session.upload(f"/v2/images/{image['id']}/file", _blocks(file, advance), size)
        done = session.call("GET", f"/v2/images/{image['id']}")
        if json:
            output.print_json(done)
        else:
            output.print_fields(done)


@app.command()
def download(image: str, file: Path, data_dir: DataDir = None) -> None:
    """Write the bytes of an image into a new local file, verified by their hash."""
    import hashlib

    with output.errors(), jobs.session(data_dir) as session:
        found = _find(session, image)
        digest = hashlib.sha512()
        partial = file.with_name(file.name + ".part")
        blocks = session.download(f"/v2/images/{found['id']}/file")
        size = int(next(blocks))
        with jobs.bar(f"download {found['name']}", size) as advance, partial.open("wb") as target:
            for block in blocks:
                digest.update(block)
                target.write(block)
                advance(len(block))
        if digest.hexdigest() != found["os_hash_value"]:
            partial.unlink()
            output.fail("the bytes are not those of the image; nothing was kept", output.REFUSED)
        partial.rename(file)


@app.command()
def export(
    image: str,
    target: Annotated[str, typer.Argument(metavar="BUCKET:OBJECT")],
    file_format: Annotated[str, typer.Option(help="qcow2, vhd, vmdk or raw")] = "qcow2",
    wait: Annotated[bool, typer.Option(help="show the job until it has ended")] = True,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Write an image as a file into a bucket (an IMS job)."""
    with output.errors(), jobs.session(data_dir) as session:
        found = _find(session, image)
        body = {"bucket_url": target, "file_format": file_format}
        path = f"/v1/cloudimages/{found['id']}/file"
        job_id = session.call("POST", path, json=body)["job_id"]
        jobs.report(session, job_id, wait=wait, json=json)


def _find(session: Any, image: str) -> dict[str, Any]:
    from calotype import ids
    from calotype.client.session import Refused

    if ids.image_id(image):
        found: dict[str, Any] = session.call("GET", f"/v2/images/{image}")
        return found
    images = session.call("GET", "/v2/images", params={"name": image})["images"]
    if len(images) != 1:
        raise Refused(404, "", f"{len(images)} images are named {image}; one is needed")
    only: dict[str, Any] = images[0]
    return only


def _blocks(file: Path, advance: Any) -> Iterator[bytes]:
    with file.open("rb") as source:
        while block := source.read(2**20):
            yield block
            advance(len(block))
