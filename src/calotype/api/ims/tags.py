# SPDX-License-Identifier: Apache-2.0
"""Tags as strings and as pairs: of one image, of a list, and the search (contract ims.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection

from calotype import clock, ids
from calotype.api.ims import filters, flavors, tag_bodies
from calotype.api.ims.fields import Pair
from calotype.api.ims.flavors import Flavors
from calotype.api.ims.query import QUERY, read_values
from calotype.api.ims.refusal import IMSRefusal, refuse
from calotype.api.ims.tag_bodies import Removal
from calotype.flows.core import Core
from calotype.gate.request import Answer, Handler, Request, reads, writes
from calotype.images import admission, tag_lists, tagging, tags
from calotype.images.filters import Filter, Scope
from calotype.images.model import Image
from calotype.images.tag_lists import TaggedImage
from calotype.images.tags import Tags

PAGE_LIMIT = 1000
_PROJECT = "enterprise_project_id"
_STATUS = {core: word for word, found in filters.STATUSES.items() for core in found}

Change = Callable[[Tags], Tags]


def handlers(core: Core) -> dict[str, Handler]:
    """Return the handlers of this chapter."""
    limit = core.settings.tags_per_image
    known = flavors.load(core.settings.flavors_file)

    def changing(read: Callable[[Request], Change]) -> Handler:
        def work(connection: Connection, request: Request) -> Answer:
            tagging.change(connection, _image(request), read(request), limit, clock.now())
            return Answer(204)

        return writes(work)

    def batch(request: Request) -> Change:
        put, gone = tag_bodies.read_batch(request.body, limit)
        return lambda old: _without(_with(old, put), gone)

    return {
        "ims.tag_put": changing(lambda request: _putting(tag_bodies.read_put(request.body))),
        "ims.tag_add": changing(lambda request: _putting(tag_bodies.read_add(request.body))),
        "ims.tags_batch": changing(batch),
        "ims.tags_remove": changing(_removing),
        "ims.tag_delete": changing(_dropping),
        "ims.image_tags": reads(_of_image),
        "ims.project_tags": reads(_of_project),
        "ims.tag_list": reads(lambda connection, request: _list(known, connection, request)),
        "ims.by_tags": reads(_search),
    }


def _image(request: Request) -> Image:
    """Return the image of the path, or of the body where the path has none."""
    named = request.params.get("image_id")
    if named is None:
        assert isinstance(request.body, dict)
        named = str(request.body["image_id"])
    image = request.rows[ids.image_id(named) or named]
    assert isinstance(image, Image)
    return image


def _putting(pair: Pair) -> Change:
    return lambda old: tags.put_pair(old, *pair)


def _with(old: Tags, pairs: list[Pair]) -> Tags:
    for pair in pairs:
        old = tags.put_pair(old, *pair)
    return old


def _without(old: Tags, gone: list[Removal]) -> Tags:
    wanted = dict(gone)

    def goes(text: str) -> bool:
        key, value = tags.split(text)
        return key in wanted and wanted[key] in (None, value)

    return tuple(text for text in old if not goes(text))


def _removing(request: Request) -> Change:
    gone = tag_bodies.read_remove(request.body)
    return lambda old: _without(old, gone)


def _dropping(request: Request) -> Change:
    key = request.params["key"]
    return lambda old: tags.remove_key(old, key)


def _of_image(connection: Connection, request: Request) -> Answer:
    del connection
    return Answer(200, json={"tags": _pairs(_image(request).tags)})


def _of_project(connection: Connection, request: Request) -> Answer:
    found = tag_lists.keys(connection, _everything(request))
    rows = [{"key": key, "values": list(values)} for key, values in found.items()]
    return Answer(200, json={"tags": rows}, listed=(len(rows), len(rows)))


def _list(known: Flavors, connection: Connection, request: Request) -> Answer:
    query = [(name, value) for name, value in request.query if name != _PROJECT]
    wanted = filters.read_filter(query, request.caller.project_id or "", flavors=known, paged=False)
    wanted = _in_project(wanted, request)
    asked = read_values(request.query, ("limit", "page"), ())
    limit, number = asked.integer("limit", QUERY), asked.integer("page", QUERY)
    if limit is not None and not 1 <= limit <= PAGE_LIMIT:
        raise refuse(QUERY, "limit", asked.single["limit"], f"an integer from 1 to {PAGE_LIMIT}")
    if number == 0:
        raise refuse(QUERY, "page", asked.single["page"], "an integer of at least 1")
    narrowed, _ = admission.admit(wanted, request.verdict.list_filter)
    found = tag_lists.strings(connection, narrowed)
    size = len(found) if limit is None else limit
    start = ((number or 1) - 1) * size
    page = list(found[start : start + size])
    return Answer(200, json={"tags": page}, listed=(len(found), len(page)))


def _in_project(wanted: Filter, request: Request) -> Filter:
    """Narrow to the enterprise project that is asked for: here a plain filter (iam.md 4.5)."""
    values = request.values(_PROJECT)
    if len(values) > 1:
        raise IMSRefusal(QUERY, f"{_PROJECT} is given more than once", field=_PROJECT)
    text = values[0] if values else ""
    if text in ("", "all_granted_eps"):
        return wanted
    project = ids.enterprise_project_id(text)
    if project is None:
        return replace(wanted, nothing=True)
    return replace(wanted, equals=(*wanted.equals, (_PROJECT, project)))


def _search(connection: Connection, request: Request) -> Answer:
    query = tag_bodies.read_query(request.body)
    wanted = _everything(request)
    if query.counting:
        total = tag_lists.count(connection, wanted, query.search)
        return Answer(200, json={"total_count": total}, listed=(total, 0))
    total, found = tag_lists.page(connection, wanted, query.search, query.limit, query.offset)
    rows = [_resource(one) for one in found]
    return Answer(200, json={"total_count": total, "resources": rows}, listed=(total, len(rows)))


def _resource(image: TaggedImage) -> dict[str, object]:
    return {
        "resource_id": image.id,
        "resource_name": image.name,
        "resource_detail": {"status": _STATUS[image.status]},
        "tags": _pairs(image.tags),
    }


def _pairs(found: Tags) -> list[dict[str, str]]:
    """Return pairs by key, then value."""
    return [{"key": key, "value": value} for key, value in sorted(set(tags.pairs(found)))]


def _everything(request: Request) -> Filter:
    """Return what the project may see by the rule of lists (iam.md 4.5)."""
    scope = Scope(request.caller.project_id or "")
    narrowed, _ = admission.admit(Filter(scope=scope), request.verdict.list_filter)
    return narrowed
