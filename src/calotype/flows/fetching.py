# SPDX-License-Identifier: Apache-2.0
"""Brings the pinned version of an object into scratch, plain: the step *fetch* of an import.

An object that is a local file is not copied but linked: it is immutable, and the link keeps it
readable when the object is removed. Anything else is streamed by ranges and goes on where it broke
off. The caller's checksum is that of the object as stored, so it is taken before unpacking.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from pathlib import Path

from calotype.blobs.digest import digest_file
from calotype.buckets.objects import OpenBucket
from calotype.buckets.room import BucketRoom
from calotype.errors import BadImage, Conflict, NotFound, Reason, Unavailable
from calotype.flows.sources import Source
from calotype.flows.unpack import unpack
from calotype.flows.workspace import Workspace, link_to
from calotype.jobs.states import JobFailed, JobReason

SOURCE_NAME = "source"
_PACKED_NAME = "packed"
_HOLE = 64 << 10
_ZEROS = bytes(_HOLE)
_ROOM_EVERY = 64 << 20
_TRIES_WITHOUT_PROGRESS = 3


def fetch(buckets: BucketRoom, source: Source, byte_limit: int, space: Workspace) -> Path:
    """Return the plain file in scratch. Raises JobFailed, BadImage, Cancelled, Unavailable."""
    bucket = _open(buckets, source, space)
    if source.compression is None:
        return _bring(bucket, source, space, SOURCE_NAME)
    packed = _bring(bucket, source, space, _PACKED_NAME)
    target = space.path(SOURCE_NAME)
    space.check_room(0)
    descriptor = os.open(packed, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    kind = source.compression

    def work(stop: Callable[[], bool]) -> int:
        progress = space.attempt.progress
        return unpack(descriptor, target, kind, byte_limit, progress=progress, cancel=stop)

    try:
        space.guarded(work)
    finally:
        os.close(descriptor)
        packed.unlink()
    return target


def _open(buckets: BucketRoom, source: Source, space: Workspace) -> OpenBucket:
    """Open the bucket in the account that submitted, and find the pinned version."""
    try:
        bucket = buckets.open(space.attempt.job.account_id, source.bucket)
    except NotFound:
        text = "the bucket cannot be used any more"
        raise JobFailed(JobReason.SOURCE_FORBIDDEN, text) from None
    fact = bucket.stat(source.key)
    if fact is None:
        raise _gone()
    if fact.etag != source.etag or fact.size != source.size:
        raise _changed()
    return bucket


def _bring(bucket: OpenBucket, source: Source, space: Workspace, name: str) -> Path:
    """Link or stream the object as stored, and compare its checksum."""
    target = space.path(name)
    try:
        descriptor = bucket.open(source.key, source.etag)
        if descriptor is not None:
            try:
                if link_to(descriptor, target):
                    _compare_file(source, descriptor, space)
                    return target
            finally:
                os.close(descriptor)
        _stream(bucket, source, target, space)
    except NotFound:
        raise _gone() from None
    except Conflict:
        raise _changed() from None
    return target


def _stream(bucket: OpenBucket, source: Source, target: Path, space: Workspace) -> None:
    kind, _, expected = (source.checksum or "").partition(":")
    hasher = hashlib.new(kind) if kind else None
    space.check_room(source.size)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(target, flags, 0o600)
    try:
        at = idle = 0
        while at < source.size:
            begin = at
            try:
                for block in bucket.read(source.key, at, source.size - at, etag=source.etag):
                    space.attempt.check()
                    _write(descriptor, block, at, space)
                    if hasher is not None:
                        hasher.update(block)
                    at += len(block)
                    space.attempt.progress(at / source.size)
            except Unavailable as error:
                idle = idle + 1 if at == begin else 0
                if error.rule != "store_away" or idle >= _TRIES_WITHOUT_PROGRESS:
                    raise
                space.attempt.wait(1.0)
        os.ftruncate(descriptor, source.size)
    finally:
        os.close(descriptor)
    if hasher is not None and not hmac.compare_digest(hasher.hexdigest(), expected):
        raise _mismatch()


def _write(descriptor: int, block: bytes, at: int, space: Workspace) -> None:
    """Write a block and leave out steps of zeros that the file's own steps would be."""
    if at // _ROOM_EVERY != (at + len(block)) // _ROOM_EVERY:
        space.check_room(0)
    view = memoryview(block)
    done = 0
    while done < len(view):
        end = min(len(view), done + _HOLE - (at + done) % _HOLE)
        piece = view[done:end]
        if piece != _ZEROS[: len(piece)]:
            while piece:
                written = os.pwrite(descriptor, piece, at + done)
                done, piece = done + written, piece[written:]
        done = end


def _compare_file(source: Source, descriptor: int, space: Workspace) -> None:
    if source.checksum is None:
        return
    kind, _, expected = source.checksum.partition(":")
    attempt = space.attempt
    digest = digest_file(
        descriptor,
        sha256=kind == "sha256",
        progress=lambda done, total: attempt.progress(done / max(1, total)),
        cancel=attempt.stopping,
    )
    found = digest.sha256 if kind == "sha256" else digest.sha512
    if found is None or not hmac.compare_digest(found, expected):
        raise _mismatch()


def _mismatch() -> BadImage:
    return BadImage(
        Reason.CHECKSUM_MISMATCH, "the object does not have the checksum that was given"
    )


def _gone() -> JobFailed:
    return JobFailed(JobReason.SOURCE_GONE, "the object was removed before it was read")


def _changed() -> JobFailed:
    return JobFailed(JobReason.SOURCE_CHANGED, "the object was replaced after it was accepted")
