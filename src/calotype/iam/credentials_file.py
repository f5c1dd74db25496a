# SPDX-License-Identifier: Apache-2.0
"""`credentials.json` and `clouds.yaml` of a data directory (architecture, section 3).

The first is the truth, the second is made from it. Both are replaced whole, mode 0600, and synced
before they take their name. A draft lies beside them while the first start has not committed yet,
so that no secret is lost between the commit and the file.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import yaml

from calotype.errors import Unavailable

CREDENTIALS = "credentials.json"
CLOUDS = "clouds.yaml"
_DRAFT = ".credentials-{}.json"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the first start made, as the file holds it."""

    auth_url: str
    username: str
    password: str = field(repr=False)
    domain_name: str
    domain_id: str
    project_name: str
    project_id: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    image_endpoint: str
    bucket: str
    operator_token: str = field(repr=False)


def write_draft(directory: Path, credentials: Credentials) -> Path:
    """Write the credentials under a name of their own, synced; return the draft."""
    directory.mkdir(parents=True, exist_ok=True)
    draft = directory / _DRAFT.format(secrets.token_hex(8))
    _write(draft, _as_json(credentials))
    return draft


def drafts(directory: Path) -> Iterator[tuple[Path, Credentials | None]]:
    """Yield each draft with what it holds, None for one that was not written to its end."""
    for path in sorted(directory.glob(_DRAFT.format("*"))):
        try:
            yield path, _parse(path)
        except FileNotFoundError:
            continue  # another process has just given it its name
        except Unavailable:
            yield path, None


def publish(draft: Path, credentials: Credentials) -> None:
    """Give the draft its name, and write `clouds.yaml` beside it."""
    directory = draft.parent
    try:
        draft.replace(directory / CREDENTIALS)
    except FileNotFoundError:
        if not (directory / CREDENTIALS).exists():
            raise
    _sync(directory)
    _replace(directory / CLOUDS, _as_clouds(credentials))


def read(directory: Path) -> Credentials | None:
    """Return the credentials of a data directory, None without the file. Raises Unavailable."""
    try:
        return _parse(directory / CREDENTIALS)
    except FileNotFoundError:
        return None


def replace(directory: Path, credentials: Credentials) -> None:
    """Replace both files, each only when it would change."""
    _replace(directory / CREDENTIALS, _as_json(credentials))
    _replace(directory / CLOUDS, _as_clouds(credentials))


def _parse(path: Path) -> Credentials:
    text = path.read_text("utf-8")
    try:
        values = json.loads(text)
        return Credentials(**{one.name: str(values[one.name]) for one in fields(Credentials)})
    except (ValueError, KeyError, TypeError):
        raise Unavailable(f"{path} is not as the service wrote it", rule="credentials") from None


def _as_json(credentials: Credentials) -> str:
    return json.dumps(asdict(credentials), ensure_ascii=False, indent=2) + "\n"


def _as_clouds(credentials: Credentials) -> str:
    cloud = {
        "auth": {
            "auth_url": credentials.auth_url,
            "username": credentials.username,
            "password": credentials.password,
            "user_domain_name": credentials.domain_name,
            "project_name": credentials.project_name,
            "project_domain_name": credentials.domain_name,
        },
        "region_name": credentials.region,
        "identity_api_version": "3",
        "image_api_version": "2",
    }
    return yaml.safe_dump({"clouds": {"calotype": cloud}}, sort_keys=False, allow_unicode=True)


def _replace(path: Path, text: str) -> None:
    if path.exists() and path.read_text("utf-8") == text:
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write(draft, text)
        draft.replace(path)
        _sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
