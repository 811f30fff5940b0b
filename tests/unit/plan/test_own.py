"""The owner's planner: changes that make the index true, and tellings that make a view true."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from syftd.names import Digest, RelPath
from syftd.plan.own import Content, OwnChange, plan_own, plan_tellings

A, B, C = (Digest(letter * 64) for letter in "abc")
X, Y, Z = (RelPath(name) for name in ("x", "y/1", "z"))

contents = st.builds(Content, st.sampled_from([A, B, C]), st.just(1), st.booleans())
paths = st.sampled_from([RelPath(f"{folder}/{name}") for folder in "abc" for name in "xyz"])
trees = st.dictionaries(paths, contents, max_size=9)


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


@given(trees, trees)
def test_what_was_planned_is_planned_once(seen: dict[RelPath, Content], accepted: dict[RelPath, Content]) -> None:
    looked: dict[RelPath, Content | None] = {path: seen.get(path) for path in seen.keys() | accepted.keys()}
    result = dict(accepted)
    for change in plan_own(looked, accepted).changes:
        assert change.before == result.get(change.path)
        if change.after is None:
            del result[change.path]
        else:
            result[change.path] = change.after
    assert result == seen
    assert plan_own(looked, result).changes == ()


@given(trees, trees, st.sets(paths))
def test_tellings_make_the_view_what_may_be_seen(
    accepted: dict[RelPath, Content], before: dict[RelPath, Content], visible: set[RelPath]
) -> None:
    view = {path: (item.sha256, item.executable) for path, item in before.items()}
    for telling in plan_tellings(sorted(accepted | before), accepted, visible.__contains__, view):
        assert telling.before == (view[telling.path][0] if telling.path in view else None)
        if telling.after is None:
            del view[telling.path]
        else:
            assert telling.path in visible
            view[telling.path] = (telling.after.sha256, telling.after.executable)
    expected = {path: (item.sha256, item.executable) for path, item in accepted.items() if path in visible}
    assert view == expected
    assert plan_tellings(sorted(accepted | before), accepted, visible.__contains__, view) == []


def test_a_revoked_path_and_a_deleted_one_look_the_same() -> None:
    view = {X: (A, False)}
    revoked = plan_tellings([X], {X: content(A)}, lambda path: False, view)
    deleted = plan_tellings([X], {}, lambda path: True, view)
    assert revoked == deleted


def test_what_was_never_shown_is_not_told_as_gone() -> None:
    assert plan_tellings([X], {X: content(A)}, lambda path: False, {}) == []
