# SPDX-License-Identifier: Apache-2.0
"""What every store promises, on every backend. A test names what it needs beyond the protocol."""

from __future__ import annotations

import os
import threading
import uuid
from datetime import timedelta
from itertools import zip_longest
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from calotype.errors import Conflict, Invalid, NotFound, RangeNotSatisfiable
from calotype.storage import BACKENDS, Credentials, Store, open_bucket, open_store
from calotype.storage.base import BLOCK
from calotype.storage.files import FileStore
from calotype.storage.s3 import PART, S3Store

from .conftest import Backend

SIZES = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, PART, PART + 1, 20_000_003]


def written(folder: Path, content: bytes) -> Path:
    """Return a new file with this content."""
    path = folder / uuid.uuid4().hex
    path.write_bytes(content)
    return path


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def read_all(store: Store, name: str) -> bytes:
    return b"".join(store.read(name))


@pytest.mark.parametrize("size", SIZES)
def test_what_was_put_is_read_back_and_stat_tells_its_size(
    store: Store, name: str, size: int, tmp_path: Path
) -> None:
    content = os.urandom(size)
    put = store.put(name, written(tmp_path, content))
    blocks = list(store.read(name))
    assert b"".join(blocks) == content
    assert all(0 < len(block) <= BLOCK for block in blocks)
    assert put == store.stat(name)
    assert (put.name, put.size) == (name, size)
    assert put.etag and put.modified.utcoffset() == timedelta(0)


CONTENT = os.urandom(3 * BLOCK + 17)


@pytest.fixture(scope="module")
def ranged(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, str]:
    name = uuid.uuid4().hex
    backend.store.put(name, written(tmp_path_factory.mktemp("source"), CONTENT))
    return backend.store, name


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    start=st.integers(0, len(CONTENT)),
    length=st.none() | st.integers(0, 2 * BLOCK) | st.integers(0, 5 * BLOCK),
)
@example(start=0, length=0)
@example(start=len(CONTENT), length=None)
@example(start=len(CONTENT), length=5)
@example(start=len(CONTENT) - 1, length=BLOCK)
@example(start=BLOCK, length=BLOCK)
def test_any_range_reads_the_same_bytes_as_a_slice(
    ranged: tuple[Store, str], start: int, length: int | None
) -> None:
    store, name = ranged
    end = None if length is None else start + length
    blocks = list(store.read(name, start, length))
    assert b"".join(blocks) == CONTENT[start:end]
    assert all(len(block) <= BLOCK for block in blocks)


def test_a_range_past_the_end_is_refused_with_the_size(ranged: tuple[Store, str]) -> None:
    store, name = ranged
    with pytest.raises(RangeNotSatisfiable) as refusal:
        store.read(name, len(CONTENT) + 1)
    assert refusal.value.facts["size"] == len(CONTENT)
    with pytest.raises(Invalid):
        store.read(name, -1)
    with pytest.raises(Invalid):
        store.read(name, 0, -1)


def test_a_missing_name_is_told_before_any_byte_is_promised(store: Store, name: str) -> None:
    for start, length in ((0, None), (0, 5), (3, None)):
        with pytest.raises(NotFound):
            store.read(name, start, length)
    assert store.stat(name) is None
    assert store.delete(name) is False


def test_a_name_is_never_overwritten(store: Store, name: str, tmp_path: Path) -> None:
    store.put(name, written(tmp_path, b"first"))
    for content in (b"second", b"x" * (PART + 1)):
        for move in (False, True):
            source = written(tmp_path, content)
            with pytest.raises(Conflict) as refusal:
                store.put(name, source, move=move)
            assert refusal.value.rule == "name_taken"
            assert source.read_bytes() == content, "a refused source stays its owner's"
    assert read_all(store, name) == b"first"


def test_of_concurrent_puts_to_one_name_one_wins(
    backend: Backend, name: str, tmp_path: Path
) -> None:
    backend.needs("conditions")
    contents = [os.urandom(100_000) for _ in range(6)]
    sources = [written(tmp_path, content) for content in contents]
    barrier = threading.Barrier(len(sources))
    outcomes: list[object] = []

    def put(source: Path) -> None:
        barrier.wait()
        try:
            outcomes.append(backend.store.put(name, source))
        except Conflict as refusal:
            outcomes.append(refusal.rule)

    threads = [threading.Thread(target=put, args=(source,)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 6
    assert outcomes.count("name_taken") == 5
    assert read_all(backend.store, name) in contents


@pytest.mark.parametrize("size", [0, 1000, PART + 1])
def test_a_moved_source_is_gone_and_a_copied_one_stays(
    store: Store, size: int, tmp_path: Path
) -> None:
    content = os.urandom(size)
    for move in (False, True):
        source = written(tmp_path, content)
        name = uuid.uuid4().hex
        store.put(name, source, move=move)
        assert source.exists() is not move
        assert read_all(store, name) == content


def test_a_source_that_is_missing_or_no_plain_file_stores_nothing(
    store: Store, name: str, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(written(tmp_path, b"elsewhere"))
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for source in (tmp_path / "missing", link, fifo, tmp_path, Path("/dev/zero")):
        with pytest.raises(NotFound) as refusal:
            store.put(name, source)
        assert refusal.value.rule == "source_missing"
    assert store.stat(name) is None


def test_a_deleted_name_is_gone_and_can_be_used_again(
    store: Store, name: str, tmp_path: Path
) -> None:
    store.put(name, written(tmp_path, b"one"))
    assert store.delete(name) is True
    assert store.stat(name) is None
    assert store.delete(name) is False
    store.put(name, written(tmp_path, b"two"))
    assert read_all(store, name) == b"two"


def test_a_list_holds_exactly_the_names_with_the_prefix(
    store: Store, name: str, tmp_path: Path
) -> None:
    names = [f"{name}/{rest}" for rest in ("a", "abc", "abd", "b", "ab/x", "ab/cd/e", "a.b")]
    names += [f"{name}-2", f"{name}x/ab"]
    for each in names:
        store.put(each, written(tmp_path, each.encode()))
    for prefix in ("", "/", "/a", "/ab", "/abc", "/ab/", "/ab/c", "/zz", "-", "x/a"):
        wanted = {each for each in names if each.startswith(name + prefix)}
        found = list(store.list(name + prefix))
        assert {stat.name for stat in found} == wanted, prefix
        assert len(found) == len(wanted)
        assert all(stat == store.stat(stat.name) for stat in found)
    assert set(names) <= {stat.name for stat in store.list()}


def test_a_name_may_go_on_where_another_ends(backend: Backend, name: str, tmp_path: Path) -> None:
    backend.needs("all_keys")
    names = [f"{name}{rest}" for rest in ("", "/a", "/a/b", "/a/b/a", "/ab", "/ab/ab/ab")]
    for each in names:
        backend.store.put(each, written(tmp_path, each.encode()))
    assert {stat.name for stat in backend.store.list(name)} == set(names)
    for each in names:
        assert read_all(backend.store, each) == each.encode()
        assert backend.store.delete(each)


BAD_NAMES = [
    "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b", "a b", "a\n", "a\0b",
    "é", "a%2Fb", "a\\b", "=ab", "a:b", "~", "x" * 256, "a/" * 200 + "a", "a\r\nb", "*",
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_NAMES)
def test_a_name_outside_our_grammar_is_refused_by_every_method(
    store: Store, bad: str, tmp_path: Path
) -> None:
    source = written(tmp_path, b"x")
    for call in (
        lambda: store.put(bad, source),
        lambda: store.read(bad),
        lambda: store.open(bad),
        lambda: store.stat(bad),
        lambda: store.delete(bad),
    ):
        with pytest.raises(Invalid) as refusal:
            call()
        assert refusal.value.rule == "store_name"


@pytest.mark.parametrize("bad", ["/", "../", "a/../b", "a//", "é", "%"])
def test_a_list_prefix_no_name_can_have_is_refused(store: Store, bad: str) -> None:
    with pytest.raises(Invalid):
        list(store.list(bad))


@pytest.mark.parametrize("good", ["a", "x" * 255, "..a", "a..", "-", "_", "a/b/c", "1.2.3/..x/-"])
def test_a_name_of_our_grammar_is_taken(
    backend: Backend, good: str, name: str, tmp_path: Path
) -> None:
    if len(good) > 200:
        backend.needs("all_keys")
    store = backend.store
    long = f"{name}/{good}"
    store.put(long, written(tmp_path, good.encode()))
    assert read_all(store, long) == good.encode()


def test_a_pinned_read_refuses_another_version(backend: Backend, name: str, tmp_path: Path) -> None:
    first = backend.store.put(name, written(tmp_path, b"first version"))
    assert b"".join(backend.store.read(name, etag=first.etag)) == b"first version"
    assert b"".join(backend.store.read(name, 6, 3, etag=first.etag)) == b"ver"
    backend.replace(name, b"other version")
    for start, length in ((0, None), (6, 3)):
        with pytest.raises(Conflict) as refusal:
            backend.store.read(name, start, length, etag=first.etag)
        assert refusal.value.rule == "source_changed"
    assert read_all(backend.store, name) == b"other version"


def test_a_read_can_be_left_before_its_end(store: Store, name: str, tmp_path: Path) -> None:
    content = os.urandom(3 * BLOCK)
    store.put(name, written(tmp_path, content))
    before = open_descriptors()
    for _ in range(20):
        stream = store.read(name)
        first = next(stream)
        assert content.startswith(first)
        stream.close()
        store.read(name)  # never started, dropped at once
    assert open_descriptors() < before + 20, "descriptors are given back"


def test_several_reads_of_one_object_do_not_disturb_each_other(
    store: Store, name: str, tmp_path: Path
) -> None:
    content = os.urandom(2 * BLOCK + 5)
    store.put(name, written(tmp_path, content))
    streams = [store.read(name) for _ in range(3)]
    got = [bytearray() for _ in streams]
    for blocks in zip_longest(*streams, fillvalue=b""):
        for part, block in zip(got, blocks, strict=True):
            part.extend(block)
    assert all(part == content for part in got)


def test_open_gives_a_read_only_descriptor_or_nothing(
    backend: Backend, name: str, tmp_path: Path
) -> None:
    backend.store.put(name, written(tmp_path, b"local bytes"))
    descriptor = backend.store.open(name)
    if "local" not in backend.abilities:
        assert descriptor is None
        return
    assert descriptor is not None
    try:
        assert os.pread(descriptor, 100, 0) == b"local bytes"
        assert os.get_inheritable(descriptor) is False
        with pytest.raises(OSError):
            os.write(descriptor, b"x")
        assert backend.store.delete(name)
        assert os.pread(descriptor, 100, 0) == b"local bytes", "a running read goes on"
    finally:
        os.close(descriptor)
    with pytest.raises(NotFound):
        backend.store.open(name)


def test_a_check_finds_the_store_writable_and_leaves_nothing(backend: Backend) -> None:
    before = {stat.name for stat in backend.store.list("calotype")}
    check = backend.store.check()
    assert check.writable, check
    assert check.problem is None
    assert check.honours_absent is ("conditions" in backend.abilities)
    assert check.honours_match is ("conditions" in backend.abilities)
    assert {stat.name for stat in backend.store.list("calotype")} == before
    if "local" in backend.abilities:
        assert check.free and check.free > 0
        assert check.reserve == 0


def test_a_sweep_of_a_clean_store_removes_nothing(store: Store, name: str, tmp_path: Path) -> None:
    store.put(name, written(tmp_path, b"kept"))
    assert store.sweep(timedelta(0)) == 0
    assert read_all(store, name) == b"kept"


def test_the_url_picks_the_backend(tmp_path: Path) -> None:
    credentials = Credentials("http://127.0.0.1:1", "region-1", "ak", "sk")
    assert isinstance(open_store(f"file://{tmp_path}/with%20space"), FileStore)
    assert (tmp_path / "with space" / "data").is_dir()
    assert isinstance(open_store("s3://some-bucket/a/prefix", credentials), S3Store)
    assert isinstance(open_bucket("s3://some-bucket", credentials), S3Store)
    assert set(BACKENDS) == {"file", "s3"}


BAD_URLS = [
    "", "/abs/path", "file:", "file://", "file://relative/path", "file://host/abs", "file:rel",
    "file:///a?b", "file:///a#b", "file:///a%00b", "http://x/y", "ftp://x", "s3://", "s3:///x",
    "s3://UPPER", "s3://ab", "s3://user:secret@bucket/x", "s3://bucket:9000/x", "s3://1.2.3.4/x",
    "s3://a..b/x", "s3://a.-b/x", "s3://bucket/a b", "s3://bucket/../x", "s3://bucket/x?y=z",
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_URLS)
def test_a_url_of_another_form_is_refused_without_repeating_it(bad: str) -> None:
    keys = Credentials(None, "region-1", "ak", "sk") if bad.startswith("s3") else None
    with pytest.raises(Invalid) as refusal:
        open_store(bad, keys)
    assert refusal.value.rule == "store_url"
    assert "secret" not in f"{refusal.value}{refusal.value.facts}"


def test_credentials_do_not_show_themselves() -> None:
    shown = repr(Credentials("https://inner.example", "region-1", "AKVALUE", "SKVALUE"))
    assert "region-1" in shown
    assert not any(word in shown for word in ("inner.example", "AKVALUE", "SKVALUE"))
