# SPDX-License-Identifier: Apache-2.0
"""Words of the inspector: formats, findings, and how a refusal is raised.

Loaded by the sandboxed child, as are all modules that import nothing heavier than this one: plain
classes instead of dataclasses keep the child's start at a fifth of what it would cost. Texts name
the field that is wrong, never a name or a value found in the file (security contract, section 2).
"""

from __future__ import annotations

from enum import StrEnum

from calotype.errors import BadImage, Reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# Raised whenever a verdict may change; stored with each image so that old ones are looked at again.
INSPECTOR_VERSION = 1
RATIO = 1000
RATIO_FREE_BYTES = 1 << 30


class Format(StrEnum):
    """Disk formats by their wire words (contract values.md, section 10)."""

    RAW = "raw"
    QCOW2 = "qcow2"
    QCOW = "qcow"
    VMDK = "vmdk"
    VHD = "vhd"
    VHDX = "vhdx"
    VDI = "vdi"
    QED = "qed"
    ISO = "iso"
    OVA = "ova"


class Finding:
    """What an accepted file is: its format, the bytes a guest sees, the bytes that are mapped."""

    __slots__ = ("format", "mapped", "virtual_size")

    def __init__(self, found: Format, virtual_size: int, mapped: int) -> None:
        self.format = found
        self.virtual_size = virtual_size
        self.mapped = mapped


def refuse(reason: Reason, text: str) -> NoReturn:
    """Raise the verdict `reason`; `text` names the field."""
    raise BadImage(reason, text)


def require(condition: bool, text: str, reason: Reason = Reason.CORRUPT) -> None:
    """Refuse unless `condition` holds."""
    if not condition:
        raise BadImage(reason, text)


def check_ratio(unpacked: int, stored: int, text: str) -> None:
    """Refuse content that unpacks to more than 1000 times its stored bytes, once past 1 GiB."""
    if unpacked > RATIO_FREE_BYTES and unpacked > RATIO * stored:
        raise BadImage(Reason.EXPANSION_LIMIT, text)
