"""The owner's planner: changes that make the index true, and tellings that make a view true."""

from __future__ import annotations

from syftd.names import Digest, RelPath
from syftd.plan.own import Content, OwnChange, plan_own, plan_tellings

A, B, C = (Digest(letter * 64) for letter in "abc")
X, Y, Z = (RelPath(name) for name in ("x", "y/1", "z"))


def content(digest: Digest, executable: bool = False) -> Content:
    return Content(digest, 1, executable)


def test_only_differences_are_changes() -> None:
    plan = plan_own({X: content(A), Y: content(B), Z: None}, {X: content(A), Y: content(A)})
    assert plan.changes == (OwnChange(Y, content(A), content(B)),)
    assert plan.deletions == 0


def test_the_executable_bit_is_a_change() -> None:
    plan = plan_own({X: content(A, executable=True)}, {X: content(A)})
    assert len(plan.changes) == 1


def test_a_rename_is_no_deletion() -> None:
    assert plan_own({X: None, Y: content(A)}, {X: content(A)}).deletions == 0


def test_one_arrival_excuses_one_deletion() -> None:
    assert plan_own({X: None, Z: None, Y: content(A)}, {X: content(A), Z: content(A)}).deletions == 1


def test_another_content_excuses_nothing() -> None:
    assert plan_own({X: None, Y: content(B), Z: content(C)}, {X: content(A)}).deletions == 1


def test_an_overwritten_file_excuses_no_deletion() -> None:
    assert plan_own({X: None, Y: content(A)}, {X: content(A), Y: content(B)}).deletions == 1


def test_what_was_never_shown_is_not_told_as_gone() -> None:
    assert plan_tellings([X], {X: content(A)}, lambda path: False, {}) == []
