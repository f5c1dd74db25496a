# SPDX-License-Identifier: Apache-2.0
"""Accounts, users, groups, policies, enterprise projects and grants, made over HTTP only.

Each account is made by the operator and then administered by its own root user, so tests that
share a service do not meet.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.service import Service
from tests.wire import Api, login, operator_of


def fresh(prefix: str) -> str:
    """Return a name that nobody used before."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def password() -> str:
    """Return a new password."""
    return f"Pw.{secrets.token_urlsafe(18)}"


def policy_of(*actions: str, effect: str = "Allow", **more: Any) -> dict[str, Any]:
    """Return a policy document of one statement."""
    return {
        "Version": "1.1",
        "Statement": [{"Effect": effect, "Action": sorted(set(actions)), **more}],
    }


@dataclass
class User:
    """A user of an account with one group of his own, in which his grants go."""

    id: str
    name: str
    password: str
    group: str
    api: Api


@dataclass
class Account:
    """An account and its root user."""

    service: Service
    id: str
    name: str
    project: str
    root_id: str
    root: Api
    admin: Api = field(repr=False)

    @classmethod
    def make(cls, service: Service, *, eps_enabled: bool = True) -> Account:
        """Have the operator make an account."""
        name, secret = fresh("acct"), password()
        body = {"name": name, "eps_enabled": eps_enabled, "root": {"password": secret}}
        made = operator_of(service).ok("POST", "/authz/v1/accounts", {"account": body})["account"]
        project = made["projects"][0]["id"]
        root = login(service, name, secret, name, project=project)
        admin = login(service, name, secret, name)
        return cls(service, made["id"], name, project, made["root_user_id"], root, admin)

    def user(self) -> User:
        """Make a user without any right, in a group of his own."""
        name, secret = fresh("user"), password()
        body = {"name": name, "domain_id": self.id, "password": secret, "enabled": True}
        made = self.admin.ok("POST", "/v3/users", {"user": body})["user"]
        group = self.admin.ok(
            "POST", "/v3/groups", {"group": {"name": fresh("group"), "domain_id": self.id}}
        )["group"]["id"]
        self.admin.ok("PUT", f"/v3/groups/{group}/users/{made['id']}")
        api = login(self.service, name, secret, self.name, project=self.project)
        return User(made["id"], name, secret, group, api)

    def access_key(self, user_id: str) -> tuple[str, str]:
        """Make an access key; return its two halves."""
        body = {"credential": {"user_id": user_id, "description": "test"}}
        made = self.admin.ok("POST", "/v3.0/OS-CREDENTIAL/credentials", body)["credential"]
        self.service.secrets.add(made["secret"])
        return made["access"], made["secret"]

    def policy(self, *actions: str, document: dict[str, Any] | None = None) -> str:
        """Make a custom policy; return its id."""
        role = {
            "display_name": fresh("policy"),
            "type": "XA",
            "description": "test",
            "policy": document or policy_of(*actions),
        }
        return str(self.admin.ok("POST", "/v3.0/OS-ROLE/roles", {"role": role})["role"]["id"])

    def drop_policy(self, policy: str) -> None:
        """Delete a custom policy and with it its grants."""
        self.admin.ok("DELETE", f"/v3.0/OS-ROLE/roles/{policy}")

    def grant(self, group: str, policy: str, *, project: str = "", ep: str = "") -> None:
        """Grant a policy to a group on an IAM project (default: the first) or on an EP."""
        if ep:
            path = f"/v3.0/OS-PERMISSION/enterprise-projects/{ep}/groups/{group}/roles/{policy}"
        else:
            path = f"/v3/projects/{project or self.project}/groups/{group}/roles/{policy}"
        self.admin.ok("PUT", path)

    def allow(self, user: User, actions: Iterable[str], *, ep: str = "") -> str:
        """Grant exactly these actions in a new policy; return its id."""
        policy = self.policy(*actions)
        self.grant(user.group, policy, ep=ep)
        return policy

    def enterprise_project(self) -> str:
        """Make an enterprise project; return its id."""
        body = {"name": fresh("ep"), "description": "", "type": "poc"}
        made = self.admin.ok("POST", "/v1.0/enterprise-projects", body)
        return str(made["enterprise_project"]["id"])

    def put(self, file: Path, bucket: str, key: str) -> str:
        """Put a file into a bucket of this account; return `bucket:key`."""
        return self.service.bucket_put(file, key, bucket, self.name)

    def bucket(self) -> str:
        """Make a bucket of this account by the command line; return its name."""
        name = fresh("bucket")
        done = self.service.cli("bucket", "create", name, "--account", self.name)
        assert done.returncode == 0, done.stderr
        return name
