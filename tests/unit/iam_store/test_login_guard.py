# SPDX-License-Identifier: Apache-2.0
"""Passwords and what slows guessing down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select

from calotype import clock
from calotype.db.session import Database
from calotype.db.tables.iam import login_failures
from calotype.errors import Unavailable
from calotype.iam import lockout
from calotype.iam.lockout import SourceRate
from calotype.iam.passwords import Passwords
from tests.unit.iam_store.conftest import CHEAP

HERE = "192.0.2.1"


class Time:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.moment = datetime.fromisoformat("2026-11-24T05:00:00+00:00")

    def now(self) -> datetime:
        return self.moment

    def pass_by(self, **amount: float) -> None:
        self.moment += timedelta(**amount)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(clock, "now", time.now)
    return time


@pytest.fixture
def fail(database: Database) -> Callable[..., None]:
    def fail(user: str | None = "u", source: str = HERE, times: int = 1) -> None:
        for _ in range(times):
            database.write(lambda connection: lockout.record_failure(connection, user, source))

    return fail


@pytest.fixture
def locked(database: Database) -> Callable[..., bool]:
    def locked(user: str | None = "u", source: str = HERE) -> bool:
        return database.read(lambda connection: lockout.is_locked(connection, user, source))

    return locked


def test_a_password_fits_its_own_hash_only(passwords: Passwords) -> None:
    stored = passwords.hash_now("correct horse")
    assert stored.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert passwords.verify_now("correct horse", stored)
    assert not passwords.verify_now("Correct horse", stored)


def test_a_hash_of_another_cost_is_still_verified(passwords: Passwords) -> None:
    dear = Passwords()
    stored = dear.hash_now("secret")
    dear.close()
    assert "m=19456,t=2,p=1" in stored
    assert passwords.verify_now("secret", stored)


def test_a_missing_hash_costs_one_hash_and_never_fits(passwords: Passwords) -> None:
    stored = passwords.hash_now("secret")
    before = passwords.computed
    assert not passwords.verify_now("secret", None)
    with_none = passwords.computed - before
    passwords.verify_now("secret", stored)
    assert with_none == passwords.computed - before - with_none == 1


def test_more_waiting_logins_than_places_are_refused() -> None:
    passwords = Passwords(CHEAP, waiting=0)

    async def crowd() -> list[object]:
        tries = (passwords.verify("x", None) for _ in range(20))
        return await asyncio.gather(*tries, return_exceptions=True)

    answers = asyncio.run(crowd())
    passwords.close()
    refused = [answer for answer in answers if isinstance(answer, Unavailable)]
    assert len(refused) == 18
    assert {error.rule for error in refused} == {"busy"}


def test_the_fifth_failure_locks_for_a_quarter_of_an_hour(
    time: Time, fail: Callable[..., None], locked: Callable[..., bool]
) -> None:
    fail(times=4)
    assert not locked()
    fail()
    assert locked()
    time.pass_by(minutes=14, seconds=59)
    assert locked()
    time.pass_by(seconds=1)
    assert not locked()


def test_failures_during_a_lock_do_not_prolong_it(
    time: Time, fail: Callable[..., None], locked: Callable[..., bool]
) -> None:
    fail(times=5)
    time.pass_by(minutes=10)
    fail(times=10)
    time.pass_by(minutes=5)
    assert not locked()
    fail(times=4)
    assert not locked()


def test_failures_count_within_a_quarter_of_an_hour_only(
    time: Time, fail: Callable[..., None], locked: Callable[..., bool]
) -> None:
    fail(times=4)
    time.pass_by(minutes=15)
    fail()
    assert not locked()


def test_a_lock_holds_for_its_user_and_source_only(
    fail: Callable[..., None], locked: Callable[..., bool]
) -> None:
    fail(times=5)
    assert locked()
    assert not locked(source="192.0.2.2")
    assert not locked(user="other")


def test_fifty_failures_from_many_sources_lock_the_user_everywhere(
    fail: Callable[..., None], locked: Callable[..., bool]
) -> None:
    for number in range(49):
        fail(source=f"192.0.2.{number % 25}")
    assert not locked(source="198.51.100.1")
    fail(source="192.0.2.200")
    assert locked(source="198.51.100.1")


def test_a_good_login_forgets_the_failures_of_its_source(
    database: Database, fail: Callable[..., None], locked: Callable[..., bool]
) -> None:
    fail(times=4)
    database.write(lambda connection: lockout.record_success(connection, "u", HERE))
    fail(times=4)
    assert not locked()


def test_users_that_do_not_exist_are_counted_together_and_never_locked(
    database: Database, fail: Callable[..., None], locked: Callable[..., bool]
) -> None:
    fail(user=None, times=60)
    assert not locked(user=None)
    count = select(func.count()).select_from(login_failures)
    assert database.read(lambda connection: connection.execute(count).scalar_one()) == 2


def test_old_counts_are_swept_away(
    time: Time, database: Database, fail: Callable[..., None]
) -> None:
    for number in range(10):
        fail(source=f"192.0.2.{number}")
    time.pass_by(minutes=16)
    fail(source="198.51.100.1")
    count = select(func.count()).select_from(login_failures)
    assert database.read(lambda connection: connection.execute(count).scalar_one()) == 2


def test_one_source_is_an_address_or_the_upper_half_of_a_long_one() -> None:
    assert lockout.network("192.0.2.1") == "192.0.2.1"
    assert lockout.network("::ffff:192.0.2.1") == "192.0.2.1"
    assert lockout.network("2001:db8::1") == lockout.network("2001:db8::ffff:1")
    assert lockout.network("2001:db8::1") != lockout.network("2001:db8:0:1::1")
    assert len(lockout.network("x" * 200)) == 64


def test_a_source_that_keeps_failing_is_refused_until_time_passes() -> None:
    moment = 1000.0
    rate = SourceRate(burst=3, per_second=0.5, monotonic=lambda: moment)
    for _ in range(3):
        rate.require(HERE)
        rate.failed(HERE)
    with pytest.raises(Unavailable) as refusal:
        rate.require(HERE)
    assert (refusal.value.rule, refusal.value.facts["retry_after"]) == ("rate_limit", 3)
    rate.require("192.0.2.9")
    moment += 2
    rate.require(HERE)


def test_good_logins_do_not_use_the_rate_up() -> None:
    rate = SourceRate(burst=1, monotonic=lambda: 0.0)
    for _ in range(100):
        rate.require(HERE)


def test_the_memory_of_sources_is_bounded() -> None:
    rate = SourceRate(burst=1, per_second=0.001, capacity=10, monotonic=lambda: 0.0)
    for number in range(11):
        rate.failed(f"192.0.2.{number}")
    rate.require("192.0.2.0")
    with pytest.raises(Unavailable):
        rate.require("192.0.2.10")
