"""The share of the quota and the budget of repetitions, on a clock that the test moves."""

from __future__ import annotations

import pytest

from syftd.errors import Quota
from syftd.seams import SystemRandom
from syftd.transport.drive.quota import BACKOFF_CAP, UNITS_PER_MINUTE, Governor, Retries


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


class Highest(SystemRandom):
    def uniform(self, low: float, high: float) -> float:
        return high


def test_units_are_counted_for_a_minute_and_no_more_than_the_share_is_used() -> None:
    clock = Clock()
    governor = Governor(clock, 2000 / UNITS_PER_MINUTE)
    assert governor.limit == 2000
    governor.spend("list", 10)
    clock.time += 30
    governor.spend("download", 5)
    assert governor.used() == (2000, 15, 2000)
    with pytest.raises(Quota) as full:
        governor.spend("read")
    assert full.value.after == pytest.approx(30.0)
    clock.time += full.value.after
    governor.spend("list", 10)
    with pytest.raises(Quota):
        governor.spend("edit")
    assert "2000 of 2000 units" in governor.words()


def test_one_call_is_always_let_through_however_small_the_share() -> None:
    clock = Clock()
    governor = Governor(clock, 1e-9)
    governor.spend("download")
    with pytest.raises(Quota):
        governor.spend("read")
    clock.time += 61
    governor.spend("list", 100)  # A batch that is larger than the share goes out by itself.


def test_when_google_asks_to_wait_nobody_asks_before() -> None:
    clock = Clock()
    governor = Governor(clock)
    governor.told_to_wait(20.0)
    governor.told_to_wait(5.0)
    with pytest.raises(Quota) as closed:
        governor.spend("read")
    assert closed.value.after == pytest.approx(20.0)
    clock.time += 20.0
    governor.spend("read")


def test_waits_grow_to_a_cap_and_the_budget_ends_for_all_calls_together() -> None:
    waits: list[float] = []
    retries = Retries(Highest(), lambda seconds: bool(waits.append(seconds)), size=6.0)
    assert [retries.again(attempt) for attempt in range(8)] == [True] * 6 + [False] * 2
    assert waits == sorted(waits) and waits[-1] == BACKOFF_CAP and waits[0] == 0.5
    for _ in range(9):
        retries.succeeded()
    assert not retries.again(0)
    retries.succeeded()
    retries.succeeded()
    assert retries.again(0)


def test_a_transport_that_is_being_closed_repeats_nothing() -> None:
    assert not Retries(SystemRandom(), lambda seconds: True).again(0)
