# SPDX-License-Identifier: Apache-2.0
"""Store in a directory of this machine (or of a shared file system with hard links).

Owns `<root>/data` and `<root>/tmp`. Content is complete and on the disk before its name exists:
it is written under `tmp`, synced, and linked to its name without overwriting; then the directory
is synced. Sparse files stay sparse. Files are mode 0400 and are opened without following links.

Layout: the segments of a name are directories, then `=` and the first two characters of the last
segment, then the last segment: `buckets/b/1f3c` is `data/buckets/b/=1f/1f3c`. No name may hold
`=`, so a file and a directory never meet, and a million random names share 256 directories.
"""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Generator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from calotype import clock, ids
from calotype.errors import CalotypeError, Invalid
from calotype.storage.base import (
    BLOCK,
    READ_FLAGS,
    Credentials,
    Stat,
    StoreCheck,
    disk_errors,
    missing,
    name_taken,
    own_name,
    own_prefix,
    reserve_of,
    source_changed,
    source_file,
    store_away,
    store_full,
    window,
)
from calotype.storage.placing import adopt, copy, seal

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def from_url(url: str, credentials: Credentials | None = None) -> FileStore:
    """Return the store at `file:///absolute/path`; the directory is made when it is missing."""
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    plain = parts.scheme == "file" and parts.netloc == "" and not (parts.query or parts.fragment)
    if not plain or not path.is_absolute() or "\0" in str(path) or credentials is not None:
        raise Invalid(
            "A file store is file:///absolute/path, without credentials.",
            rule="store_url",
            field="url",
        )
    return FileStore(path)


class FileStore:
    """A directory as a store. `reserve` bytes of the disk stay free (5 %, at most 10 GiB)."""

    def __init__(self, root: Path, *, reserve: int | None = None) -> None:
        self._data = root / "data"
        self._tmp = root / "tmp"
        self._reserve = reserve
        with disk_errors():
            for directory in (self._data, self._tmp):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(self, name: str, source: Path, *, move: bool = False) -> Stat:
        """Store a file; see `Store.put`. A move copies across file systems only."""
        target = self._path(own_name(name))
        with disk_errors(), source_file(source) as content:
            directory = self._directory(target.parent)
            try:
                if not (move and adopt(content, directory, target.name)):
                    self._copy_in(content, directory, target.name)
                os.fsync(directory)
                stored = os.stat(target.name, dir_fd=directory, follow_symlinks=False)
            except FileExistsError:
                raise name_taken() from None
            finally:
                os.close(directory)
            if move:
                source.unlink(missing_ok=True)
        return _stat(name, stored)

    def read(
        self, name: str, start: int = 0, length: int | None = None, *, etag: str | None = None
    ) -> Generator[bytes, None, None]:
        """Return blocks of a range; see `Store.read`."""
        stream = self._blocks(name, start, length, etag)
        next(stream)  # runs up to the first yield: whatever is wrong is raised here, not later
        return stream

    def open(self, name: str) -> int:
        """Return a read-only descriptor, the caller's to close. Raises NotFound."""
        path = self._path(own_name(name))
        with disk_errors():
            try:
                descriptor = os.open(path, READ_FLAGS)
            except FileNotFoundError:
                self._must_be_there()
                raise missing() from None
            if not modes.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise store_away("not_a_file")
            return descriptor

    def stat(self, name: str) -> Stat | None:
        """Return size and version, or None."""
        path = self._path(own_name(name))
        with disk_errors():
            try:
                return _stat(name, path.lstat())
            except FileNotFoundError:
                self._must_be_there()
                return None

    def delete(self, name: str) -> bool:
        """Remove a file; False when there was none."""
        path = self._path(own_name(name))
        with disk_errors():
            try:
                path.unlink()
            except FileNotFoundError:
                self._must_be_there()
                return False
            return True

    def list(self, prefix: str = "") -> Iterator[Stat]:
        """Yield what begins with `prefix`, directory by directory, each in order of names."""
        folder, slash, partial = own_prefix(prefix).rpartition("/")
        with disk_errors():
            self._must_be_there()
            yield from _walk(self._data / folder, folder + slash, partial)

    def check(self) -> StoreCheck:
        """Write, sync and link a probe; tell what is free."""
        name = f"calotype-check-{ids.new_hex()}"
        probe = self._tmp / name
        problem, free, reserve = None, None, None
        try:
            with disk_errors():
                free, reserve = self._room()
                probe.write_bytes(b"calotype")
                self.put(name, probe, move=False)
                self.delete(name)
        except CalotypeError as error:
            problem = f"{error.message} ({error.facts.get('cause', error.rule)})"
        with suppress(OSError):
            probe.unlink(missing_ok=True)
        return StoreCheck(
            kind="file",
            writable=problem is None,
            problem=problem,
            free=free,
            reserve=reserve,
            honours_absent=True,
            honours_match=True,
        )

    def sweep(self, older_than: timedelta) -> int:
        """Remove files of `tmp` that nobody wrote to for that long."""
        limit = (clock.now() - older_than).timestamp()
        removed = 0
        with disk_errors(), os.scandir(self._tmp) as entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                    if modes.S_ISREG(found.st_mode) and found.st_mtime < limit:
                        Path(entry.path).unlink()
                        removed += 1
                except FileNotFoundError:
                    continue  # its writer ended between the two calls
        return removed

    def _path(self, name: str) -> Path:
        folder, _, last = name.rpartition("/")
        return self._data / folder / f"={last[:2]}" / last

    def _must_be_there(self) -> None:
        """Tell "the store is away" (not mounted) from "the store does not have this"."""
        if not self._data.is_dir():
            raise store_away("ENOENT")

    def _directory(self, path: Path) -> int:
        """Open a directory, made durably with its parents when it is missing."""
        try:
            return os.open(path, _DIRECTORY)
        except FileNotFoundError:
            if path == self._data:
                raise  # never made anew: what lies there now is not our disk
            parent = self._directory(path.parent)
        try:
            try:
                os.mkdir(path.name, mode=0o700, dir_fd=parent)
            except FileExistsError:
                pass  # another put made it, and may not have synced it yet
            os.fsync(parent)
            return os.open(path.name, _DIRECTORY, dir_fd=parent)
        finally:
            os.close(parent)

    def _copy_in(self, content: int, directory: int, name: str) -> None:
        if _exists(directory, name):
            raise name_taken()  # found before gigabytes are copied; the link decides anyway
        free, reserve = self._room()
        if free - os.fstat(content).st_blocks * 512 < reserve:
            raise store_full()
        part = self._tmp / f"{ids.new_hex()}.part"
        target = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            copy(content, target)
            seal(target)
            os.link(part, name, dst_dir_fd=directory, follow_symlinks=False)
        finally:
            os.close(target)
            part.unlink(missing_ok=True)

    def _room(self) -> tuple[int, int]:
        """Return the free bytes and the bytes that must stay free."""
        found = os.statvfs(self._tmp)
        total = found.f_blocks * found.f_frsize
        reserve = reserve_of(total) if self._reserve is None else self._reserve
        return found.f_bavail * found.f_frsize, reserve

    def _blocks(
        self, name: str, start: int, length: int | None, etag: str | None
    ) -> Generator[bytes, None, None]:
        descriptor = self.open(name)
        try:
            found = os.fstat(descriptor)
            if etag is not None and etag != _stat(name, found).etag:
                raise source_changed()
            at, end = window(found.st_size, start, length)
            yield b""
            while at < end:
                with disk_errors():
                    block = os.pread(descriptor, min(BLOCK, end - at), at)
                if not block:
                    raise store_away("truncated")
                at += len(block)
                yield block
        finally:
            os.close(descriptor)


def _exists(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _stat(name: str, found: os.stat_result) -> Stat:
    etag = f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"
    return Stat(name, found.st_size, etag, datetime.fromtimestamp(found.st_mtime, UTC))


def _walk(folder: Path, names: str, partial: str) -> Iterator[Stat]:
    """Yield the files below `folder` whose names go on with `partial`."""
    try:
        entries = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return
    for entry in entries:
        if not entry.startswith("="):
            if entry.startswith(partial):
                yield from _walk(folder / entry, f"{names}{entry}/", "")
        elif entry[1:].startswith(partial[:2]):
            for last in sorted(path.name for path in (folder / entry).iterdir()):
                if last.startswith(partial):
                    try:
                        yield _stat(names + last, (folder / entry / last).lstat())
                    except FileNotFoundError:
                        continue  # deleted since the directory was read
