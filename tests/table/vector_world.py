# SPDX-License-Identifier: Apache-2.0
"""The world of a vector file in a running service, made by nothing but its APIs.

The operator makes the accounts (the one that operators come from is the first account of the
service), their root users everything else; images are made natively and moved by the IMS dialect.
What an API answers with 501 is not there yet: the name stands in `missing` or `partial` with the
reason, and vectors that speak of it are left out.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.people import password
from tests.service import Service
from tests.wire import PATCH_21, Api, login, operator_of

_NAME = re.compile(r"\{([^{}]+)\}")
_RAW = bytes(512)
FIRST = "platform"  # the account of a file whose people may be operators


class LeftOut(Exception):
    """A vector cannot be asked over HTTP, for this reason."""


def _planned(answer: httpx.Response) -> bool:
    return answer.status_code == 501


@dataclass
class VectorWorld:
    """Everything that a file's `world` names, by real ids."""

    service: Service
    raw: Mapping[str, Any]
    directory: Path
    ids: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    partial: dict[str, str] = field(default_factory=dict)
    dirty: set[str] = field(default_factory=set)
    _passwords: dict[str, str] = field(default_factory=dict)
    _apis: dict[tuple[str, str | None], Api] = field(default_factory=dict)
    _buckets: dict[str, str] = field(default_factory=dict)

    # ---- making

    def make(self) -> None:
        """Make everything."""
        for name, entry in self.raw["accounts"].items():
            self._account(name, entry)
        for name, account in self.raw["groups"].items():
            body = {"group": {"name": name}}
            self.ids[name] = self.admin(account).ok("POST", "/v3/groups", body)["group"]["id"]
        for name, entry in self.raw["users"].items():
            self._user(name, entry)
        for name, entry in self.raw["agencies"].items():
            self._agency(name, entry)
        for name, owner in (self.raw.get("access_keys") or {}).items():
            self.make_key(name, owner)
        for name in self.raw["images"]:
            self.make_image(name)
        for name, entry in (self.raw.get("jobs") or {}).items():
            self._job(name, entry)
        for name, entry in self.raw["accounts"].items():
            if entry.get("enabled") is False:
                body = {"account": {"enabled": False}}
                self.operator().ok("PATCH", f"/authz/v1/accounts/{self.ids[name]}", body)

    def _account(self, name: str, entry: Mapping[str, Any]) -> None:
        projects = list(entry["projects"])
        if name == FIRST:
            known = self.service.credentials
            self.ids[name], self.ids[projects[0]] = known["domain_id"], known["project_id"]
            self._passwords[entry["root"]] = known["password"]
        else:
            self._passwords[entry["root"]] = secret = password()
            root = {"name": entry["root"], "password": secret}
            body = {"account": {"name": name, "eps_enabled": entry["eps_enabled"], "root": root}}
            made = self.operator().ok("POST", "/authz/v1/accounts", body)["account"]
            self.ids[name], self.ids[projects[0]] = made["id"], made["projects"][0]["id"]
            self.ids[entry["root"]] = made["root_user_id"]
        for project in projects[1:]:
            self._project(name, project)
        for ep in entry["enterprise_projects"]:
            self._enterprise_project(name, str(ep))

    def _project(self, account: str, name: str) -> None:
        place = list(self.raw["accounts"][account]["projects"]).index(name)
        full = "region-1_dev" if place == 1 else f"region-1_{place + 1}"
        body = {"project": {"name": full, "domain_id": self.ids[account]}}
        answer = self.admin(account).call("POST", "/v3/projects", body)
        if _planned(answer):
            self.missing[name] = "projects cannot be made yet"
            return
        assert answer.status_code == 201, answer.text
        self.ids[name] = answer.json()["project"]["id"]

    def _enterprise_project(self, account: str, name: str) -> None:
        if name == "0":
            return
        body = {"name": name, "description": "", "type": "prod"}
        made = self.admin(account).ok("POST", "/v1.0/enterprise-projects", body)
        self.ids[name] = made["enterprise_project"]["id"]
        if name in self.raw["disabled_enterprise_projects"]:
            path = f"/v1.0/enterprise-projects/{self.ids[name]}/action"
            answer = self.admin(account).call("POST", path, {"action": "disable"})
            # Rights do not depend on it, so that no vector is left out.
            assert answer.status_code in (204, 501), answer.text

    def _user(self, name: str, entry: Mapping[str, Any]) -> None:
        self._passwords[name] = secret = password()
        admin = self.admin(entry["account"])
        made = admin.ok("POST", "/v3/users", {"user": {"name": name, "password": secret}})["user"]
        self.ids[name] = made["id"]
        for group in entry["groups"]:
            admin.ok("PUT", f"/v3/groups/{self.ids[group]}/users/{made['id']}")

    def _agency(self, name: str, entry: Mapping[str, Any]) -> None:
        body = {
            "name": name,
            "domain_id": self.ids[entry["account"]],
            "trust_domain_id": self.ids[entry["trusts"]],
            "duration": "FOREVER",
        }
        admin = self.admin(entry["account"])
        answer = admin.call("POST", "/v3.0/OS-AGENCY/agencies", {"agency": body})
        if _planned(answer):
            self.missing[name] = "agencies cannot be made yet"
            return
        assert answer.status_code == 201, answer.text
        self.ids[name] = answer.json()["agency"]["id"]

    def make_key(self, name: str, owner: str) -> None:
        """Make an access key; paths name it by its file's name."""
        body = {"credential": {"user_id": self.ids[owner]}}
        admin = self.admin(self.raw["users"][owner]["account"])
        made = admin.ok("POST", "/v3.0/OS-CREDENTIAL/credentials", body)
        self.service.secrets.add(made["credential"]["secret"])
        self.ids[name] = made["credential"]["access"]

    def make_image(self, name: str) -> None:
        """Make an image as its file describes it, anew if it was there."""
        entry = self.raw["images"][name]
        self.dirty.discard(name)
        if entry["owner"] in self.missing:
            self.missing[name] = self.missing[entry["owner"]]
            return
        if entry.get("cmk_id"):
            self.missing[name] = "images cannot be encrypted yet"
            return
        owner = self.owner(entry["owner"])
        visibility = entry["visibility"]
        # Rights ask for the state nowhere here; only an active image can be moved.
        moves = str(entry["ep"]) != "0"
        if moves and entry.get("status") == "queued":
            self.missing[name] = "a queued image cannot be moved"
            return
        made = owner.make(
            _RAW if moves else None,
            name=name,
            tags=[f"{key}={text}" for key, text in (entry.get("tags") or {}).items()],
            visibility="private" if visibility == "public" else visibility,
        )
        self.ids[name] = made
        if moves:
            move = {"op": "replace", "path": "/enterprise_project_id"}
            body = [move | {"value": self.ids[str(entry["ep"])]}]
            owner.ok("PATCH", f"/v2/cloudimages/{made}", body)
        if visibility == "public":
            self._publish(made, entry["owner"])
        self._members(name, owner, entry.get("members") or {})
        if visibility == "private" and entry.get("members"):  # adding one has made it shared
            owner.patch(made, {"op": "replace", "path": "/visibility", "value": visibility})

    def _publish(self, image: str, project: str) -> None:
        operator = operator_of(self.service, self.ids[project])
        change = b'[{"op": "replace", "path": "/visibility", "value": "public"}]'
        headers = {"Content-Type": PATCH_21}
        operator.ok("PATCH", f"/v2/images/{image}", content=change, headers=headers)

    def _members(self, name: str, owner: Api, members: Mapping[str, str]) -> None:
        for project, status in members.items():
            body = {"member": self.ids[project]}
            answer = owner.call("POST", f"/v2/images/{self.ids[name]}/members", body)
            if _planned(answer):
                self.partial[name] = "members cannot be added yet"
                return
            assert answer.status_code == 200, answer.text
            if status != "pending":
                path = f"/v2/images/{self.ids[name]}/members/{self.ids[project]}"
                self.owner(project).ok("PUT", path, {"status": status})

    def _job(self, name: str, entry: Mapping[str, Any]) -> None:
        kind, _, who = entry["submitted_by"].partition(":")
        if kind != "user" or entry["ep"] is None:
            self.missing[name] = "a job of an agency, or without an enterprise project"
            return
        account = self.raw["users"][who]["account"]
        policy = self.policy(account, {"Version": "1.1", "Statement": [_EVERYTHING]}, "XA")
        group = self.ids[self.raw["users"][who]["groups"][0]]
        admin, project = self.admin(account), self.ids[entry["project"]]
        admin.ok("PUT", f"/v3/projects/{project}/groups/{group}/roles/{policy}")
        body = {"name": name, "image_url": self._object(account), "min_disk": 1}
        if str(entry["ep"]) != "0":
            body["enterprise_project_id"] = self.ids[str(entry["ep"])]
        submitter = self.api(f"user:{who}", entry["project"])
        self.ids[name] = submitter.submit("/v2/cloudimages/action", body)
        admin.ok("DELETE", f"/v3.0/OS-ROLE/roles/{policy}")

    def _object(self, account: str) -> str:
        if account not in self._buckets:
            file = self.directory / "vector.raw"
            file.write_bytes(_RAW)
            bucket = self._buckets[account] = f"vectors-{account}"
            done = self.service.cli("bucket", "create", bucket, "--account", account)
            assert done.returncode == 0, done.stderr
            self.service.bucket_put(file, "vector.raw", bucket, account)
        return f"{self._buckets[account]}:vector.raw"

    # ---- using

    def operator(self) -> Api:
        """The operator, without a project."""
        return operator_of(self.service)

    def admin(self, account: str) -> Api:
        """The root user of an account, for the account."""
        return self.api(f"root:{account}", None)

    def owner(self, project: str) -> Api:
        """The root user of a project's account, in that project."""
        accounts = self.raw["accounts"].items()
        account = next(name for name, entry in accounts if project in entry["projects"])
        return self.api(f"root:{account}", project)

    def api(self, who: str, project: str | None) -> Api:
        """A principal of the file in a scope. Raises LeftOut for what cannot be made."""
        kind, _, name = who.partition(":")
        if kind == "operator":
            return operator_of(self.service, "" if project is None else self.real(project))
        if kind == "agency":
            raise LeftOut(self.missing.get(name, "agencies cannot be assumed yet"))
        scope = None if project is None else self.real(project)
        known = self._apis.get((who, scope))
        if known is None:
            known = self._apis[who, scope] = self._login(kind, name, scope)
        return known

    def forget(self, who: str) -> None:
        """Log a principal in again at its next request."""
        for key in [key for key in self._apis if key[0] == who]:
            del self._apis[key]

    def _login(self, kind: str, name: str, scope: str | None) -> Api:
        account = name if kind == "root" else self.raw["users"][name]["account"]
        user = self.raw["accounts"][account]["root"] if kind == "root" else name
        secret, domain = self._passwords[user], account
        if account == FIRST:
            known = self.service.credentials
            domain = known["domain_name"]
            user = known["username"] if kind == "root" else user
        return login(self.service, user, secret, domain, project=scope)

    def policy(self, account: str, document: object, kind: str) -> str:
        """Make a custom policy; return its id."""
        role = {"display_name": f"v-{uuid.uuid4().hex[:12]}", "type": kind, "policy": document}
        body = {"role": role | {"description": "vector"}}
        return str(self.admin(account).ok("POST", "/v3.0/OS-ROLE/roles", body)["role"]["id"])

    def images(self) -> list[str]:
        """The names of the images that are as the file describes them."""
        return [
            name
            for name in self.raw["images"]
            if name not in self.missing and name not in self.partial
        ]

    def real(self, name: str) -> str:
        """Return the id of a name. Raises LeftOut when it could not be made."""
        reason = self.missing.get(name) or self.partial.get(name)
        if reason:
            raise LeftOut(reason)
        if name in self.dirty:
            self.make_image(name)
        if name in self.ids:
            return self.ids[name]
        if name.startswith(("img-", "ep-")):
            return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
        return f"{{{name}}}"

    def filled(self, value: Any) -> Any:
        """Return `value` with every `{name}` replaced, in texts however deep."""
        if isinstance(value, str):
            text = _NAME.sub(lambda match: self.real(match[1]), value)
            for key in self.raw.get("access_keys") or {}:
                text = text.replace(key, self.ids[key])
            return text
        if isinstance(value, dict):
            return {key: self.filled(item) for key, item in value.items()}
        return [self.filled(item) for item in value] if isinstance(value, list) else value


_EVERYTHING = {"Effect": "Allow", "Action": ["*:*:*"]}
