"""The planner of a mirror: every case of told, base and disk, and that taking its steps comes to rest."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from syftd.names import Digest
from syftd.plan.mirror import Sides, Step, plan_mirror

A, B, C = (Digest(letter * 64) for letter in "abc")
CONTENTS = (None, A, B, C)
ALL = [
    Sides(told, base, disk, drafting)
    for told, base, disk, drafting in product(CONTENTS, CONTENTS, CONTENTS, (False, True))
]


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


def carried_out(sides: Sides, step: Step) -> Sides:
    """What the three sides are after a step; a proposal and a draft are taken as turned down."""
    if step in (Step.ADOPT, Step.FORGET, Step.WRITE, Step.REMOVE, Step.LOSE):
        return replace(sides, base=sides.told, disk=sides.told, drafting=False)
    if step is Step.PROPOSE:
        return replace(sides, drafting=True)
    return sides


@pytest.mark.parametrize("sides", ALL)
def test_every_step_leads_to_rest_in_at_most_two(sides: Sides) -> None:
    for _ in range(2):
        sides = carried_out(sides, plan_mirror(sides))
    assert plan_mirror(sides) in (Step.NOTHING, Step.WAIT)
    assert carried_out(sides, plan_mirror(sides)) == sides


@pytest.mark.parametrize("sides", ALL)
def test_what_the_user_wrote_is_replaced_only_when_it_has_lost(sides: Sides) -> None:
    step = plan_mirror(sides)
    if step in (Step.WRITE, Step.REMOVE):
        assert sides.disk in (sides.base, None), "a local edit is never overwritten without the trash step"


@pytest.mark.parametrize("sides", [sides for sides in ALL if sides.drafting])
def test_nothing_is_touched_while_a_draft_is_open(sides: Sides) -> None:
    step = plan_mirror(sides)
    assert step in (Step.WAIT, Step.NOTHING, Step.ADOPT, Step.FORGET)


@pytest.mark.parametrize("sides", ALL)
def test_only_an_equal_disk_is_adopted(sides: Sides) -> None:
    if plan_mirror(sides) in (Step.ADOPT, Step.FORGET, Step.NOTHING):
        assert sides.disk == sides.told
