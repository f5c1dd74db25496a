# SPDX-License-Identifier: Apache-2.0
"""What only a store of files can promise: holes, durability against kills, a full disk."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from calotype.errors import Conflict, Unavailable
from calotype.storage.base import BLOCK
from calotype.storage.files import FileStore

MIB = 1 << 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def files(root: Path) -> FileStore:
    return FileStore(root, reserve=0)


def everything(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def sparse(path: Path) -> bytes:
    """Write 64 MiB with three islands of data; return what it reads as."""
    with path.open("wb") as out:
        out.truncate(64 * MIB)
        for at in (0, 17 * MIB + 4096, 64 * MIB - 4096):
            out.seek(at)
            out.write(os.urandom(4096))
    return path.read_bytes()


@pytest.mark.parametrize("move", [False, True])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_holes_stay_holes_whether_moved_or_copied_within_or_across_disks(
    files: FileStore, root: Path, tmp_path: Path, move: bool, elsewhere: bool
) -> None:
    folder = tmp_path
    if elsewhere:
        folder = Path("/dev/shm")
        if not folder.is_dir() or folder.stat().st_dev == root.stat().st_dev:
            pytest.skip("no second file system here")
    source = folder / f"calotype-{uuid.uuid4().hex}"
    try:
        content = sparse(source)
        files.put("sparse", source, move=move)
        assert source.exists() is not move
    finally:
        source.unlink(missing_ok=True)
    assert b"".join(files.read("sparse")) == content
    (stored,) = everything(root)
    assert stored.stat().st_blocks * 512 < 2 * MIB


def test_a_file_that_is_one_hole_is_copied_as_one(files: FileStore, tmp_path: Path) -> None:
    source = tmp_path / "hole"
    with source.open("wb") as out:
        out.truncate(5 * MIB + 1)
    files.put("hole", source)
    assert b"".join(files.read("hole")) == bytes(5 * MIB + 1)


def test_a_move_within_the_disk_copies_nothing(
    files: FileStore, root: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(MIB))
    inode = source.stat().st_ino
    files.put("moved", source, move=True)
    (stored,) = everything(root)
    assert stored.stat().st_ino == inode
    assert stored.stat().st_nlink == 1


def test_a_source_with_a_second_name_is_copied_so_that_nobody_can_change_it_later(
    files: FileStore, tmp_path: Path
) -> None:
    source, second = tmp_path / "source", tmp_path / "second"
    source.write_bytes(b"as it was")
    os.link(source, second)
    files.put("guarded", source, move=True)
    second.write_bytes(b"changed!!")
    assert not source.exists()
    assert b"".join(files.read("guarded")) == b"as it was"


def test_stored_files_are_read_only_in_a_fan_of_directories_only_we_can_enter(
    files: FileStore, root: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    for name in ("1f3cdead", "buckets/b/2abc", "z"):
        files.put(name, source)
    paths = {str(path.relative_to(root)) for path in everything(root)}
    assert paths == {"data/=1f/1f3cdead", "data/buckets/b/=2a/2abc", "data/=z/z"}
    for path in root.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o400 if path.is_file() else 0o700), path


def test_a_refused_put_leaves_no_part_behind(files: FileStore, root: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3 * MIB))
    files.put("taken", source)
    with pytest.raises(Conflict):
        files.put("taken", source)
    assert len(everything(root)) == 1


def test_less_room_than_the_reserve_refuses_a_copy_and_takes_a_move(
    root: Path, tmp_path: Path
) -> None:
    files = FileStore(root, reserve=1 << 60)
    source = tmp_path / "source"
    source.write_bytes(os.urandom(MIB))
    with pytest.raises(Unavailable) as refusal:
        files.put("name", source)
    assert refusal.value.rule == "store_full"
    assert everything(root) == []
    check = files.check()
    assert not check.writable
    assert check.reserve == 1 << 60
    assert check.problem and "no room" in check.problem
    assert everything(root) == []
    files.put("name", source, move=True)  # its bytes are on this disk already
    assert len(everything(root)) == 1


def test_a_file_larger_than_the_system_allows_leaves_nothing(
    files: FileStore, root: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(4 * MIB))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
    try:
        with pytest.raises(Unavailable) as refusal:
            files.put("big", source)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refusal.value.rule == "store_full"
    assert everything(root) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB; needs the right to mount one."""
    where = tmp_path / "small"
    where.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(where)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("may not mount a small file system here")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def test_a_full_disk_is_told_as_full_and_the_store_stays_whole(
    small_disk: Path, tmp_path: Path
) -> None:
    files = FileStore(small_disk / "store", reserve=0)
    small, source = tmp_path / "small-source", tmp_path / "source"
    small.write_bytes(b"fits")
    source.write_bytes(os.urandom(3 * MIB))
    files.put("fits", small)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(2 * MIB))
    # With a negative reserve nothing is refused beforehand: only the write itself can find out.
    for reserve in (0, -(1 << 40)):
        with pytest.raises(Unavailable) as refusal:
            FileStore(small_disk / "store", reserve=reserve).put("name", source)
        assert refusal.value.rule == "store_full"
    assert [found.name for found in files.list()] == ["fits"]
    assert everything(small_disk / "store" / "tmp") == []
    filler.unlink()
    files.put("name", source)
    assert {found.name for found in files.list()} == {"fits", "name"}


PUTTER = """
import sys
from pathlib import Path
from calotype.storage.files import FileStore
files = FileStore(Path(sys.argv[1]), reserve=0)
print("ready", flush=True)
for number in range(10_000):
    files.put(f"{number:08x}", Path(sys.argv[2]))
"""


@pytest.mark.heavy
def test_a_put_killed_at_any_moment_leaves_all_of_the_bytes_or_no_name(
    root: Path, tmp_path: Path
) -> None:
    content = os.urandom(3 * MIB)
    source = tmp_path / "source"
    source.write_bytes(content)
    leftovers = names = 0
    for run in range(8):
        place = root / str(run)
        putter = subprocess.Popen(
            [sys.executable, "-c", PUTTER, place, source], stdout=subprocess.PIPE
        )
        assert putter.stdout and putter.stdout.readline() == b"ready\n"
        tmp = place / "tmp"
        deadline = time.monotonic() + 20
        while not (run < 2 or any(tmp.iterdir())):  # in most runs kill it while it copies
            assert time.monotonic() < deadline
        putter.send_signal(signal.SIGKILL)
        putter.wait()
        putter.stdout.close()
        files = FileStore(place, reserve=0)
        for found in files.list():
            names += 1
            assert b"".join(files.read(found.name)) == content
        parts = len(list(tmp.iterdir()))
        leftovers += parts
        assert files.sweep(timedelta(hours=1)) == 0, "a young part may still have its writer"
        for part in tmp.iterdir():
            os.utime(part, (time.time() - 7200,) * 2)
        assert files.sweep(timedelta(hours=1)) == parts
        assert list(tmp.iterdir()) == []
    assert leftovers > 0, "no run was killed while it copied"


def test_a_link_or_directory_in_the_place_of_content_is_never_followed(
    files: FileStore, root: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not yours")
    folder = root / "data" / "=na"
    folder.mkdir(parents=True)
    (folder / "name").symlink_to(secret)
    (folder / "nada").mkdir()
    for name in ("name", "nada"):
        with pytest.raises(Unavailable):
            files.open(name)
        with pytest.raises(Unavailable):
            files.read(name)
        with pytest.raises(Conflict):
            files.put(name, secret)
    assert secret.read_bytes() == b"not yours"


def test_content_cut_behind_our_back_ends_the_read_with_an_error(
    files: FileStore, root: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3 * BLOCK))
    files.put("name", source)
    (stored,) = everything(root)
    stream = files.read("name")
    next(stream)
    stored.chmod(0o600)
    os.truncate(stored, BLOCK + 5)
    with pytest.raises(Unavailable):
        list(stream)


def test_a_directory_that_went_away_is_told_as_away(
    files: FileStore, root: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    root.rename(tmp_path / "unmounted")
    with pytest.raises(Unavailable) as refusal:
        files.put("name", source)
    assert refusal.value.rule == "store_away"
    assert str(root) not in f"{refusal.value}{refusal.value.facts}"
    assert source.exists()
    check = files.check()
    assert not check.writable
    assert check.problem
    assert not root.exists(), "an unmounted place is not filled"
    for call in (files.read, files.stat, files.delete, files.open, lambda _: list(files.list())):
        with pytest.raises(Unavailable):
            call("name")
