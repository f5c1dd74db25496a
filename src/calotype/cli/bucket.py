# SPDX-License-Identifier: Apache-2.0
"""`calotype bucket`: make, attach and fill user buckets of the deployment in the data directory.

Works on the deployment itself, not over HTTP: which one is said by `--data-dir` (or
`CALOTYPE_DATA_DIR`) and the settings. The account is that of the first start unless named.
"""

from __future__ import annotations

import json as json_library
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calotype.cli import job, output
from calotype.cli.options import DataDir, Json

if TYPE_CHECKING:
    from calotype.app import Buckets

app = typer.Typer(no_args_is_help=True, help="User buckets and their objects.")

Account = Annotated[str, typer.Option(help="name of the account; default: the first one")]
Address = Annotated[str, typer.Argument(metavar="BUCKET:KEY")]


@app.command()
def create(name: str, account: Account = "", data_dir: DataDir = None) -> None:
    """Make an empty bucket; names are unique in the deployment."""
    with _open(data_dir, account) as buckets:
        buckets.room.create(name, buckets.account_id)
    output.say(f"bucket {name} is made")


@app.command()
def attach(
    name: str,
    url: Annotated[str, typer.Option(help="s3://bucket[/prefix]")],
    credentials: Annotated[
        Path, typer.Option(help="JSON file: endpoint, region, access_key, secret_key")
    ],
    account: Account = "",
    data_dir: DataDir = None,
) -> None:
    """Take in a bucket of an S3 service."""
    with _open(data_dir, account) as buckets:
        try:
            found = json_library.loads(credentials.read_text())
        except (OSError, ValueError) as error:
            output.fail(f"{credentials} cannot be read as JSON: {error}", output.USAGE)
        if not isinstance(found, dict):
            output.fail(f"{credentials} holds no JSON object", output.USAGE)
        buckets.room.attach(name, buckets.account_id, url, found)
    output.say(f"bucket {name} is attached")


@app.command("list")
def list_buckets(json: Json = False, account: Account = "", data_dir: DataDir = None) -> None:
    """List the buckets of the account."""
    with _open(data_dir, account) as buckets:
        found = buckets.room.of_account(buckets.account_id)
        if json:
            output.print_json([{"name": one.name, "attached": one.attached} for one in found])
        else:
            rows = [(one.name, "attached" if one.attached else "created") for one in found]
            output.print_table(("bucket", "kind"), rows)


@app.command()
def ls(
    bucket: str,
    prefix: Annotated[str, typer.Option(help="only keys that begin with this")] = "",
    json: Json = False,
    account: Account = "",
    data_dir: DataDir = None,
) -> None:
    """List the objects of a bucket."""
    with _open(data_dir, account) as buckets:
        objects = list(buckets.room.open(buckets.account_id, bucket).list(prefix))
        if json:
            output.print_json([{"key": one.key, "size": one.size} for one in objects])
        else:
            rows = [(one.key, output.readable_size(one.size)) for one in objects]
            output.print_table(("key", "size"), rows)


@app.command()
def put(file: Path, target: Address, account: Account = "", data_dir: DataDir = None) -> None:
    """Put a local file as an object, in place of one that is there."""
    bucket, key = _split(target)
    if not file.is_file():
        output.fail(f"{file} is no file", output.USAGE)
    with _open(data_dir, account) as buckets:
        stored = buckets.room.put(buckets.account_id, bucket, key, file)
    output.say(f"{target}: {output.readable_size(stored.size)}")


@app.command()
def get(source: Address, file: Path, account: Account = "", data_dir: DataDir = None) -> None:
    """Write an object into a local file."""
    bucket, key = _split(source)
    with _open(data_dir, account) as buckets:
        opened = buckets.room.open(buckets.account_id, bucket)
        found = opened.stat(key)
        if found is None:
            output.fail(f"{source}: no such object", output.REFUSED)
        with (
            job.whole_file(file) as partial,
            job.bar(f"get {key}", found.size) as advance,
            partial.open("wb") as written,
        ):
            for block in opened.read(key, 0, found.size, etag=found.etag):
                written.write(block)
                advance(len(block))


@app.command()
def rm(target: Address, account: Account = "", data_dir: DataDir = None) -> None:
    """Remove an object."""
    bucket, key = _split(target)
    with _open(data_dir, account) as buckets:
        if not buckets.room.open(buckets.account_id, bucket).delete(key):
            output.fail(f"{target}: no such object", output.REFUSED)


@contextmanager
def _open(data_dir: Path | None, account: str) -> Iterator[Buckets]:
    from calotype import app as composition
    from calotype.cli.service import load_settings

    settings = load_settings(data_dir=data_dir)
    embedded = not settings.database_url.get_secret_value()
    if embedded and not (settings.data_dir / "calotype.sqlite").exists():
        output.fail(
            f"{settings.data_dir} holds no deployment yet; start the service there first, or name"
            " another with --data-dir or CALOTYPE_DATA_DIR",
            output.REFUSED,
        )
    with composition.open_buckets(settings, account) as it:
        yield it


def _split(address: str) -> tuple[str, str]:
    bucket, colon, key = address.partition(":")
    if not (bucket and colon and key):
        output.fail(f"{address}: write it as BUCKET:KEY", output.USAGE)
    return bucket, key
