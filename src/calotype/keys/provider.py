# SPDX-License-Identifier: Apache-2.0
"""One key file and AES-256-GCM: keeps secrets that the service has to read back.

Owns the file (settings `KEY_FILE`, by default `<DATA_DIR>/master.key`). Each line of it is
`<id> <base64 of 32 bytes>`: the first line wraps, every line unwraps, so a key is changed by
putting a new line on top. Promises: the file is made whole or not at all with mode 0600, two
processes that start at once end with the same key, and a wrapped text opens only under the name it
was wrapped for. Refuses (Unavailable) a file that is missing, unreadable or malformed, and a text
it cannot open; no message holds key or secret.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from calotype.errors import Unavailable

_LINE = re.compile(r"([A-Za-z0-9]{1,16}) ([A-Za-z0-9+/]{43}=)\Z")
_NONCE = 12


class KeyProvider:
    """Wraps and unwraps bytes; safe to call from several threads."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """`keys`: 32 bytes by id, the wrapping one first; raises Unavailable without any."""
        if not keys:
            raise Unavailable("the key file holds no key", rule="key_file")
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}
        self._first = next(iter(self._ciphers))

    @classmethod
    def open(cls, path: Path, *, create: bool) -> KeyProvider:
        """Read the key file; with `create`, make it first when there is none.

        Give `create` only while the database is empty: a new key beside old rows would leave every
        stored secret unreadable without saying so.
        """
        if create and not path.exists():
            _make(path)
        try:
            text = path.read_text("ascii")
        except FileNotFoundError:
            raise Unavailable(
                f"the key file {path} is missing; restore it, stored secrets need it",
                rule="key_file",
            ) from None
        except (OSError, UnicodeDecodeError):
            raise Unavailable(f"the key file {path} cannot be read", rule="key_file") from None
        return cls(_parse(text, path))

    def wrap(self, data: bytes, name: str) -> str:
        """Return `data` as a text to store; `name` tells what it is (`access-key:<AK>`)."""
        nonce = secrets.token_bytes(_NONCE)
        sealed = self._ciphers[self._first].encrypt(nonce, data, name.encode())
        return f"{self._first}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def unwrap(self, text: str, name: str) -> bytes:
        """Return what was wrapped under the same `name`. Raises Unavailable otherwise."""
        key_id, _, body = text.partition(".")
        cipher = self._ciphers.get(key_id)
        try:
            if cipher is None:
                raise InvalidTag
            raw = base64.urlsafe_b64decode(body)
            return cipher.decrypt(raw[:_NONCE], raw[_NONCE:], name.encode())
        except (InvalidTag, binascii.Error, ValueError):
            raise Unavailable(
                f"{name} cannot be unwrapped: the key file is not the one it was stored with",
                rule="key_file",
            ) from None


def _parse(text: str, path: Path) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.match(line)
        if match is None:
            raise Unavailable(
                f"the key file {path}, line {number}, must read `<id> <base64 of 32 bytes>`",
                rule="key_file",
            )
        keys[match[1]] = base64.b64decode(match[2])
    return keys


def _make(path: Path) -> None:
    """Write the file under another name, then link it: whoever links first gives the key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = f"{secrets.token_hex(4)} {base64.b64encode(secrets.token_bytes(32)).decode()}\n"
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        draft.unlink(missing_ok=True)
