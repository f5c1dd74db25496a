# SPDX-License-Identifier: Apache-2.0
"""The looks of `calotype check` at places: data directory, disks, database, stores, secrets.

What the first start makes is no fault while it is missing; what it made and is gone is one.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from calotype import app
from calotype.blobs.stores import credentials_of
from calotype.cli import output
from calotype.cli.finding import Finding, missing, ok, warn
from calotype.db import migrate
from calotype.errors import CalotypeError
from calotype.iam import accounts, credentials_file
from calotype.keys.provider import KeyProvider
from calotype.settings import Settings
from calotype.storage import Store, StoreCheck, open_store

_LATER = "not there yet; the first start makes it"
_AT_USE = "not there yet; made when it is first used"


def findings(settings: Settings) -> Iterator[Finding]:
    """Give the findings about places, in the order of the table."""
    yield _directory("data directory", settings.data_dir)
    yield _room("scratch space", settings.scratch, settings.scratch_reserve)
    yield from _scratch_and_stores(settings)
    database, started = _database(settings)
    yield database
    if settings.database_url.get_secret_value():
        yield from _shared(settings)
    for one in settings.store_settings():
        yield _store(f"store {one.id}", one.url, settings, writes=not one.read_only)
    yield _store("buckets", settings.buckets_place(), settings, writes=True)
    yield _key_file(settings.master_key_file, started=started)
    yield _credentials(settings, started=started)


def _directory(what: str, path: Path, later: str = _LATER) -> Finding:
    existing = _existing(path)
    if not os.access(existing, os.W_OK | os.X_OK):
        return missing(what, f"{existing} cannot be written", "give it to the user of the service")
    if existing != path.absolute():
        return ok(what, f"{path}: {later}")
    others = stat.S_IMODE(path.stat().st_mode) & 0o077
    if others:
        return warn(what, f"{path} is open to other users", f"chmod 700 {path}")
    return ok(what, str(path))


def _room(what: str, path: Path, reserve: int) -> Finding:
    free = shutil.disk_usage(_existing(path)).free
    found = f"{output.readable_size(free)} free, {output.readable_size(reserve)} stay free"
    if free <= reserve:
        advice = "make room, or name another SCRATCH_DIR or a smaller SCRATCH_RESERVE"
        return missing(what, found, advice)
    return ok(what, found)


def _scratch_and_stores(settings: Settings) -> Iterator[Finding]:
    """A file store takes finished work over by a link, which needs one file system."""
    apart = [
        one.id
        for one in settings.store_settings()
        if (root := _local(one.url)) is not None and _device(root) != _device(settings.scratch)
    ]
    if apart:
        yield warn(
            "scratch and stores",
            f"on another file system than {', '.join(apart)}: each image is copied once more",
            "put SCRATCH_DIR on the file system of the store",
        )


def _database(settings: Settings) -> tuple[Finding, bool]:
    """Return the finding, and whether the first account is there."""
    what = "database"
    embedded = not settings.database_url.get_secret_value()
    kind = "SQLite" if embedded else "PostgreSQL"
    if embedded and not (settings.data_dir / "calotype.sqlite").exists():
        return ok(what, f"{kind}: {_LATER}"), False
    database = app.open_database(settings)
    try:
        revision = database.read(migrate.current)
        found = f"{kind}, schema {revision or 'empty'}"
        if revision == migrate.HEAD:
            return ok(what, found), database.read(accounts.first) is not None
        if embedded:
            return ok(what, f"{found}; the next start brings it to {migrate.HEAD}"), True
        return missing(what, found, "calotype migrate"), False
    except CalotypeError as error:
        # The driver says which of them is wrong; its text holds no password.
        cause = getattr(error.__cause__, "orig", None) or error.message
        advice = "look at the server, and at address, user and password in DATABASE_URL"
        return missing(what, f"{kind}: {str(cause).splitlines()[0]}", advice), False
    finally:
        database.close()


def _shared(settings: Settings) -> Iterator[Finding]:
    """Several hosts work on one database, so none may keep bytes to itself."""
    places = [(f"store {one.id}", one.url) for one in settings.store_settings()]
    places.append(("buckets", settings.buckets_place()))
    local = [what for what, url in places if _local(url) is not None]
    if local:
        advice = "name s3:// in BLOB_URL and BUCKETS_URL, or a directory that all hosts share"
        yield warn("several hosts", f"directories of this host: {', '.join(local)}", advice)


def _store(what: str, url: str, settings: Settings, *, writes: bool) -> Finding:
    root = _local(url)
    if root is not None and not root.exists():
        return _directory(what, root, _AT_USE)
    try:
        store = open_store(url, credentials_of(settings) if root is None else None)
        if not writes:
            return _readable(what, store)
        return _probed(what, store.check())
    except CalotypeError as error:
        advice = "pip install 'calotype[s3]'" if error.rule == "extra_missing" else "mend its URL"
        return missing(what, error.message, advice)


def _probed(what: str, check: StoreCheck) -> Finding:
    if check.problem is not None:
        advice = "make room or mend its rights" if check.kind == "file" else "look at the S3 server"
        return missing(what, f"{check.kind}: {check.problem}", advice)
    parts = [check.kind, "writable"]
    if check.free is not None and check.reserve is not None:
        free, reserve = map(output.readable_size, (check.free, check.reserve))
        parts.append(f"{free} free, {reserve} stay free")
        if check.free <= check.reserve:
            return missing(what, ", ".join(parts), "make room")
    # Publishing never relies on conditional puts, so a store without them is told, not blamed.
    if check.honours_absent is False:
        parts.append("ignores If-None-Match (not needed)")
    if check.honours_match is False:
        parts.append("ignores If-Match")
        advice = "a file that changes while it is imported is noticed at its end only"
        return warn(what, ", ".join(parts), advice)
    return ok(what, ", ".join(parts))


def _readable(what: str, store: Store) -> Finding:
    next(iter(store.list()), None)
    return ok(what, "readable, and set read-only")


def _key_file(path: Path, *, started: bool) -> Finding:
    what = "key file"
    if not path.exists() and not started:
        return ok(what, f"{path}: {_LATER}")
    try:
        KeyProvider.open(path, create=False)
    except CalotypeError as error:
        return missing(what, error.message, "restore it from a backup")
    return _private(what, path)


def _credentials(settings: Settings, *, started: bool) -> Finding:
    what = "credentials"
    path = settings.data_dir / credentials_file.CREDENTIALS
    if not path.exists():
        if started:
            advice = "restore it, or go on with users of your own; it is not needed to serve"
            return warn(what, f"{path} is gone", advice)
        return ok(what, f"{path}: {_LATER}")
    try:
        credentials_file.read(settings.data_dir)
    except (CalotypeError, OSError) as error:
        return warn(what, f"{path} cannot be read ({error})", "restore it from a backup")
    return _private(what, path)


def _private(what: str, path: Path) -> Finding:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return missing(what, f"{path} has mode {mode:04o}, others may use it", f"chmod 600 {path}")
    return ok(what, f"{path}, mode {mode:04o}")


def _local(url: str) -> Path | None:
    """Return the directory of a file store, None for another one."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _existing(path: Path) -> Path:
    """Return the path, or the nearest directory above it that is there."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _device(path: Path) -> int:
    return _existing(path).stat().st_dev
