# SPDX-License-Identifier: Apache-2.0
"""The table of disk formats: names, extensions, what may come in and go out, how it is written.

One row a format (contract values.md, section 10). The words on the wire are `Format`; `tool_name`
is the driver's name in qemu-img and appears nowhere outside this room.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from calotype.disks.verdict import INSPECTOR_VERSION, Format

__all__ = ["FORMATS", "INSPECTOR_VERSION", "OPAQUE_CLAIMS", "Format", "FormatRow", "by_extension"]

# Native claims without a structure of their own: any content that carries no foreign signature.
OPAQUE_CLAIMS = ("ami", "aki", "ari", "ploop")


@dataclass(frozen=True, slots=True)
class FormatRow:
    """One format. `write_options` is the complete option list of a written file.

    `has_backing` says that the tool could follow a parent and is told not to; `writable` that
    conversion may produce it.
    """

    tool_name: str | None
    extensions: tuple[str, ...]
    importable: bool
    exportable: bool
    write_options: tuple[str, ...] = ()
    open_options: tuple[tuple[str, str], ...] = ()
    has_backing: bool = False
    writable: bool = True


FORMATS: Mapping[Format, FormatRow] = MappingProxyType(
    {
        Format.RAW: FormatRow("raw", ("raw",), True, True),
        Format.QCOW2: FormatRow(
            "qcow2",
            ("qcow2",),
            True,
            True,
            write_options=("compat=1.1",),
            has_backing=True,
        ),
        Format.VMDK: FormatRow(
            "vmdk",
            ("vmdk",),
            True,
            True,
            write_options=("subformat=streamOptimized",),
            has_backing=True,
        ),
        Format.VHD: FormatRow(
            "vpc",
            ("vhd",),
            True,
            True,
            # Without force_size the disk would be rounded up to a geometry.
            write_options=("subformat=dynamic", "force_size=on"),
            # The footer's size, as inspected; else some creators' disks are cut to a geometry.
            open_options=(("force_size_calc", "current_size"),),
        ),
        Format.VHDX: FormatRow(
            "vhdx", ("vhdx",), True, False, write_options=("subformat=dynamic",)
        ),
        Format.VDI: FormatRow("vdi", ("vdi",), True, False),
        Format.QED: FormatRow("qed", ("qed",), True, False, has_backing=True, writable=False),
        Format.QCOW: FormatRow("qcow", ("qcow",), True, False, has_backing=True, writable=False),
        Format.ISO: FormatRow("raw", ("iso",), True, False, writable=False),
        Format.OVA: FormatRow(None, ("ova",), True, False, writable=False),
    }
)


def by_extension(extension: str) -> Format | None:
    """Return the format that a file extension (lower case, without the dot) claims, or None."""
    for found, row in FORMATS.items():
        if extension in row.extensions:
            return found
    return None
