# SPDX-License-Identifier: Apache-2.0
"""Inspection as the service calls it: a sandboxed child for each file, its answer not trusted.

`inspect_file` checks a whole file, `look` the first and last bytes of one that is still elsewhere.
Both raise BadImage with the verdict word and a text that names a field, never a path or a name
found inside (security contract, section 2). Synchronous: call from a worker thread.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import calotype
from calotype import programs

# Imported for its compiled form: the child cannot write one into its read-only view.
from calotype.disks import worker
from calotype.disks.formats import OPAQUE_CLAIMS
from calotype.disks.verdict import Format
from calotype.errors import BadImage, ProgramFailed, Reason

LOOK_HEAD = 64 << 10
LOOK_TAIL = 2048
# 2048 GB, the largest disk of the contract (values.md, section 4).
DEFAULT_VIRTUAL_LIMIT = 2048 << 30
_MEMORY = 1 << 30
_PACKAGE = Path(calotype.__file__).resolve().parent
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from calotype.disks.worker import main; main(sys.argv[2:])"
)
_CONTAINERS = ("bare", "ovf", "ova", "docker", "compressed", "aki", "ami", "ari")


@dataclass(frozen=True, slots=True)
class Inspection:
    """An accepted file. `virtual_size` is what a guest sees, `mapped` what has a place in it.

    `format` is the content's own; for the claims ami, aki, ari and ploop it is RAW.
    """

    format: Format
    virtual_size: int
    mapped: int


@dataclass(frozen=True, slots=True)
class Look:
    """What the first and last bytes tell; `virtual_size` is None when it is stored elsewhere."""

    format: Format
    virtual_size: int | None


def inspect_file(
    source: Path | int,
    *,
    claim: Format | str | None = None,
    container: str = "bare",
    virtual_limit: int = DEFAULT_VIRTUAL_LIMIT,
    cancel: Callable[[], bool] | None = None,
) -> Inspection:
    """Check all of a file and return what it is.

    `source` is a path or an open descriptor; `claim` what the caller says it is. A `container`
    changes nothing: its content is judged exactly as if it were bare. Raises BadImage,
    Cancelled, ProgramFailed (`missing` only: the sandbox does not work).
    """
    if container not in _CONTAINERS:
        raise BadImage(Reason.FORMAT_UNSUPPORTED, "the container is not one of those accepted")
    with contextlib.ExitStack() as stack:
        if isinstance(source, int):
            descriptor = source
        else:
            descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            stack.callback(os.close, descriptor)
        seconds = 10 + os.fstat(descriptor).st_size // (10 << 30)
        request = (str(descriptor), _claim_word(claim), str(virtual_limit))
        found, virtual_size, mapped = _ask(descriptor, request, seconds, cancel)
    if virtual_size is None or mapped is None:
        raise _broken()
    return Inspection(found, virtual_size, mapped)


def look(
    head: bytes,
    tail: bytes,
    size: int,
    claim: Format | str | None = None,
    *,
    virtual_limit: int = DEFAULT_VIRTUAL_LIMIT,
) -> Look:
    """Judge a file of `size` bytes by its first LOOK_HEAD and last LOOK_TAIL bytes.

    Shorter pieces are allowed for shorter files only. Raises BadImage for what can be seen to be
    wrong already; passing promises nothing that inspect_file would not check again.
    """
    head, tail = head[:size], tail[-min(size, len(tail)) :] if size else b""
    descriptor = os.memfd_create("look", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as memory:
            memory.write(head + tail)
        wish = (str(descriptor), _claim_word(claim), str(virtual_limit))
        request = (*wish, str(size), str(len(head)), str(len(tail)))
        found, virtual_size, _ = _ask(descriptor, request, 10, None)
    finally:
        os.close(descriptor)
    return Look(found, virtual_size)


def _claim_word(claim: Format | str | None) -> str:
    if claim is None:
        return ""
    if claim in OPAQUE_CLAIMS or claim in tuple(Format):
        return str(claim)
    raise BadImage(Reason.FORMAT_UNSUPPORTED, "the claimed format is not one of those accepted")


def _ask(
    descriptor: int,
    request: tuple[str, ...],
    seconds: int,
    cancel: Callable[[], bool] | None,
) -> tuple[Format, int | None, int | None]:
    """Run the child and read its one line."""
    interpreter = Path(sys.executable).resolve()
    command = programs.Command(
        (str(interpreter), "-I", "-S", "-c", _START, str(_PACKAGE.parent), *request),
        inherited=(descriptor,),
        shown=(Path(sys.base_prefix).resolve(), _PACKAGE),
    )
    # The reader counts its own CPU seconds and says so in words; these limits catch the rest.
    limits = programs.Limits(
        wall=6.0 * seconds,
        cpu=seconds + 5,
        memory=_MEMORY,
        output=0,
        files=32,
        processes=4,
        captured=4096,
        niceness=2,
    )
    try:
        done = programs.run(command, limits, cancel=cancel)
    except ProgramFailed as error:
        if error.how in ("timeout", "limit"):
            text = "inspection needed more time or memory than a disk of this size may"
            raise BadImage(Reason.EXPANSION_LIMIT, text) from error
        if error.how == "missing":
            raise
        raise _broken() from error
    return _answer(done.stdout.decode("ascii", "replace"))


def _answer(line: str) -> tuple[Format, int | None, int | None]:
    """Take the child's line apart; it may come from code that was taken over."""
    words = line.rstrip("\n").split(" ", 2)
    if len(words) == 3 and words[0] == "bad" and words[1] in tuple(Reason):
        text = "".join(letter for letter in words[2][:200] if " " <= letter <= "~")
        raise BadImage(Reason(words[1]), text)
    numbers = words[2].split(" ") if len(words) == 3 else []
    known = words[0] == "ok" and words[1:2] and words[1] in tuple(Format)
    if not known or len(numbers) != 2 or not all(map(_is_number, numbers)):
        raise _broken()
    virtual_size, mapped = (None if word == "-" else int(word) for word in numbers)
    return Format(words[1]), virtual_size, mapped


def _is_number(word: str) -> bool:
    return word == "-" or (word.isascii() and word.isdigit() and len(word) <= 20)


def _broken() -> BadImage:
    return BadImage(Reason.CORRUPT, "the structure could not be read")


assert worker.OPAQUE == OPAQUE_CLAIMS
