# SPDX-License-Identifier: Apache-2.0
"""JSON of the things of identity, as their clients read them.

Each function returns the object inside the wrapper (`{"user": …}` is the handler's). Moments have
the form that the vendor's reference shows for the field.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from calotype import clock
from calotype.contract.loader import Operation
from calotype.iam.access_keys import AccessKey
from calotype.iam.accounts import Account
from calotype.iam.builtin import Builtin
from calotype.iam.enterprise_projects import EnterpriseProject
from calotype.iam.groups import Group
from calotype.iam.policies_store import StoredPolicy
from calotype.iam.projects import Project
from calotype.iam.users import User

Json = dict[str, Any]


def listed(name: str, items: Sequence[Json], url: str) -> Json:
    """Return a list with its links."""
    return {name: list(items), "links": {"self": url, "next": None, "previous": None}}


def project(row: Project, base_url: str) -> Json:
    """Return an IAM project."""
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "domain_id": row.account_id,
        "parent_id": row.account_id,
        "is_domain": False,
        "enabled": row.enabled,
        "links": {"self": f"{base_url}/v3/projects/{row.id}"},
    }


def domain(account_id: str, name: str, base_url: str) -> Json:
    """Return an account as a Keystone domain; only enabled ones are shown."""
    return {
        "id": account_id,
        "name": name,
        "description": "",
        "enabled": True,
        "links": {"self": f"{base_url}/v3/domains/{account_id}"},
    }


def user(row: User, base_url: str) -> Json:
    """Return a user, for both the Keystone and the vendor form."""
    expires_at = row.password_expires_at
    return {
        "id": row.id,
        "name": row.name,
        "domain_id": row.account_id,
        "enabled": row.enabled,
        "description": row.description,
        "email": row.email,
        "areacode": "",
        "phone": "",
        "access_mode": row.access_mode,
        "is_domain_owner": row.is_root,
        "pwd_status": False,
        "password_expires_at": clock.to_microseconds(expires_at) if expires_at else None,
        "create_time": clock.to_microseconds(row.created_at).removesuffix("Z"),
        "xuser_id": "",
        "xuser_type": "",
        "links": {"self": f"{base_url}/v3/users/{row.id}"},
    }


def group(row: Group, base_url: str) -> Json:
    """Return a group."""
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "domain_id": row.account_id,
        "create_time": _milliseconds(row.created_at),
        "links": {"self": f"{base_url}/v3/groups/{row.id}"},
    }


def group_on_ep(row: Group) -> Json:
    """Return a group as the list of an enterprise project's groups shows it."""
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "domainId": row.account_id,
        "createTime": _milliseconds(row.created_at),
    }


def access_key(row: AccessKey, secret: str | None = None) -> Json:
    """Return an access key; the secret once, when it is made."""
    shown = {
        "access": row.access,
        "user_id": row.user_id,
        "status": "active" if row.active else "inactive",
        "description": row.description,
        "create_time": clock.to_microseconds(row.created_at),
    }
    return shown if secret is None else {**shown, "secret": secret}


def builtin_policy(row: Builtin, base_url: str) -> Json:
    """Return a built-in policy as a role."""
    return {
        "id": row.id,
        "name": row.name,
        "display_name": row.display_name,
        "type": row.type,
        "catalog": row.catalog,
        "domain_id": None,
        "flag": "fine_grained" if row.version == "1.1" else None,
        "description": row.display_name,
        "description_cn": None,
        "policy": row.document(),
        "created_time": None,
        "updated_time": None,
        "links": {"self": f"{base_url}/v3/roles/{row.id}"},
    }


def custom_policy(row: StoredPolicy, base_url: str) -> Json:
    """Return a custom policy as a role."""
    return {
        "id": row.id,
        "name": row.name,
        "display_name": row.display_name,
        "type": row.type,
        "catalog": "CUSTOMED",
        "domain_id": row.account_id,
        "flag": "fine_grained",
        "description": row.description,
        "description_cn": None,
        "policy": json.loads(row.document),
        "created_time": str(_milliseconds(row.created_at)),
        "updated_time": str(_milliseconds(row.updated_at)),
        "links": {"self": f"{base_url}/v3/roles/{row.id}"},
    }


def enterprise_project(row: EnterpriseProject) -> Json:
    """Return an enterprise project."""
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "status": 1 if row.enabled else 2,
        "type": row.type,
        "created_at": clock.to_seconds(row.created_at),
        "updated_at": clock.to_seconds(row.updated_at),
    }


def account(row: Account, root_user_id: str | None, projects: Sequence[Project]) -> Json:
    """Return an account, for the operator."""
    return {
        "id": row.id,
        "name": row.name,
        "enabled": row.enabled,
        "eps_enabled": row.eps_enabled,
        "root_user_id": root_user_id,
        "projects": [{"id": one.id, "name": one.name} for one in projects],
    }


def operation(row: Operation) -> Json:
    """Return a row of the operation table."""
    return {
        "id": row.id,
        "dialect": row.dialect,
        "method": row.method,
        "path": row.path,
        "summary": row.summary,
        "actions": [
            {"action": need.action, "when": need.prose, "evaluated_in": need.evaluated_in}
            for need in row.requirements
        ],
        "iam_project": row.iam_project,
        "enterprise_project": row.enterprise_project,
        "evaluated_in": row.evaluated_in,
        "who": row.who,
        "operator": row.operator_when,
        "other_rights": [
            {"any_of": list(right.any_of), "when": right.when} for right in row.object_rights
        ],
        "authentication": row.authentication,
        "in_seed": row.in_seed,
        "deprecated": row.deprecated,
        "source": row.source,
    }


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
