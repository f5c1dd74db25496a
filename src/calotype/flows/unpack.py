# SPDX-License-Identifier: Apache-2.0
"""Takes one layer of compression off a file, in the sandbox (security contract C3).

`.gz .bz2 .xz .zst`. What decompresses a stranger's bytes is a child that can write one file up to
its limit and nothing else; its answer is not trusted. Synchronous: call from a worker thread.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from calotype import programs
from calotype.errors import BadImage, ProgramFailed, Reason, Unavailable

# Imported for its compiled form: the child cannot write one into its read-only view.
from calotype.flows import unpack_child

MAGIC = {
    "gz": b"\x1f\x8b\x08",
    "bz2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
    "zst": b"\x28\xb5\x2f\xfd",
}
# Parallel compressors begin with a frame to be skipped, which tells sizes.
_ZST_SKIPPED = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_MEMORY = 1 << 30
_SLOWEST = 10 << 20  # bytes of output a second
_SCRIPT = Path(unpack_child.__file__).resolve()
_START = (
    "import sys; sys.path[:0] = sys.argv[1:3]; from unpack_child import main; main(sys.argv[3:])"
)


def check_begin(kind: str, head: bytes) -> None:
    """Refuse a file whose first bytes are not those of the claimed compression."""
    if kind == "zst" and importlib.util.find_spec("zstandard") is None:
        text = "zst files cannot be read here; gz, bz2 and xz can"
        raise BadImage(Reason.FORMAT_UNSUPPORTED, text)
    if not head.startswith(MAGIC[kind]) and not (kind == "zst" and _ZST_SKIPPED.match(head)):
        raise BadImage(Reason.FORMAT_MISMATCH, f"the file is not {kind} although its name says so")


def unpack(
    source: int,
    target: Path,
    kind: str,
    limit: int,
    *,
    progress: Callable[[float], None],
    cancel: Callable[[], bool],
) -> int:
    """Unpack the file behind a descriptor into a new file; return its size in bytes.

    `limit`: most bytes of output. `progress` gets the read fraction. On any error nothing is left
    at `target`. Raises BadImage (TRUNCATED, CORRUPT, SIZE_LIMIT, EXPANSION_LIMIT), Cancelled,
    Unavailable (`work_full`), ProgramFailed (missing).
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    writing = os.open(target, flags, 0o600)
    try:
        size = _run(source, writing, (kind, limit), progress, cancel)
        if size > limit or size != os.fstat(writing).st_size:
            raise BadImage(Reason.CORRUPT, "the compressed file could not be read")
        return size
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    finally:
        os.close(writing)


def _run(
    source: int,
    target: int,
    what: tuple[str, int],
    progress: Callable[[float], None],
    cancel: Callable[[], bool],
) -> int:
    kind, limit = what
    total = max(1, os.fstat(source).st_size)
    os.lseek(source, 0, os.SEEK_SET)
    interpreter = Path(sys.executable).resolve()
    packages = _packages(kind)
    command = programs.Command(
        (
            *(str(interpreter), "-I", "-S", "-c", _START),
            *(str(_SCRIPT.parent), str(packages)),
            *(str(source), str(target), kind, str(limit)),
        ),
        inherited=(source, target),
        shown=(Path(sys.base_prefix).resolve(), _SCRIPT.parent, packages),
    )
    seconds = 60 + min(limit, 1000 * total) // _SLOWEST
    limits = programs.Limits(
        wall=2.0 * seconds, cpu=seconds, memory=_MEMORY, output=limit, files=32, processes=4
    )

    def tell(line: str) -> None:
        word, _, number = line.partition(" ")
        if word == "at" and number.isdigit():
            progress(int(number) / total)

    try:
        done = programs.run(command, limits, progress=tell, cancel=cancel)
    except ProgramFailed as error:
        if error.facts.get("disk_full"):
            raise Unavailable("the work area is full", rule="work_full") from error
        if error.how in ("timeout", "limit"):
            text = "unpacking needed more size, memory or time than allowed"
            raise BadImage(Reason.EXPANSION_LIMIT, text) from error
        if error.how == "missing":
            raise
        raise BadImage(Reason.CORRUPT, "the compressed file could not be read") from error
    return _answer(done.stdout.decode("ascii", "replace"))


def _packages(kind: str) -> Path:
    """Return where the child finds what it needs beside the standard library."""
    if kind == "zst":
        found = importlib.util.find_spec("zstandard")
        if found is not None and found.origin is not None:
            return Path(found.origin).resolve().parent.parent
    return _SCRIPT.parent


def _answer(text: str) -> int:
    """Take the child's last line apart; it may come from code that was taken over."""
    lines = text.strip().splitlines()
    words = lines[-1].split(" ", 2) if lines else []
    if len(words) == 2 and words[0] == "ok" and words[1].isdigit() and len(words[1]) <= 20:
        return int(words[1])
    if len(words) == 3 and words[0] == "bad" and words[1] in tuple(Reason):
        said = "".join(letter for letter in words[2][:200] if " " <= letter <= "~")
        raise BadImage(Reason(words[1]), said)
    raise BadImage(Reason.CORRUPT, "the compressed file could not be read")
