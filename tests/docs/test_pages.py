# SPDX-License-Identifier: Apache-2.0
"""The documentation is true: its commands run against a real service and print what is shown."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.backends.conftest import BUCKET, KEYS, S3Server, moto
from tests.backends.postgres import PostgresServer
from tests.docs import pages
from tests.ports import free_port
from tests.service import PROGRAM, Service

__all__ = ["moto"]
ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)")
ON_ONE_SERVICE = (
    "tutorial/first-image.md",
    "howto/grant-on-an-enterprise-project.md",
    "howto/connect-clients.md",
)


def environment(home: Path) -> dict[str, str]:
    path = f"{PROGRAM.parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(home), "LC_ALL": "C.UTF-8", "COLUMNS": "200"}


@pytest.mark.heavy
@pytest.mark.parametrize("name", ON_ONE_SERVICE)
def test_a_page_does_what_it_says(name: str, tmp_path: Path) -> None:
    service = Service.embedded(tmp_path)
    try:
        pages.run(pages.DOCS / name, tmp_path, environment(tmp_path), {})
    finally:
        service.close()


@pytest.mark.heavy
def test_the_page_about_clusters_does_what_it_says(
    postgres: PostgresServer, moto: S3Server, tmp_path: Path
) -> None:
    port = str(free_port())
    names = {
        "postgresql://calotype@db.example/calotype": postgres.fresh_url(),
        "https://s3.example": moto.endpoint,
        "your-access-key": KEYS["access_key"],
        "your-secret-key": KEYS["secret_key"],
        "your-bucket": f"{BUCKET}/{tmp_path.name}",
        "https://images.example": f"http://127.0.0.1:{port}",
        "9292": port,
        "credentials: data/": f"credentials: {tmp_path}/data/",
    }
    page = pages.DOCS / "howto" / "run-a-cluster.md"
    pages.run(page, tmp_path, environment(tmp_path), names)


def test_every_page_with_commands_is_run() -> None:
    with_commands = {
        page.relative_to(pages.DOCS).as_posix()
        for page in pages.DOCS.rglob("*.md")
        if pages.blocks(page)
    }
    assert with_commands == {*ON_ONE_SERVICE, "howto/run-a-cluster.md"}


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for page in (*ROOT.glob("*.md"), *pages.DOCS.rglob("*.md")):
        for match in LINK.finditer(page.read_text()):
            if not (page.parent / match[1]).exists():
                broken.append(f"{page.name}: {match[1]}")
    assert not broken


def test_a_page_that_shows_what_is_not_printed_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\necho one\n```\n\n```text\none\n```\n")
    pages.run(page, tmp_path, environment(tmp_path), {})
    page.write_text("```sh\necho one\n```\n\n```text\ntwo\n```\n")
    with pytest.raises(AssertionError):
        pages.run(page, tmp_path, environment(tmp_path), {})
    page.write_text("```sh\nfalse\n```\n")
    with pytest.raises(AssertionError):
        pages.run(page, tmp_path, environment(tmp_path), {})
