# SPDX-License-Identifier: Apache-2.0
"""Passwords: Argon2id in PHC form, in a small pool of its own, with constant work.

A hash costs memory as well as time, so at most two are computed at once and no more than a few
dozen wait; past that the service refuses instead of queueing (stack.md). Verifying without a stored
hash computes one all the same, so unknown and known users cost alike (security contract P4).
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from calotype.errors import Unavailable

WORKERS = 2
WAITING = 64
_SALT = 16
_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Cost:
    """Work of one hash: memory in KiB and passes over it."""

    memory: int = 19 * 1024
    passes: int = 2


class Passwords:
    """Hashes and verifies; one instance serves the process. Call `close` at shutdown."""

    def __init__(self, cost: Cost | None = None, *, waiting: int = WAITING) -> None:
        self._cost = cost or Cost()
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="password")
        self._places = threading.BoundedSemaphore(WORKERS + waiting)
        self._guard = threading.Lock()
        self._computed = 0
        # Of the same cost as a real one; no password fits it, since nobody knows what it hides.
        self._decoy = self.hash_now(os.urandom(_SALT).hex())

    @property
    def computed(self) -> int:
        """How many hashes were computed so far; equal for known and unknown users."""
        return self._computed

    def hash_now(self, password: str) -> str:
        """Return the PHC form of a new password, in this thread."""
        self._count()
        kdf = Argon2id(
            salt=os.urandom(_SALT),
            length=_LENGTH,
            iterations=self._cost.passes,
            lanes=1,
            memory_cost=self._cost.memory,
        )
        return kdf.derive_phc_encoded(password.encode("utf-8", "surrogatepass"))

    def verify_now(self, password: str, stored: str | None) -> bool:
        """Tell whether the password fits, in this thread; None never fits and costs the same."""
        self._count()
        try:
            Argon2id.verify_phc_encoded(
                password.encode("utf-8", "surrogatepass"), stored or self._decoy
            )
        except InvalidKey:
            return False
        return stored is not None

    async def hash(self, password: str) -> str:
        """Return the PHC form of a new password, from the pool. Raises Unavailable when full."""
        self._take_place()
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self.hash_now, password)
        finally:
            self._places.release()

    async def verify(self, password: str, stored: str | None) -> bool:
        """Tell whether the password fits, from the pool. Raises Unavailable when full."""
        self._take_place()
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self.verify_now, password, stored)
        finally:
            self._places.release()

    def close(self) -> None:
        """End the pool."""
        self._pool.shutdown(wait=True)

    def _take_place(self) -> None:
        if not self._places.acquire(blocking=False):
            raise Unavailable("too many logins at once; try again", rule="busy", retry_after=1)

    def _count(self) -> None:
        with self._guard:
            self._computed += 1
