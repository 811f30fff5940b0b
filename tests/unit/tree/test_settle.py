"""Settling: nothing is lost, nothing is put off for ever, nothing comes early but what is complete."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from syftd.tree.settle import Settle, fold, job_folder
from tests.unit.tree.conftest import HandClock


def made(at: float = 0.0) -> tuple[HandClock, Settle]:
    clock = HandClock(at)
    return clock, Settle(clock)


def test_a_finished_write_is_due_at_once() -> None:
    _, settle = made()
    settle.touch("me/a", quick=True)
    assert settle.next_due() == 0.0
    assert settle.release(0.0) == ["me/a"]
    assert settle.next_due() is None
    assert settle.release(100.0) == []


def test_other_changes_wait_for_quiet() -> None:
    clock, settle = made()
    for at in (0.0, 0.4, 0.8):
        clock.at = at
        settle.touch("me/a")
        assert settle.release(at) == []
    assert settle.release(1.29) == []
    assert settle.release(1.31) == ["me/a"]


def test_a_busy_path_comes_at_the_ceiling() -> None:
    clock, settle = made()
    for tick in range(100):
        clock.at = tick / 10
        settle.touch("me/log")
        assert settle.release(clock.at) == []
    clock.at = 10.1
    settle.touch("me/log")
    assert settle.release(10.1) == ["me/log"]


def test_deletions_wait_longest_and_renames_do_not() -> None:
    clock, settle = made()
    settle.touch("me/gone", gone=True)
    settle.touch("me/old", quick=True, gone=True)
    settle.touch("me/new", quick=True)
    assert settle.release(0.0) == ["me/new", "me/old"]
    assert settle.release(2.4) == []
    assert settle.release(2.6) == ["me/gone"]
    settle.touch("me/a", gone=True)
    clock.at = 1.0
    settle.touch("me/a", quick=True)
    assert settle.release(1.0) == ["me/a"], "it came back"


def test_deletions_come_together_and_not_later_than_the_ceiling() -> None:
    clock, settle = made()
    for number in range(40):
        clock.at = number * 0.3
        settle.touch(f"me/{number}", gone=True)
        out = settle.release(clock.at)
        assert out == ([] if clock.at < 10.0 else [f"me/{each}" for each in sorted(map(str, range(number + 1)))])
        if out:
            break
    settle.touch("me/later", gone=True)
    assert settle.release(clock.at + 2.4) == []
    assert settle.release(clock.at + 2.6) == ["me/later"]


def test_a_job_folder_comes_as_one() -> None:
    clock, settle = made()
    job = "bob@example.org/app_data/job/inbox/ada@example.org/train"
    assert job_folder(f"{job}/run.sh") == job
    assert job_folder("bob@example.org/app_data/job/review/x/y/z") is None
    for at, name in ((0.0, "run.sh"), (0.7, "src/main.py"), (1.4, "params.json")):
        clock.at = at
        settle.touch(f"{job}/{name}", quick=True)
        assert settle.release(at) == []
    assert settle.release(2.3) == []
    assert settle.release(2.4) == [job]


def test_folding() -> None:
    few = [f"me/d/{n}" for n in range(128)]
    assert fold(few) == sorted(few)
    assert fold([*few, "me/d/one-more"]) == ["me/d"]
    assert fold([*few, "me/d/one-more", "me/d/deep/er", "me/x"]) == ["me/d", "me/x"]
    many = [f"me/d{n % 30}/{n}" for n in range(600)]
    assert fold(many) == sorted({f"me/d{n}" for n in range(30)})
    alone = [f"me/{n}/x" for n in range(600)]
    assert fold(alone) == sorted(alone)


NAMES = st.sampled_from(["me/a", "me/b", "me/d/a", "me/d/b", "you/a", "me/app_data/job/inbox/x/j/run.sh"])
STEPS = st.lists(st.tuples(st.floats(0, 3), st.none() | st.tuples(NAMES, st.booleans(), st.booleans())), max_size=60)


@given(STEPS)
def test_each_path_comes_in_time_and_not_too_early(steps: list[tuple[float, tuple[str, bool, bool] | None]]) -> None:
    clock, settle = made()
    # key: first stir, last stir, whether the last was quick, whether it was gone
    pending: dict[str, tuple[float, float, bool, bool]] = {}

    def release() -> None:
        for path in settle.release(clock.at):
            first, last, quick, gone = pending.pop(path)
            assert quick or gone or clock.at >= min(last + 0.5, first + 10.0)
        for path, (first, last, quick, gone) in pending.items():
            assert not quick
            quiet = 1.0 if job_folder(path) else 0.5
            # Deletions wait for each other, so only the ceiling bounds them.
            latest = last + 10.0 if gone else min(last + quiet, max(first + 10.0, last))
            assert clock.at <= latest + 1e-9, "overdue"
        due = settle.next_due()
        assert (due is None) == (not pending)
        assert due is None or due > clock.at

    for wait, touched in steps:
        clock.at += wait
        if touched is None:
            release()
            continue
        release()
        path, quick, gone = touched
        settle.touch(path, quick, gone)
        job = job_folder(path)
        key = job or path
        first = pending[key][0] if key in pending else clock.at
        pending[key] = (first, clock.at, quick and job is None, gone and job is None and not quick)
    for _ in range(20):
        due = settle.next_due()
        if due is None:
            break
        clock.at = max(clock.at, due)
        release()
    assert not pending


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=5).map("/".join), max_size=700))
def test_folding_covers_everything_and_says_nothing_twice(paths: list[str]) -> None:
    folded = fold(paths)
    assert len(folded) == len(set(folded))
    for path in paths:
        covering = [each for each in folded if path == each or path.startswith(each + "/")]
        assert len(covering) == 1
    for each in folded:
        assert any(path == each or path.startswith(each + "/") for path in paths)
