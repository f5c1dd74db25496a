# SPDX-License-Identifier: Apache-2.0
"""Steps 2 and 3 of a decision: the scope, and what authorization needs from the request.

Reads only the fields that the contract marks as needed for authorization; every other field is the
handler's, after the decision. Raises Invalid or Malformed (400), never looks anything up.
Source: contract iam.md 4.1, 4.3, 4.5; ims.md C1, C3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NoReturn

from calotype import ids
from calotype.contract.loader import IMAGE_DIALECTS
from calotype.errors import Invalid, Malformed
from calotype.gate.enforce_types import Asked, Wanted

ALL_GRANTED = "all_granted_eps"
BATCH_LIMIT = 100
MOVE_PATH = "enterprise_project_id"
_SHOWN = 60
_PLACEHOLDER = re.compile(r"\{.*\}\Z", re.DOTALL)


def needs_project(asked: Asked) -> bool:
    """Tell whether the operation can only be asked with a credential scoped to a project.

    The operator may read and administer natively without one; whatever makes or names an image of
    a project needs one.
    """
    row = asked.operation
    if row.dialect not in IMAGE_DIALECTS or not row.requirements:
        return False
    is_operator = asked.caller.principal.is_operator
    return not (is_operator and row.dialect == "native" and row.target != "new_image")


def check_path_project(asked: Asked) -> None:
    """Compare the project of an IMS path with that of the request. Raises Invalid."""
    text = asked.params.get("project_id")
    if text is None or asked.operation.dialect != "ims":
        return
    if _PLACEHOLDER.match(text):
        raise Invalid(
            "the path has no project id; set project_id in the credentials of the client",
            rule="project_placeholder",
            field="project_id",
        )
    if ids.project_id(text) != asked.caller.project_id:
        raise Invalid(
            "project_id in the path is not the project of the credential",
            rule="project_mismatch",
            field="project_id",
        )


def read_wanted(asked: Asked) -> Wanted | None:
    """Return what the decision needs, None when an id in a native path cannot name anything.

    Raises Invalid or Malformed for what the dialect answers with 400.
    """
    row = asked.operation
    special = _SPECIAL.get(row.handler)
    if special is not None:
        return special(asked)
    if row.target == "new_image" and row.dialect == "ims":
        body = _object(asked)
        return _wanted(asked, target_ep=_target_ep(body), objects=_objects(body))
    if row.target in {"image", "member"}:
        return _image_in_path(asked)
    if row.target == "job":
        job_id = ids.job_id(asked.params["job_id"])
        return None if job_id is None else _wanted(asked, job_id=job_id)
    if row.dialect == "iam":
        return _wanted(asked, user_id=_user(asked))
    return _wanted(asked)


def _wanted(asked: Asked, **fields: Any) -> Wanted:
    return Wanted(**{"project_id": asked.caller.project_id, **fields})


def _image_in_path(asked: Asked, **fields: Any) -> Wanted | None:
    text = asked.params["image_id"]
    image_id = ids.image_id(text)
    if image_id is None:
        if asked.operation.dialect == "native":
            return None
        _bad_image_id("image_id", text)
    member = asked.params.get("member_id")
    if member is not None:
        fields["member_id"] = ids.project_id(member) or member
    return _wanted(asked, image_ids=(image_id,), **fields)


def _update(asked: Asked) -> Wanted | None:
    operations = asked.body
    if not isinstance(operations, list):
        raise Malformed("the body must be an array of operations")
    found = _image_in_path(asked)
    targets: list[str] = []
    for index, item in enumerate(operations):
        if not isinstance(item, dict):
            raise Malformed(f"[{index}] must be an object")
        name = _attribute(item.get("path"), index)
        if name == MOVE_PATH and item.get("op") in ("add", "replace"):
            value = item.get("value")
            if value is None:
                _wrong(f"[{index}].value", "must be given")
            targets.append(_ep(value, f"[{index}].value"))
    return found and replace(found, moves_to=tuple(dict.fromkeys(targets)))


def _attribute(path: object, index: int) -> str:
    field = f"[{index}].path"
    if not isinstance(path, str) or not path.startswith("/") or "/" in path[1:] or path == "/":
        _wrong(field, "must be / and the name of one attribute")
    if re.search(r"~(?![01])", path):
        _wrong(field, "~ is written as ~0, / as ~1")
    return path[1:].replace("~1", "/").replace("~0", "~")


def _quickimport(asked: Asked) -> Wanted:
    body = _object(asked)
    kind = body.get("type")
    if kind in (None, ""):
        kind = "ECS"
    if not isinstance(kind, str):
        _wrong("type", "must be a string")
    if kind not in ("ECS", "BMS", "DataImage"):
        raise Invalid(
            "type must be one of ECS, BMS, DataImage", rule="image_type", field="type", value=kind
        )
    disk = "data" if kind == "DataImage" else "system"
    return _wanted(asked, target_ep=_target_ep(body), disk=disk, objects=_objects(body))


def _copy(asked: Asked) -> Wanted | None:
    body = _object(asked)
    found = _image_in_path(asked)
    return found and replace(found, target_ep=_target_ep(body))


def _register(asked: Asked) -> Wanted | None:
    return _image_in_path(asked, objects=_objects(_object(asked)))


def _export(asked: Asked) -> Wanted | None:
    target = _object(asked).get("bucket_url")
    return _image_in_path(asked, objects=(target,) if isinstance(target, str) else ())


def _list(asked: Asked) -> Wanted:
    values = [value for name, value in asked.query if name == "enterprise_project_id"]
    if len(values) > 1:
        raise Invalid(
            "enterprise_project_id may be given once",
            rule="query_repeated",
            field="enterprise_project_id",
        )
    value = values[0] if values else ""
    if value in ("", ALL_GRANTED):
        return _wanted(asked)
    return _wanted(asked, only_ep=_ep(value, "enterprise_project_id"))


def _members(asked: Asked) -> Wanted:
    body = _object(asked)
    images = body.get("images")
    if not isinstance(images, list) or not 1 <= len(images) <= BATCH_LIMIT:
        _wrong("images", f"must be an array of 1 to {BATCH_LIMIT} image ids")
    found: list[str] = []
    for index, item in enumerate(images):
        if not isinstance(item, str):
            _wrong(f"images[{index}]", "must be a string")
        image_id = ids.image_id(item)
        if image_id is None:
            _bad_image_id(f"images[{index}]", item)
        found.append(image_id)
    return _wanted(
        asked, image_ids=tuple(dict.fromkeys(found)), member_id=_member_project(asked, body)
    )


def _member_project(asked: Asked, body: Mapping[str, object]) -> str | None:
    if asked.operation.who != "mem":
        return None
    text = body.get("project_id")
    if not isinstance(text, str):
        _wrong("project_id", "must be given as a string")
    project = ids.project_id(text)
    if project is None:
        raise Invalid("project_id is no project id", rule="project_id", field="project_id")
    return project


def _tag_put(asked: Asked) -> Wanted:
    text = _object(asked).get("image_id")
    if not isinstance(text, str):
        _wrong("image_id", "must be given as a string")
    image_id = ids.image_id(text)
    if image_id is None:
        _bad_image_id("image_id", text)
    return _wanted(asked, image_ids=(image_id,))


def _migrate(asked: Asked) -> Wanted:
    body = _object(asked)
    word = body.get("action")
    if word not in ("bind", "unbind"):
        raise Invalid("action must be bind or unbind", rule="action_word", field="action")
    project, image = body.get("project_id"), body.get("resource_id")
    project_id = ids.project_id(project) if isinstance(project, str) else None
    image_id = ids.image_id(image) if isinstance(image, str) else None
    if project_id is None:
        raise Invalid("project_id is no project id", rule="project_id", field="project_id")
    if image_id is None:
        _bad_image_id("resource_id", image)
    target = asked.params["enterprise_project_id"].lower() if word == "bind" else "0"
    return Wanted(project_id, (image_id,), target_ep=target, moves_to=(target,))


def _ep_action(asked: Asked) -> Wanted:
    word = _object(asked).get("action")
    if word not in ("enable", "disable"):
        raise Invalid("action must be enable or disable", rule="action_word", field="action")
    return _wanted(asked, word=word)


def _user(asked: Asked) -> str | None:
    """Whom a row that everybody may use for himself is about; None: the caller."""
    if "user_id" in asked.params:
        return asked.params["user_id"]
    if asked.operation.id == "iam.key_list":
        return next((value for name, value in asked.query if name == "user_id" and value), None)
    if asked.operation.id == "iam.key_create" and isinstance(asked.body, dict):
        credential = asked.body.get("credential")
        user = credential.get("user_id") if isinstance(credential, dict) else None
        return user if isinstance(user, str) and user else None
    return None


def _explain(asked: Asked) -> Wanted:
    principal = _object(asked).get("principal")
    named = principal if isinstance(principal, dict) else {}
    who = named.get("user_id") or named.get("agency_id")
    return _wanted(asked, user_id=who if isinstance(who, str) else None)


_SPECIAL: Mapping[str, Callable[[Asked], Wanted | None]] = {
    "ims.list": _list,
    "ims.update": _update,
    "ims.quickimport": _quickimport,
    "ims.register": _register,
    "ims.export": _export,
    "ims.copy": _copy,
    "ims.members_add": _members,
    "ims.members_update": _members,
    "ims.members_delete": _members,
    "ims.tag_put": _tag_put,
    "eps.migrate": _migrate,
    "eps.action": _ep_action,
    "authz.explain": _explain,
}


def _object(asked: Asked) -> Mapping[str, object]:
    if asked.body is None:
        raise Malformed("the body is missing", rule="body_missing")
    if not isinstance(asked.body, dict):
        raise Malformed("the body must be an object")
    return asked.body


def _objects(body: Mapping[str, object]) -> tuple[str, ...]:
    data = body.get("data_images")
    parts = [body, *(data if isinstance(data, list) else ())]
    texts = [part.get("image_url") for part in parts if isinstance(part, dict)]
    return tuple(text for text in texts if isinstance(text, str) and text)


def _target_ep(body: Mapping[str, object]) -> str:
    value = body.get("enterprise_project_id")
    return "0" if value is None else _ep(value, "enterprise_project_id")


def _ep(value: object, field: str) -> str:
    if not isinstance(value, str):
        _wrong(field, "must be a string")
    if value == "":
        return "0"
    ep = ids.enterprise_project_id(value)
    if ep is None:
        raise Invalid(
            f"{field} must be 0 or the id of an enterprise project",
            rule="enterprise_project_form",
            field=field,
            value=value[:64],
        )
    return ep


def _bad_image_id(field: str, value: object) -> NoReturn:
    shown = repr(value)[:_SHOWN]
    raise Invalid(
        f"{field}: {shown} is no image id; give a UUID", rule="image_id", field=field, value=shown
    )


def _wrong(field: str, problem: str) -> NoReturn:
    raise Invalid(f"{field} {problem}", rule="field_wrong", field=field)
