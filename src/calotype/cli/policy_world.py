# SPDX-License-Identifier: Apache-2.0
"""The world of a vector file: accounts, people, projects and images that exist only as names.

Every name gets an id that follows from it, so that paths, bodies and policies can be written with
`{name}`. Answers what enforcement asks of the world. Format: head of policy_examples.yaml.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from calotype.gate.enforce import TargetImage, TargetJob
from calotype.iam.builtin import compiled_by_id

_NAME = re.compile(r"\{([^{}]+)\}")
_DASHED = ("images", "eps")
KINDS = {
    "user": "users",
    "group": "groups",
    "project": "projects",
    "agency": "agencies",
    "enterprise_project": "eps",
    "access_key": "access_keys",
}


class Unknown(ValueError):
    """A vector speaks of something that the file does not have."""


def made_id(kind: str, name: str) -> str:
    """Return the id that follows from a name: a UUID for images and EPs, else 32 hex digits."""
    if kind == "eps" and name == "0":
        return "0"
    digest = hashlib.sha256(f"{kind}:{name}".encode()).digest()[:16]
    return str(uuid.UUID(bytes=digest)) if kind in _DASHED else digest.hex()


class FileWorld:
    """Implements the World of the gate for one file."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.accounts: Mapping[str, Any] = raw.get("accounts") or {}
        self.users: Mapping[str, Any] = raw.get("users") or {}
        self.groups: Mapping[str, str] = raw.get("groups") or {}
        self.agencies: Mapping[str, Any] = raw.get("agencies") or {}
        self.images: Mapping[str, Any] = raw.get("images") or {}
        self.jobs: Mapping[str, Any] = raw.get("jobs") or {}
        self.keys: Mapping[str, str] = raw.get("access_keys") or {}
        self.first_account: str = raw.get("first_account", "platform")
        self._region = str(raw.get("region", "region-1"))
        self.projects: dict[str, str] = {}  # name -> account name
        self.ep_accounts: dict[str, list[str]] = {}
        for account, entry in self.accounts.items():
            for project in entry.get("projects") or ():
                self.projects[project] = account
            named = [str(ep) for ep in entry.get("enterprise_projects") or ()]
            self.ep_accounts[account] = list(dict.fromkeys(["0", *named]))
        self.ids: dict[str, str] = {}
        self.names: dict[tuple[str, str], str] = {}
        self._name_everything()

    def _name_everything(self) -> None:
        kinds: dict[str, Sequence[str]] = {
            "jobs": list(self.jobs),
            "agencies": list(self.agencies),
            "groups": list(self.groups),
            "users": [*self.users, *(entry["root"] for entry in self.accounts.values())],
            "eps": [ep for eps in self.ep_accounts.values() for ep in eps],
            "projects": list(self.projects),
            "accounts": list(self.accounts),
            "images": list(self.images),
        }
        for kind, names in kinds.items():
            for name in names:
                self.ids[name] = made_id(kind, name)
                self.names[kind, self.ids[name]] = name

    def id_of(self, kind: str, name: str) -> str:
        """Return the id of a name of one kind. Raises Unknown."""
        found = made_id(kind, name)
        if (kind, found) not in self.names:
            raise Unknown(f"the world has no {name} among its {kind}")
        return found

    def filled(self, value: Any) -> Any:
        """Return `value` with every `{name}` of the world replaced, in texts however deep."""
        if isinstance(value, str):
            return _NAME.sub(self._replace, value)
        if isinstance(value, dict):
            return {key: self.filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.filled(item) for item in value]
        if isinstance(value, datetime):
            return value.isoformat().replace("+00:00", "Z")
        return value

    def _replace(self, match: re.Match[str]) -> str:
        name = match[1]
        if name in self.ids:
            return self.ids[name]
        if name.startswith("img-"):
            return made_id("images", name)
        return made_id("eps", name) if name.startswith("ep-") else match[0]

    def project_name(self, project: str) -> str:
        """Return the name that conditions compare: the region, then region_dev, region_3 …"""
        place = list(self.accounts[self.projects[project]]["projects"]).index(project)
        return (self._region, f"{self._region}_dev")[place] if place < 2 else project

    def target(self, name: str, project_id: str | None) -> TargetImage:
        """Return an image of the file as enforcement sees it."""
        entry = self.images[name]
        members = {
            made_id("projects", member): status
            for member, status in (entry.get("members") or {}).items()
        }
        return TargetImage(
            id=made_id("images", name),
            owner=made_id("projects", entry["owner"]),
            account_id=made_id("accounts", self.projects[entry["owner"]]),
            ep=made_id("eps", str(entry.get("ep", "0"))),
            visibility=entry.get("visibility", "private"),
            image_type=entry.get("imagetype", "private"),
            tags={key: (str(text),) for key, text in (entry.get("tags") or {}).items()},
            member_status=members.get(project_id) if project_id is not None else None,
            status=entry.get("status", "active"),
            cmk_id=entry.get("cmk_id"),
        )

    # ---- what the gate asks

    @property
    def region(self) -> str:
        """Id of the serving region."""
        return self._region

    def image(self, image_id: str, project_id: str | None) -> TargetImage | None:
        """Return an image of the file, or None."""
        name = self.names.get(("images", image_id))
        return None if name is None else self.target(name, project_id)

    def has_member(self, image_id: str, member_id: str) -> bool:
        """Tell whether the image has the member."""
        entry = self.images[self.names["images", image_id]]
        return any(made_id("projects", name) == member_id for name in entry.get("members") or {})

    def present(self, image: TargetImage, name: str) -> object:
        """Return the native value of a read-only attribute, as far as the file tells."""
        return {
            "enterprise_project_id": image.ep,
            "_sys_enterprise_project_id": image.ep,
            "__imagetype": image.image_type,
        }.get(name)

    def job(self, job_id: str) -> TargetJob | None:
        """Return a job of the file, or None."""
        name = self.names.get(("jobs", job_id))
        if name is None:
            return None
        entry = self.jobs[name]
        kind, _, who = entry["submitted_by"].partition(":")
        ep = entry.get("ep")
        return TargetJob(
            id=job_id,
            project_id=made_id("projects", entry["project"]),
            ep=None if ep is None else made_id("eps", str(ep)),
            submitter_id=made_id({"user": "users", "agency": "agencies"}[kind], who),
        )

    def eps(self, account_id: str) -> Sequence[str]:
        """Return the enterprise projects of an account."""
        name = self.names.get(("accounts", account_id))
        return [made_id("eps", ep) for ep in self.ep_accounts.get(name or "", ["0"])]

    def entity(self, kind: str, entity_id: str, account_id: str | None) -> bool:
        """Tell whether the account has the entity."""
        if kind == "policy":
            return entity_id in compiled_by_id()
        if kind == "enterprise_project":
            return entity_id in self.eps(account_id or "")
        if kind == "access_key":
            return entity_id in self.keys
        name = self.names.get((KINDS[kind], entity_id))
        if name is None or account_id is None:
            return name is not None
        return self.id_of("accounts", self.account_of(kind, name)) == account_id

    def key_owner(self, access_key: str) -> str | None:
        """Return the user of an access key of the file."""
        owner = self.keys.get(access_key)
        return None if owner is None else made_id("users", owner)

    def account_of(self, kind: str, name: str) -> str:
        """Return the name of the account that a user, group, project or agency belongs to."""
        if kind == "user":
            entry = self.users.get(name)
            if entry is not None:
                return str(entry["account"])
            owners = [one for one, item in self.accounts.items() if item["root"] == name]
            if owners:
                return owners[0]
        known: Mapping[str, str] = {
            "group": self.groups,
            "project": self.projects,
            "agency": {one: entry["account"] for one, entry in self.agencies.items()},
        }.get(kind, {})
        if name not in known:
            raise Unknown(f"the world has no {kind} {name}")
        return known[name]
