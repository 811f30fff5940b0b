"""Large content: up once for everybody, down in chunks, on after an interruption, and never wrong."""

from __future__ import annotations

import random

import pytest

from syftd.errors import Transient
from syftd.names import Digest
from syftd.state import messages, streams
from syftd.transport import mailbox
from syftd.wire.messages import CHUNK_BYTES
from tests.sim.adversity import Crash
from tests.sim.judge import Judge
from tests.sim.world import Site, World
from tests.unit.sync.letters import let_see, pump_only

LARGE = random.Random("large").randbytes(2 * CHUNK_BYTES + 1000)
OTHER = random.Random("other").randbytes(2 * CHUNK_BYTES + 1000)


def blobs(world: World, owner: Site) -> dict[str, bytes]:
    return world.hub.contents(mailbox.blobs(owner.email))


def seams(site: Site, name: str) -> list[str]:
    """Counts how often a seam is passed."""
    passed: list[str] = []

    def meet(seam: str) -> None:
        if seam == name:
            passed.append(seam)

    site.meet = meet
    return passed


def test_it_arrives_in_chunks_and_the_message_stays_small(judge: Judge, world: World, ada: Site, bob: Site) -> None:
    ada.write("public/large.bin", LARGE)
    world.settle()
    assert bob.tree(ada.email)["public/large.bin"] == LARGE
    assert len(blobs(world, ada)) == 3
    assert LARGE not in judge.sent[ada.email, bob.email]
    judge.at_rest()


def test_it_goes_up_once_for_two_readers_and_for_a_copy(judge: Judge, world: World, ada: Site, bob: Site) -> None:
    cy = world.site("cy")
    world.befriend(ada, cy)
    puts = seams(ada, "blobs.put")
    ada.write("public/large.bin", LARGE)
    world.settle()
    first = len(puts)
    ada.write("public/copy.bin", LARGE)
    world.settle()
    for reader in (bob, cy):
        assert reader.tree(ada.email)["public/large.bin"] == LARGE == reader.tree(ada.email)["public/copy.bin"]
    assert first == 3
    assert len(puts) == 3, "the copy costs messages only"


def test_a_rename_moves_no_bytes(judge: Judge, world: World, ada: Site, bob: Site) -> None:
    ada.write("public/large.bin", LARGE)
    world.settle()
    gets = seams(bob, "blobs.get")
    puts = seams(ada, "blobs.put")
    ada.rename("public/large.bin", "public/renamed.bin")
    world.settle()
    assert bob.tree(ada.email) == {"public/renamed.bin": LARGE}
    assert puts == gets == []
    judge.at_rest()


@pytest.mark.parametrize("victim", ["ada", "bob"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_crash_between_chunks_goes_on_where_it_stopped(
    judge: Judge, world: World, ada: Site, bob: Site, victim: str, nth: int
) -> None:
    site, seam = (ada, "blobs.put.reply") if victim == "ada" else (bob, "blobs.get.reply")
    left = nth

    def meet(passed: str) -> None:
        nonlocal left
        if passed == seam:
            left -= 1
            if left == 0:
                raise Crash(seam)

    site.meet = meet
    ada.write("public/large.bin", LARGE)
    world.settle()
    assert site.crashes == 1
    assert bob.tree(ada.email)["public/large.bin"] == LARGE
    judge.at_rest()


def test_lost_answers_and_failed_chunks_are_repaired(judge: Judge, world: World, ada: Site, bob: Site) -> None:
    chance = random.Random(5)

    def meet(seam: str) -> None:
        if seam.startswith(("blobs.", "mail.put", "mail.get")) and chance.random() < 0.3:
            raise Transient("lost")

    ada.meet = bob.meet = meet
    ada.write("public/large.bin", LARGE)
    for _ in range(5):
        world.round(30.0)
    ada.meet = bob.meet = lambda seam: None
    world.settle()
    assert bob.tree(ada.email)["public/large.bin"] == LARGE
    judge.at_rest()


def test_a_file_that_changes_while_it_goes_up_is_told_as_it_is_then(
    judge: Judge, world: World, ada: Site, bob: Site
) -> None:
    changed = False

    def meet(seam: str) -> None:
        nonlocal changed
        if seam == "blobs.put" and not changed:
            changed = True
            ada.write("public/large.bin", OTHER)

    ada.meet = meet
    ada.write("public/large.bin", LARGE)
    world.settle()
    assert changed
    assert bob.tree(ada.email)["public/large.bin"] == OTHER
    judge.at_rest()


def test_a_wrong_chunk_never_becomes_a_file(world: World, ada: Site, bob: Site) -> None:
    ada.write("public/large.bin", LARGE)
    let_see(ada)
    let_see(ada)
    folder = world.hub.folders[mailbox.blobs(ada.email)]
    first = Digest.of(LARGE[:CHUNK_BYTES])
    good = folder.objects[first].content
    folder.objects[first].content = OTHER[:CHUNK_BYTES]
    let_see(bob)
    let_see(bob, 20.0)
    assert "public/large.bin" not in bob.tree(ada.email)
    assert bob.problem_kinds(), "the reader can see why it is not there"
    folder.objects[first].content = good
    world.settle()
    assert bob.tree(ada.email)["public/large.bin"] == LARGE


def test_nothing_of_a_file_that_may_not_be_read_goes_up(judge: Judge, world: World, ada: Site, bob: Site) -> None:
    ada.write("secret/large.bin", LARGE)
    ada.write("private/large.bin", OTHER)
    world.settle()
    assert blobs(world, ada) == {}
    judge.at_rest()


def test_a_large_proposal_is_held_until_its_content_is_here(judge: Judge, world: World, ada: Site, bob: Site) -> None:
    bob.write("drop/large.bin", LARGE, ada.email)
    let_see(bob)
    let_see(bob)

    def blocked(seam: str) -> None:
        if seam == "blobs.get" and messages.held(ada.db):
            raise Transient("not yet")

    ada.meet = blocked
    let_see(ada)
    assert [sender for _, sender, _ in messages.held(ada.db)] == [bob.email]
    assert "drop/large.bin" not in ada.tree()
    assert len(streams.drafts_to(bob.db, ada.email)) == 1
    ada.meet = lambda seam: None
    ada.restart()
    world.settle()
    assert ada.tree()["drop/large.bin"] == LARGE
    assert messages.held(ada.db) == []
    judge.at_rest()


def test_a_large_proposal_that_is_not_allowed_is_refused_without_fetching(world: World, ada: Site, bob: Site) -> None:
    bob.write("public/large.bin", LARGE, ada.email)
    let_see(bob)
    let_see(bob)
    gets = seams(ada, "blobs.get")
    world.settle()
    assert gets == []
    assert "public/large.bin" not in ada.tree()
    assert bob.holds(LARGE)


def test_a_large_proposal_that_is_stale_by_the_time_it_is_here_is_refused(
    judge: Judge, world: World, ada: Site, bob: Site
) -> None:
    ada.write("drop/x.bin", b"first")
    world.settle()
    bob.write("drop/x.bin", LARGE, ada.email)
    let_see(bob)
    let_see(bob)
    ada.write("drop/x.bin", b"meanwhile")
    world.settle()
    assert ada.tree()["drop/x.bin"] == b"meanwhile" == bob.tree(ada.email)["drop/x.bin"]
    assert bob.holds(LARGE)
    judge.at_rest()


def test_chunks_that_nobody_waits_for_are_collected_later(world: World, ada: Site, bob: Site) -> None:
    ada.write("public/large.bin", LARGE)
    world.settle()
    assert len(blobs(world, ada)) == 3
    ada.guarded(lambda: ada.engine.tidy(86400.0, 1 << 30))
    pump_only(ada)
    world.clock.advance(7200)
    ada.guarded(lambda: ada.engine.tidy(86400.0, 1 << 30))
    pump_only(ada)
    assert blobs(world, ada) == {}
    assert ada.db.value("SELECT count(*) FROM chunk") == 0


def test_chunks_that_vanished_are_brought_up_again_for_who_asks(
    judge: Judge, world: World, ada: Site, bob: Site
) -> None:
    ada.write("public/large.bin", LARGE)
    let_see(ada)
    let_see(ada)
    for name in blobs(world, ada):
        ada.mailbox.remove(mailbox.Ref(mailbox.blobs(ada.email), name, -1, "memory"))
    world.settle()
    assert bob.tree(ada.email).get("public/large.bin") == LARGE
    judge.at_rest()


def test_a_chunk_is_opened_to_those_who_are_told_of_it_and_closed_when_that_is_taken_back(
    world: World, ada: Site, bob: Site
) -> None:
    world.hub.admits = True
    cy = world.site("cy")
    world.befriend(ada, cy)
    ada.rules("team", read=[bob.email, cy.email])
    world.settle()
    for reader in (bob, cy):
        reader.crash()  # Both leave unread what they are told.
        reader.restart = lambda: None  # type: ignore[method-assign]
    ada.write("team/large.bin", LARGE)
    for _ in range(4):
        let_see(ada)

    def readers() -> set[frozenset[str]]:
        with world.hub.lock:
            found = world.hub.folders[mailbox.blobs(ada.email)].objects.values()
            return {frozenset(one.readers) for one in found}

    assert readers() == {frozenset({bob.email, cy.email})}
    ada.rules("team", read=[cy.email])
    for _ in range(4):
        let_see(ada)
    assert readers() == {frozenset({cy.email})}
