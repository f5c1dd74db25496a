# SPDX-License-Identifier: Apache-2.0
"""Which images of a vector file a list returns: the gate's filter, then the published filters.

Only filters whose answer the file can know are applied (visibility, membership, type, owner, id,
name, status, tags, enterprise project); paging is not, because the file has no order.
Source: contract iam.md 4.5, ims.md (ims.list, ims.by_tags), native.md 6.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from calotype.cli.policy_world import FileWorld
from calotype.gate.enforce import Asked, TargetImage, Verdict
from calotype.images.visibility import listed

_IMS_FILTERED = frozenset({"ims.list", "ims.tag_list"})


def shown_images(world: FileWorld, asked: Asked, verdict: Verdict) -> Iterator[str]:
    """Yield the names of the images that the list returns; none when it was refused."""
    if verdict.list_filter is None:
        return
    query = {name: value for name, value in asked.query if value != ""}
    for name in world.images:
        image = world.target(name, asked.caller.project_id)
        if _in_list(asked, verdict, image, query) and _matches(asked, name, image, query):
            yield name


def _in_list(asked: Asked, verdict: Verdict, image: TargetImage, query: Mapping[str, str]) -> bool:
    limits = verdict.list_filter
    assert limits is not None
    project = limits.project_id
    if limits.all_owners:
        return True
    is_own = image.owner == project
    if limits.only_ep is not None:
        return is_own and limits.admits(image)
    if is_own and not limits.admits(image):
        return False
    visibility, status = query.get("visibility"), query.get("member_status")
    if asked.operation.id in _IMS_FILTERED and status is not None:
        asks_shared = "shared" in (visibility, query.get("__imagetype"))
        if asks_shared and (is_own or image.member_status is None):
            return False
    if asked.operation.id == "glance.v11_detail":
        visibility, status = None, None
    return listed(image, project, visibility=visibility, member_status=status or "accepted")


def _matches(asked: Asked, name: str, image: TargetImage, query: Mapping[str, str]) -> bool:
    if asked.operation.id == "ims.by_tags":
        return isinstance(asked.body, dict) and _by_tags(asked.body, name, image)
    facts = {
        "id": image.id,
        "name": name,
        "owner": image.owner,
        "status": image.status,
        "__imagetype": image.image_type,
    }
    if any(query[key] != fact for key, fact in facts.items() if key in query):
        return False
    wanted = [value for key, value in asked.query if key == "tag"]
    forms = set(_tag_forms(image))
    if asked.operation.id in _IMS_FILTERED:
        forms |= {form.replace("=", ".", 1) for form in forms}
    return set(wanted) <= forms and _ep_matches(asked, image, query)


def _ep_matches(asked: Asked, image: TargetImage, query: Mapping[str, str]) -> bool:
    """In a list that knows no enterprise projects the parameter is a plain filter."""
    if asked.operation.enterprise_project:
        return True
    foreign = image.account_id != asked.caller.principal.account_id
    shown = "0" if foreign or not asked.caller.eps_enabled else image.ep
    for key in ("enterprise_project_id", "_sys_enterprise_project_id"):
        value = query.get(key)
        is_open = value == "all_granted_eps" and asked.operation.dialect == "ims"
        if value is not None and not is_open and value.lower() != shown:
            return False
    return True


def _tag_forms(image: TargetImage) -> Iterator[str]:
    for key, values in image.tags.items():
        for value in values:
            yield f"{key}={value}" if value else key


def _by_tags(body: Mapping[str, Any], name: str, image: TargetImage) -> bool:
    for match in body.get("matches") or ():
        value = str(match.get("value", ""))
        if match.get("key") == "resource_id" and value != image.id:
            return False
        if match.get("key") == "resource_name" and value.lower() not in name.lower():
            return False
    if body.get("without_any_tag"):
        return not image.tags
    return (
        _tags_hold(body, "tags", image, every=True) is not False
        and _tags_hold(body, "tags_any", image, every=False) is not False
        and _tags_hold(body, "not_tags", image, every=True) is not True
        and _tags_hold(body, "not_tags_any", image, every=False) is not True
    )


def _tags_hold(
    body: Mapping[str, Any], field: str, image: TargetImage, *, every: bool
) -> bool | None:
    """Tell whether the image has the named tags; None: the field is not given."""
    wanted = body.get(field)
    if not wanted:
        return None
    found = [
        bool(set(tag.get("values") or image.tags.get(tag["key"], ())) & set(image.tags[tag["key"]]))
        if tag["key"] in image.tags
        else False
        for tag in wanted
    ]
    return all(found) if every else any(found)
