# SPDX-License-Identifier: Apache-2.0
"""The vectors of the policy files, asked of a running service.

`make policy-vectors` evaluates the same files with the engine alone, and must agree. What no API of
the service can produce yet is left out, with the reason printed. Vectors with the same policies and
grants follow each other, so that these are installed once.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.service import Service
from tests.table.vector_world import LeftOut, VectorWorld
from tests.wire import JSON, OCTETS, PATCH_21, Api

pytestmark = pytest.mark.xdist_group("vectors")

DATA = Path(__file__).parent.parent / "data"
FILES = ("policy_examples.yaml", "policy_own.yaml")
PATCH_20 = "application/openstack-images-v2.0-json-patch"
SETTINGS = {
    "TRUSTED_PROXIES": "127.0.0.1",  # so that a vector may choose its source address
    "IMAGES_PER_PROJECT": "2000",
    "POLICIES_PER_ACCOUNT": "1000",
}
SOURCE = "198.51.100.7"
EPS = "/v1.0/enterprise-projects"
NOT_FOUND = {"IMG.0027", "IMG.0066"}  # a missing image; an id that cannot be one
NO_JOB = "there is no such job"
SAID = {
    "not_owner": "only the project that owns it may do that",
    "not_member": "only the member project itself may do that",
    "scope_not_project": "the credential is not scoped to a project",
    "read_only_attribute": "cannot be set by the caller",
}
Vector = Mapping[str, Any]


def _load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DATA / name).read_text(encoding="utf-8"))
    return loaded


LOADED = {name: _load(name) for name in FILES}
AREAS = sorted({(name, vector["area"]) for name in FILES for vector in LOADED[name]["vectors"]})


@dataclass
class Replay:
    """A service with the world of the files, and what became of the vectors."""

    world: VectorWorld
    roles: dict[str, str]
    left_out: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    _lines: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def once(self, name: str, area: str) -> list[str]:
        """Ask the vectors of an area of a file, unless they were; return what came out wrong."""
        if (name, area) not in self._lines:
            world = {"world": LOADED[name]["world"]["images"]}
            vectors = [one | world for one in LOADED[name]["vectors"] if one["area"] == area]
            self._lines[name, area] = self.area(vectors)
        return self._lines[name, area]

    def area(self, vectors: list[Vector]) -> list[str]:
        """Ask vectors; return one line for each that came out otherwise."""
        wrong: list[str] = []
        grouped: dict[str, list[Vector]] = {}
        for vector in vectors:
            key = json.dumps([vector.get("policies"), vector.get("grants")], default=str)
            grouped.setdefault(key, []).append(vector)
        for group in grouped.values():
            try:
                with self._installed(group[0]):
                    for vector in group:
                        wrong += self._one(vector)
            except LeftOut as reason:
                self.left_out[str(reason)] += len(group)
        return wrong

    def _one(self, vector: Vector) -> list[str]:
        try:
            got = self._ask(vector)
        except LeftOut as reason:
            self.left_out[str(reason)] += 1
            return []
        self.asked += 1
        return [] if got is None else [f"{vector['id']}: {got}"]

    # ---- grants

    @contextlib.contextmanager
    def _installed(self, vector: Vector) -> Iterator[None]:
        """Install the policies and grants of a vector while it is asked."""
        text = json.dumps(vector.get("policies") or {}).lower()
        if "currenttime" in text and '"null"' not in text:
            raise LeftOut("the time of a request cannot be chosen")
        undo: list[tuple[str, str]] = []
        custom: dict[tuple[str, str], str] = {}
        try:
            for grant in vector.get("grants") or ():
                self._grant(vector, grant, custom, undo)
            yield
        finally:
            for account, path in reversed(undo):
                self.world.admin(account).ok("DELETE", path)

    def _grant(
        self,
        vector: Vector,
        grant: Mapping[Any, Any],
        custom: dict[tuple[str, str], str],
        undo: list[tuple[str, str]],
    ) -> None:
        """Make a grant; what the service refuses to make does not exist, as in the evaluator."""
        raw = self.world.raw
        kind, _, to = str(grant["to"]).partition(":")
        if kind == "agency":
            return
        account = raw["groups"][to] if kind == "group" else raw["users"][to]["account"]
        name = str(grant["policy"])
        document = (vector.get("policies") or {}).get(name)
        if document is None:
            role = self.roles[name]
        elif (account, name) in custom:
            role = custom[account, name]
        else:
            role = self.world.policy(account, self.world.filled(document), _kind_of(document))
            custom[account, name] = role
            undo.append((account, f"/v3.0/OS-ROLE/roles/{role}"))
        path = self._grant_path(grant, kind, to, role)
        if path is None:
            return
        answer = self.world.admin(account).call("PUT", path)
        assert answer.status_code in (204, 400, 404), answer.text
        if answer.status_code == 204 and document is None:
            undo.append((account, path))

    def _grant_path(self, grant: Mapping[Any, Any], kind: str, to: str, role: str) -> str | None:
        scope, _, on = str(grant.get("on", grant.get(True))).partition(":")
        who, where = self.world.real(to), on if on == "0" else self.world.real(on)
        if scope == "ep":
            start = f"/v3.0/OS-PERMISSION/enterprise-projects/{where}"
            return f"{start}/{kind}s/{who}/roles/{role}"
        if kind == "user":
            return None
        if scope == "project":
            return f"/v3/projects/{where}/groups/{who}/roles/{role}"
        if scope == "global":
            return f"/v3/domains/{where}/groups/{who}/roles/{role}"
        start = f"/v3/OS-INHERIT/domains/{where}"
        return f"{start}/groups/{who}/roles/{role}/inherited_to_projects"

    # ---- requests

    def _ask(self, vector: Vector) -> str | None:
        """Send the request of a vector; return what is wrong with the answer, or None."""
        request, expect = vector["request"], vector["expect"]
        context = request.get("context") or {}
        if set(context) & {"mfa", "mfa_age", "time"}:
            raise LeftOut("the time or the MFA of a request cannot be chosen")
        if request.get("session_policy"):
            raise LeftOut("temporary keys cannot be made yet")
        try:
            api = self.world.api(request["as"], request.get("project"))
        except AssertionError as refused:  # no token for a project of another account
            assert "401" in str(refused) or "not in the account" in str(refused), refused
            said = (expect["decision"], expect.get("reason"))
            return None if said == ("deny", "scope_not_project") else "no token for this scope"
        path, _, inline = self.world.filled(request["path"]).partition("?")
        body = self.world.filled(request.get("body"))
        answer = self._send(api, request, path, inline, body, str(context.get("source_ip", SOURCE)))
        if answer.status_code == 501:
            raise LeftOut("the operation is not served yet")
        self._note_changes(request, answer)
        return self._compare(vector, answer, api)

    def _send(
        self,
        api: Api,
        request: Mapping[str, Any],
        path: str,
        inline: str,
        body: object,
        source: str,
    ) -> httpx.Response:
        headers = {"X-Forwarded-For": source}
        content = None
        if body is not None:
            headers["Content-Type"] = JSON
            content = json.dumps(body).encode()
            if request["method"] == "PATCH" and path.startswith("/v2/images/"):
                is_old = any(isinstance(one, dict) and "op" not in one for one in body)  # type: ignore[attr-defined]  # a patch is an array
                headers["Content-Type"] = PATCH_20 if is_old else PATCH_21
        elif request["method"] == "PUT" and path.endswith("/file"):
            headers["Content-Type"], content = OCTETS, bytes(512)
        query = [*_pairs(self.world.filled(request.get("query") or {}))]
        url = f"{path}?{inline}" if inline else path
        return api.call(
            request["method"], url, content=content, params=query or None, headers=headers
        )

    def _note_changes(self, request: Mapping[str, Any], answer: httpx.Response) -> None:
        """What a request changed is made anew before another vector speaks of it."""
        if request["method"] in ("GET", "HEAD") or not answer.is_success:
            return
        for name in self.world.raw["images"]:
            if f"{{{name}}}" in json.dumps([request["path"], request.get("body")]):
                self.world.dirty.add(name)
        for key, owner in self.world.raw["access_keys"].items():
            if key in request["path"]:
                self.world.make_key(key, owner)
        if request["path"] == EPS:  # one more would be one more that a list may show
            made = answer.json()["enterprise_project"]["id"]
            self.world.operator().ok("DELETE", f"{EPS}/{made}", headers=self._as_acme())

    def _as_acme(self) -> dict[str, str]:
        return {"X-Project-Id": self.world.ids["acme-r1"]}

    def _compare(self, vector: Vector, answer: httpx.Response, api: Api) -> str | None:
        expect = vector["expect"]
        got = _decision(answer)
        if answer.status_code == 403 and _is_of_others(answer) and expect["decision"] == "deny":
            raise LeftOut("a right of another service is asked before the relation")
        shown = f"{answer.status_code} {answer.text[:200]}"
        if got != expect["decision"]:
            return f"expected {expect['decision']}, got {got}: {shown}"
        if got == "deny":
            failing = expect.get("failing") or ()
            said = f"{failing[0]['action']} is not allowed" if failing else ""
            said = said or SAID.get(str(expect.get("reason")), "")
            if vector["request"]["method"] != "HEAD" and said not in answer.text:
                return f"the refusal does not say {said!r}: {shown}"
        elif "visible" in expect:
            known = {name for name in self.world.images() if name in vector["world"]}
            want, found = sorted(known & set(expect["visible"] or ())), self._visible(answer, api)
            if sorted(found & known) != want:
                return f"expected {want}, got {sorted(found & known)}"
        return None

    def _visible(self, answer: httpx.Response, api: Api) -> set[str]:
        """Return the images of the world in all pages of a list."""
        names = {self.world.ids[name]: name for name in self.world.images()}
        found: set[str] = set()
        while True:
            page = answer.json()
            ids = [one["id"] for one in page.get("images", ())]
            ids += [one["resource_id"] for one in page.get("resources", ())]
            found |= {names[one] for one in ids if one in names}
            if "next" not in page:
                return found
            answer = api.call("GET", page["next"], headers={"X-Forwarded-For": SOURCE})


def _decision(answer: httpx.Response) -> str:
    """Return what authorization said, whatever the handler says after it."""
    if answer.status_code >= 500 or answer.status_code == 401:
        return f"a {answer.status_code}"
    if answer.status_code == 404 or any(code in answer.text for code in NOT_FOUND):
        return "not_found"
    if answer.status_code == 400 and NO_JOB in answer.text:
        return "not_found"
    # A wrong project in a body is a decision too, and a 400.
    is_refusal = answer.status_code in (400, 403) and "X-Decision-Id" in answer.headers
    return "deny" if is_refusal and not _is_of_others(answer) else "allow"


def _is_of_others(answer: httpx.Response) -> bool:
    """Tell a refusal for a right of another service, of which vectors do not speak."""
    return any(f"{service}:" in answer.text for service in ("obs", "cbr", "csbs", "kms"))


def _kind_of(document: Mapping[str, Any]) -> str:
    statements = document["Statement"]
    services = {action.partition(":")[0].lower() for one in statements for action in one["Action"]}
    concrete = {one for one in services if "*" not in one}
    return "AX" if concrete and concrete <= {"iam", "eps"} else "XA"


def _pairs(query: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in query.items():
        for item in value if isinstance(value, list) else [value]:
            yield (
                name,
                json.dumps(item) if isinstance(item, bool) else "" if item is None else str(item),
            )


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    service = Service.embedded(tmp_path_factory.mktemp("vectors"), SETTINGS)
    try:
        raw = LOADED["policy_own.yaml"]["world"]  # a superset of the examples' world
        world = VectorWorld(service, raw, tmp_path_factory.mktemp("bytes"))
        world.make()
        roles = world.admin("acme").ok("GET", "/v3/roles", params={"per_page": "300"})["roles"]
        yield Replay(world, {one["display_name"]: one["id"] for one in roles})
    finally:
        service.close()


def test_the_files_speak_of_one_world() -> None:
    own = LOADED["policy_own.yaml"]["world"]
    for kind, entries in LOADED["policy_examples.yaml"]["world"].items():
        if isinstance(entries, dict):
            assert {name: own[kind][name] for name in entries} == entries


@pytest.mark.parametrize(("name", "area"), AREAS)
def test_a_vector_comes_out_over_http_as_in_the_file(replay: Replay, name: str, area: str) -> None:
    assert replay.once(name, area) == []


def test_a_document_is_accepted_over_http_as_in_the_file(replay: Replay) -> None:
    admin = replay.world.admin("acme")
    wrong: list[str] = []
    for one in LOADED["policy_own.yaml"]["documents"]:
        role = {"display_name": one["id"], "type": _declared(one["document"]), "description": ""}
        body = {"role": role | {"policy": replay.world.filled(one["document"])}}
        answer = admin.call("POST", "/v3.0/OS-ROLE/roles", body)
        expected = 201 if one["valid"] else 400
        if answer.status_code != expected or one.get("pointer", "") not in answer.text:
            wrong.append(f"{one['id']}: {answer.status_code} {answer.text[:200]}")
        if answer.status_code == 201:
            admin.ok("DELETE", f"/v3.0/OS-ROLE/roles/{answer.json()['role']['id']}")
    assert wrong == []


def test_most_vectors_can_be_asked(replay: Replay, capsys: pytest.CaptureFixture[str]) -> None:
    for name, area in AREAS:  # those that other tests have not asked
        replay.once(name, area)
    with capsys.disabled():
        print(f"\nvectors over HTTP: {replay.asked} asked, {replay.left_out.total()} left out")
        for reason, count in replay.left_out.most_common():
            print(f"  {count:3} {reason}")
    assert replay.asked >= 250


def _declared(document: Any) -> str:
    try:
        return _kind_of(document)
    except (KeyError, TypeError, AttributeError):
        return "XA"
