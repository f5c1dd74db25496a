# SPDX-License-Identifier: Apache-2.0
"""Bytes of boot sectors, partition tables and ISO volumes, written by hand."""

from __future__ import annotations

import struct
import zlib


def _entry(kind: int, start: int, sectors: int, boot: int = 0) -> bytes:
    return struct.pack("<B3sB3sII", boot, b"\0\2\0", kind, b"\xff\xff\xff", start, sectors)


def master_boot_record(*, protective: bool = False, more: bool = False) -> bytes:
    """Return a first sector with one partition; protective for GPT, `more` adds a second entry."""
    first = _entry(0xEE, 1, 0xFFFF) if protective else _entry(0x83, 63, 2000, 0x80)
    entries = first + (_entry(0x83, 100, 900) if more else bytes(16))
    return b"\xeb\x63\x90" + b"boot code".ljust(443, b"\0") + entries.ljust(64, b"\0") + b"\x55\xaa"


def gpt_disk(size: int, *, hybrid: bool = False) -> bytes:
    """Return a disk with a GUID partition table and its protective record."""
    last = size // 512 - 1
    header = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, 1, last, 34,
                         last - 33, b"g" * 16, 2, 128, 128, 0)  # fmt: skip
    check = zlib.crc32(header)
    header = header[:16] + struct.pack("<I", check) + header[20:]
    disk = master_boot_record(protective=True, more=hybrid) + header.ljust(512, b"\0")
    return disk.ljust(size - 512, b"\0") + header.ljust(512, b"\0")


def fat_boot_sector() -> bytes:
    """Return a FAT boot sector whose code fills the place of a partition table."""
    head = b"\xeb\x3c\x90MKDOS5.0" + struct.pack("<HBHBHHBHHHII", 512, 4, 1, 2, 512, 0, 0xF8,
                                                 40, 32, 64, 0, 20480)  # fmt: skip
    return head.ljust(510, b"\xee") + b"\x55\xaa"


def _both(value: int, code: str) -> bytes:
    return struct.pack("<" + code, value) + struct.pack(">" + code, value)


def iso(*, system_area: bytes = b"", sectors: int = 40) -> bytes:
    """Return a small ISO 9660 volume with an empty root directory."""
    root = (
        bytes([34, 0]) + _both(20, "I") + _both(2048, "I") + bytes(7) + b"\2\0\0"
        + _both(1, "H") + b"\1\0"
    )  # fmt: skip
    primary = bytearray(2048)
    primary[0:8] = b"\1CD001\1\0"
    primary[8:72] = b"LINUX".ljust(32) + b"CALOTYPE".ljust(32)
    primary[80:88] = _both(sectors, "I")
    primary[120:132] = _both(1, "H") * 2 + _both(2048, "H")
    primary[132:140] = _both(10, "I")
    primary[140:156] = struct.pack("<II", 18, 0) + struct.pack(">II", 19, 0)
    primary[156:190] = root
    primary[881] = 1
    end = b"\xffCD001\1".ljust(2048, b"\0")
    little = bytes([1, 0]) + struct.pack("<IH", 20, 1) + b"\0\0"
    big = bytes([1, 0]) + struct.pack(">IH", 20, 1) + b"\0\0"
    body = bytes(primary) + end + little.ljust(2048, b"\0") + big.ljust(2048, b"\0")
    directory = root + root[:32] + b"\1\1"
    data = system_area.ljust(32768, b"\0") + body + directory.ljust(2048, b"\0")
    return data.ljust(sectors * 2048, b"\0")
