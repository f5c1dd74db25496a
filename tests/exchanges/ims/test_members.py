# SPDX-License-Identifier: Apache-2.0
"""Members in batches as jobs, and what both dialects then show (ims.md, jobs.md 6)."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text, update

from calotype.db.tables.iam import projects
from calotype.db.tables.images import images
from calotype.flows.member_order import Mark
from calotype.flows.table import flows_of
from calotype.images import members
from calotype.jobs import outbox, store
from calotype.jobs.flow import Fenced
from calotype.jobs.inline import InlineRunner
from tests.exchanges.ims.answers import code
from tests.exchanges.native.conftest import OwnSite
from tests.exchanges.native.site import Reply, Site, Tenant

MEMBERS = "/v1/cloudimages/members"


def add(who: Tenant, images: object, projects: object, **more: object) -> Reply:
    return who.call("POST", MEMBERS, body={"images": images, "projects": projects, **more})


def remove(who: Tenant, images: object, projects: object, **more: object) -> Reply:
    return who.call("DELETE", MEMBERS, body={"images": images, "projects": projects, **more})


def answer(who: Tenant, images: object, status: object, **more: object) -> Reply:
    body = {"images": images, "project_id": who.project, "status": status, **more}
    return who.call("PUT", MEMBERS, body=body)


def active(owner: Tenant, **more: object) -> str:
    image_id: str = owner.make(**more)["id"]
    assert owner.upload(image_id, b"bytes").status == 204
    return image_id


def run(who: Tenant, reply: Reply) -> dict[str, Any]:
    """Run what was accepted; return the job."""
    assert reply.status == 200, reply.text
    core = who.site.core
    InlineRunner(core.db, flows_of(core), core.settings).run(reply.json["job_id"])
    return job(who, reply)


def job(who: Tenant, reply: Reply) -> dict[str, Any]:
    path = f"/v1/{who.project}/jobs/{reply.json['job_id']}"
    found: dict[str, Any] = who.call("GET", path).json
    return found


def pairs(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return image, project and code (or `success`) of each result."""
    for one in found["entities"]["results"]:
        assert (one["status"] == "failed") is ("error_code" in one)
        assert one["status"] in ("success", "failed")
    return [
        (one["image_id"], one["project_id"], one.get("error_code", "success"))
        for one in found["entities"]["results"]
    ]


def records(who: Tenant, image_id: str, *query: tuple[str, str]) -> Reply:
    path = f"/v1/{who.project}/cloudimages/{image_id}/members"
    return who.call("GET", path, query=query)


def test_every_image_is_shared_with_every_project_in_their_order(
    site: Site, tenant: Tenant, other: Tenant
) -> None:
    third = site.tenant()
    first, second = active(tenant), active(tenant)
    dashed = str(UUID(third.project)).upper()
    reply = add(tenant, [second.upper(), first, second], [other.project, dashed, third.project])
    waiting = job(tenant, reply)
    assert (waiting["status"], waiting["job_type"]) == ("INIT", "imsAddImageMembersJob")
    assert waiting["entities"] == {"results": [], "current_task": "queue", "process_percent": 0.0}
    done = run(tenant, reply)
    assert (done["status"], done["error_code"], done["fail_reason"]) == ("SUCCESS", None, None)
    assert done["entities"] == {
        "results": [
            {"image_id": image, "project_id": project, "status": "success"}
            for image in (second, first)
            for project in (other.project, third.project)
        ]
    }
    listed = tenant.call("GET", f"/v2/images/{first}/members").json["members"]
    assert [(one["member_id"], one["status"]) for one in listed] == [
        (other.project, "pending"),
        (third.project, "pending"),
    ]
    assert third.show(first)["visibility"] == "shared"
    assert first not in third.list()


def test_the_receiver_answers_for_itself_and_both_dialects_agree(
    tenant: Tenant, other: Tenant
) -> None:
    image_id = active(tenant, visibility="private")
    run(tenant, add(tenant, [image_id], [other.project]))
    assert tenant.show(image_id)["visibility"] == "shared"
    for status, listed in (("accepted", True), ("rejected", False), ("accepted", True)):
        done = run(other, answer(other, [image_id], status))
        assert (done["status"], done["job_type"]) == ("SUCCESS", "imsUpdateImageMembersJob")
        assert pairs(done) == [(image_id, other.project, "success")]
        assert (image_id in other.list()) is listed

        assert (image_id in [one["id"] for one in other_images(other)]) is listed
    before = records(other, image_id).json
    assert pairs(run(other, answer(other, [image_id], "accepted")))[0][2] == "success"
    assert records(other, image_id).json == before, "the same answer changes nothing"
    run(tenant, add(tenant, [image_id], [other.project]))
    assert records(other, image_id).json == before, "a member keeps its answer"
    gone = run(tenant, remove(tenant, [image_id], [other.project]))
    assert (gone["status"], gone["job_type"]) == ("SUCCESS", "imsDelImageMembersJob")
    assert tenant.show(image_id)["visibility"] == "private"
    assert other.call("GET", f"/v2/images/{image_id}").status == 404
    again = run(tenant, remove(tenant, [image_id], [other.project, "e" * 32]))
    assert [one[2] for one in pairs(again)] == ["success"] * 2


def other_images(who: Tenant) -> list[dict[str, Any]]:
    reply = who.call("GET", "/v2/cloudimages", query=[("__imagetype", "shared")])
    assert reply.status == 200, reply.text
    found: list[dict[str, Any]] = reply.json["images"]
    return found


def test_pairs_fail_each_for_itself_and_the_job_names_the_first(
    site: Site, tenant: Tenant, other: Tenant
) -> None:
    names = ("moved", "gone", "locked", "public", "good")
    made = {name: active(tenant) for name in names}
    reply = add(tenant, list(made.values()), [other.project])
    site.core.db.write(
        lambda conn: conn.execute(
            update(images).where(images.c.id == made["moved"]).values(owner="f" * 32)
        )
    )
    assert tenant.call("DELETE", f"/v2/images/{made['gone']}").status == 204
    path = f"/v2/images/{made['locked']}/actions/deactivate"
    assert tenant.call("POST", path).status == 204
    operator = site.operator(tenant.project)
    publish = {"op": "replace", "path": "/visibility", "value": "public"}
    assert operator.patch(made["public"], publish).status == 200
    done = run(tenant, reply)
    assert (done["status"], done["error_code"]) == ("FAIL", "IMG.0106")
    assert done["fail_reason"] == "PARTIAL: 4 of 5 failed"
    assert [one[2] for one in pairs(done)] == [
        "IMG.0106", "IMG.0027", "IMG.0046", "IMG.0112", "success",
    ]  # fmt: skip
    assert done["entities"]["error_code"] == "IMG.0106"
    assert done["entities"]["error"] == done["fail_reason"]
    assert records(tenant, made["good"]).json["page_info"]["current_count"] == 1


def test_an_answer_to_what_is_no_longer_shared_fails(tenant: Tenant, other: Tenant) -> None:
    kept, taken, hidden = active(tenant), active(tenant), active(tenant)
    run(tenant, add(tenant, [kept, taken, hidden], [other.project]))
    reply = answer(other, [taken, kept, hidden], "accepted")
    run(tenant, remove(tenant, [taken], [other.project]))
    private = {"op": "replace", "path": "/visibility", "value": "private"}
    assert tenant.patch(hidden, private).status == 200
    done = run(other, reply)
    assert [one[2] for one in pairs(done)] == ["IMG.0027", "success", "IMG.0027"]
    assert (done["error_code"], done["fail_reason"]) == ("IMG.0027", "PARTIAL: 2 of 3 failed")
    assert kept in other.list()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_limit_of_members_holds_at_submission_and_in_the_job(
    own_site: OwnSite, kind: str
) -> None:
    site = own_site(kind, members_per_image=3)
    tenant, wanted = site.tenant(), [site.tenant().project for _ in range(5)]
    image_id = active(tenant)
    run(tenant, add(tenant, [image_id], wanted[:2]))
    assert code(add(tenant, [image_id], wanted)) == (400, "IMG.0088")
    assert code(add(tenant, [image_id], wanted[1:4])) == (400, "IMG.0088")
    last, late = (
        add(tenant, [image_id], wanted[:3]),
        add(tenant, [image_id], wanted[1:2] + wanted[3:4]),
    )
    assert run(tenant, last)["status"] == "SUCCESS", "those already there count once"
    done = run(tenant, late)
    assert [one[2] for one in pairs(done)] == ["success", "IMG.0088"]
    assert done["fail_reason"] == "PARTIAL: 1 of 2 failed"


def test_nothing_is_accepted_unless_every_image_passes(
    site: Site, tenant: Tenant, operator: Tenant, other: Tenant
) -> None:
    good, queued, public = (
        active(tenant),
        tenant.make()["id"],
        active(operator, visibility="public"),
    )
    closed = site.tenant()
    site.core.db.write(
        lambda conn: conn.execute(
            update(projects).where(projects.c.id == closed.project).values(enabled=False)
        )
    )
    whole, locked = active(tenant), active(tenant)
    for image_id, column in ((whole, {"is_whole": True}), (locked, {"cmk_id": str(uuid4())})):
        site.core.db.write(
            lambda conn, image_id=image_id, column=column: conn.execute(
                update(images).where(images.c.id == image_id).values(**column)
            )
        )
    foreign = active(other)
    cases: list[tuple[list[str], list[str], tuple[int, str]]] = [
        ([good, str(uuid4())], [other.project], (400, "IMG.0027")),
        ([good, foreign], [other.project], (400, "IMG.0027")),
        ([queued], [other.project, tenant.project], (400, "IMG.0076")),
        ([queued], ["e" * 32], (400, "IMG.0108")),
        ([good], [other.project, closed.project], (400, "IMG.0108")),
        ([good, queued], [other.project], (400, "IMG.0046")),
        ([good, public], [other.project], (400, "IMG.0089")),
        ([whole], [other.project], (400, "IMG.0135")),
        ([locked], [other.project], (400, "IMG.0098")),
    ]
    for images_, projects_, wanted in cases:
        assert code(add(tenant, images_, projects_)) == wanted, (images_, projects_)
    assert code(add(other, [public], [site.tenant().project])) == (403, "IMG.0026")
    jobs = tenant.call("GET", f"/v1/{tenant.project}/jobs").json["jobs"]
    assert jobs == [] and records(tenant, good).json["members"] == []


BAD_SHARES: list[tuple[dict[str, Any], str]] = [
    ({"projects": None}, "IMG.0001"),
    ({"projects": []}, "IMG.0001"),
    ({"projects": "e" * 32}, "IMG.0001"),
    ({"projects": [1]}, "IMG.0001"),
    ({"projects": ["e" * 31]}, "IMG.0067"),
    ({"projects": [f"{number:032x}" for number in range(101)]}, "IMG.0001"),
    ({"images": []}, "IMG.0001"),
    ({"images": [str(uuid4())] * 101}, "IMG.0001"),
    ({"images": ["x"]}, "IMG.0066"),
    ({"images": [7]}, "IMG.0001"),
    ({"other": 1}, "IMG.0001"),
    ({"domains": "x"}, "IMG.0001"),
    ({"organizations": [1]}, "IMG.0001"),
    ({"domains": ["d"]}, "IMG.0105"),
    ({"organizations": ["urn:x"]}, "IMG.0105"),
]


@pytest.mark.parametrize(("change", "wanted"), BAD_SHARES)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_batch_is_refused_with_the_code_of_its_field(
    site: Site, anybody: Tenant, method: str, change: dict[str, Any], wanted: str
) -> None:
    body = {"images": [active(anybody)], "projects": [site.tenant().project]} | change
    assert code(anybody.call(method, MEMBERS, body=body)) == (400, wanted)


def test_an_answer_is_refused_with_the_code_of_its_field(tenant: Tenant, other: Tenant) -> None:
    image_id = active(tenant)
    run(tenant, add(tenant, [image_id], [other.project]))
    cases: list[tuple[dict[str, Any], tuple[int, str]]] = [
        ({"status": "pending"}, (400, "IMG.0001")),
        ({"status": None}, (400, "IMG.0001")),
        ({"status": "ACCEPTED"}, (400, "IMG.0001")),
        ({"vault_id": "x"}, (400, "IMG.0031")),
        ({"vault_id": 1}, (400, "IMG.0001")),
        ({"project_id": None}, (400, "IMG.0001")),
        ({"project_id": "x"}, (400, "IMG.0067")),
        ({"project_id": tenant.project}, (400, "IMG.0030")),
        ({"other": 1}, (400, "IMG.0001")),
    ]
    for change, wanted in cases:
        body = {"images": [image_id], "project_id": other.project, "status": "accepted"} | change
        assert code(other.call("PUT", MEMBERS, body=body)) == wanted, change
    assert code(answer(tenant, [image_id], "accepted")) == (403, "IMG.0026"), "the owner"
    assert code(answer(other, [active(tenant)], "accepted")) == (400, "IMG.0027")
    assert answer(other, [image_id], "accepted", vault_id=str(uuid4())).status == 200


def test_members_are_paged_by_their_id_and_shown_one_by_one(
    site: Site, tenant: Tenant, other: Tenant
) -> None:
    image_id = active(tenant)
    wanted = sorted([other.project, *(site.tenant().project for _ in range(4))])
    run(tenant, add(tenant, [image_id], wanted[::-1]))
    native = tenant.call("POST", f"/v2/images/{image_id}/members", body={"member": "by name"})
    assert native.status == 200
    every = sorted([*wanted, "by name"])
    whole = records(tenant, image_id).json
    assert [one["member_id"] for one in whole["members"]] == every
    assert whole["page_info"] == {"current_count": 6, "next_marker": None}
    assert whole["schema"] == "/v2/schemas/members"
    found: list[str] = []
    marker = ""
    for _ in range(4):
        page = records(tenant, image_id, ("limit", "2"), ("marker", marker)).json
        found += [one["member_id"] for one in page["members"]]
        marker = page["page_info"]["next_marker"]
        if marker is None:
            break
    assert found == every and marker is None
    (own,) = records(other, image_id).json["members"]
    assert own["member_id"] == other.project
    path = f"/cloudimages/{image_id}/members"
    assert other.call("GET", f"/v1/{other.project}{path}/{other.project}").json == own
    assert own | {"member_type": "project", "schema": "/v2/schemas/member"} == own
    foreign = next(one for one in wanted if one != other.project)
    assert code(other.call("GET", f"/v1/{other.project}{path}/{foreign}")) == (404, "IMG.0114")
    for missing in ("e" * 32, "malformed"):
        shown = tenant.call("GET", f"/v1/{tenant.project}{path}/{missing}")
        assert code(shown) == (404, "IMG.0114")
    for name, value in (("limit", "0"), ("limit", "1001"), ("limit", "x"), ("marker", "nobody")):
        assert code(records(tenant, image_id, (name, value))) == (400, "IMG.0017")
    assert code(records(tenant, str(uuid4()))) == (404, "IMG.0027")
    stranger = site.tenant()
    assert code(records(stranger, image_id)) == (404, "IMG.0027")


def test_public_images_have_no_members_to_show(
    tenant: Tenant, operator: Tenant, other: Tenant
) -> None:
    image_id = active(operator, visibility="public")
    assert code(records(other, image_id)) == (403, "IMG.0026")
    assert records(tenant, image_id).json["members"] == []


def test_a_job_taken_over_goes_on_behind_the_pairs_that_are_done(
    site: Site, tenant: Tenant, other: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    third = site.tenant()
    image_ids = [active(tenant) for _ in range(2)]
    reply = add(tenant, image_ids, [other.project, third.project])
    real, added = members.add, []

    class Killed(BaseException):
        """Stands for the end of the process."""

    def dying(conn: Any, image: Any, member: str, *more: Any) -> Any:
        if len(added) == 3:
            raise Killed
        added.append(member)
        return real(conn, image, member, *more)

    monkeypatch.setattr(members, "add", dying)
    with pytest.raises(Killed):
        run(tenant, reply)
    monkeypatch.undo()
    halfway = job(tenant, reply)
    assert (halfway["status"], len(halfway["entities"]["results"])) == ("RUNNING", 3)
    assert halfway["entities"]["current_task"] == "apply"
    before = records(tenant, image_ids[0]).json
    done = run(tenant, reply)
    assert (done["status"], len(pairs(done))) == ("SUCCESS", 4)
    assert records(tenant, image_ids[0]).json == before


def test_an_overtaken_worker_changes_nothing(
    site: Site, tenant: Tenant, other: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = active(tenant)
    reply = add(tenant, [image_id], [other.project])
    job_id = reply.json["job_id"]
    real = members.add

    def overtaken(conn: Any, image: Any, member: str, *more: Any) -> Any:
        made = real(conn, image, member, *more)
        begun = store.begin(conn, job_id, "t" * 32, made.created_at)
        assert begun is not None
        return made

    monkeypatch.setattr(members, "add", overtaken)
    with pytest.raises(Fenced):
        run(tenant, reply)
    monkeypatch.undo()
    assert records(tenant, image_id).json["members"] == []


def test_members_jobs_are_not_limited_and_may_be_cancelled(
    own_site: OwnSite, other: Tenant
) -> None:
    site = own_site(creation_jobs_per_project=1)
    tenant, receiver = site.tenant(), site.tenant()
    image_id = active(tenant)
    replies = [add(tenant, [image_id], [receiver.project]) for _ in range(3)]
    assert {reply.status for reply in replies} == {200}
    path = f"/v1/{tenant.project}/jobs/{replies[0].json['job_id']}"
    assert tenant.call("DELETE", path).status == 202
    done = run(tenant, replies[0])
    assert (done["status"], done["error_code"]) == ("FAIL", "IMG.0061")
    assert done["fail_reason"].startswith("CANCELLED: ") and done["entities"]["results"] == []
    assert len(site.core.db.read(lambda conn: outbox.next_runs(conn, 10))) == 2
    assert set(Mark) == set("+ogsqx"), "letters of stored jobs never change"


@pytest.mark.parametrize(
    ("verb", "when", "wanted"),
    [
        ("add", "INSERT ON image_members", "IMG.0112"),
        ("remove", "DELETE ON image_members", "IMG.0113"),
    ],
)
def test_an_unexpected_failure_concerns_its_pair_only(
    own_site: OwnSite, verb: str, when: str, wanted: str
) -> None:
    site = own_site()
    tenant, bad, good = site.tenant(), site.tenant().project, site.tenant().project
    image_id = active(tenant)
    if verb == "remove":
        run(tenant, add(tenant, [image_id], [bad, good]))
    row = "OLD" if verb == "remove" else "NEW"
    trigger = f"""CREATE TRIGGER refuse BEFORE {when} WHEN {row}.member = '{bad}'
        BEGIN SELECT RAISE(ABORT, 'refused'); END"""
    site.core.db.write(lambda conn: conn.execute(text(trigger)))
    submit = add if verb == "add" else remove
    done = run(tenant, submit(tenant, [image_id], [bad, good]))
    assert [one[2] for one in pairs(done)] == [wanted, "success"]
    assert (done["error_code"], done["fail_reason"]) == (wanted, "PARTIAL: 1 of 2 failed")
    left = [one["member_id"] for one in records(tenant, image_id).json["members"]]
    assert left == ([bad] if verb == "remove" else [good])
