"""What birth marks of boxes mean, on one transport and on several."""

from __future__ import annotations

import pytest

from syftd.names import Email
from syftd.peers.births import Births, Marks, asks_again, births_of, by_owner, joined, remade, text_of
from syftd.transport.mailbox import Opened, inbox, outbox

ME = Email("me@example.org")
PEER = Email("peer@example.org")
BOTH: Births = {"a": {"inbox": ("1",), "outbox": ("2",)}, "b": {"outbox": ("3",)}}


def test_the_text_does_not_depend_on_the_order_in_which_transports_were_seen() -> None:
    assert text_of(BOTH) == text_of(dict(reversed(BOTH.items())))
    assert births_of(text_of(BOTH), ["b", "a"]) == BOTH
    assert text_of({}) == text_of({"a": {}}) == ""


def test_transports_that_are_set_up_no_more_and_texts_of_another_kind_tell_nothing() -> None:
    assert births_of(text_of(BOTH), ["b", "c"]) == {"b": {"outbox": ("3",)}}
    assert births_of("inbox:1,outbox:2", ["a"]) == births_of("", ["a"]) == {}


def test_marks_are_sorted_by_owner_and_kind() -> None:
    opened = [Opened(outbox(ME, PEER), "2"), Opened(inbox(ME, PEER), "9"), Opened(inbox(ME, PEER), "1")]
    assert by_owner(opened) == {PEER: {"inbox": ("1", "9"), "outbox": ("2",)}}


def test_a_closed_box_keeps_its_mark_so_that_the_next_one_is_another() -> None:
    closed = joined(BOTH, "a", {"inbox": ("1",)})
    assert closed == BOTH
    assert remade(closed["a"], {"inbox": ("1",), "outbox": ("4",)})


@pytest.mark.parametrize(
    ("before", "marks", "anew"),
    [
        ({}, {"inbox": ("1",)}, False),
        ({"inbox": ("1",)}, {"inbox": ("1",), "outbox": ("2",)}, False),
        ({"inbox": ("1",)}, {"inbox": ("1", "2")}, False),
        ({"inbox": ("1", "2")}, {"inbox": ("2",)}, True),
        ({"inbox": ("1",)}, {"inbox": ("2",)}, True),
        ({"inbox": ("1",)}, {}, False),
    ],
)
def test_a_box_is_remade_when_one_that_was_there_is_another_now(before: Marks, marks: Marks, anew: bool) -> None:
    assert remade(before, marks) is anew


@pytest.mark.parametrize(
    ("births", "transport", "marks", "asks"),
    [
        ({}, "a", {"inbox": ("1",)}, True),
        (BOTH, "a", BOTH["a"], False),
        (BOTH, "b", BOTH["b"], False),
        (BOTH, "a", {"inbox": ("7",), "outbox": ("8",)}, True),
        ({"a": {"inbox": ("1",)}}, "a", {"inbox": ("1",), "outbox": ("2",)}, False),
        ({"a": {"inbox": ("1",)}}, "b", {"inbox": ("5",)}, False),
        ({"a": {"inbox": ("1",)}, "b": {}}, "b", {"inbox": ("5",)}, True),
    ],
)
def test_only_boxes_that_were_not_there_before_ask_again(
    births: Births, transport: str, marks: Marks, asks: bool
) -> None:
    assert asks_again(births, transport, marks) is asks
