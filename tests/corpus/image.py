# SPDX-License-Identifier: Apache-2.0
"""Bytes of one image under the knife: fields are set, checksums mended, the file written sparse."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from calotype.errors import Reason

Hostile = tuple[str, Path, str | None, frozenset[Reason]]

STRUCTURE = frozenset({Reason.CORRUPT, Reason.TRUNCATED})
ANY_SIZE = STRUCTURE | {Reason.SIZE_LIMIT, Reason.EMPTY, Reason.EXPANSION_LIMIT}
UNKNOWN = STRUCTURE | {Reason.FORMAT_UNSUPPORTED}
MISMATCH = frozenset({Reason.FORMAT_MISMATCH})
AMBIGUOUS = frozenset({Reason.FORMAT_AMBIGUOUS})
PARENT = frozenset({Reason.BACKING_FILE})
EXTERNAL = frozenset({Reason.EXTERNAL_DATA})
_BLOCK = 4096


class Image:
    """An editable copy. `mend` is called before the bytes are written, to renew checksums."""

    def __init__(self, data: bytes, mend: Callable[[bytearray], None] | None = None) -> None:
        self.data = bytearray(data)
        self._mend = mend

    def copy(self) -> Image:
        """Return an independent copy."""
        return Image(bytes(self.data), self._mend)

    def set(self, offset: int, code: str, *values: int | bytes) -> Image:
        """Pack values at an offset; returns the image itself."""
        struct.pack_into(code, self.data, offset, *values)
        return self

    def get(self, offset: int, code: str) -> int:
        """Return the one number at an offset."""
        return int(struct.unpack_from(code, self.data, offset)[0])

    def put(self, offset: int, data: bytes) -> Image:
        """Overwrite bytes, growing the image if needed; returns the image itself."""
        if offset > len(self.data):
            self.data += bytes(offset - len(self.data))
        self.data[offset : offset + len(data)] = data
        return self

    def bytes(self, *, mended: bool = True) -> bytes:
        """Return the finished bytes."""
        if mended and self._mend is not None:
            self._mend(self.data)
        return bytes(self.data)

    def save(self, path: Path, *, mended: bool = True, size: int | None = None) -> Path:
        """Write the image with holes where it is zero; `size` may cut or extend it."""
        return save(path, self.bytes(mended=mended), size)


def save(path: Path, data: bytes, size: int | None = None) -> Path:
    """Write bytes sparse; `size` cuts or extends the file."""
    with path.open("wb") as file:
        for large in range(0, len(data), 64 * _BLOCK):
            part = data[large : large + 64 * _BLOCK]
            if not part.strip(b"\0"):
                continue
            for start in range(0, len(part), _BLOCK):
                piece = part[start : start + _BLOCK]
                if piece.strip(b"\0"):
                    file.seek(large + start)
                    file.write(piece)
        file.truncate(len(data) if size is None else size)
    return path


class Field:
    """One number of a header: where, how packed, in units of how many bytes of the file."""

    def __init__(
        self,
        name: str,
        offset: int,
        code: str,
        reasons: Iterable[Reason] = STRUCTURE,
        *,
        unit: int = 1,
        harmless: Iterable[int] = (),
        more: Iterable[int] = (),
    ) -> None:
        self.name = name
        self.offset = offset
        self.code = code
        self.reasons = frozenset(reasons)
        self.unit = unit
        self.harmless = frozenset(harmless)
        self.more = tuple(more)

    def values(self, image: Image) -> Iterator[int]:
        """Yield 0, 1, the maximum, just past the file, and the field's own values of interest."""
        top = (1 << (8 * struct.calcsize(self.code))) - 1
        past = -(-len(image.data) // self.unit)
        original = image.get(self.offset, self.code)
        for value in dict.fromkeys((0, 1, top, top >> 1, past, past + 1, *self.more)):
            if value <= top and value != original and value not in self.harmless:
                yield value


def field_variants(
    directory: Path, prefix: str, claim: str, image: Image, fields: Iterable[Field]
) -> Iterator[Hostile]:
    """Yield a file for each field and value."""
    for field in fields:
        for value in field.values(image):
            name = f"{prefix}-{field.name}-{value:x}"
            changed = image.copy().set(field.offset, field.code, value)
            yield name, changed.save(directory / name), claim, field.reasons


def truncations(directory: Path, prefix: str, claim: str, image: Image) -> Iterator[Hostile]:
    """Yield the image cut at several places; a cut may also hide what the file was."""
    reasons = STRUCTURE | MISMATCH
    data = image.bytes()
    last = len(data.rstrip(b"\0"))
    for number, size in enumerate((16, 100, 1000, 70_000, last // 2, last - 4096, last - 1)):
        if 0 < size < last:
            name = f"{prefix}-cut-{number}"
            yield name, save(directory / name, data[:size]), claim, reasons
