"""The outbox: in order for each peer, with pauses that grow, and nothing that was taken back."""

from __future__ import annotations

import pytest

from syftd.errors import Gone, Permanent, Quota, Refused, SyftdError, Transient
from syftd.state import outbox
from syftd.transport import mailbox
from syftd.transport.mailbox import Box, Ref
from tests.sim.judge import Judge
from tests.sim.world import Site, World
from tests.unit.sync.letters import let_see, lying, pump_only


@pytest.fixture
def queued(world: World, ada: Site, bob: Site) -> list[outbox.Row]:
    """Three messages to bob that have not been sent."""
    ada.engine.paused = True
    for name in "abc":
        ada.write(f"public/{name}.txt", name.encode())
        let_see(ada)
    ada.engine.paused = False
    return outbox.due(ada.db, bob.email)


def failing(site: Site, error: SyftdError, *, after: int = 0, reply: bool = False) -> None:
    """Lets `after` objects through, then fails every put."""
    left = after

    def meet(seam: str) -> None:
        nonlocal left
        if seam == ("mail.put.reply" if reply else "mail.put"):
            if left == 0:
                raise error
            left -= 1

    site.meet = meet


def send(site: Site) -> None:
    site.guarded(site.engine.pump)
    pump_only(site)


def numbers(owner: Site, reader: Site) -> list[int]:
    return [events.stream.sequence for events in lying(owner, reader) if events.stream]


def test_in_order(queued: list[outbox.Row], ada: Site, bob: Site) -> None:
    assert [row.seq for row in queued] == sorted(row.seq or 0 for row in queued) and len(queued) == 3
    send(ada)
    assert numbers(ada, bob) == [row.seq for row in queued]
    assert outbox.in_state(ada.db, "due") == []


def test_a_failure_holds_back_what_is_behind_it_and_comes_first_again(
    queued: list[outbox.Row], world: World, ada: Site, bob: Site
) -> None:
    failing(ada, Transient("the network is down"), after=1)
    send(ada)
    assert numbers(ada, bob) == [queued[0].seq]
    assert "cannot-send" in ada.problem_kinds()
    ada.meet = lambda seam: None
    world.clock.advance(400)
    send(ada)
    assert numbers(ada, bob) == [row.seq for row in queued]
    assert "cannot-send" not in ada.problem_kinds()


def test_a_lost_reply_sends_the_same_bytes_again_and_nothing_twice(
    judge: Judge, queued: list[outbox.Row], world: World, ada: Site, bob: Site
) -> None:
    failing(ada, Transient("no answer"), reply=True)
    send(ada)
    assert len(numbers(ada, bob)) == 1
    ada.meet = lambda seam: None
    world.clock.advance(400)
    send(ada)
    assert numbers(ada, bob) == [row.seq for row in queued]
    world.settle()
    judge.at_rest()


def test_pauses_grow_and_have_an_end(queued: list[outbox.Row], world: World, ada: Site, bob: Site) -> None:
    failing(ada, Transient("down"))
    ceilings = []
    for _ in range(14):
        first = outbox.in_state(ada.db, "due")[0]
        world.clock.at = max(world.clock.at, first.due) + 0.001
        tries = first.tries
        ada.router.retry("memory")
        send(ada)
        after = outbox.in_state(ada.db, "due")[0]
        assert after.tries == tries + 1, "it was tried"
        assert 0 <= after.due - world.clock.now() <= max(300.0, 2.0**tries)
        ceilings.append(after.due - world.clock.now())
    assert max(ceilings) > 10 > ceilings[0]
    assert numbers(ada, bob) == []


def test_a_quota_is_kept(queued: list[outbox.Row], world: World, ada: Site, bob: Site) -> None:
    failing(ada, Quota("enough for today", after=1000.0))
    send(ada)
    ada.meet = lambda seam: None
    world.clock.advance(999)
    send(ada)
    assert numbers(ada, bob) == []
    world.clock.advance(2)
    send(ada)
    assert len(numbers(ada, bob)) == 3


def test_a_closed_box_and_a_refusal_wait_and_are_shown(
    queued: list[outbox.Row], world: World, ada: Site, bob: Site
) -> None:
    for error, kind in ((Gone("no box"), "cannot-send"), (Refused("not trusted"), "untrusted-folder")):
        failing(ada, error)
        send(ada)
        assert kind in ada.problem_kinds()
        world.clock.advance(60)
    assert len(outbox.in_state(ada.db, "due")) == 3


def test_one_peer_that_cannot_be_reached_does_not_hold_up_another(
    queued: list[outbox.Row], world: World, ada: Site, bob: Site
) -> None:
    cy = world.site("cy")
    put = ada.mailbox.put

    def unreachable(box: Box, name: str, content: bytes | memoryview, *, private: bool, replace: bool = False) -> Ref:
        if box.peer == bob.email:
            raise Permanent("bob cannot be reached")
        return put(box, name, content, private=private, replace=replace)

    ada.mailbox.put = unreachable  # type: ignore[method-assign]
    for one, other, say in ((ada, cy, "add"), (cy, ada, "accept")):
        getattr(one.engine.pairing, say)(other.email)
        for _ in range(4):
            world.round(3.0)
    assert cy.tree(ada.email).keys() == {"public/a.txt", "public/b.txt", "public/c.txt"}
    assert bob.tree(ada.email) == {}


def test_a_message_is_read_when_a_whole_listing_does_not_show_it_any_more(
    queued: list[outbox.Row], world: World, ada: Site, bob: Site
) -> None:
    send(ada)
    assert len(outbox.in_state(ada.db, "sent")) == 3
    let_see(ada)
    assert len(outbox.in_state(ada.db, "sent")) == 3, "they still lie there"
    let_see(bob)
    let_see(ada, 700.0)
    assert outbox.in_state(ada.db, "sent") == []


def test_an_incomplete_listing_says_nothing_about_what_is_missing(
    queued: list[outbox.Row], world: World, ada: Site, bob: Site
) -> None:
    send(ada)
    let_see(bob)
    listing = mailbox.Listing((), (), "", complete=False)
    assert ada.engine.outbox.acknowledged("memory", listing, world.clock.monotonic() + 1) == set()
    assert len(outbox.in_state(ada.db, "sent")) == 3


def test_a_listing_that_began_before_the_sending_says_nothing(
    queued: list[outbox.Row], world: World, ada: Site, bob: Site
) -> None:
    began = world.clock.monotonic()
    world.clock.advance(1)
    send(ada)
    listing = mailbox.Listing((), (), "", complete=True)
    assert ada.engine.outbox.acknowledged("memory", listing, began) == set()
    assert len(outbox.in_state(ada.db, "sent")) == 3


def test_taken_back_before_it_was_sent_it_never_lies_anywhere(
    queued: list[outbox.Row], world: World, ada: Site, bob: Site
) -> None:
    outbox.void(ada.db, queued[1].id)
    send(ada)
    assert numbers(ada, bob) == [queued[0].seq, queued[2].seq]
    assert outbox.in_state(ada.db, "void") == []


def test_taken_back_after_it_was_sent_it_is_removed(
    queued: list[outbox.Row], world: World, ada: Site, bob: Site
) -> None:
    send(ada)
    outbox.void(ada.db, queued[1].id)
    send(ada)
    assert numbers(ada, bob) == [queued[0].seq, queued[2].seq]
    assert outbox.in_state(ada.db, "void") == []


def test_taken_back_with_the_answer_lost_in_a_crash_it_is_removed_all_the_same(
    queued: list[outbox.Row], world: World, ada: Site, bob: Site
) -> None:
    failing(ada, Transient("no answer"), reply=True)
    send(ada)
    assert numbers(ada, bob) == [queued[0].seq]
    outbox.void(ada.db, queued[0].id)
    ada.meet = lambda seam: None
    ada.restart()
    world.clock.advance(400)
    send(ada)
    assert queued[0].seq not in numbers(ada, bob)
    assert outbox.in_state(ada.db, "void") == []


def test_a_removal_that_fails_is_tried_again_after_a_pause(
    queued: list[outbox.Row], world: World, ada: Site, bob: Site
) -> None:
    send(ada)
    outbox.void(ada.db, queued[1].id)

    def meet(seam: str) -> None:
        if seam == "mail.remove":
            raise Transient("not now")

    ada.meet = meet
    send(ada)
    assert len(outbox.in_state(ada.db, "void")) == 1
    ada.meet = lambda seam: None
    world.clock.advance(10)
    send(ada)
    assert outbox.in_state(ada.db, "void") == []


def test_while_paused_a_message_that_was_sent_lets_out_no_other_one(
    world: World, ada: Site, bob: Site
) -> None:
    ada.write("public/a.txt", b"a")
    world.clock.advance(3.0)
    ada.due()
    ada.engine.paused = True
    ada.write("public/b.txt", b"b")
    world.clock.advance(3.0)
    ada.due()
    assert len(outbox.in_state(ada.db, "due")) == 2, "one is being sent, the other waits"
    pump_only(ada)
    assert len(outbox.in_state(ada.db, "due")) == 1
    ada.engine.paused = False
    world.settle()
    assert set(bob.tree(ada.email)) == {"public/a.txt", "public/b.txt"}
