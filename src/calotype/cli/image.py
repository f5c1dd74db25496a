# SPDX-License-Identifier: Apache-2.0
"""`calotype image`: list, show, import, upload, download and export, over HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from calotype.cli import job as jobs
from calotype.cli import output
from calotype.cli.options import DataDir, Json

app = typer.Typer(no_args_is_help=True, help="Images of a running service.")

_DISK_FORMATS = ("qcow2", "raw", "vmdk", "vhd", "vhdx", "vdi", "qed", "qcow", "iso")
_COLUMNS = ("id", "name", "status", "format", "size")
_PAGE = 1000
_BLOCK = 2**20


@app.command("list")
def list_images(
    name: Annotated[str, typer.Option(help="only this name")] = "",
    limit: Annotated[int, typer.Option(min=1, help="longest list")] = 100,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """List the images that you may see, newest first."""
    with jobs.session(data_dir) as session:
        images, more = _pages(session, {"name": name} if name else {}, limit)
    if json:
        output.print_json(images)
    else:
        output.print_table(_COLUMNS, [_row(image) for image in images])
    if more:
        output.say(f"there are more than {limit}: raise --limit, or ask for one --name")


@app.command()
def show(image: str, json: Json = False, data_dir: DataDir = None) -> None:
    """Show one image, by id or by name."""
    with jobs.session(data_dir) as session:
        _print(_find(session, image), json=json)


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
    """Make a system image of a file in a bucket (a job)."""
    body: dict[str, Any] = {
        "name": name,
        "image_url": source,
        "min_disk": min_disk,
        "enterprise_project_id": enterprise_project,
    }
    if os_version:
        body["os_version"] = os_version
    with jobs.session(data_dir) as session:
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
    """Make an image of a local file, byte for byte."""
    if disk_format not in _DISK_FORMATS:
        output.fail(f"{disk_format}: the formats are {', '.join(_DISK_FORMATS)}", output.USAGE)
    if not file.is_file():
        output.fail(f"{file} is no file", output.USAGE)
    with file.open("rb") as source, jobs.session(data_dir) as session:
        size = os.fstat(source.fileno()).st_size
        body = {
            "name": name or file.stem,
            "disk_format": disk_format,
            "container_format": "bare",
            "visibility": "private",
        }
        path = f"/v2/images/{session.call('POST', '/v2/images', json=body)['id']}"
        try:
            with jobs.bar(f"upload {file.name}", size) as advance:
                session.upload(f"{path}/file", _blocks(source, size, advance), size)
        except BaseException:
            session.forget(path)
            raise
        _print(session.call("GET", path), json=json)


@app.command()
def download(image: str, file: Path, data_dir: DataDir = None) -> None:
    """Write the bytes of an image into a local file, checked against their hash."""
    import hashlib

    with jobs.session(data_dir) as session, jobs.whole_file(file) as partial:
        found = _find(session, image)
        digest = hashlib.sha512()
        blocks = session.download(f"/v2/images/{found['id']}/file")
        size = int(next(blocks))
        with jobs.bar(f"download {found['name']}", size) as advance, partial.open("wb") as target:
            for block in blocks:
                digest.update(block)
                target.write(block)
                advance(len(block))
        if digest.hexdigest() != found["os_hash_value"]:
            output.fail("the bytes are not those of the image; nothing was kept", output.REFUSED)


@app.command()
def export(
    image: str,
    target: Annotated[str, typer.Argument(metavar="BUCKET:OBJECT")],
    file_format: Annotated[str, typer.Option(help="qcow2, vhd, vmdk or raw")] = "qcow2",
    wait: Annotated[bool, typer.Option(help="show the job until it has ended")] = True,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Write an image as a file into a bucket (a job)."""
    with jobs.session(data_dir) as session:
        found = _find(session, image)
        body = {"bucket_url": target, "file_format": file_format}
        path = f"/v1/cloudimages/{found['id']}/file"
        job_id = session.call("POST", path, json=body)["job_id"]
        jobs.report(session, job_id, wait=wait, json=json)


def _pages(session: Any, filters: dict[str, str], limit: int) -> tuple[list[dict[str, Any]], bool]:
    """Return up to `limit` images, and whether there are more."""
    images: list[dict[str, Any]] = []
    params: dict[str, Any] = dict(filters)
    while True:
        # One more than is shown tells whether there are more.
        params["limit"] = min(_PAGE, limit + 1 - len(images))
        page = session.call("GET", "/v2/images", params=params)
        images += page["images"]
        if len(images) > limit or not page.get("next"):
            return images[:limit], len(images) > limit
        params["marker"] = images[-1]["id"]


def _row(image: dict[str, Any]) -> tuple[object, ...]:
    size = output.readable_size(image["size"])
    return image["id"], image["name"], image["status"], image["disk_format"], size


def _print(image: dict[str, Any], *, json: bool) -> None:
    if json:
        output.print_json(image)
    else:
        output.print_fields({name: value for name, value in image.items() if value is not None})


def _find(session: Any, image: str) -> dict[str, Any]:
    from calotype import ids
    from calotype.client.errors import Refused

    if ids.image_id(image):
        found: dict[str, Any] = session.call("GET", f"/v2/images/{image}")
        return found
    images, _ = _pages(session, {"name": image}, 2)
    if not images:
        raise Refused(404, "", f"no image is named {image}")
    if len(images) > 1:
        raise Refused(404, "", f"several images are named {image}; give the id of one")
    return images[0]


def _blocks(source: Any, size: int, advance: Any) -> Iterator[bytes]:
    """Read exactly `size` bytes: what is written to the file meanwhile was not announced."""
    left = size
    while left and (block := source.read(min(_BLOCK, left))):
        left -= len(block)
        yield block
        advance(len(block))
