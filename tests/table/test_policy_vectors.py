# SPDX-License-Identifier: Apache-2.0
"""`calotype policy test`: the published examples, our own vectors, and what the command prints."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from calotype.cli.policy import app, run_file

DATA = Path(__file__).parent.parent / "data"
HEAD = "schema: policy-vectors/1\n"


def _run(file: Path) -> Result:
    return CliRunner().invoke(app, ["test", str(file)])


@pytest.mark.parametrize("name", ["policy_examples.yaml", "policy_own.yaml"])
def test_every_vector_comes_out_as_expected(name: str) -> None:
    results = run_file(DATA / name)
    assert [result.line() for result in results if not result.good] == []
    assert len({result.id for result in results}) == len(results)


def test_the_examples_are_all_counted() -> None:
    result = _run(DATA / "policy_examples.yaml")
    assert result.exit_code == 0
    assert result.stdout == "35 of 35\n"


@pytest.fixture
def examples() -> dict[str, object]:
    text = (DATA / "policy_examples.yaml").read_text(encoding="utf-8")
    loaded: dict[str, object] = yaml.safe_load(text)
    return loaded


def _with(
    tmp_path: Path, examples: dict[str, object], **sections: object
) -> tuple[int, list[str], str]:
    file = tmp_path / "vectors.yaml"
    raw = {"schema": "policy-vectors/1", "world": examples["world"], **sections}
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    result = _run(file)
    return result.exit_code, result.stdout.splitlines(), result.stderr


def _vector(examples: dict[str, object], name: str, **expect: object) -> dict[str, object]:
    vectors = examples["vectors"]
    assert isinstance(vectors, list)
    found = next(one for one in vectors if one["id"] == name)
    return {**found, "expect": expect}


def test_a_mismatch_names_what_decided(tmp_path: Path, examples: dict[str, object]) -> None:
    wrong = _vector(examples, "ex-11", decision="deny", reason="implicit_deny")
    right = _vector(examples, "ex-12", decision="deny")
    code, lines, _ = _with(tmp_path, examples, vectors=[wrong, right])
    assert code == 1
    assert lines == [
        "ex-11: expected deny/implicit_deny, got allow/allowed by w#0",
        "1 of 2",
    ]


def test_a_list_is_compared_whole(tmp_path: Path, examples: dict[str, object]) -> None:
    wrong = _vector(examples, "ex-21", decision="allow", reason="allowed", visible=["img-a"])
    code, lines, _ = _with(tmp_path, examples, vectors=[wrong])
    assert code == 1
    assert lines[0] == (
        "ex-21: expected allow/allowed/img-a, got allow/allowed/img-b by IMS ReadOnlyAccess#0"
    )


def test_failing_checks_are_compared_in_table_order(
    tmp_path: Path, examples: dict[str, object]
) -> None:
    failing = [{"action": "ims:images:get", "ep": None}]
    wrong = _vector(examples, "ex-13", decision="deny", reason="implicit_deny", failing=failing)
    code, lines, _ = _with(tmp_path, examples, vectors=[wrong])
    assert code == 1
    assert "failing ims:images:update@-" in lines[0]


def test_documents_and_agencies_count_too(tmp_path: Path, examples: dict[str, object]) -> None:
    code, lines, _ = _with(
        tmp_path,
        examples,
        documents=[{"id": "d", "title": "", "document": {"Version": "1.1"}, "valid": True}],
        assume=[
            {
                "id": "a",
                "title": "",
                "as": "user:gina",
                "agency": "partner",
                "of": "acme",
                "grants": [],
                "expect": {"decision": "allow", "http": 201},
            }
        ],
    )
    assert code == 1
    assert lines == [
        "d: expected valid, got invalid//Statement by -",
        "a: expected allow/201, got deny/403 by -",
        "0 of 2",
    ]


def test_a_fault_of_one_vector_does_not_stop_the_others(
    tmp_path: Path, examples: dict[str, object]
) -> None:
    stranger = _vector(examples, "ex-01", decision="allow")
    stranger["request"] = {"as": "user:nobody", "project": None, "method": "GET", "path": "/"}
    good = _vector(examples, "ex-12", decision="deny")
    code, lines, _ = _with(tmp_path, examples, vectors=[stranger, good])
    assert code == 1
    assert lines[0].startswith("ex-01: expected allow, got error/")
    assert lines[1] == "1 of 2"


@pytest.mark.parametrize("text", ["[", "- 1\n", "schema: other/1\n", HEAD + "vectors: [7]\n"])
def test_a_file_that_is_no_vector_file_ends_with_two(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text, encoding="utf-8")
    result = _run(file)
    assert result.exit_code == 2
    assert "x.yaml" in result.stderr


def test_a_missing_file_ends_with_two(tmp_path: Path) -> None:
    assert _run(tmp_path / "none.yaml").exit_code == 2
