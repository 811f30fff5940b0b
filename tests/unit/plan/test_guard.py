"""The guard: which plans are too terrible to carry out unasked."""

from __future__ import annotations

import pytest

from syftd.plan.guard import DeletionLimit, too_many_deletions

LIMIT = DeletionLimit(count=20, percent=30)


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
