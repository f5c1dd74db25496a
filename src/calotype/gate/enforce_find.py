# SPDX-License-Identifier: Apache-2.0
"""Step 4 of a decision: find what is addressed, before any action is decided.

What does not exist and what the request's project may not know of are the same: not found. So an
invisible image looks like a missing one whatever the caller may do. Source: iam.md 4.1, 4.6, 6.
"""

from __future__ import annotations

from dataclasses import replace

from calotype.contract.loader import IMAGE_DIALECTS
from calotype.gate.enforce_types import Asked, Found, TargetImage, Wanted, World
from calotype.images.visibility import visible
from calotype.principal import PrincipalType

_KINDS = {
    "user_id": "user",
    "group_id": "group",
    "project_id": "project",
    "agency_id": "agency",
    "role_id": "policy",
    "enterprise_project_id": "enterprise_project",
    "access_key": "access_key",
}


class Missing(LookupError):
    """Something addressed does not exist or is not visible."""

    def __init__(self, kind: str, wanted_id: str) -> None:
        super().__init__(f"no {kind} {wanted_id}")
        self.kind = kind
        self.wanted_id = wanted_id


def find(asked: Asked, wanted: Wanted, world: World) -> tuple[Wanted, Found]:
    """Return the addressed things. Raises Missing for the first that is not there."""
    if asked.operation.dialect not in IMAGE_DIALECTS:
        wanted = _find_entities(asked, wanted, world)
    if wanted.job_id is not None:
        job = world.job(wanted.job_id)
        if job is None or job.project_id != wanted.project_id:
            raise Missing("job", asked.params["job_id"])
        return wanted, Found(job=job)
    images = tuple(_find_image(asked, wanted, one, world) for one in wanted.image_ids)
    if asked.operation.target == "member":
        _find_member(asked, wanted, images[0], world)
    return wanted, Found(images)


def sees_all(asked: Asked) -> bool:
    """Tell whether the caller is the operator on a native path, who sees every image."""
    return asked.caller.principal.is_operator and asked.operation.dialect == "native"


def is_member(image: TargetImage) -> bool:
    """Tell whether the asking project is a member, in any status."""
    return image.visibility == "shared" and image.member_status is not None


def _find_image(asked: Asked, wanted: Wanted, image_id: str, world: World) -> TargetImage:
    image = world.image(image_id, wanted.project_id)
    if image is None or not (visible(image, wanted.project_id) or sees_all(asked)):
        raise Missing("image", asked.params.get("image_id", image_id))
    return image


def _find_member(asked: Asked, wanted: Wanted, image: TargetImage, world: World) -> None:
    """A member knows of its own record only; who merely sees the image is refused later."""
    assert wanted.member_id is not None
    if image.owner == wanted.project_id or sees_all(asked):
        known = world.has_member(image.id, wanted.member_id)
    else:
        known = not is_member(image) or wanted.member_id == wanted.project_id
    if not known:
        raise Missing("member", asked.params["member_id"])


def _find_entities(asked: Asked, wanted: Wanted, world: World) -> Wanted:
    if asked.operation.dialect == "authz":
        return wanted  # accounts and decisions are the handler's; the row itself is guarded
    principal = asked.caller.principal
    is_token = principal.type is PrincipalType.OPERATOR
    account_id = None if is_token else principal.account_id
    domain = asked.params.get("domain_id")
    if domain is not None and account_id is not None and domain != account_id:
        raise Missing("domain", domain)
    for name, kind in _KINDS.items():
        value = asked.params.get(name)
        if value is not None and not world.entity(kind, value, account_id):
            raise Missing(kind, value)
    if wanted.user_id is not None and not world.entity("user", wanted.user_id, account_id):
        raise Missing("user", wanted.user_id)
    key = asked.params.get("access_key")
    if key is not None:
        return replace(wanted, user_id=world.key_owner(key) or "")
    if asked.operation.target == "moved_image":
        assert wanted.project_id is not None
        if not world.entity("project", wanted.project_id, account_id):
            raise Missing("project", wanted.project_id)
    return wanted
