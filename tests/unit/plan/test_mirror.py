"""The planner of a mirror: each case of told, base and disk by name; what holds for all of them is in tests/properties."""

from __future__ import annotations

import pytest

from syftd.names import Digest
from syftd.plan.mirror import Sides, Step, plan_mirror

A, B, C = (Digest(letter * 64) for letter in "abc")


@pytest.mark.parametrize(
    ("told", "base", "disk", "step"),
    [
        (None, None, None, Step.NOTHING),
        (A, A, A, Step.NOTHING),
        (A, None, None, Step.WRITE),
        (B, A, A, Step.WRITE),
        (A, None, A, Step.ADOPT),
        (B, A, B, Step.ADOPT),
        (None, A, A, Step.REMOVE),
        (None, A, None, Step.FORGET),
        (A, A, B, Step.PROPOSE),
        (A, A, None, Step.PROPOSE),
        (None, None, B, Step.PROPOSE),
        (B, A, C, Step.LOSE),
        (None, A, B, Step.LOSE),
        (A, None, B, Step.LOSE),
        (B, A, None, Step.WRITE),
    ],
)
def test_each_case(told: Digest | None, base: Digest | None, disk: Digest | None, step: Step) -> None:
    assert plan_mirror(Sides(told, base, disk)) is step


@pytest.mark.parametrize(
    ("told", "base", "disk", "earlier", "early", "late"),
    [
        (None, None, B, False, Step.WAIT, Step.PROPOSE),
        (A, A, B, False, Step.WAIT, Step.PROPOSE),
        (A, A, None, False, Step.WAIT, Step.PROPOSE),
        (A, A, A, False, Step.NOTHING, Step.NOTHING),
        (B, A, A, False, Step.WRITE, Step.WRITE),
        (None, A, A, False, Step.REMOVE, Step.REMOVE),
        (None, None, B, True, Step.WAIT, Step.REMOVE),
        (A, None, B, True, Step.WRITE, Step.WRITE),
        (B, None, B, True, Step.ADOPT, Step.ADOPT),
    ],
)
def test_before_everything_is_told_nothing_is_proposed_and_what_lay_here_is_no_edit(
    told: Digest | None, base: Digest | None, disk: Digest | None, earlier: bool, early: Step, late: Step
) -> None:
    assert plan_mirror(Sides(told, base, disk, complete=False, earlier=earlier)) is early
    assert plan_mirror(Sides(told, base, disk, complete=True, earlier=earlier)) is late
