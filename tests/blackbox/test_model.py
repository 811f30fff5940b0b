"""The checker can say yes and can say no."""

from __future__ import annotations

import random

import pytest

from tests.blackbox.model import OWNER, File, Unexplained, Value

ANN, BEN = 1, 2


@pytest.fixture
def file() -> File:
    """A file of two readers that holds 1 everywhere."""
    made = File(2)
    made.write(OWNER, 1, None)
    made.stabilize([1, 1, 1], set())
    return made


def test_a_change_of_the_owners_arrives_sooner_or_later(file: File) -> None:
    file.write(OWNER, 2, 1)
    file.read(ANN, 1)
    file.read(BEN, 2)
    file.read(ANN, 2)
    file.stabilize([2, 2, 2], set())


def test_a_readers_change_reaches_everybody(file: File) -> None:
    file.write(ANN, 2, 1)
    file.read(BEN, 2)
    file.read(OWNER, 2)
    file.stabilize([2, 2, 2], set())


def test_a_deletion_reaches_everybody(file: File) -> None:
    file.write(BEN, None, 1)
    file.read(ANN, 1)
    file.stabilize([None, None, None], set())


def test_two_readers_change_the_same_and_either_may_win(file: File) -> None:
    file.write(ANN, 2, 1)
    file.write(BEN, 3, 1)
    file.read(OWNER, 3)
    file.stabilize([3, 3, 3], {2})


def test_the_loser_shows_the_old_value_once_more_before_the_winner(file: File) -> None:
    file.write(ANN, 2, 1)
    file.write(OWNER, 3, 1)
    file.read(ANN, 1)
    file.read(ANN, 3)
    file.stabilize([3, 3, 3], {2})


def test_what_is_written_while_the_owners_value_is_awaited_is_overtaken(file: File) -> None:
    """Found by a long play: the loser was gone, the owner's value was not there yet, and somebody wrote."""
    file.write(OWNER, None, 1)
    file.write(ANN, 2, 1)
    file.write(ANN, 3, None)
    file.write(ANN, 4, 3)
    file.stabilize([None, None, None], {2, 4})


def test_what_is_written_then_is_not_lost(file: File) -> None:
    file.write(OWNER, None, 1)
    file.write(ANN, 2, 1)
    file.write(ANN, 3, None)
    with pytest.raises(Unexplained, match=r"\[3\] lie nowhere"):
        file.stabilize([None, None, None], {2})


def test_a_change_made_while_the_first_is_on_its_way_is_another_change(file: File) -> None:
    file.write(ANN, 2, 1)
    file.write(ANN, 3, 2)
    file.read(OWNER, 2)
    file.read(OWNER, 3)
    file.stabilize([3, 3, 3], set())


def test_a_value_that_nobody_wrote_has_no_explanation(file: File) -> None:
    with pytest.raises(Unexplained, match="cannot have been seen"):
        file.read(ANN, 7)


def test_an_owner_never_sees_an_older_value_of_their_own(file: File) -> None:
    file.write(OWNER, 2, 1)
    with pytest.raises(Unexplained):
        file.read(OWNER, 1)


def test_a_file_that_nobody_deleted_is_not_gone(file: File) -> None:
    file.write(ANN, 2, 1)
    with pytest.raises(Unexplained):
        file.read(ANN, None)


def test_a_reader_is_not_taken_back_in_time(file: File) -> None:
    file.write(OWNER, 2, 1)
    file.read(ANN, 2)
    with pytest.raises(Unexplained):
        file.read(ANN, 1)


def test_the_owners_word_is_never_overwritten_by_what_was_made_from_an_older_one(file: File) -> None:
    file.write(ANN, 2, 1)
    file.write(OWNER, 3, 1)
    with pytest.raises(Unexplained, match="cannot be what everybody ends with"):
        file.stabilize([2, 2, 2], {3})


def test_a_deletion_by_a_reader_does_not_undo_the_owners_change(file: File) -> None:
    file.write(OWNER, 2, 1)
    file.write(ANN, None, 1)
    with pytest.raises(Unexplained):
        file.stabilize([None, None, None], {2})


def test_nodes_that_disagree_at_rest_are_a_failure(file: File) -> None:
    file.write(OWNER, 2, 1)
    with pytest.raises(Unexplained, match="do not agree"):
        file.stabilize([2, 2, 1], set())


def test_a_change_that_had_no_effect_at_all_is_a_failure(file: File) -> None:
    file.write(ANN, 2, 1)
    with pytest.raises(Unexplained):
        file.stabilize([1, 1, 1], {2})


def test_a_loser_that_lies_nowhere_is_lost(file: File) -> None:
    file.write(ANN, 2, 1)
    file.write(BEN, 3, 1)
    with pytest.raises(Unexplained, match=r"\[2\] lie nowhere"):
        file.stabilize([3, 3, 3], set())


def test_after_rest_the_past_is_no_explanation(file: File) -> None:
    file.write(OWNER, 2, 1)
    file.stabilize([2, 2, 2], set())
    with pytest.raises(Unexplained):
        file.read(BEN, 1)


def test_of_random_plays_every_step_is_explained_and_every_lie_is_not() -> None:
    """A play that follows the rules is accepted; with one observation replaced by what the node cannot hold, it is not."""
    dice = random.Random(20160411)
    lies = 0
    for _ in range(60):
        file, fresh = File(2), 1
        state = next(iter(file.states))
        for _ in range(10):
            for _ in range(dice.randrange(4)):
                following = sorted(state.after(), key=repr)
                state = dice.choice(following) if following else state
            node = dice.randrange(3)
            seen = state.at(node)
            if dice.random() < 0.5:
                file.read(node, seen)
            else:
                value: Value = fresh if dice.random() < 0.8 else None
                fresh += 1
                file.write(node, value, seen)
                state = state.put(node, value)
        possible = {each.at(OWNER) for each in file._closed()}
        for lie in {None, *range(1, fresh + 1)} - possible:
            copy = File(2, story=list(file.story))
            copy.states = set(file.states)
            with pytest.raises(Unexplained):
                copy.read(OWNER, lie)
            lies += 1
    assert lies > 50
