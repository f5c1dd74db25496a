# SPDX-License-Identifier: Apache-2.0
"""A request for each row of the published table, with a target that it may succeed on.

Targets are made by the account's root user just before: an image in the wanted state and
enterprise project, an object in a bucket. Rows come from the operation table; a row without a
builder here makes the generated test fail, so none is forgotten.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from calotype.contract.loader import Operation, Requirement
from tests.made_disks import raw_bytes
from tests.people import Account, User, fresh
from tests.service import Service
from tests.wire import OCTETS, PATCH_21, Api

# Predicates (`when`) that are true in each variant of a row; rows not named have one variant.
VARIANTS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "ims.update": {"staying": frozenset(), "moving": frozenset({"moves_ep"})},
    "ims.quickimport": {
        "system disk": frozenset({"system_disk"}),
        "data disk": frozenset({"data_disk"}),
    },
}
# Rows that end in another refusal once the caller is let in: no backup service here (ims.md C5).
ANSWERED_OTHERWISE = {"ims.create_whole": (400, "IMG.0105")}
# Native rows lie in EP 0 and cannot be moved before they are active.
ONLY_IN_DEFAULT_EP = frozenset({"ims.register"})
OTHER_SERVICES = ("obs:object:GetObject", "obs:object:PutObject", "cbr:backups:use")
UBUNTU = "Ubuntu 22.04 server 64bit"


@dataclass(frozen=True)
class Variant:
    """One way to call a row, with the actions it needs then."""

    operation: Operation
    name: str
    facts: frozenset[str]

    @property
    def id(self) -> str:
        return f"{self.operation.id} {self.name}".strip()

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        return tuple(
            each
            for each in self.operation.requirements
            if each.when is None or each.when in self.facts
        )

    @property
    def actions(self) -> tuple[str, ...]:
        return tuple(each.action for each in self.requirements)


@dataclass(frozen=True)
class Call:
    """What to send beside the method, and in which enterprise projects it is decided."""

    path: str
    body: object = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)

    def send(self, api: Api, method: str) -> httpx.Response:
        return api.call(
            method,
            self.path,
            self.body,
            content=self.content,
            headers=self.headers,
            params=dict(self.params),
        )


@dataclass(frozen=True)
class Bench:
    """An account with two enterprise projects beside the default one, a bucket and two users."""

    service: Service
    account: Account
    user: User
    here: str
    there: str
    bucket: str
    url: str

    @classmethod
    def make(cls, service: Service, directory: Path) -> Bench:
        """Make the account; `user` holds nothing but the rights of the other services."""
        account = Account.make(service)
        user = account.user()
        account.allow(user, OTHER_SERVICES)
        file = directory / "seed.raw"
        file.write_bytes(raw_bytes())
        bucket = account.bucket()
        url = account.put(file, bucket, "seed.raw")
        eps = account.enterprise_project(), account.enterprise_project()
        return cls(service, account, user, *eps, bucket, url)

    def image(self, ep: str, *, active: bool = True) -> str:
        """Make an image of the account in an enterprise project."""
        root = self.account.root
        image_id = root.make(raw_bytes() if active else None, name=fresh("seed"))
        if ep != "0":
            move = {"op": "replace", "path": "/enterprise_project_id", "value": ep}
            root.ok("PATCH", f"/v2/cloudimages/{image_id}", [move])
        return image_id

    def call(self, variant: Variant, ep: str, target_ep: str = "0") -> Call:
        """Return a request that is decided in `ep` (and, for a move, in `target_ep`)."""
        return CALLS[variant.operation.id](self, variant, ep, target_ep)


def variants(operations: tuple[Operation, ...]) -> list[Variant]:
    """Return the variants of all published rows."""
    return [
        Variant(operation, name, facts)
        for operation in operations
        if operation.in_seed
        for name, facts in VARIANTS.get(operation.id, {"": frozenset()}).items()
    ]


def _listed(bench: Bench, variant: Variant, ep: str, target: str) -> Call:
    params = {"enterprise_project_id": ep} if ep != "0" else {}
    return Call(variant.operation.path, params=params)


def _plain(bench: Bench, variant: Variant, ep: str, target: str) -> Call:
    return Call(variant.operation.path)


def _update(bench: Bench, variant: Variant, ep: str, target: str) -> Call:
    path = f"/v2/cloudimages/{bench.image(ep)}"
    if "moves_ep" in variant.facts:
        where = {"op": "replace", "path": "/enterprise_project_id", "value": target}
        return Call(path, [where])
    return Call(path, [{"op": "replace", "path": "/name", "value": "renamed"}])


def _creation(**more: Any) -> Callable[[Bench, Variant, str, str], Call]:
    def build(bench: Bench, variant: Variant, ep: str, target: str) -> Call:
        body = {"name": fresh("seed"), "image_url": bench.url, "min_disk": 1}
        body |= {"enterprise_project_id": ep} | more
        if "data_disk" in variant.facts:
            body["type"] = "DataImage"
        return Call(variant.operation.path, body)

    return build


def _whole(bench: Bench, variant: Variant, ep: str, target: str) -> Call:
    body = {"name": fresh("seed"), "backup_id": str(uuid.uuid4()), "enterprise_project_id": ep}
    return Call(variant.operation.path, body)


def _register(bench: Bench, variant: Variant, ep: str, target: str) -> Call:
    path = f"/v1/cloudimages/{bench.image('0', active=False)}/upload"
    return Call(path, {"image_url": bench.url})


def _export(bench: Bench, variant: Variant, ep: str, target: str) -> Call:
    body = {"bucket_url": f"{bench.bucket}:{fresh('out')}.raw", "file_format": "raw"}
    return Call(f"/v1/cloudimages/{bench.image(ep)}/file", body)


def _on_image(bench: Bench, variant: Variant, ep: str, target: str) -> Call:
    image_id = bench.image(ep, active=ep != "0")
    return Call(variant.operation.path.replace("{image_id}", image_id))


def _patch(bench: Bench, variant: Variant, ep: str, target: str) -> Call:
    path = f"/v2/images/{bench.image(ep, active=ep != '0')}"
    content = b'[{"op": "replace", "path": "/name", "value": "renamed"}]'
    return Call(path, content=content, headers={"Content-Type": PATCH_21})


def _create(bench: Bench, variant: Variant, ep: str, target: str) -> Call:
    return Call("/v2/images", {"name": fresh("seed")})


def _upload(bench: Bench, variant: Variant, ep: str, target: str) -> Call:
    path = f"/v2/images/{bench.image('0', active=False)}/file"
    return Call(path, content=raw_bytes(), headers={"Content-Type": OCTETS})


CALLS: Mapping[str, Callable[[Bench, Variant, str, str], Call]] = {
    "ims.list": _listed,
    "ims.update": _update,
    "ims.create": _creation(),
    "ims.quickimport": _creation(os_version=UBUNTU),
    "ims.create_data": _creation(),
    "ims.create_whole": _whole,
    "ims.register": _register,
    "ims.export": _export,
    "glance.versions": _plain,
    "glance.list": _plain,
    "glance.show": _on_image,
    "glance.update": _patch,
    "glance.delete": _on_image,
    "glance.create": _create,
    "glance.upload": _upload,
    "glance.v11_detail": _plain,
    "glance.v1_head": _on_image,
    "glance.v11_delete": _on_image,
}
