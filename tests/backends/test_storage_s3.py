# SPDX-License-Identifier: Apache-2.0
"""What only a store in a bucket meets: users' keys, broken connections, services that lie."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from calotype.errors import CalotypeError, Conflict, Invalid, NotFound, Unavailable, Unsupported
from calotype.storage import Credentials
from calotype.storage.base import BLOCK
from calotype.storage.s3 import PART, S3Store

from .conftest import BUCKET, KEYS, Answers, Relay, S3Server, free_port

OBJECT = {"ETag": '"v1"', "Last-Modified": "Tue, 24 Nov 2026 17:58:29 GMT"}


def secrets_of(endpoint: str) -> tuple[str, ...]:
    return (endpoint, endpoint.rpartition(":")[2], BUCKET, *KEYS.values())


def assert_silent(error: CalotypeError, endpoint: str) -> None:
    """The error and everything it drags along name no place and no credential."""
    told = f"{error!r}{error.facts}"
    assert error.__cause__ is None
    assert error.__suppress_context__ is True
    for word in secrets_of(endpoint):
        assert word not in told


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"content")
    return path


@pytest.fixture
def prefix() -> str:
    return f"s3-{uuid.uuid4().hex}"


USER_KEYS = [
    "a b", "a+b", "é漢字/系统.qcow2", "a#b?c=d", "~x", "a'b\"c", "<x>", "a\\b", "*", "[z]", "a&b",
    "a=b;c", "|", "^`{}", ".hidden", "..a", "x" * 200, "disk.qcow2", "\u00a0", "😀", "-rf", "a%2Fb",
    "%2e%2e/x", "100%", "a:b", "x" * 1024, "ü" * 512,
]  # fmt: skip
NEED_ALL_KEYS = {key for key in USER_KEYS if "%" in key or ":" in key or len(key) > 255}


@pytest.mark.parametrize("key", USER_KEYS, ids=lambda key: ascii(key)[:20])
def test_a_users_key_reaches_the_service_as_it_is(s3: S3Server, key: str, source: Path) -> None:
    if key in NEED_ALL_KEYS and "all_keys" not in s3.abilities:
        pytest.skip(f"{s3.name} lacks: all_keys")
    bucket = s3.store(user_keys=True)
    if bucket.stat(key) is not None:
        bucket.delete(key)
    put = bucket.put(key, source)
    assert key in s3.keys()
    assert put.name == key
    assert s3.client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"content"
    assert b"".join(bucket.read(key)) == b"content"
    assert b"".join(bucket.read(key, 3, 2)) == b"te"
    assert bucket.stat(key) == put
    assert put in list(bucket.list(key))
    assert bucket.delete(key)
    assert key not in s3.keys()


@pytest.mark.parametrize(
    "key",
    ["", "/", "/a", "a/", "a//b", ".", "a/./b", "..", "../a", "a/../b", "a\nb", "a\0", "\x7f",
     "\x85", "\ud800", "x" * 1025, "ü" * 513],
    ids=lambda key: ascii(key)[:20],
)  # fmt: skip
def test_a_users_key_that_would_be_rewritten_on_its_way_is_refused(key: str) -> None:
    away = Credentials("http://127.0.0.1:1", "us-east-1", "ak", "sk")
    bucket = S3Store("some-bucket", away, user_keys=True)
    for call in (bucket.read, bucket.stat, bucket.delete, bucket.open):
        with pytest.raises(Invalid) as refusal:
            call(key)
        assert refusal.value.rule == "object_key"


def test_a_bucket_with_a_key_the_library_cannot_say_is_told_so(moto: S3Server) -> None:
    moto.client.create_bucket(Bucket="odd-keys")
    moto.client.put_object(Bucket="odd-keys", Key="a/../b", Body=b"x")
    bucket = S3Store("odd-keys", moto.credentials, user_keys=True)
    with pytest.raises(Unsupported) as refusal:
        list(bucket.list())
    assert refusal.value.rule == "object_key"


def test_our_names_live_below_the_prefix_and_nothing_else_is_seen(
    s3: S3Server, prefix: str, source: Path
) -> None:
    store, other = s3.store(prefix=prefix), s3.store(prefix=f"{prefix}x")
    store.put("name", source)
    other.put("name", source)
    assert s3.keys(f"{prefix}/") == {f"{prefix}/name"}
    assert [found.name for found in store.list()] == ["name"]


@pytest.mark.parametrize("size", [PART - 1, PART, PART + 1, 5 * PART, 5 * PART + 1])
def test_a_put_around_the_part_size_is_whole(
    s3: S3Server, prefix: str, size: int, tmp_path: Path
) -> None:
    content = os.urandom(size)
    path = tmp_path / "big"
    path.write_bytes(content)
    store = s3.store(prefix=prefix)
    assert store.put("big", path).size == size
    assert b"".join(store.read("big")) == content


def test_a_source_that_shrinks_during_a_put_leaves_no_object_and_no_parts(
    s3: S3Server, prefix: str, tmp_path: Path
) -> None:
    path = tmp_path / "shrinking"
    path.write_bytes(os.urandom(12 * PART))

    def shrink(piece: bytes) -> None:
        if b"partNumber=" in piece:
            os.truncate(path, 6 * PART + 5)

    relay = Relay(s3.endpoint, upward=shrink)
    try:
        store = s3.store(
            prefix=prefix, credentials=Credentials(relay.endpoint, "us-east-1", **KEYS)
        )
        with pytest.raises(Conflict) as refusal:
            store.put("name", path)
    finally:
        relay.close()
    assert refusal.value.rule == "source_changed"
    assert s3.keys(prefix) == set()
    assert not s3.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads")


def test_a_connection_that_breaks_during_a_read_is_taken_up_where_it_broke(
    s3: S3Server, prefix: str, tmp_path: Path
) -> None:
    content = os.urandom(6 * BLOCK)
    path = tmp_path / "source"
    path.write_bytes(content)
    s3.store(prefix=prefix).put("name", path)
    relay = Relay(s3.endpoint)
    try:
        store = s3.store(
            prefix=prefix,
            credentials=Credentials(relay.endpoint, "us-east-1", **KEYS),
            patience=timedelta(seconds=20),
        )
        relay.cuts = [2 * BLOCK, BLOCK]
        assert b"".join(store.read("name")) == content
        assert relay.connections >= 3
        relay.cuts = [2 * BLOCK, BLOCK]
        assert b"".join(store.read("name", 17, 5 * BLOCK)) == content[17 : 17 + 5 * BLOCK]
    finally:
        relay.close()


def test_an_object_replaced_during_a_read_ends_it_with_source_changed(
    s3: S3Server, prefix: str, tmp_path: Path
) -> None:
    path = tmp_path / "source"
    path.write_bytes(os.urandom(24 * BLOCK))
    store = s3.store(prefix=prefix)
    etag = store.put("name", path).etag
    stream = store.read("name", etag=etag)
    next(stream)
    s3.client.put_object(Bucket=BUCKET, Key=f"{prefix}/name", Body=os.urandom(24 * BLOCK))
    with pytest.raises(Conflict) as refusal:
        for _ in stream:
            pass
    assert refusal.value.rule == "source_changed"


def test_a_service_that_is_away_is_told_so_within_the_patience(source: Path) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    for user_keys in (False, True):
        store = S3Store(
            BUCKET,
            Credentials(endpoint, "us-east-1", **KEYS),
            user_keys=user_keys,
            patience=timedelta(milliseconds=300),
        )
        calls: list[Callable[[], object]] = [
            partial(store.put, "name", source),
            partial(store.read, "name"),
            partial(store.read, "name", 1, 2),
            partial(store.stat, "name"),
            partial(store.delete, "name"),
            lambda: list(store.list()),  # noqa: B023 - called before the next round
        ]
        for call in calls:
            began = time.monotonic()
            with pytest.raises(Unavailable) as refusal:
                call()
            assert time.monotonic() - began < 5
            assert refusal.value.rule == "store_away"
            assert_silent(refusal.value, endpoint)
        check = store.check()
        assert not check.writable
        assert check.problem
        assert not any(word in check.problem for word in secrets_of(endpoint))


def test_a_wrong_credential_is_away_for_our_store_and_hides_a_users_object(
    nanio: S3Server, prefix: str, source: Path
) -> None:
    nanio.store().put(prefix, source)
    wrong = Credentials(nanio.endpoint, "us-east-1", KEYS["access_key"], "another-secret")
    own = nanio.store(credentials=wrong)
    for call in (own.read, own.stat, own.delete):
        with pytest.raises(Unavailable) as refusal:
            call(prefix)
        assert refusal.value.facts["cause"] == "refused"
        assert_silent(refusal.value, nanio.endpoint)
    bucket = nanio.store(credentials=wrong, user_keys=True)
    for name in (prefix, "missing"):
        assert bucket.stat(name) is None
        with pytest.raises(NotFound) as hidden:
            bucket.read(name)
        assert_silent(hidden.value, nanio.endpoint)
    with pytest.raises(Unavailable):
        bucket.put("name", source)
    assert bucket.check().problem == "The store cannot be used now. (refused)"


def test_a_bucket_that_does_not_exist_is_away_for_our_store(s3: S3Server, source: Path) -> None:
    store = S3Store("no-such-bucket", s3.credentials, patience=timedelta(seconds=1))
    with pytest.raises(Unavailable) as refusal:
        store.put("name", source)
    assert refusal.value.facts["cause"] == "bucket_missing"
    with pytest.raises(Unavailable):
        store.read("name")
    assert not store.check().writable
    bucket = S3Store("no-such-bucket", s3.credentials, user_keys=True)
    with pytest.raises(NotFound):
        bucket.read("name")


@pytest.mark.parametrize("size", [5, PART + 1])
def test_a_service_without_room_is_told_as_full(size: int, tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(bytes(size))
    text = b"<Error><Code>XMinioStorageFull</Code><Message>full</Message></Error>"
    with Answers(400, text, head=404) as full:
        store = S3Store(
            BUCKET, Credentials(full.endpoint, "us-east-1", **KEYS), patience=timedelta(seconds=1)
        )
        with pytest.raises(Unavailable) as refusal:
            store.put("name", path, move=True)
    assert refusal.value.rule == "store_full"
    assert_silent(refusal.value, full.endpoint)
    assert path.exists()


def test_a_service_that_answers_a_range_with_the_whole_object_is_refused() -> None:
    with Answers(200, b"0123456789", OBJECT) as server:
        store = S3Store(
            BUCKET, Credentials(server.endpoint, "us-east-1", **KEYS), patience=timedelta(seconds=1)
        )
        assert b"".join(store.read("name")) == b"0123456789"
        with pytest.raises(Unavailable) as refusal:
            store.read("name", 2, 3)
        assert refusal.value.rule == "store_away"
        with pytest.raises(Conflict):
            store.read("name", etag='"v0"')


def test_the_environment_can_neither_redirect_nor_unsign_a_request(
    nanio: S3Server, prefix: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Answers(200, b"stolen", OBJECT) as thief:
        for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"):
            monkeypatch.setenv(variable, thief.endpoint)
        for variable in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(variable, thief.endpoint)
        for variable in ("AWS_SKIP_SIGNATURE", "AWS_REQUESTER_PAYS", "AWS_S3_EXPRESS"):
            monkeypatch.setenv(variable, "true")
        monkeypatch.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "other")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "other")
        monkeypatch.setenv("AWS_REGION", "other-region")
        monkeypatch.setenv("AWS_BUCKET", "other-bucket")
        store = nanio.store(prefix=prefix)
        store.put("name", source)
        assert b"".join(store.read("name")) == b"content"
        assert thief.seen == []


@pytest.mark.parametrize(
    "endpoint",
    ["http://store.example", "http://10.0.0.1:9000", "ftp://x", "https://u:p@x", "https://x/path",
     "https://x?y", "", "127.0.0.1:9000", "http://127.0.0.1.example", "http://localhost.example"],
)  # fmt: skip
def test_an_endpoint_must_be_https_unless_it_is_this_machine(endpoint: str) -> None:
    with pytest.raises(Invalid) as refusal:
        S3Store(BUCKET, Credentials(endpoint, "us-east-1", **KEYS))
    assert refusal.value.rule == "store_endpoint"
    assert not endpoint or endpoint not in str(refusal.value)


@pytest.mark.parametrize(
    "endpoint", [None, "https://store.example", "http://localhost:1/", "http://[::1]:9"]
)
def test_a_good_endpoint_is_taken_without_a_request(endpoint: str | None) -> None:
    S3Store(BUCKET, Credentials(endpoint, "us-east-1", **KEYS))


def test_reads_in_parallel_threads_do_not_mix(s3: S3Server, prefix: str, tmp_path: Path) -> None:
    store = s3.store(prefix=prefix)
    contents = {f"n{number}": os.urandom(2 * BLOCK + number) for number in range(6)}
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        store.put(name, path, move=True)
    got: dict[str, bytes] = {}
    threads = [
        threading.Thread(target=lambda name=name: got.update({name: b"".join(store.read(name))}))
        for name in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == contents


MEASURE = """
import os, sys
from pathlib import Path
from calotype.storage import Credentials
from calotype.storage.s3 import S3Store
def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
store = S3Store(sys.argv[1], Credentials(sys.argv[2], "us-east-1", sys.argv[3], sys.argv[4]))
assert store.stat("warm") is None
before = peak()
store.put(sys.argv[5], Path(sys.argv[6]))
put = peak() - before
size = sum(len(block) for block in store.read(sys.argv[5]))
print(put, peak() - before, size)
"""


@pytest.mark.heavy
def test_a_put_and_a_read_of_300_megabytes_stay_below_100_mib(
    nanio: S3Server, prefix: str, tmp_path: Path
) -> None:
    path = tmp_path / "big"
    with path.open("wb") as out:
        for _ in range(300):
            out.write(os.urandom(1_000_000))
    arguments = [BUCKET, nanio.endpoint, *KEYS.values(), prefix, str(path)]
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=True
    )
    put, both, size = run.stdout.split()
    assert int(size) == 300_000_000
    assert float(put) < 100
    assert float(both) < 100
    nanio.client.delete_object(Bucket=BUCKET, Key=prefix)
