# SPDX-License-Identifier: Apache-2.0
"""Reads a page of the documentation: its blocks that are run, and what they are said to print.

A block marked `sh` or `python` is run, all of a page in one shell and in their order; a block
marked `text` right after one is its output. Ids, times and addresses differ from run to run and
are compared by their kind.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_KINDS = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uuid>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>"),
    (r"\bregion-1-[0-9a-f]{8}\b", "<bucket>"),
    (r"\b[0-9a-f]{32}\b", "<id>"),
    (r"http://127\.0\.0\.1:\d+", "<service>"),
    (r"\d+(\.\d+)? (KiB|MiB)", "<size>"),
)
# Progress is for people and depends on the speed of the machine.
_PROGRESS = re.compile(r"^(\w+ \d+ %|\S+: \S+ \wi?B|.*━.*)$")
_MARK = "@@@@ block"


@dataclass(frozen=True)
class Block:
    """A block that is run, and its output where the page shows it."""

    language: str
    text: str
    output: str | None


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page that are run."""
    text = page.read_text()
    found = list(_BLOCK.finditer(text))
    result = []
    for number, match in enumerate(found):
        if match[1] not in ("sh", "python"):
            continue
        output = None
        if number + 1 < len(found) and found[number + 1][1] == "text":
            between = text[match.end() : found[number + 1].start()]
            output = found[number + 1][2] if not between.strip() else None
        result.append(Block(match[1], match[2], output))
    return result


def by_kind(output: str) -> list[str]:
    """Return the lines of an output without what differs from run to run."""
    lines = []
    for line in output.splitlines():
        if _PROGRESS.match(line):
            continue
        shown = line
        for pattern, kind in _KINDS:
            shown = re.sub(pattern, kind, shown)
        lines.append(re.sub(r" +", " ", shown).rstrip())
    return lines


def run(
    page: Path, directory: Path, environment: Mapping[str, str], names: Mapping[str, str]
) -> None:
    """Run a page in `directory`; each block must succeed and print what the page shows.

    `names` are words of the page that stand for something else here.
    """
    script = ["set -euo pipefail", "exec 2>&1", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    wanted = blocks(page)
    for number, block in enumerate(wanted):
        text = block.text
        for word, here in names.items():
            text = text.replace(word, here)
        if block.language == "python":
            text = f"python - <<'END_OF_PYTHON'\n{text}END_OF_PYTHON\n"
        script += [f"echo '{_MARK} {number}'", text]
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=directory,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, f"{page.name} ended with {done.returncode}:\n{done.stdout}"
    outputs = re.split(rf"^{_MARK} \d+\n", done.stdout, flags=re.MULTILINE)[1:]
    assert len(outputs) == len(wanted)
    for block, output in zip(wanted, outputs, strict=True):
        if block.output is not None:
            shown = block.output
            for word, here in names.items():
                shown = shown.replace(word, here)
            assert by_kind(output) == by_kind(shown), f"{page.name}: {block.text}"
