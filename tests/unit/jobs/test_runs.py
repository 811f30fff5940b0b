"""What is shown of a job is what would be released of it, over all its runs, changes, withdrawals and returns."""

from __future__ import annotations

from typing import Any

import pytest

from syftd.api.folder import Folder
from syftd.errors import UserError
from syftd.jobs import show
from syftd.state import contacts
from tests.unit.jobs.desks import ME, PEER, Desk
from tests.unit.jobs.desks import desk as desk


@pytest.fixture(autouse=True)
def peer(desk: Desk) -> None:
    contacts.put(desk.db, contacts.Peer(PEER, "accepted", 1.0, "born", "0.1.117", frozenset({"blobs"}), ""))


def shown(desk: Desk) -> dict[str, Any]:
    with Folder(desk.data / "datasites") as sites, Folder(desk.kept) as kept:
        sources = show.Sources(desk.db, ME, sites, kept, {})
        return {**show.describe(sources, desk.job()), "stdout": show.logs(sources, desk.job(), 0, 0)["stdout"]}


def once(desk: Desk, **contents: str) -> None:
    desk.arrive(**contents)
    desk.approve()
    assert desk.ran().state == "done"


def test_a_job_that_is_withdrawn_and_sent_again_goes_on_from_its_runs(desk: Desk) -> None:
    once(desk, run_sh="first")
    desk.desk.release(desk.job(), None)
    assert set(desk.review()) == {"outputs/table.csv", "stdout.txt"}
    desk.arrive(run_sh="second")
    desk.arrive()
    assert (desk.job().state, desk.told()) == ("rejected", "rejected")
    assert "taken out" in desk.job().reason
    assert desk.arrive(run_sh="first").state == "pending"
    found = shown(desk)
    assert (found["results"], found["stdout"]) == ({}, "")
    assert found["released"] == ["outputs/table.csv", "stdout.txt"]
    desk.outputs = {"other.csv": b"3\n"}
    desk.approve()
    assert desk.review() == {}
    assert desk.ran().facts["runs"] == 2
    assert (desk.kept / desk.job().id / "run-1/outputs/table.csv").exists()
    assert shown(desk)["stdout"] == "printed\n"
    desk.desk.release(desk.job(), None)
    assert desk.review() == {"outputs/other.csv": b"3\n", "stdout.txt": b"printed\n"}


def test_what_an_unknown_run_left_is_neither_shown_nor_released(desk: Desk) -> None:
    once(desk, run_sh="first")
    stray = desk.kept / desk.job().id / "run-5"
    stray.mkdir()
    (stray / "stdout.txt").write_text("of another run")
    assert shown(desk)["stdout"] == "printed\n"
    desk.desk.release(desk.job(), None)
    assert desk.review()["stdout.txt"] == b"printed\n"


def test_a_run_that_was_cancelled_before_it_began_has_no_results(desk: Desk) -> None:
    once(desk, run_sh="first")
    desk.desk.limits = desk.desk.limits.__class__(concurrency=1)
    desk.arrive("other", run_sh="x")
    desk.approve("other")
    desk.desk.rerun(desk.job(), release=False, unsafe=False)
    assert shown(desk)["results"] == {}
    assert desk.desk.cancel(desk.job()).state == "failed"
    assert (shown(desk)["results"], shown(desk)["stdout"]) == ({}, "")
    with pytest.raises(UserError, match="nothing to release"):
        desk.desk.release(desk.job(), None)


def test_results_of_other_files_than_those_that_wait_are_not_shown(desk: Desk) -> None:
    desk.arrive(run_sh="first")
    desk.approve()
    desk.pool.run()
    desk.arrive(run_sh="second")
    assert desk.ran().state == "pending"
    assert (shown(desk)["results"], shown(desk)["exit_code"]) == ({}, None)


def test_a_second_run_is_confined_and_held_back_unless_that_is_said_again(desk: Desk) -> None:
    desk.arrive(run_sh="first")
    desk.approve(release=True, unsafe=True)
    desk.ran()
    assert set(desk.review()) == {"outputs/table.csv", "stdout.txt"}
    desk.desk.rerun(desk.job(), release=False, unsafe=False)
    assert desk.ran().facts["released"] == []
    assert desk.review() == {}
    desk.desk.rerun(desk.job(), release=True, unsafe=True)
    desk.ran()
    assert [spec.unsafe for spec in desk.specs] == [True, False, True]
    assert set(desk.review()) == {"outputs/table.csv", "stdout.txt"}
    assert [line["unsafe"] for line in desk.record("rerun")] == [False, True]
