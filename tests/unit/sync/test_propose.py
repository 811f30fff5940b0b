"""Edits in a mirror: each becomes one proposal, a job folder one as a whole, and what was refused ends in the trash."""

from __future__ import annotations

import shutil

import pytest

from syftd.names import Digest
from syftd.state import problems, streams
from syftd.transport import mailbox
from syftd.wire import codec
from syftd.wire.messages import Limits, Proposal
from tests.sim.judge import Judge
from tests.sim.world import Site, World
from tests.unit.sync.letters import let_see, pump_only


def asked(owner: Site, sender: Site) -> list[Proposal]:
    """The proposals that lie for an owner, in the order of writing."""
    contents = owner.world.hub.contents(mailbox.inbox(owner.email, sender.email)).values()
    found = [codec.decode_proposal(payload, Limits()) for payload in contents]
    return sorted((proposal for proposal in found if not proposal.resync), key=lambda proposal: proposal.made_at)


@pytest.fixture(autouse=True)
def shared(world: World, ada: Site, bob: Site) -> None:
    for name in ("one", "two", "three"):
        ada.write(f"drop/{name}.txt", name.encode())
    world.settle()


def test_an_edit_is_proposed_with_its_base(ada: Site, bob: Site) -> None:
    bob.write("drop/one.txt", b"edited", ada.email)
    let_see(bob)
    [proposal] = asked(ada, bob)
    [change] = proposal.changes
    assert (change.path, change.before, change.content) == ("drop/one.txt", Digest.of(b"one"), b"edited")


def test_a_new_file_and_a_deletion_are_proposed(ada: Site, bob: Site) -> None:
    bob.write("drop/new.txt", b"new", ada.email)
    let_see(bob)
    bob.delete("drop/one.txt", ada.email)
    let_see(bob)
    [new], [deleted] = (proposal.changes for proposal in asked(ada, bob))
    assert (new.before, new.after) == (None, Digest.of(b"new"))
    assert (deleted.before, deleted.after) == (Digest.of(b"one"), None)


def test_a_rename_is_one_proposal(ada: Site, bob: Site) -> None:
    bob.rename("drop/one.txt", "drop/renamed.txt", ada.email, hint=False)
    bob.scan()
    let_see(bob)
    [proposal] = asked(ada, bob)
    assert {(str(change.path), change.after is None) for change in proposal.changes} == {
        ("drop/one.txt", True),
        ("drop/renamed.txt", False),
    }


def test_while_a_draft_is_open_later_edits_wait_and_then_follow(
    judge: Judge, world: World, ada: Site, bob: Site
) -> None:
    bob.write("drop/one.txt", b"first", ada.email)
    let_see(bob)
    bob.write("drop/one.txt", b"second", ada.email)
    let_see(bob)
    assert len(asked(ada, bob)) == 1
    world.settle()
    assert ada.tree()["drop/one.txt"] == b"second" == bob.tree(ada.email)["drop/one.txt"]
    judge.at_rest()


def test_what_is_refused_is_put_back_and_kept_in_the_trash(judge: Judge, world: World, ada: Site, bob: Site) -> None:
    ada.write("public/a.txt", b"ada's")
    world.settle()
    bob.write("public/a.txt", b"bob's", ada.email)
    bob.write("public/extra.txt", b"extra", ada.email)
    world.settle()
    assert bob.tree(ada.email)["public/a.txt"] == b"ada's"
    assert "public/extra.txt" not in bob.tree(ada.email)
    assert {b"bob's", b"extra"} <= bob.trash()
    assert "not-taken" in bob.problem_kinds()
    judge.at_rest()


def test_when_both_change_it_the_owner_wins_and_nothing_is_lost(
    judge: Judge, world: World, ada: Site, bob: Site
) -> None:
    ada.write("drop/one.txt", b"ada's")
    bob.write("drop/one.txt", b"bob's", ada.email)
    world.settle()
    assert ada.tree()["drop/one.txt"] == b"ada's" == bob.tree(ada.email)["drop/one.txt"]
    assert bob.holds(b"bob's")
    judge.at_rest()


def test_a_deletion_here_and_an_edit_there_keeps_the_edit(judge: Judge, world: World, ada: Site, bob: Site) -> None:
    ada.write("drop/one.txt", b"newer")
    bob.delete("drop/one.txt", ada.email)
    world.settle()
    assert ada.tree()["drop/one.txt"] == b"newer" == bob.tree(ada.email)["drop/one.txt"]
    judge.at_rest()


def test_files_that_vanish_in_masses_are_put_back_and_not_proposed_for_deletion(
    judge: Judge, world: World, ada: Site, bob: Site
) -> None:
    for number in range(40):
        ada.write(f"drop/many/{number}.txt", b"%d" % number)
    world.settle()
    for number in range(40):
        bob.delete(f"drop/many/{number}.txt", ada.email, hint=False)
    bob.scan()
    let_see(bob)
    assert asked(ada, bob) == []
    assert "put-back" in bob.problem_kinds()
    world.settle()
    assert len([path for path in bob.tree(ada.email) if path.startswith("drop/many/")]) == 40
    judge.at_rest()


def test_one_new_file_does_not_excuse_the_loss_of_many_of_the_same_content(
    judge: Judge, world: World, ada: Site, bob: Site
) -> None:
    for number in range(40):
        ada.write(f"drop/many/{number}.txt", b"the same")
    world.settle()
    for number in range(40):
        bob.delete(f"drop/many/{number}.txt", ada.email, hint=False)
    bob.write("drop/many/new.txt", b"the same", ada.email, hint=False)
    bob.scan()
    let_see(bob)
    assert "put-back" in bob.problem_kinds()
    world.settle()
    assert len([path for path in ada.tree() if path.startswith("drop/many/")]) >= 40
    judge.at_rest()


def test_a_few_deletions_are_proposed(world: World, ada: Site, bob: Site) -> None:
    bob.delete("drop/one.txt", ada.email)
    bob.delete("drop/two.txt", ada.email)
    world.settle()
    assert set(ada.tree()) & {"drop/one.txt", "drop/two.txt", "drop/three.txt"} == {"drop/three.txt"}


def test_an_edit_in_the_folder_of_a_stranger_goes_nowhere(world: World, bob: Site) -> None:
    cy = world.site("cy")
    bob.write("drop/x.txt", b"x", cy.email)
    bob.engine.look.site(cy.email)
    let_see(bob)
    assert "unknown-peer" in bob.problem_kinds()
    assert streams.drafts_to(bob.db, cy.email) == []


# -- jobs --------------------------------------------------------------------------------------------------------------

FOLDER = "app_data/job/inbox/bob@example.org/one"


def drop_job(bob: Site, owner: Site, *names: str) -> None:
    for name in names:
        bob.write(f"{FOLDER}/{name}", name.encode(), owner.email)


def test_a_job_folder_is_one_proposal(ada: Site, bob: Site) -> None:
    drop_job(bob, ada, "run.sh", "main.py", "inner/more.py")
    let_see(bob)
    let_see(bob)
    [proposal] = asked(ada, bob)
    names = {str(change.path).removeprefix(FOLDER + "/") for change in proposal.changes}
    assert names == {"run.sh", "main.py", "inner/more.py"}


def test_a_job_folder_waits_until_it_is_quiet(ada: Site, bob: Site) -> None:
    clock = bob.world.clock
    drop_job(bob, ada, "run.sh")
    # The folder's own times are the machine's; this world's clock is set to just after them.
    written = bob.place(f"{FOLDER}/run.sh", ada.email).stat().st_ctime
    clock.at = written + 0.5
    assert bob.engine.propose.send_folder(ada.email, FOLDER, quiet=1.0) is False
    due = bob.engine.propose.next_due
    assert due is not None and due - clock.monotonic() == pytest.approx(0.5, abs=0.06)
    clock.at = written + 1.5
    bob.due()
    pump_only(bob)
    assert len(asked(ada, bob)) == 1


def test_a_job_folder_without_run_sh_is_not_sent_and_says_so(ada: Site, bob: Site) -> None:
    drop_job(bob, ada, "main.py")
    let_see(bob)
    let_see(bob)
    assert asked(ada, bob) == []
    assert "job-without-run.sh" in bob.problem_kinds()
    drop_job(bob, ada, "run.sh")
    let_see(bob)
    let_see(bob)
    assert len(asked(ada, bob)) == 1
    assert "job-without-run.sh" not in bob.problem_kinds()


def test_a_job_folder_that_is_taken_away_is_taken_back(world: World, ada: Site, bob: Site) -> None:
    drop_job(bob, ada, "run.sh", "main.py")
    world.settle()
    assert f"{FOLDER}/run.sh" in ada.tree()
    shutil.rmtree(bob.place(FOLDER, ada.email))
    bob.engine.hint(f"{ada.email}/{FOLDER}", False, True)
    world.settle()
    assert f"{FOLDER}/run.sh" not in ada.tree()
    assert "job-without-run.sh" not in bob.problem_kinds()


def test_a_job_folder_that_was_never_sent_and_goes_away_is_no_problem_any_more(
    world: World, ada: Site, bob: Site
) -> None:
    drop_job(bob, ada, "main.py")
    world.settle()
    assert "job-without-run.sh" in bob.problem_kinds()
    shutil.rmtree(bob.place(FOLDER, ada.email))
    bob.engine.hint(f"{ada.email}/{FOLDER}", False, True)
    world.settle()
    assert "job-without-run.sh" not in bob.problem_kinds()


def test_a_change_to_a_job_that_was_sent_is_another_proposal_of_what_changed(
    world: World, ada: Site, bob: Site
) -> None:
    drop_job(bob, ada, "run.sh", "main.py")
    world.settle()
    assert ada.tree()[f"{FOLDER}/main.py"] == b"main.py"
    bob.write(f"{FOLDER}/main.py", b"better", ada.email)
    let_see(bob)
    let_see(bob)
    [proposal] = asked(ada, bob)
    assert [str(change.path) for change in proposal.changes] == [f"{FOLDER}/main.py"]
    world.settle()
    assert ada.tree()[f"{FOLDER}/main.py"] == b"better"


def test_a_proposal_to_a_halted_owner_is_answered_when_they_are_back(
    judge: Judge, world: World, ada: Site, bob: Site
) -> None:
    ada.crash()
    bob.write("drop/one.txt", b"while ada sleeps", ada.email)
    let_see(bob)
    let_see(bob, 3600.0)
    assert len(streams.drafts_to(bob.db, ada.email)) == 1
    world.settle()
    assert ada.tree()["drop/one.txt"] == b"while ada sleeps"
    assert problems.problems(bob.db) == []
    judge.at_rest()
