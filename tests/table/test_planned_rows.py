# SPDX-License-Identifier: Apache-2.0
"""The rows of the table that are not served yet: listed by name, and answered 501 in their dialect.

The list only shrinks: serving a row means taking its name out of tests/data/planned_rows.txt.
"""

from __future__ import annotations

from pathlib import Path

from calotype.contract.loader import Operation, load_operations
from tests.service import Service
from tests.wire import Api

LIST = Path(__file__).parents[1] / "data" / "planned_rows.txt"
PLANNED = [row for row in load_operations() if row.planned]


def address(row: Operation, project_id: str) -> str:
    """Return a path of the row whose parameters have the right form."""
    uuid = "00000000-0000-4000-8000-000000000000"
    words = dict.fromkeys(("image_id", "task_id", "enterprise_project_id"), uuid)
    words |= {"decision_id": "0" * 26, "version": "v2", "project_id": project_id}
    path = row.path
    for name in row.patterns:
        other = "0" * 32 if name.endswith("_id") else "something"
        path = path.replace(f"{{{name}}}", words.get(name, other))
    return path


def test_the_planned_rows_are_the_ones_that_are_listed() -> None:
    assert LIST.read_text().split() == sorted(row.id for row in PLANNED)


def test_a_planned_row_answers_501_and_only_to_who_is_authenticated(
    service: Service, root: Api
) -> None:
    unknown = Api(service.base_url, "no-such-token", root.project_id)
    wrong = {}
    for row in PLANNED:
        path = address(row, root.project_id)
        answers = [caller.call(row.method, path).status_code for caller in (unknown, root)]
        if answers != [401 if row.authentication else 501, 501]:
            wrong[row.id] = answers
    assert not wrong
