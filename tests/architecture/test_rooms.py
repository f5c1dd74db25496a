# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that no linter knows: sizes of files, and who may touch the outside.

Each rule is proven to bite by one bad example.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "calotype"
LONGEST = 400

# what may be used where: pattern of a dotted name -> modules that may use it
HOMES = {
    r"subprocess(\..*)?": {"programs.py"},
    r"os\.(system|popen|exec\w*|spawn\w*|posix_spawn\w*)": {"programs.py"},
    r"os\.(environ|getenv)(\..*)?": {"settings.py", "client/credentials.py"},
    r"datetime\.(now|utcnow|today)": {"clock.py"},
    r"time\.(time|time_ns)": {"clock.py", "ids.py"},
    r"yaml\.(load|unsafe_load|full_load)": {"contract/loader.py"},
}
TABLE_READERS = {
    "images": "images",
    "iam": "iam",
    "jobs": "jobs",
    "blobs": "blobs",
    "buckets": "buckets",
    "audit": "audit",
}
NO_HTTP = ("flows", "images", "jobs", "iam", "disks", "buckets", "blobs", "storage", "keys")
WIRE_CODE = re.compile(r"IMG\.\d{4}|APIGW\.|HTTP/1|status_code")


def modules() -> Iterator[tuple[str, ast.Module, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text()
        yield path.relative_to(SOURCE).as_posix(), ast.parse(text), text


def dotted_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def strays(name: str, tree: ast.Module) -> list[str]:
    found = []
    for pattern, homes in HOMES.items():
        if name in homes:
            continue
        found += [used for used in dotted_names(tree) if re.fullmatch(pattern, used)]
    return found


def test_no_file_is_longer_than_400_lines() -> None:
    long = {
        name: text.count("\n")
        for name, _, text in modules()
        if text.count("\n") > LONGEST and "migrations/versions" not in name
    }
    assert not long


def test_programs_environment_and_clock_are_touched_at_home_only() -> None:
    found = {name: strays(name, tree) for name, tree, _ in modules()}
    assert not {name: used for name, used in found.items() if used}


@pytest.mark.parametrize(
    "bad", ["import subprocess", "import os\nos.environ['A']", "from os import environ"]
)
def test_the_rule_about_homes_bites(bad: str) -> None:
    assert strays("images/store.py", ast.parse(bad))


def test_each_room_reads_its_own_tables_only() -> None:
    wrong = []
    for name, tree, _ in modules():
        room = name.split("/")[0]
        if room == "db":
            continue
        for used in dotted_names(tree):
            match = re.match(r"calotype\.db\.tables(?:\.(\w+))?", used)
            if match and TABLE_READERS.get(match.group(1) or "") != room:
                wrong.append((name, used))
    assert not wrong


def test_rooms_below_the_gate_know_no_wire_codes() -> None:
    wrong = []
    for name, tree, _ in modules():
        if name.split("/")[0] not in NO_HTTP:
            continue
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if id(node) not in docs and WIRE_CODE.search(node.value):
                    wrong.append((name, node.value[:40]))
    assert not wrong


def test_every_module_says_what_it_owns() -> None:
    silent = [name for name, tree, _ in modules() if not ast.get_docstring(tree)]
    assert not [name for name in silent if "migrations/versions" not in name]


def test_importing_the_program_starts_nothing() -> None:
    script = (
        "import threading, sys, calotype.app\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "assert 'dbos' not in sys.modules and 'alembic' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
