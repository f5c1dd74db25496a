# SPDX-License-Identifier: Apache-2.0
"""Bodies of the tag operations (contract ims.md, values.md 3).

Reads them into pairs and conditions of the core. Fields are checked in the order of their tables;
a wrong JSON type is IMG.0001, what breaks the form of a tag IMG.0115, too many IMG.0116.
"""

from __future__ import annotations

from dataclasses import dataclass

from calotype import ids
from calotype.api.ims import creations, fields
from calotype.api.ims.fields import MALFORMED, Pair
from calotype.api.ims.refusal import IMSRefusal, refuse
from calotype.images.tag_lists import KeyValues, Search

FORM = "IMG.0115"
DELETED_AT_ONCE = 100
DELETED_KEY = 127
SEARCHED_KEY = 128
VALUE = 255
SEARCHED_KEYS = 10
SEARCHED_VALUES = 10
PAGE_DEFAULT = 10
PAGE_LIMIT = 1000
_BIGGEST = 2**63 - 1
_LISTS = ("tags", "tags_any", "not_tags", "not_tags_any")
_SEARCH = ("action", "without_any_tag", *_LISTS, "limit", "offset", "matches")
_NOWHERE = ""  # an id that no image has

Removal = tuple[str, str | None]
"""A key to remove, and the value it must have; None: whatever it is."""


@dataclass(frozen=True, slots=True)
class Query:
    """What `ims.by_tags` asks; `counting` wants no images."""

    search: Search
    counting: bool
    limit: int
    offset: int


def read_put(body: object) -> Pair:
    """Return the pair of `ims.tag_put`: `tag` in string form or `image_tag` as a pair."""
    values = creations.as_object(body, ("image_id", "tag", "image_tag"))
    text, pair = values.get("tag"), values.get("image_tag")
    if text is not None and pair is not None:
        raise IMSRefusal(FORM, "tag and image_tag exclude each other", field="image_tag")
    if text is not None:
        return fields.string_tag(text, "tag")
    if pair is not None:
        return fields.pair_tag(pair, "image_tag")
    raise IMSRefusal(MALFORMED, "tag or image_tag must be given", field="tag")


def read_add(body: object) -> Pair:
    """Return the pair of `ims.tag_add`."""
    values = creations.as_object(body, ("tag",))
    return fields.pair_tag(values.get("tag"), "tag")


def read_batch(body: object, limit: int) -> tuple[list[Pair], list[Removal]]:
    """Return the pairs to put and those to remove of `ims.tags_batch`; one of both is empty."""
    values = creations.as_object(body, ("action", "tags"))
    action = fields.text("action", values.get("action"))
    if action not in ("create", "delete"):
        raise refuse(MALFORMED, "action", action, "allowed: create, delete")
    if action == "delete":
        return [], read_removals(values.get("tags"))
    found = [fields.pair_tag(one, f"tags[{at}]") for at, one in enumerate(_items(values, "tags"))]
    _require_unique("tags", [key for key, _ in found])
    if len(found) > limit:
        raise IMSRefusal(
            "IMG.0116", f"tags: {len(found)} tags; at most {limit} are allowed", field="tags"
        )
    return found, []


def read_remove(body: object) -> list[Removal]:
    """Return what `ims.tags_remove` removes."""
    return read_removals(creations.as_object(body, ("tags",)).get("tags"))


def read_removals(value: object) -> list[Removal]:
    """Return the tags to remove of a list."""
    items = _items({"tags": value}, "tags")
    if len(items) > DELETED_AT_ONCE:
        raise IMSRefusal(
            FORM, f"tags: {len(items)} tags; at most {DELETED_AT_ONCE} go at once", field="tags"
        )
    found = [_removal(one, f"tags[{at}]") for at, one in enumerate(items)]
    _require_unique("tags", [key for key, _ in found])
    return found


def read_query(body: object) -> Query:
    """Return what `ims.by_tags` asks."""
    values = creations.as_object(body, _SEARCH)
    action = fields.text("action", values.get("action"))
    if action not in ("filter", "count"):
        raise refuse(MALFORMED, "action", action, "allowed: filter, count")
    counting = action == "count"
    untagged = fields.boolean("without_any_tag", values.get("without_any_tag"))
    groups = {name: () if untagged else _groups(values, name) for name in _LISTS}
    limit = _number(values, "limit", 1, PAGE_LIMIT, ignored=counting)
    offset = _number(values, "offset", 0, None, ignored=counting)
    name, image_id = _matches(values)
    search = Search(
        all_of=groups["tags"],
        any_of=groups["tags_any"],
        not_all=groups["not_tags"],
        not_any=groups["not_tags_any"],
        untagged=untagged,
        name=name,
        image_id=image_id,
    )
    return Query(search, counting, PAGE_DEFAULT if limit is None else limit, offset or 0)


def _items(values: dict[str, object], name: str) -> list[object]:
    """Return a list that must have something in it."""
    found = values.get(name)
    if not isinstance(found, list) or not found:
        raise refuse(MALFORMED, name, found, "an array that is not empty")
    return found


def _removal(value: object, field: str) -> Removal:
    key, content = _parts(value, field, "value")
    wanted = fields.text(f"{field}.value", content)
    if not 1 <= len(key) <= DELETED_KEY or len(wanted or "") > VALUE:
        raise refuse(FORM, field, value, f"key of 1 to {DELETED_KEY}, value of 0 to {VALUE}")
    return key, wanted or None


def _parts(value: object, field: str, second: str) -> tuple[str, object]:
    """Return key and second member of an object that has no other."""
    if not isinstance(value, dict):
        raise refuse(MALFORMED, field, value, f"it must be an object of key and {second}")
    key = fields.text(f"{field}.key", value.get("key"))
    if key is None or set(value) - {"key", second}:
        raise refuse(FORM, field, value, f"it must be an object of exactly key and {second}")
    return key, value.get(second)


def _require_unique(field: str, found: list[str], code: str = FORM) -> None:
    seen: set[str] = set()
    for one in found:
        if one in seen:
            raise refuse(code, field, one, "it may occur once")
        seen.add(one)


def _groups(values: dict[str, object], name: str) -> tuple[KeyValues, ...]:
    if values.get(name) is None:
        return ()
    items = _items(values, name)
    if len(items) > SEARCHED_KEYS:
        raise IMSRefusal(
            FORM, f"{name}: {len(items)} keys; at most {SEARCHED_KEYS} are allowed", field=name
        )
    found = tuple(_group(one, f"{name}[{at}]") for at, one in enumerate(items))
    _require_unique(name, [one.key for one in found])
    return found


def _group(value: object, field: str) -> KeyValues:
    key, content = _parts(value, field, "values")
    if not 1 <= len(key) <= SEARCHED_KEY:
        raise refuse(FORM, f"{field}.key", key, f"1 to {SEARCHED_KEY} characters")
    if content is None:
        raise IMSRefusal(FORM, f"{field}.values is missing", field=f"{field}.values")
    items = fields.array(f"{field}.values", content)
    if len(items) > SEARCHED_VALUES:
        raise IMSRefusal(
            FORM,
            f"{field}.values: {len(items)} values; at most {SEARCHED_VALUES} are allowed",
            field=f"{field}.values",
        )
    found = [_value(one, f"{field}.values[{at}]") for at, one in enumerate(items)]
    _require_unique(f"{field}.values", found)
    return KeyValues(key, tuple(found))


def _value(value: object, field: str) -> str:
    found = fields.text(field, value)
    if found is None or len(found) > VALUE:
        raise refuse(FORM, field, value, f"a string of 0 to {VALUE} characters")
    return found


def _number(
    values: dict[str, object], name: str, low: int, high: int | None, *, ignored: bool
) -> int | None:
    """Return an integer that may be a string of digits; an `ignored` one has any size."""
    value = values.get(name)
    if value is None:
        return None
    allowed = f"an integer of at least {low}" if high is None else f"from {low} to {high}"
    found: int | None = None
    if isinstance(value, str):
        if value.isascii() and value.isdigit():
            found = int(value) if len(value) <= len(str(_BIGGEST)) else _BIGGEST
        elif ignored:
            return None
    elif isinstance(value, int) and not isinstance(value, bool):
        found = value
    if found is None or not (ignored or (low <= found and (high is None or found <= high))):
        raise refuse(MALFORMED, name, value, allowed)
    return min(found, _BIGGEST)


def _matches(values: dict[str, object]) -> tuple[str | None, str | None]:
    """Return the name and the id that images must match."""
    if values.get("matches") is None:
        return None, None
    found: dict[str, str] = {}
    for at, one in enumerate(_items(values, "matches")):
        field = f"matches[{at}]"
        if not isinstance(one, dict) or set(one) != {"key", "value"}:
            raise refuse(MALFORMED, field, one, "an object of exactly key and value")
        key, value = (fields.text(f"{field}.{name}", one[name]) for name in ("key", "value"))
        if key not in ("resource_name", "resource_id") or key in found or value is None:
            raise refuse(
                MALFORMED, field, one, "each of resource_name, resource_id once, with a string"
            )
        found[key] = value
    image_id = found.get("resource_id")
    return found.get("resource_name"), (
        None if image_id is None else ids.image_id(image_id) or _NOWHERE
    )
