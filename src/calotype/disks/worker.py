# SPDX-License-Identifier: Apache-2.0
"""The inspector: what the sandboxed child runs, from a descriptor to one line of verdict.

`examine` and `glance` are also called in-process by tests; the service never does that. The child
is started as `python -I -S`, reads an inherited descriptor and knows no path. Anything unexpected
inside a reader is a refusal too: an attacker must not gain from a mistake of ours.
"""

from __future__ import annotations

import os
import sys

from calotype.disks import signatures
from calotype.disks.families import iso, qcow, qcow2, qed, vdi, vhd, vhdx, vmdk
from calotype.disks.reader import PartialReader, Reader, Unseen
from calotype.disks.verdict import Finding, Format, refuse, require
from calotype.errors import BadImage, Reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FAMILIES: dict[str, Any] = {
    Format.QCOW2: qcow2,
    Format.QCOW: qcow,
    Format.VMDK: vmdk,
    Format.VHD: vhd,
    Format.VHDX: vhdx,
    Format.VDI: vdi,
    Format.QED: qed,
    Format.ISO: iso,
}
# Claims that name no structure of their own: any content without a foreign signature.
OPAQUE = ("ami", "aki", "ari", "ploop")


class Wish:
    """What the caller says of the file: format word or "", and the virtual size limit."""

    __slots__ = ("claim", "limit")

    def __init__(self, claim: str, limit: int) -> None:
        self.claim = claim
        self.limit = limit


def examine(reader: Reader, wish: Wish) -> Finding:
    """Check the whole file; raise BadImage or return what it is."""
    require(reader.size > 0, "the file has no bytes", Reason.EMPTY)
    found = decide(reader, wish)
    if found == Format.RAW:
        signatures.check_partitions(reader)
        _check_size(reader.size, wish)
        return Finding(Format.RAW, reader.size, reader.size)
    family = _FAMILIES[found]
    header = family.header(reader)
    _check_size(header.virtual_size, wish)
    finding: Finding = family.check(reader, header)
    return finding


def glance(reader: Reader, wish: Wish) -> tuple[str, int | None]:
    """Return the format and, when the first bytes tell it, the virtual size; raise BadImage."""
    require(reader.size > 0, "the file has no bytes", Reason.EMPTY)
    found = decide(reader, wish)
    if found == Format.RAW:
        _check_size(reader.size, wish)
        return found, reader.size
    try:
        size: int = _FAMILIES[found].header(reader).virtual_size
    except Unseen:
        return found, None
    _check_size(size, wish)
    return found, size


def decide(reader: Reader, wish: Wish) -> str:
    """Return the one format of the file, after comparing it with the claim."""
    found = signatures.found_in(reader)
    if len(found) > 1:
        refuse(Reason.FORMAT_AMBIGUOUS, "the file carries the signatures of two formats")
    word = found[0] if found else Format.RAW
    if word == signatures.LUKS:
        refuse(Reason.ENCRYPTED, "the file is an encrypted volume")
    if wish.claim in OPAQUE:
        innocent = {"ploop": signatures.PARALLELS}.get(wish.claim, signatures.COMPRESSED)
        if word not in (Format.RAW, innocent):
            refuse(Reason.FORMAT_MISMATCH, "the file carries the signature of another format")
        return Format.RAW
    expected = wish.claim or word
    if word in (signatures.VMDK_TEXT, signatures.VMDK_OTHER) and expected in (Format.VMDK, word):
        if word == signatures.VMDK_TEXT:
            refuse(Reason.EXTERNAL_DATA, "vmdk descriptor names its data instead of holding it")
        refuse(Reason.FORMAT_UNSUPPORTED, "vmdk of a kind that is not accepted")
    if word != expected:
        refuse(Reason.FORMAT_MISMATCH, "the content is not of the claimed format")
    if word != Format.RAW and word not in _FAMILIES:
        refuse(Reason.FORMAT_UNSUPPORTED, "the content is of a format that is not accepted")
    return word


def _check_size(virtual_size: int, wish: Wish) -> None:
    require(virtual_size > 0, "the disk has no size", Reason.EMPTY)
    require(virtual_size <= wish.limit, "the virtual size is over the limit", Reason.SIZE_LIMIT)


def main(arguments: list[str]) -> None:
    """Serve one request: `DESCRIPTOR CLAIM LIMIT [SIZE HEAD TAIL]`, one line out.

    The line is `ok FORMAT VIRTUAL MAPPED` (`-` for what is not known) or `bad REASON TEXT`.
    """
    descriptor, claim, limit = arguments[:3]
    wish = Wish(claim, int(limit))
    try:
        if len(arguments) > 3:
            size, head, tail = map(int, arguments[3:6])
            word, virtual = glance(PartialReader(int(descriptor), size, head, tail), wish)
            line = f"ok {word} {'-' if virtual is None else virtual} -"
        else:
            reader = Reader(int(descriptor), os.fstat(int(descriptor)).st_size)
            finding = examine(reader, wish)
            line = f"ok {finding.format} {finding.virtual_size} {finding.mapped}"
    except BadImage as error:
        line = f"bad {error.reason} {error.message}"
    except Exception as error:  # a mistake of a reader must end in a refusal, never in acceptance
        sys.stderr.write(f"{type(error).__name__} in the inspector\n")
        line = f"bad {Reason.CORRUPT} the structure could not be read"
    sys.stdout.write(line + "\n")
