# SPDX-License-Identifier: Apache-2.0
"""The JSON patch of `glance.update`: read the document, then apply it to an image (native.md 7).

`read` checks every form and name before anything is applied; `apply` works on a copy, operation by
operation, and gives the image that results. Nothing is stored here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from calotype.api.native import fields
from calotype.api.native.names import AT_CREATION_ONLY, Kind, kind
from calotype.errors import Conflict, Invalid, QuotaExceeded, ReadOnly, WrongState
from calotype.images import attributes, states, tags, writing
from calotype.images.model import Image
from calotype.settings import Settings

V20 = "application/openstack-images-v2.0-json-patch"
V21 = "application/openstack-images-v2.1-json-patch"
OPERATIONS = ("add", "replace", "remove")
OPERATIONS_LIMIT = 100
_ALLOWED = f"one of {', '.join(OPERATIONS)}"


@dataclass(frozen=True, slots=True)
class Change:
    """One operation; `value` as the core stores it, or as sent where the name is read-only."""

    verb: str
    name: str
    kind: Kind
    value: object
    exists_is_conflict: bool  # `add` of the v2.0 form


@dataclass(frozen=True, slots=True)
class Limits:
    """What a patch may not exceed, and what is switched on."""

    properties: int
    tags: int
    community: bool

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Read the settings."""
        return cls(
            settings.properties_per_image,
            settings.native_tags_per_image,
            settings.community_images,
        )


def read(media_type: str, body: object) -> list[Change]:
    """Return the operations of a document. Raises Invalid and ReadOnly."""
    if not isinstance(body, list):
        raise Invalid("the body must be an array of operations", field="body")
    if len(body) > OPERATIONS_LIMIT:
        raise Invalid(
            f"{len(body)} operations; at most {OPERATIONS_LIMIT} are allowed", field="body"
        )
    old = media_type == V20
    return [_read_one(f"[{index}]", item, old=old) for index, item in enumerate(body)]


def apply(image: Image, changes: list[Change], limits: Limits, viewer: str | None) -> Image:
    """Return the image after all operations. Raises Invalid, ReadOnly, Conflict, QuotaExceeded."""
    result = image
    for change in changes:
        result = _APPLY[change.kind](image, result, change, viewer)
    _check_result(image, result, changes, limits)
    return result


def _read_one(place: str, item: object, *, old: bool) -> Change:
    if not isinstance(item, dict):
        raise Invalid(f"{place}: an operation is an object", field=place)
    verb, path = _verb_and_path_20(place, item) if old else _verb_and_path_21(place, item)
    name = _root(place, path)
    found = kind(name)
    if verb == "remove" and found is Kind.BASE:
        raise ReadOnly(
            f"Property {name} may not be removed.", rule="read_only_attribute", field=name
        )
    if verb != "remove" and "value" not in item:
        raise Invalid(f"{place}: the member value is missing", field=f"{place}.value")
    value = None if verb == "remove" else _value(name, found, item["value"])
    return Change(verb, name, found, value, old and verb == "add")


def _verb_and_path_21(place: str, item: Mapping[str, object]) -> tuple[str, object]:
    verb = item.get("op")
    if not isinstance(verb, str) or verb not in OPERATIONS:
        raise Invalid(f"{place}.op: {verb!r} is not allowed; {_ALLOWED}", field=f"{place}.op")
    return verb, item.get("path")


def _verb_and_path_20(place: str, item: Mapping[str, object]) -> tuple[str, object]:
    verbs = [word for word in OPERATIONS if word in item]
    if len(verbs) != 1:
        raise Invalid(f"{place}: an operation has exactly {_ALLOWED}", field=place)
    return verbs[0], item[verbs[0]]


def _root(place: str, path: object) -> str:
    """Return the one token of a JSON pointer."""
    if not isinstance(path, str) or not path.startswith("/"):
        raise Invalid(f"{place}.path: it must begin with /", field=f"{place}.path")
    tokens = [token.strip() for token in path[1:].split("/")]
    if tokens[0] in ("locations", "location"):
        # refused at any depth, before the depth itself is
        kind(tokens[0])
    if any(not token for token in tokens):
        raise Invalid(f"{place}.path: it has an empty part", field=f"{place}.path")
    if len(tokens) > 1:
        raise Invalid(f"{place}.path: it must have exactly one part", field=f"{place}.path")
    token = tokens[0]
    if "~" in token.replace("~0", "").replace("~1", ""):
        raise Invalid(f"{place}.path: ~ stands only in ~0 and ~1", field=f"{place}.path")
    return token.replace("~1", "/").replace("~0", "~")


def _value(name: str, found: Kind, value: object) -> object:
    if found is Kind.BASE:
        return fields.base(name, value)
    if found is Kind.CUSTOM:
        return fields.custom(name, value)
    if found is Kind.SYSTEM:
        return fields.system(name, value)
    return value


def _apply_base(before: Image, image: Image, change: Change, viewer: str | None) -> Image:
    del viewer
    if change.exists_is_conflict:
        raise Conflict(f"Property {change.name} already present.", rule="attribute_exists")
    value: Any = change.value
    if change.name in ("disk_format", "container_format"):
        if value != getattr(before, change.name):
            _check_format_change(before, change.name)
    elif change.name == "visibility" and value != image.visibility:
        return replace(image, visibility=value, turned_shared=False)
    changed: Image = replace(image, **{change.name: value})
    return changed


def _check_format_change(image: Image, name: str) -> None:
    try:
        states.require(image, "formats")
    except WrongState as refusal:
        if refusal.rule == "image_busy":
            raise
        raise WrongState(
            f"Attribute {name} can only be changed while the image is queued.",
            rule="state_forbidden",
            status=image.status,
        ) from None


def _apply_custom(before: Image, image: Image, change: Change, viewer: str | None) -> Image:
    del before, viewer
    present = change.name in image.properties
    _check_presence(change, present=present)
    properties = dict(image.properties)
    if change.verb == "remove":
        del properties[change.name]
    else:
        assert change.value is None or isinstance(change.value, str)
        properties[change.name] = change.value
    return replace(image, properties=properties)


def _apply_system(before: Image, image: Image, change: Change, viewer: str | None) -> Image:
    present = writing.shown(image, change.name, viewer)
    if change.verb != "remove" and change.value == present:
        return image
    if change.name == AT_CREATION_ONLY:
        raise _read_only(change.name)
    if change.name == "__os_version" and before.status != states.Status.QUEUED:
        raise WrongState(
            "Attribute __os_version can only be changed while the image is queued.",
            rule="state_forbidden",
            status=before.status,
        )
    _check_presence(change, present=present is not None)
    assert change.value is None or isinstance(change.value, str)
    return writing.set_system(image, change.name, change.value, natively=True)


def _apply_dropped(before: Image, image: Image, change: Change, viewer: str | None) -> Image:
    del viewer
    # The present value counts, shown here or not: clients copy it from the other dialect (M32).
    present = attributes.read(before, change.name, before.owner)
    if change.verb == "remove" or change.value != present:
        raise _read_only(change.name)
    return image


def _check_presence(change: Change, *, present: bool) -> None:
    if change.verb == "add":
        if change.exists_is_conflict and present:
            raise Conflict(f"Property {change.name} already present.", rule="attribute_exists")
    elif not present:
        raise Conflict(f"Property {change.name} does not exist.", rule="attribute_absent")


def _check_result(before: Image, image: Image, changes: list[Change], limits: Limits) -> None:
    fields.check_community(
        image.visibility, enabled=limits.community or before.visibility == "community"
    )
    tags.check_limit(before.tags, image.tags, limits.tags)
    count = writing.custom_count(image.properties)
    if count > limits.properties and count > writing.custom_count(before.properties):
        raise QuotaExceeded(
            f"an image has at most {limits.properties} properties, not {count}",
            rule="property_quota",
            quota="properties",
            limit=limits.properties,
            used=count,
        )
    touched = {change.name for change in changes}
    pair = writing.excluded(image.properties)
    if pair is not None and touched & set(pair):
        raise Invalid(
            f"{pair[0]} and {pair[1]} exclude each other", rule="attribute_conflict", field=pair[0]
        )


def _read_only(name: str) -> ReadOnly:
    return ReadOnly(f"Attribute '{name}' is read-only.", rule="read_only_attribute", field=name)


_Apply = Callable[[Image, Image, Change, "str | None"], Image]
_APPLY: dict[Kind, _Apply] = {
    Kind.BASE: _apply_base,
    Kind.CUSTOM: _apply_custom,
    Kind.SYSTEM: _apply_system,
    Kind.DROPPED: _apply_dropped,
}
