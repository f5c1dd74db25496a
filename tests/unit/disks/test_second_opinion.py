# SPDX-License-Identifier: Apache-2.0
"""Another inspector's view of the honest files: each disagreement is of a known, innocent kind.

The other inspector is that of the OpenStack utilities, which come with the clients used in tests.
It reads signatures and headers only, so it is no judge of hostile structure.
"""

from __future__ import annotations

from pathlib import Path

from oslo_utils.imageutils import format_inspector

from tests.corpus.honest import Honest

_LARGEST = 64 << 20
_OPAQUE = ("ami", "aki", "ari", "ploop", None)
# What it says of honest files, and why that is innocent.
_INNOCENT = {
    ("raw", ("gpt",)),  # a partition table is content
    ("iso", ("gpt", "iso")),  # a partition table in the system area
    ("vhd", ("gpt",)),  # a fixed VHD with a partition table; it looks at the start only
    ("vhd", ("raw",)),  # the same without one
    ("qcow", ("qcow2",)),  # the two versions share their first bytes
}
# Formats, or features of them, that it refuses and the contract accepts.
_REFUSED = ("qed", "qcow", "qcow2-extended", "qcow2-history-ext", "vmdk-of-another-writer")


def opinion(path: Path) -> tuple[tuple[str, ...], bool]:
    """Return the formats the other inspector sees and whether it calls the file safe."""
    with path.open("rb") as file:
        view = format_inspector.InspectWrapper(file)
        while view.read(1 << 20):
            pass
        view.close()
    safe = True
    for found in view.formats or ():
        try:
            found.safety_check()
        except format_inspector.SafetyCheckFailed:
            safe = False
    return tuple(sorted(str(found) for found in view.formats or ())), safe


def test_it_disagrees_on_innocent_kinds_only(honest: list[Honest]) -> None:
    strange: list[object] = []
    for name, path, claim, _ in honest:
        if path.stat().st_size > _LARGEST:
            continue
        words, safe = opinion(path)
        word = "raw" if claim in _OPAQUE else str(claim)
        if words != (word,) and (word, words) not in _INNOCENT:
            strange.append((name, words))
        hybrid = "hybrid" in name  # more than one partition beside a protective entry
        if not safe and not hybrid and not name.startswith(_REFUSED):
            strange.append((name, "unsafe"))
    assert strange == []
