# SPDX-License-Identifier: Apache-2.0
"""Runs in the sandbox: takes one layer of compression off a file (security contract C3).

Arguments: descriptor in, descriptor out, kind, limit in bytes. Members and streams that follow
each other count together, zeros become holes and count, output is bounded by the limit and, above
1 GiB, by 1000 times what was read. Prints `ok <size>`, `bad <REASON> <text>` and, now and then,
`at <bytes read>`. Imports nothing of this service; input is never trusted.
"""

from __future__ import annotations

import bz2
import io
import lzma
import os
import sys
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Protocol

PIECE = 1 << 20
HOLE = 64 << 10
RATIO = 1000
FREE_OF_RATIO = 1 << 30
XZ_MEMORY = 256 << 20
ZSTD_WINDOW = 128 << 20
ZSTD_PIECE = 4 << 10  # its output cannot be bounded: a piece unpacks to 128 MiB at most
TELL_EVERY = 64 << 20
_ZEROS = bytes(HOLE)


class Refused(Exception):
    """The content is refused; the first argument is the verdict word."""


class Decoder(Protocol):
    """What bz2 and lzma have in common."""

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What follows the end of the stream."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether more input is needed before more output comes."""
        ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return at most so many bytes."""
        ...


class Source:
    """The compressed file, read in pieces and counted."""

    def __init__(self, descriptor: int, piece: int) -> None:
        self._file = io.FileIO(descriptor, closefd=False)
        self._piece = piece
        self.read_bytes = 0
        self._told = 0

    def read(self) -> bytes:
        """Return the next bytes, empty at the end."""
        data = self._file.read(self._piece) or b""
        self.read_bytes += len(data)
        if self.read_bytes - self._told >= TELL_EVERY:
            self._told = self.read_bytes
            say(f"at {self.read_bytes}")
        return data


class Target:
    """The file being written, with holes and a limit."""

    def __init__(self, descriptor: int, limit: int, source: Source) -> None:
        self._descriptor = descriptor
        self._limit = limit
        self._source = source
        self.size = 0

    def write(self, data: bytes) -> None:
        """Write the next bytes. Raises Refused when they are too many."""
        if self.size + len(data) > self._limit:
            raise Refused("SIZE_LIMIT", "the file unpacks to more than its size limit")
        view = memoryview(data)
        at = 0
        while at < len(view):
            # Steps end where the file's do, so that equal zeros become equal holes.
            end = min(len(view), at + HOLE - (self.size + at) % HOLE)
            if view[at:end] != _ZEROS[: end - at]:
                self._store(view[at:end], self.size + at)
            at = end
        self.size += len(data)
        if self.size > FREE_OF_RATIO and self.size > RATIO * self._source.read_bytes:
            raise Refused("EXPANSION_LIMIT", "the file unpacks to more than 1000 times its size")

    def finish(self) -> None:
        """Make the file as long as its content."""
        os.ftruncate(self._descriptor, self.size)

    def _store(self, data: memoryview, at: int) -> None:
        while data:
            written = os.pwrite(self._descriptor, data, at)
            data, at = data[written:], at + written


def gzip_pieces(source: Source) -> Iterator[bytes]:
    """Yield the content of gzip members that follow each other; zero padding may end them."""
    data = source.read()
    while data:
        decoder = zlib.decompressobj(wbits=31)
        while not decoder.eof:
            if not data:
                data = source.read()
                if not data:
                    raise Refused("TRUNCATED", "the compressed file ends early")
            yield decoder.decompress(data, PIECE)
            data = decoder.unconsumed_tail
        data = _after(decoder.unused_data, source)


def stream_pieces(source: Source, kind: str) -> Iterator[bytes]:
    """Yield the content of bz2 or xz streams that follow each other."""
    data = source.read()
    while data:
        decoder = _decoder(kind)
        while not decoder.eof:
            if decoder.needs_input and not data:
                data = source.read()
                if not data:
                    raise Refused("TRUNCATED", "the compressed file ends early")
            yield decoder.decompress(data, PIECE)
            data = b""
        data = _after(decoder.unused_data, source)


def zstd_pieces(source: Source) -> Iterator[bytes]:
    """Yield the content of zstd frames that follow each other."""
    import zstandard

    data = source.read()
    while data:
        decoder = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj()
        while not decoder.eof:
            if not data:
                data = source.read()
                if not data:
                    raise Refused("TRUNCATED", "the compressed file ends early")
            try:
                yield decoder.decompress(data)
            except zstandard.ZstdError as error:
                if "memory" in str(error).lower():
                    text = "the compression needs too much memory"
                    raise Refused("EXPANSION_LIMIT", text) from None
                raise Refused("CORRUPT", "the compressed file is broken") from None
            data = b""
        data = _after(decoder.unused_data, source)


def _decoder(kind: str) -> Decoder:
    if kind == "bz2":
        return bz2.BZ2Decompressor()
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=XZ_MEMORY)


def _after(unused: bytes, source: Source) -> bytes:
    """Return the begin of what follows an ended stream, without zero padding."""
    while not unused.strip(b"\0"):
        unused = source.read()
        if not unused:
            return b""
    return unused.lstrip(b"\0")


def unpack(source: BinaryIO | int, target: int, kind: str, limit: int) -> int:
    """Unpack one layer; return the size. Raises Refused."""
    descriptor = source if isinstance(source, int) else source.fileno()
    reading = Source(descriptor, ZSTD_PIECE if kind == "zst" else PIECE)
    writing = Target(target, limit, reading)
    pieces = {"gz": gzip_pieces, "zst": zstd_pieces}.get(kind)
    try:
        for piece in pieces(reading) if pieces else stream_pieces(reading, kind):
            writing.write(piece)
    except (zlib.error, OSError, EOFError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise Refused("CORRUPT", "the compressed file is broken") from None
    except lzma.LZMAError as error:
        if "memory" in str(error).lower():
            raise Refused("EXPANSION_LIMIT", "the compression needs too much memory") from None
        raise Refused("CORRUPT", "the compressed file is broken") from None
    writing.finish()
    return writing.size


def say(line: str) -> None:
    """Write one line to the service."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> None:
    """Run and say how it went."""
    source, target, kind, limit = arguments
    try:
        say(f"ok {unpack(int(source), int(target), kind, int(limit))}")
    except Refused as refused:
        say(f"bad {refused.args[0]} {refused.args[1]}")
