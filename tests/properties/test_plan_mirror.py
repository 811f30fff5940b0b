"""The planner of a mirror. It compares digests and nothing else, so absence and three contents are every state there is:
what one state must satisfy is tried on all of them, and what a history must satisfy on histories made up by Hypothesis."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import hypothesis.strategies as st
import pytest
from hypothesis import given

from syftd.names import Digest
from syftd.plan.mirror import Sides, Step, plan_mirror
from tests.properties.effort import examples
from tests.properties.trees import DIGESTS

CONTENTS = (None, *DIGESTS[:3])
ALL = [Sides(*sides) for sides in product(CONTENTS, CONTENTS, CONTENTS, *[(False, True)] * 3)]

Trash = set[Digest]


def unsaved(sides: Sides) -> bool:
    """Whether the disk holds what the user wrote and nobody else has. What lay there before the contact began is its
    owner's, and what equals the owner's word is not lost with it."""
    if sides.disk is None or sides.disk in (sides.base, sides.told):
        return False
    return not (sides.earlier and sides.base is None)


def carried_out(sides: Sides, step: Step, trash: Trash) -> Sides:
    """The three sides after a step. LOSE alone puts what was there into the trash."""
    if step is Step.LOSE and sides.disk is not None:
        trash.add(sides.disk)
    if step in (Step.WRITE, Step.REMOVE, Step.LOSE):
        assert (sides.told is None) == (step is Step.REMOVE) or step is Step.LOSE
        return replace(sides, disk=sides.told, base=sides.told, earlier=False)
    if step in (Step.ADOPT, Step.FORGET):
        assert sides.disk == sides.told, "only what is there already is adopted"
        assert (sides.told is None) == (step is Step.FORGET)
        return replace(sides, base=sides.told, earlier=False)
    if step is Step.PROPOSE:
        return replace(sides, drafting=True)
    return sides


def test_every_state_is_tried() -> None:
    assert len(set(ALL)) == 4**3 * 2**3


@pytest.mark.parametrize("flags", list(product((False, True), repeat=3)))
def test_every_state_comes_to_rest_in_two_steps_and_loses_nothing(flags: tuple[bool, bool, bool]) -> None:
    for sides in ALL:
        if (sides.drafting, sides.complete, sides.earlier) != flags:
            continue
        trash: Trash = set()
        now = sides
        for _ in range(2):
            step = plan_mirror(now)
            assert step is plan_mirror(replace(now)), "the same state, the same step"
            if unsaved(now) and step in (Step.WRITE, Step.REMOVE, Step.ADOPT, Step.FORGET):
                raise AssertionError(f"{step} takes what the user wrote: {now}")
            now = carried_out(now, step, trash)
        assert plan_mirror(now) in (Step.NOTHING, Step.WAIT)
        if plan_mirror(now) is Step.NOTHING:
            assert now.disk == now.base == now.told
        if unsaved(sides):
            assert now.disk == sides.disk or sides.disk in trash, f"what the user wrote is nowhere: {sides}"
        else:
            assert not trash, f"only what the user wrote needs the trash: {sides}"


def test_only_an_open_question_makes_it_wait() -> None:
    """A draft ends with its verdict and a stream becomes complete, so nothing waits for ever."""
    for sides in ALL:
        if plan_mirror(sides) is Step.WAIT:
            assert sides.drafting or not sides.complete
            assert plan_mirror(replace(sides, drafting=False, complete=True)) is not Step.WAIT


def test_an_edit_is_proposed_only_when_the_owner_has_said_everything_and_nothing_else() -> None:
    for sides in ALL:
        if plan_mirror(sides) is Step.PROPOSE:
            assert sides.complete and not sides.drafting and sides.told == sides.base != sides.disk
            assert not (sides.earlier and sides.base is None and sides.disk is not None)


def test_nothing_is_touched_while_a_draft_is_open() -> None:
    for sides in ALL:
        if sides.drafting:
            assert plan_mirror(sides) in (Step.WAIT, Step.NOTHING, Step.ADOPT, Step.FORGET)


happenings = st.lists(
    st.one_of(
        st.tuples(st.just("saves"), st.sampled_from(CONTENTS)),
        st.tuples(st.just("tells"), st.sampled_from(CONTENTS)),
        st.tuples(st.just("answers"), st.booleans()),
        st.tuples(st.just("completes"), st.none()),
        st.tuples(st.just("steps"), st.none()),
    ),
    max_size=14,
)


@examples(600)
@given(st.sampled_from(ALL), happenings)
def test_whatever_happens_in_between_the_user_loses_nothing_but_a_conflict(
    sides: Sides, happenings: list[tuple[str, object]]
) -> None:
    """Steps among edits, tellings and verdicts: at each step what was unsaved is still there or in the trash, and when
    nothing happens any more two steps are enough."""
    trash: Trash = set()
    for what, value in happenings:
        match what:
            case "saves":
                sides = replace(sides, disk=value)
            case "tells":
                sides = replace(sides, told=value)
            case "answers" if sides.drafting:
                accepted = bool(value)
                sides = replace(sides, drafting=False, told=sides.disk if accepted else sides.told)
            case "completes":
                sides = replace(sides, complete=True)
            case "steps":
                mine = sides.disk if unsaved(sides) else None
                sides = carried_out(sides, plan_mirror(sides), trash)
                assert mine is None or sides.disk == mine or mine in trash
    sides = replace(sides, drafting=False, complete=True)
    steps = []
    while (step := plan_mirror(sides)) is not Step.NOTHING:
        steps.append(step)
        assert len(steps) <= 2, steps
        sides = carried_out(sides, step, trash)
        if step is Step.PROPOSE:
            sides = replace(sides, drafting=False, told=sides.disk)
    assert sides.disk == sides.base == sides.told
