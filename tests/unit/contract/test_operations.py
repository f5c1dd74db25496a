# SPDX-License-Identifier: Apache-2.0
"""The operation table: complete, consistent, and strict about bad rows."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import pytest

from calotype.contract import BadRow, Operation, load_errors, load_operations
from calotype.contract.files import parse_table, read_table
from calotype.contract.loader import CHAPTERS, build_operations

IMAGE = ("ims", "native")


@pytest.fixture(scope="module")
def rows() -> dict[str, Operation]:
    return {row.id: row for row in load_operations()}


def test_the_image_dialects_have_every_published_row(rows: dict[str, Operation]) -> None:
    image_rows = [row for row in rows.values() if row.dialect in IMAGE]
    assert len(image_rows) == 123
    assert sum(row.in_seed for row in image_rows) == 18
    assert sum(row.dialect == "ims" for row in image_rows) == 36


def test_the_published_table_is_read_line_by_line(rows: dict[str, Operation]) -> None:
    update = rows["ims.update"]
    assert [(need.action, need.when, need.evaluated_in) for need in update.requirements] == [
        ("ims:images:update", None, "image"),
        ("ims:serverImages:create", "moves_ep", "target"),
    ]
    assert update.who == "own"
    upload = rows["glance.upload"]
    assert (upload.enterprise_project, upload.evaluated_in, upload.body) == (False, None, "stream")
    assert rows["glance.versions"].authentication is False
    assert rows["glance.location_add"].operator_when == "not_queued"
    assert rows["glance.cache_list"].operator_when == "always"
    assert rows["ims.export"].object_rights[0].any_of == ("obs:object:PutObject",)
    assert rows["ims.create_whole"].object_rights[0].any_of == (
        "cbr:backups:use",
        "csbs:backups:use",
    )


def test_a_twin_has_the_rights_of_the_row_it_mirrors(rows: dict[str, Operation]) -> None:
    twins = [row for row in rows.values() if row.id.endswith("_v21")]
    assert len(twins) == 6
    for twin in twins:
        mirrored = rows[twin.handler]
        for name in ("requirements", "who", "target", "body", "object_rights", "errors", "job"):
            assert getattr(twin, name) == getattr(mirrored, name), (twin.id, name)


def test_every_error_of_a_row_is_a_known_code_or_status(rows: dict[str, Operation]) -> None:
    table = load_errors()
    for row in rows.values():
        for code in row.errors:
            assert code in table.codes or code.isdigit(), (row.id, code)


def test_every_line_of_the_identity_contract_has_its_own_dialect(
    rows: dict[str, Operation],
) -> None:
    assert {row.dialect for row in rows.values()} == {
        "ims",
        "native",
        "iam",
        "eps",
        "authz",
        "operator",
    }
    open_rows = {row.id for row in rows.values() if not row.authentication}
    assert open_rows == {
        "glance.versions",
        "glance.versions_explicit",
        "glance.version",
        "iam.versions",
        "iam.token_create",
        "iam.securitytoken_create",
        "operator.healthz",
        "operator.readyz",
        "operator.metrics",
    }


def test_loading_is_fast_enough_for_every_start() -> None:
    best = min(_seconds(load_operations) for _ in range(5))
    assert best < 0.04
    assert min(_seconds(load_errors) for _ in range(5)) < 0.04


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _chapters() -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    head = copy.deepcopy(dict(read_table("operations/head.yaml")))
    chapters = [(name, copy.deepcopy(read_table(f"operations/{name}.yaml"))) for name in CHAPTERS]
    return head, chapters


def _set(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda row: row.__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_set("colour", "red"), "unknown"),
        (lambda row: row.pop("summary"), "lacks"),
        (_set("dialect", "soap"), "dialect"),
        (_set("method", "GRAB"), "method"),
        (_set("path", "v2/x"), "path"),
        (_set("path", "/v2/{nobody}"), "no grammar"),
        (_set("path", "/v2/a{image_id}"), "neither text nor parameter"),
        (_set("actions", [{"action": "ims:images"}]), "no action"),
        (_set("actions", [{"action": "ims:images:list", "when": "never"}]), "need each other"),
        (_set("actions", [{"action": "ims:images:list", "on": "x"}]), "unknown keys"),
        (_set("evaluated_in", "moon"), "evaluated_in"),
        (_set("enterprise_project", False), "evaluated_in belongs"),
        (_set("enterprise_project", "yes"), "allowed: true, false"),
        (_set("iam_project", False), "IAM project"),
        (_set("who", "own"), "need each other"),
        (_set("target", "image"), "needs {image_id}"),
        (_set("body", "xml"), "body"),
        (_set("errors", ["set:nobody"]), "no set"),
        (_set("job", 7), "job"),
        (_set("handler", "ims.nobody"), "no row"),
        (_set("authentication", "none"), "credential"),
        (_set("requires_role", [{"role": "operator", "when": "x"}]), "need each other"),
        (_set("object_rights", [{"any_of": []}]), "no any_of"),
        (_set("id", "ims.update"), "already in"),
        (_set("path", "/v2/cloudimages/action"), None),
    ],
)
def test_a_bad_row_is_refused_with_file_and_id(
    change: Callable[[dict[str, Any]], None], problem: str | None
) -> None:
    head, chapters = _chapters()
    row = chapters[0][1]["operations"][0]
    change(row)
    if problem is None:  # another path alone is fine
        assert build_operations(head, chapters)[0].path == "/v2/cloudimages/action"
        return
    with pytest.raises(BadRow) as refused:
        build_operations(head, chapters)
    assert refused.value.file.endswith(".yaml")
    assert refused.value.row in (row["id"], "ims.update")
    assert problem in str(refused.value)


def test_two_rows_of_one_call_are_refused() -> None:
    head, chapters = _chapters()
    chapters[0][1]["operations"][0]["path"] = "/v1/cloudimages/os_version"
    with pytest.raises(BadRow, match=r"is already row ims\.list"):
        build_operations(head, chapters)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2\n", "occurs twice"),
        ("- 1\n", "no mapping"),
        ("a: [", "no YAML"),
        ("a: &x 1\nb: *x\n", "alias"),
    ],
)
def test_a_file_that_is_no_plain_mapping_is_refused(text: str, problem: str) -> None:
    with pytest.raises(BadRow, match=problem):
        parse_table("x.yaml", text)


def test_quoted_words_stay_text() -> None:
    assert parse_table("x.yaml", 'a: "200"\nb: 200\nc: true\nd: "true"\ne: null\nf: v2.10\n') == {
        "a": "200",
        "b": 200,
        "c": True,
        "d": "true",
        "e": None,
        "f": "v2.10",
    }
