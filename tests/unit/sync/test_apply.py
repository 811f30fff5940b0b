"""A proposal is carried out whole or not at all, whatever cuts it short, and one that cannot be stops no other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from syftd.errors import Denied, DiskFull, NameClash, RootMissing, SyftdError
from syftd.names import Digest, Email
from syftd.state import events, files, messages, problems
from syftd.transport import mailbox
from syftd.wire.messages import Verdict
from tests.sim.adversity import Crash
from tests.sim.world import Site, World
from tests.unit.sync.letters import gone, let_see, lying, propose, pump_only, put


@pytest.fixture(autouse=True)
def silent(world: World, ada: Site, bob: Site) -> None:
    """Bob's daemon does nothing; the test speaks for it."""
    ada.write("drop/there.txt", b"there")
    ada.write("drop/old.txt", b"old")
    world.settle()


def verdict(ada: Site, bob: Site, proposal: str) -> Verdict:
    [found] = [item for told in lying(ada, bob) for item in told.verdicts if item.proposal == proposal]
    return found


def failing(ada: Site, path: str, error: SyftdError, times: int = 1000) -> None:
    """Makes the disk refuse to put anything to `path`."""
    replace, left = ada.disk.replace, [times]

    def refusing(site: Email, where: str, *args: object, **more: object) -> object:
        if where == path and left[0]:
            left[0] -= 1
            raise error
        return replace(site, where, *args, **more)  # type: ignore[arg-type]

    ada.disk.replace = refusing  # type: ignore[method-assign, assignment]


def crashing(ada: Site, seam: str, when: Callable[[], bool] = lambda: True) -> None:
    """The daemon dies when it passes a seam with an intent open."""

    def meet(passed: str) -> None:
        if passed == seam and messages.intents(ada.db) and when():
            raise Crash(seam)

    ada.meet = meet
    ada.poll()
    pump_only(ada)
    ada.meet = lambda passed: None
    assert not ada.alive


@pytest.mark.parametrize("error", [NameClash("a folder is there"), Denied("the system does not permit it")])
def test_what_fails_midway_is_put_back(ada: Site, bob: Site, error: SyftdError) -> None:
    before = ada.tree()
    failing(ada, "drop/z.txt", error)
    changes = [
        put("drop/a/new.txt", b"a"), put("drop/there.txt", b"changed", b"there"), gone("drop/old.txt", b"old"),
        put("drop/z.txt", b"z"),
    ]  # fmt: skip
    id = propose(bob, ada, changes)
    let_see(ada)
    assert verdict(ada, bob, id).outcome == "denied"
    assert ada.tree() == before
    assert not ada.place("drop/a").exists()
    assert not events.history(ada.db, "drop/a/new.txt")
    assert len(events.history(ada.db, "drop/there.txt")) == 1
    assert {b"there", b"changed", b"old"} <= ada.trash()
    rows = {path: files.get(ada.db, ada.email, path) for path in ("drop/there.txt", "drop/old.txt", "drop/a/new.txt")}
    assert {path: row.sha256 if row else None for path, row in rows.items()} == {
        "drop/there.txt": Digest.of(b"there"), "drop/old.txt": Digest.of(b"old"), "drop/a/new.txt": None
    }  # fmt: skip


def test_what_somebody_wrote_meanwhile_is_not_put_back(ada: Site, bob: Site) -> None:
    remove = ada.disk.remove

    def removing(site: Email, path: str, **more: object) -> str | None:
        ada.write("drop/there.txt", b"ada's own words", hint=False)
        ada.disk.remove = remove  # type: ignore[method-assign]
        raise NameClash("it cannot go")

    ada.disk.remove = removing  # type: ignore[method-assign, assignment]
    id = propose(bob, ada, [put("drop/there.txt", b"changed", b"there"), gone("drop/old.txt", b"old")])
    let_see(ada)
    assert verdict(ada, bob, id).outcome == "denied"
    assert ada.tree()["drop/there.txt"] == b"ada's own words"
    assert ada.holds(b"there")


@pytest.mark.parametrize("error", [DiskFull("no space is left"), RootMissing("the disk went away")])
def test_what_concerns_the_daemon_leaves_the_intent_and_is_finished_later(
    ada: Site, bob: Site, error: SyftdError
) -> None:
    failing(ada, "drop/z.txt", error, times=3)
    id = propose(bob, ada, [put("drop/a.txt", b"a"), put("drop/z.txt", b"z")])
    ada.poll()
    pump_only(ada)
    assert messages.intended(ada.db, bob.email, id)
    assert not [item for told in lying(ada, bob) for item in told.verdicts]
    let_see(ada)
    assert "unfinished" in ada.problem_kinds()
    let_see(ada)
    assert verdict(ada, bob, id).outcome == "applied"
    tree = ada.tree()
    assert (tree["drop/a.txt"], tree["drop/z.txt"]) == (b"a", b"z")
    assert not messages.intents(ada.db)
    assert not ada.world.hub.contents(mailbox.inbox(ada.email, bob.email))
    assert "unfinished" not in ada.problem_kinds()


def test_an_intent_can_be_made_again(ada: Site, bob: Site) -> None:
    intent = messages.Intent("m", put("drop/x", b"x").path, None, Digest.of(b"x"), bob.email)
    messages.intend(ada.db, [intent])
    messages.intend(ada.db, [intent])
    assert messages.intents(ada.db) == {(bob.email, "m"): [intent]}


def test_a_start_gets_past_a_proposal_that_cannot_be_finished(ada: Site, bob: Site) -> None:
    id = propose(bob, ada, [put("drop/a.txt", b"a"), put("drop/x.txt", b"x")])
    crashing(ada, "replace", lambda: ada.place("drop/a.txt").exists())
    ada.place("drop/x.txt").mkdir()
    ada.restart()
    assert ada.alive
    assert not messages.intents(ada.db)
    let_see(ada)
    assert verdict(ada, bob, id).outcome == "denied"
    assert "drop/a.txt" not in ada.tree(), "all of it or none"
    ada.write("public/goes-on.txt", b"on")
    let_see(ada)
    assert files.get(ada.db, ada.email, "public/goes-on.txt") is not None


def test_a_start_keeps_what_it_cannot_finish_now(ada: Site, bob: Site) -> None:
    id = propose(bob, ada, [put("drop/x.txt", b"x")])
    crashing(ada, "replace")

    def full(seam: str) -> None:
        if seam == "stage":
            raise DiskFull("no space is left")

    ada.meet = full
    ada.restart()
    assert ada.alive and messages.intended(ada.db, bob.email, id)
    ada.meet = lambda seam: None
    let_see(ada)
    assert verdict(ada, bob, id).outcome == "applied"


def test_an_edit_in_the_middle_of_a_crash_undoes_the_rest(ada: Site, bob: Site) -> None:
    id = propose(bob, ada, [put("drop/a.txt", b"a"), put("drop/there.txt", b"changed", b"there")])
    crashing(ada, "replace", lambda: ada.place("drop/a.txt").exists())
    ada.write("drop/there.txt", b"ada's word", hint=False)
    ada.restart()
    let_see(ada)
    assert verdict(ada, bob, id).outcome == "stale"
    assert ada.tree()["drop/there.txt"] == b"ada's word"
    assert "drop/a.txt" not in ada.tree()


def test_recovery_puts_back_a_replaced_file_from_what_is_kept_of_it(ada: Site, bob: Site) -> None:
    ada.keep()
    id = propose(bob, ada, [put("drop/old.txt", b"newer", b"old"), put("drop/there.txt", b"changed", b"there")])
    crashing(ada, "replace", lambda: ada.place("drop/old.txt").read_bytes() == b"newer")
    ada.write("drop/there.txt", b"ada's word", hint=False)
    ada.restart()
    let_see(ada)
    assert verdict(ada, bob, id).outcome == "stale"
    assert ada.tree()["drop/old.txt"] == b"old"
    assert not [row for row in events.history(ada.db, "drop/old.txt") if row["by"] == bob.email]


def test_what_a_removed_peer_had_begun_is_taken_back(ada: Site, bob: Site) -> None:
    failing(ada, "drop/z.txt", RootMissing("the disk went away"), times=1)
    propose(bob, ada, [put("drop/a.txt", b"a"), put("drop/z.txt", b"z")])
    ada.poll()
    pump_only(ada)
    ada.engine.pairing.remove(bob.email)
    let_see(ada)
    assert not {"drop/a.txt", "drop/z.txt"} & ada.tree().keys()
    assert not messages.intents(ada.db)


def test_what_was_taken_back_is_named_in_the_trash(ada: Site, bob: Site) -> None:
    failing(ada, "drop/z.txt", NameClash("a folder is there"))
    propose(bob, ada, [put("drop/there.txt", b"changed", b"there"), put("drop/z.txt", b"z")])
    let_see(ada)
    kept = problems.trash_of(ada.db, ada.email, "drop/there.txt")
    assert {row.sha256 for row in kept} == {Digest.of(b"there"), Digest.of(b"changed")}
    assert {ada.disk.restore(row.id) for row in kept} == {b"there", b"changed"}
