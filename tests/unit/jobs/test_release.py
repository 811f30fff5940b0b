"""The one door: what is let out, to whom, and what happens when it jams."""

from __future__ import annotations

from typing import Any

import pytest

from syftd.errors import DiskFull, UserError
from syftd.names import PERMISSION_FILE, Email
from syftd.rules.ruleset import Rule, Ruleset, parse, render
from syftd.state import contacts, jobs, problems
from tests.unit.jobs.desks import ME, PEER, Desk
from tests.unit.jobs.desks import desk as desk

RULES = f"app_data/job/review/{PEER}/mean/{PERMISSION_FILE}"


@pytest.fixture(autouse=True)
def arrived(desk: Desk) -> None:
    contacts.put(desk.db, contacts.Peer(PEER, "accepted", 1.0, "born", "0.1.117", frozenset({"blobs"}), ""))
    desk.arrive(run_sh="true")


def rules(desk: Desk) -> Ruleset:
    return parse(desk.disk.read(ME, RULES, 1 << 20)[0])


# -- names that begin with a dot ---------------------------------------------------------------------------------------


def test_a_second_release_keeps_the_rules_of_the_first(desk: Desk) -> None:
    desk.outputs = {".first": b"1", ".second": b"2", "third": b"3"}
    desk.approve()
    desk.ran()
    for name in (".first", ".second", ".second"):
        desk.desk.release(desk.job(), name)
    readers = (str(PEER),)
    assert rules(desk).rules == (
        Rule("**", readers), Rule("outputs/.first", readers), Rule("outputs/.second", readers),
    )  # fmt: skip


def test_the_owners_own_rules_stay(desk: Desk) -> None:
    desk.outputs = {".first": b"1"}
    own = Ruleset((Rule("outputs/*.csv", ("other@z.org",)),), terminal=True)
    desk.disk.write_own(ME, RULES, render(own).encode())
    desk.approve()
    desk.ran()
    desk.desk.release(desk.job(), None)
    assert rules(desk) == Ruleset((*own.rules, Rule("outputs/.first", (str(PEER),))), terminal=True)


def test_a_broken_rule_file_is_not_replaced(desk: Desk) -> None:
    desk.outputs = {".first": b"1"}
    desk.disk.write_own(ME, RULES, b"rules: [")
    desk.approve()
    desk.ran()
    with pytest.raises(UserError, match="is broken"):
        desk.desk.release(desk.job(), None)
    assert set(desk.review()) == {PERMISSION_FILE}
    assert desk.desk.release(desk.job(), "stdout.txt").facts["released"] == ["stdout.txt"]


def test_more_dots_than_rules_can_be_for_release_nothing(desk: Desk) -> None:
    desk.outputs = {f".cache/{number:05}": b"" for number in range(5_000)}
    desk.approve()
    desk.ran()
    with pytest.raises(UserError, match="more than rules can be for"):
        desk.desk.release(desk.job(), None)
    assert desk.review() == {}


# -- large and many results --------------------------------------------------------------------------------------------

LARGE = b"x" * (9 * 1024 * 1024)


def test_large_results_are_copied_beside_the_loop_and_told_when_they_are_there(desk: Desk) -> None:
    desk.outputs = {"large": LARGE, "small": b"1"}
    desk.approve(release=True)
    desk.arrive("next", run_sh="true")
    desk.approve("next")
    desk.pool.run()
    assert desk.desk.handle(desk.posted.pop(0))
    assert (desk.review(), desk.told(), desk.job().state) == ({}, "running", "done")
    assert set(desk.job().facts["releasing"]) == {"outputs/large", "outputs/small", "stdout.txt"}
    with pytest.raises(UserError, match="on their way out"):
        desk.desk.release(desk.job(), None)
    with pytest.raises(UserError, match="on their way out"):
        desk.desk.rerun(desk.job(), release=False, unsafe=False)
    desk.ran()
    assert desk.review() == {"outputs/large": LARGE, "outputs/small": b"1", "stdout.txt": b"printed\n"}
    assert (desk.told(), desk.job().facts["releasing"]) == ("done", [])
    assert desk.job().facts["released"] == ["outputs/large", "outputs/small", "stdout.txt"]
    assert desk.ran("next").state == "done"


def test_many_results_go_into_place_in_turns(desk: Desk) -> None:
    desk.outputs = {f"{number:03}": b"%d" % number for number in range(250)}
    desk.approve()
    desk.ran()
    desk.desk.release(desk.job(), "*")
    desk.copying.run()
    left = []
    while desk.posted:
        assert desk.desk.handle(desk.posted.pop(0))
        left.append(len(desk.job().facts["releasing"]))
    assert left == [151, 51, 0]
    assert len(desk.review()) == len(desk.job().facts["released"]) == 251
    assert not list((desk.data / ".stage").iterdir())


def test_a_release_that_the_daemon_did_not_end_goes_on_at_the_next_start(desk: Desk) -> None:
    desk.outputs = {"large": LARGE}
    desk.approve(release=True)
    desk.pool.run()
    assert desk.desk.handle(desk.posted.pop(0))
    desk.copying.waiting.clear()
    desk.desk = desk.build()
    desk.desk.start(running=False)
    assert desk.copying.waiting == []
    desk.desk.start(running=True)
    desk.ran()
    assert desk.review()["outputs/large"] == LARGE
    assert desk.told() == "done"


def test_files_that_change_while_results_leave_are_reviewed_after_it(desk: Desk) -> None:
    desk.outputs = {"large": LARGE}
    desk.approve(release=True)
    desk.pool.run()
    assert desk.desk.handle(desk.posted.pop(0))
    assert desk.arrive(run_sh="swapped").state == "done"
    assert (desk.ran().state, desk.told()) == ("pending", "pending")
    assert desk.review()["outputs/large"] == LARGE


# -- what fails --------------------------------------------------------------------------------------------------------


def jam(desk: Desk, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """The disk is full when a release has put so many files into place."""
    real, left = desk.disk.replace, [after]

    def replace(site: Email, path: str, *words: Any, **more: Any) -> Any:
        if "/review/" in path and not path.endswith((PERMISSION_FILE, "state.yaml")):
            left[0] -= 1
            if left[0] < 0:
                raise DiskFull("the disk is full", "Free some space.")
        return real(site, path, *words, **more)

    monkeypatch.setattr(desk.disk, "replace", replace)


@pytest.mark.parametrize("content", [b"small", LARGE])
def test_a_release_that_fails_keeps_nobody_waiting_and_says_what_is_out(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    desk.outputs = {"a": content}
    desk.approve(release=True)
    desk.arrive("next", run_sh="true")
    desk.approve("next")
    with monkeypatch.context() as patch:
        jam(desk, patch, 1)
        assert desk.ran().state == "done"
    assert desk.told() == "done"
    assert desk.job().facts["released"] == sorted(desk.review()) == ["stdout.txt"]
    assert desk.record("released")[-1]["files"] == ["stdout.txt"]
    assert [problem["kind"] for problem in problems.problems(desk.db)].count("not-released") == 1
    assert desk.job("next").state == "done"
    desk.desk.release(desk.job(), None)
    desk.ran()
    assert desk.review()["outputs/a"] == content
    assert not list((desk.data / ".stage").iterdir())


def test_a_promised_release_is_tried_again_at_the_next_start(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.approve(release=True)
    with monkeypatch.context() as patch:
        jam(desk, patch, 0)
        desk.ran()
    assert desk.review() == {}
    desk.desk.start(running=True)
    assert set(desk.review()) == {"outputs/table.csv", "stdout.txt"}
    assert problems.problems(desk.db) == []


def test_a_start_that_cannot_be_written_down_takes_no_place(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise DiskFull("the disk is full", "Free some space.")

    put = jobs.put
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "put", lambda db, job: full() if job.state == "running" else put(db, job))
        with pytest.raises(DiskFull):
            desk.approve()
    assert desk.job().state == "approved"
    desk.desk.start(running=True)
    assert desk.ran().state == "done"
