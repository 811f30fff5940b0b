"""The guard: which plans are too terrible to carry out unasked."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from syftd.plan.guard import DeletionLimit, too_many_deletions

LIMIT = DeletionLimit(count=20, percent=30)
numbers = st.integers(0, 500)


@pytest.mark.parametrize(
    ("deleted", "total", "stops"),
    [
        (0, 0, False), (0, 100, False), (1, 1, False), (1, 2, False), (2, 2, True), (20, 21, False), (20, 20, True),
        (21, 60, True), (21, 70, False), (30, 100, False), (31, 100, True), (300, 1000, False), (301, 1000, True),
    ],
)  # fmt: skip
def test_each_side_of_the_limit(deleted: int, total: int, stops: bool) -> None:
    reason = too_many_deletions(deleted, total, LIMIT)
    assert (reason is not None) is stops
    if reason is not None:
        assert str(deleted) in reason or str(total) in reason


@given(numbers, numbers, st.integers(0, 50))
def test_more_deletions_are_never_better(deleted: int, total: int, more: int) -> None:
    if too_many_deletions(deleted, total, LIMIT) is not None:
        assert too_many_deletions(deleted + more, total, LIMIT) is not None


@given(numbers, st.integers(2, 500), st.integers(0, 500))
def test_a_larger_tree_forgives_no_less(deleted: int, total: int, more: int) -> None:
    if too_many_deletions(deleted, total, LIMIT) is None:
        assert too_many_deletions(deleted, total + more, LIMIT) is None


@given(numbers, numbers, st.integers(0, 100), st.integers(0, 100))
def test_a_stricter_limit_stops_no_less(deleted: int, total: int, count: int, percent: int) -> None:
    loose = DeletionLimit(count + 5, percent + 5)
    if too_many_deletions(deleted, total, loose) is not None:
        assert too_many_deletions(deleted, total, DeletionLimit(count, percent)) is not None
