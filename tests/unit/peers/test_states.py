"""Becoming peers: every state, what leads from one to the next, and what the storage shows of it."""

from __future__ import annotations

import pytest

from syftd.errors import Transient, UserError
from syftd.names import Email
from syftd.state import contacts, outbox, streams, views
from syftd.transport import mailbox
from tests.sim.judge import Judge
from tests.sim.world import Site, World


@pytest.fixture
def ada(world: World, judge: Judge) -> Site:
    site = world.site("ada")
    site.rules("public", read=["*"])
    site.write("public/a.txt", b"a")
    world.settle()
    return site


@pytest.fixture
def bob(world: World, ada: Site) -> Site:
    return world.site("bob")


def state(site: Site, other: Site) -> str | None:
    peer = contacts.get(site.db, other.email)
    return None if peer is None else peer.state


def boxes(world: World, owner: Site) -> set[str]:
    return {box.kind for box in world.hub.boxes() if box.owner == owner.email and box.kind in ("inbox", "outbox")}


def test_a_request_is_seen_and_accepted(judge: Judge, world: World, ada: Site, bob: Site) -> None:
    bob.engine.pairing.add(ada.email)
    assert state(bob, ada) == "requested_by_me"
    world.settle()
    assert state(ada, bob) == "requested_by_peer"
    assert bob.tree(ada.email) == {}, "nothing goes to somebody who was not accepted"
    assert boxes(world, ada) == set()
    ada.engine.pairing.accept(bob.email)
    world.settle()
    assert (state(ada, bob), state(bob, ada)) == ("accepted", "accepted")
    assert bob.tree(ada.email) == {"public/a.txt": b"a"}
    judge.at_rest()


def test_asking_somebody_who_has_asked_is_accepting(world: World, ada: Site, bob: Site) -> None:
    bob.engine.pairing.add(ada.email)
    world.settle()
    assert ada.engine.pairing.add(bob.email).state == "accepted"


def test_when_both_ask_at_once_both_have_accepted(judge: Judge, world: World, ada: Site, bob: Site) -> None:
    bob.engine.pairing.add(ada.email)
    ada.engine.pairing.add(bob.email)
    world.settle()
    assert (state(ada, bob), state(bob, ada)) == ("accepted", "accepted")
    judge.at_rest()


def test_asking_twice_changes_nothing(world: World, ada: Site, bob: Site) -> None:
    first = bob.engine.pairing.add(ada.email)
    assert bob.engine.pairing.add(ada.email) == first


def test_there_must_be_a_request_to_accept_or_reject(world: World, ada: Site, bob: Site) -> None:
    for action in (ada.engine.pairing.accept, ada.engine.pairing.reject, ada.engine.pairing.remove):
        with pytest.raises(UserError) as failure:
            action(bob.email)
        assert failure.value.remedy
    bob.engine.pairing.add(ada.email)
    with pytest.raises(UserError):
        bob.engine.pairing.accept(ada.email)
    assert state(bob, ada) == "requested_by_me"


def test_nobody_is_a_peer_of_themselves(ada: Site) -> None:
    with pytest.raises(UserError):
        ada.engine.pairing.add(ada.email)


def test_a_request_before_the_other_exists_waits(world: World, ada: Site) -> None:
    ada.engine.pairing.add(Email("late@example.org"))
    world.settle()
    late = world.site("late")
    world.settle()
    assert state(late, ada) == "requested_by_peer"
    late.engine.pairing.accept(ada.email)
    world.settle()
    assert late.tree(ada.email) == {"public/a.txt": b"a"}


def test_a_request_that_is_rejected_ends_as_a_no(world: World, ada: Site, bob: Site) -> None:
    bob.engine.pairing.add(ada.email)
    world.settle()
    ada.engine.pairing.reject(bob.email)
    world.settle()
    assert (state(ada, bob), state(bob, ada)) == ("rejected", "rejected")
    peer = contacts.get(bob.db, ada.email)
    assert peer is not None and "did not accept" in peer.note
    assert bob.tree(ada.email) == {}
    world.settle()
    assert state(ada, bob) == "rejected", "the same request is not new"


def test_a_request_that_is_taken_back_disappears(world: World, ada: Site, bob: Site) -> None:
    bob.engine.pairing.add(ada.email)
    world.settle()
    bob.engine.pairing.remove(ada.email)
    world.settle()
    assert boxes(world, bob) == set()
    assert state(ada, bob) in (None, "removed")
    assert contacts.all_peers(ada.db) == []


def test_a_contact_that_ends_stops_everything_and_keeps_the_files(
    judge: Judge, world: World, ada: Site, bob: Site
) -> None:
    world.befriend(bob, ada)
    ada.engine.pairing.remove(bob.email)
    world.settle()
    assert (state(ada, bob), state(bob, ada)) == ("removed", "rejected")
    assert contacts.all_peers(ada.db) == []
    ada.write("public/b.txt", b"b")
    bob.write("public/c.txt", b"c", ada.email)
    world.settle()
    assert bob.tree(ada.email) == {"public/a.txt": b"a", "public/c.txt": b"c"}
    assert "public/c.txt" not in ada.tree()
    for site, other in ((ada, bob), (bob, ada)):
        assert views.reader(site.db, other.email) is None
        assert streams.stream(site.db, other.email) is None
        assert outbox.in_state(site.db, "due") == [] == outbox.in_state(site.db, "void")
    assert "unknown-peer" in bob.problem_kinds()


@pytest.mark.parametrize("both", [True, False], ids=["both have ended it", "one has ended it"])
def test_peers_who_parted_can_meet_again(judge: Judge, world: World, ada: Site, bob: Site, both: bool) -> None:
    world.befriend(bob, ada)
    ada.engine.pairing.remove(bob.email)
    world.settle()
    if both:
        bob.engine.pairing.remove(ada.email)
        world.settle()
    bob.engine.pairing.add(ada.email)
    world.settle()
    assert state(ada, bob) == "requested_by_peer", "what was asked after the end is a new request"
    ada.engine.pairing.accept(bob.email)
    ada.write("public/b.txt", b"b")
    world.settle()
    assert (state(ada, bob), state(bob, ada)) == ("accepted", "accepted")
    assert bob.tree(ada.email) == {"public/a.txt": b"a", "public/b.txt": b"b"}
    judge.at_rest()


def test_the_end_of_a_contact_reaches_a_peer_who_was_away(world: World, ada: Site, bob: Site) -> None:
    world.befriend(bob, ada)
    bob.crash()
    ada.guarded(lambda: ada.engine.pairing.remove(bob.email))
    while ada.ready():
        ada.ready()[0]()
    world.settle()
    assert state(bob, ada) == "rejected"


def test_a_stranger_is_not_heard_and_not_told_anything(world: World, ada: Site, bob: Site) -> None:
    bob.engine.pairing.add(ada.email)
    world.settle()
    box = mailbox.inbox(ada.email, bob.email)
    gets: list[str] = []
    ada.meet = lambda seam: gets.append(seam) if seam == "mail.get" else None
    bob.mailbox.put(box, f"msgv2_1.5_{world.random.uuid()}.tar.gz", b"whatever", private=True)
    world.settle()
    assert gets == [], "what a stranger writes is not even fetched"
    assert "quarantine" not in ada.problem_kinds()


def test_lost_answers_while_the_boxes_open_are_repaired(judge: Judge, world: World, ada: Site, bob: Site) -> None:
    left = 3

    def meet(seam: str) -> None:
        nonlocal left
        if seam in ("mail.share", "mail.share.reply", "blobs.share", "profile.put") and left:
            left -= 1
            raise Transient("lost")

    ada.meet = bob.meet = meet
    bob.guarded(lambda: bob.engine.pairing.add(ada.email))
    for _ in range(4):
        world.round(60.0)
    ada.meet = bob.meet = lambda seam: None
    world.settle()
    assert state(ada, bob) == "requested_by_peer"
    ada.engine.pairing.accept(bob.email)
    world.settle()
    assert bob.tree(ada.email) == {"public/a.txt": b"a"}
    judge.at_rest()


@pytest.mark.parametrize("victim", ["ada", "bob"])
def test_a_restart_in_every_state_changes_nothing(world: World, ada: Site, bob: Site, victim: str) -> None:
    site = ada if victim == "ada" else bob

    def again() -> None:
        site.restart()
        world.settle()

    again()
    bob.guarded(lambda: bob.engine.pairing.add(ada.email))
    again()
    assert state(ada, bob) == "requested_by_peer"
    ada.guarded(lambda: ada.engine.pairing.accept(bob.email))
    again()
    assert bob.tree(ada.email) == {"public/a.txt": b"a"}
    bob.guarded(lambda: bob.engine.pairing.remove(ada.email))
    again()
    assert (state(bob, ada), state(ada, bob)) == ("removed", "rejected")


def test_accepting_lets_the_peer_send_jobs_and_read_results_once(world: World, ada: Site, bob: Site) -> None:
    world.befriend(bob, ada)
    rules = f"app_data/job/inbox/{bob.email}/syft.pub.yaml"
    assert ada.parts.access.may_write(bob.email, f"app_data/job/inbox/{bob.email}/one/run.sh")
    assert not ada.parts.access.may_write("cy@example.org", f"app_data/job/inbox/{bob.email}/one/run.sh")
    assert ada.parts.access.may_read(bob.email, f"app_data/job/review/{bob.email}/one/state.yaml")
    ada.delete(rules)
    world.settle()
    ada.restart()
    world.settle()
    assert not ada.parts.access.may_write(bob.email, f"app_data/job/inbox/{bob.email}/one/run.sh")
