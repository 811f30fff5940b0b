"""The owner's planner and its guard: changes that make the index true, tellings that make a view true."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from syftd.names import Digest, RelPath
from syftd.plan.guard import DeletionLimit, judge_deletions, too_many_deletions
from syftd.plan.own import Content, OwnPlan, Telling, plan_own, plan_tellings
from tests.properties.effort import examples
from tests.properties.trees import Tree, contents, paths, trees

looks = st.dictionaries(paths, st.none() | contents, max_size=9)
View = dict[RelPath, tuple[Digest, bool]]


def carried_out(accepted: Tree, plan: OwnPlan) -> Tree:
    """The accepted tree after the plan."""
    result = dict(accepted)
    for change in plan.changes:
        assert change.before == result.get(change.path), "a change starts from what was accepted"
        if change.after is None:
            del result[change.path]
        else:
            result[change.path] = change.after
    return result


def told(view: View, tellings: list[Telling]) -> View:
    """The view after the tellings."""
    result = dict(view)
    for telling in tellings:
        assert telling.before == (result[telling.path][0] if telling.path in result else None)
        if telling.after is None:
            del result[telling.path]
        else:
            result[telling.path] = (telling.after.sha256, telling.after.executable)
    return result


def as_view(tree: Tree) -> View:
    return {path: (content.sha256, content.executable) for path, content in tree.items()}


@examples(300)
@given(looks, trees)
def test_a_plan_speaks_of_what_was_seen_and_makes_it_true(seen: dict[RelPath, Content | None], accepted: Tree) -> None:
    plan = plan_own(seen, accepted)
    assert len({change.path for change in plan.changes}) == len(plan.changes), "one change a path"
    assert all(change.path in seen for change in plan.changes), "nothing outside of what was seen"
    assert all(change.before != change.after for change in plan.changes), "no change that changes nothing"
    result = carried_out(accepted, plan)
    expected = {**accepted, **{path: now for path, now in seen.items() if now is not None}}
    for path, now in seen.items():
        if now is None:
            expected.pop(path, None)
    assert result == expected
    assert plan_own(seen, result) == OwnPlan((), 0), "what was carried out is planned no more"


@examples(300)
@given(looks, trees)
def test_each_arrival_excuses_one_loss_of_the_same_content(
    seen: dict[RelPath, Content | None], accepted: Tree
) -> None:
    arrivals = [now.sha256 for path, now in seen.items() if now is not None and path not in accepted]
    deletions = 0
    for path, now in seen.items():
        if now is None and path in accepted:
            if accepted[path].sha256 in arrivals:
                arrivals.remove(accepted[path].sha256)
            else:
                deletions += 1
    assert plan_own(seen, accepted).deletions == deletions


@examples(200)
@given(trees, st.permutations("abc"))
def test_renaming_everything_deletes_nothing(accepted: Tree, order: list[str]) -> None:
    moved = {RelPath(f"moved/{order['abc'.index(path[0])]}{path[1:]}"): now for path, now in accepted.items()}
    seen: dict[RelPath, Content | None] = {**dict.fromkeys(accepted), **moved}
    plan = plan_own(seen, accepted)
    assert plan.deletions == 0
    assert too_many_deletions(plan.deletions, len(accepted), DeletionLimit(0, 0)) is None
    assert carried_out(accepted, plan) == moved


@examples(300)
@given(trees, trees, st.sets(paths), st.sets(paths))
def test_tellings_make_the_view_what_may_be_seen(
    accepted: Tree, before: Tree, visible: set[RelPath], asked: set[RelPath]
) -> None:
    view = as_view(before)
    tellings = plan_tellings(sorted(asked), accepted, visible.__contains__, view)
    assert all(telling.path in asked for telling in tellings), "nothing outside of what was asked"
    assert all(telling.after is None or telling.path in visible for telling in tellings), "nothing that is denied"
    assert all(telling.path in view for telling in tellings if telling.after is None), "gone is what was there"
    result = told(view, tellings)
    may = as_view({path: content for path, content in accepted.items() if path in visible})
    assert {path: result[path] for path in result if path in asked} == {path: may[path] for path in may if path in asked}
    assert {path: result[path] for path in result if path not in asked} == {
        path: view[path] for path in view if path not in asked
    }
    assert plan_tellings(sorted(asked), accepted, visible.__contains__, result) == [], "what was told is told no more"


@examples(300)
@given(trees, trees, st.sets(paths))
def test_a_reader_cannot_tell_what_is_denied_from_what_does_not_exist(
    accepted: Tree, before: Tree, visible: set[RelPath]
) -> None:
    everything = sorted(accepted.keys() | before.keys())
    denied = plan_tellings(everything, accepted, visible.__contains__, as_view(before))
    only = {path: content for path, content in accepted.items() if path in visible}
    deleted = plan_tellings(everything, only, lambda path: True, as_view(before))
    assert denied == deleted


numbers = st.integers(0, 500)
limits = st.builds(DeletionLimit, st.integers(0, 60), st.integers(0, 100))


@examples(200)
@given(numbers, numbers, st.integers(0, 50), limits)
def test_more_deletions_are_never_better(deleted: int, total: int, more: int, limit: DeletionLimit) -> None:
    if too_many_deletions(deleted, total, limit) is not None:
        assert too_many_deletions(deleted + more, total, limit) is not None


@examples(200)
@given(numbers, st.integers(2, 500), st.integers(0, 500), limits)
def test_a_larger_tree_forgives_no_less(deleted: int, total: int, more: int, limit: DeletionLimit) -> None:
    if too_many_deletions(deleted, total, limit) is None:
        assert too_many_deletions(deleted, total + more, limit) is None


@examples(200)
@given(numbers, numbers, limits, st.integers(0, 100), st.integers(0, 100))
def test_a_stricter_limit_stops_no_less(
    deleted: int, total: int, limit: DeletionLimit, less: int, lower: int
) -> None:
    strict = DeletionLimit(max(0, limit.count - less), max(0, limit.percent - lower))
    if too_many_deletions(deleted, total, limit) is not None:
        assert too_many_deletions(deleted, total, strict) is not None


@examples(200)
@given(st.integers(2, 500), limits)
def test_the_loss_of_everything_is_never_believed_unasked(total: int, limit: DeletionLimit) -> None:
    assert too_many_deletions(total, total, limit) is not None


@examples(500)
@given(numbers, st.integers(0, 5_000), limits)
def test_counting_further_than_enough_changes_no_verdict(deleted: int, total: int, limit: DeletionLimit) -> None:
    asked: list[int] = []

    def count(most: int) -> int:
        asked.append(most)
        return total if most < 0 else min(most, total)

    assert judge_deletions(deleted, count, limit) == too_many_deletions(deleted, total, limit)
    if too_many_deletions(deleted, total, limit) is None:
        assert -1 not in asked, "the whole tree is counted only for the words of a halt"
