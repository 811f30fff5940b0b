"""A reader follows an owner's stream: next number only, gaps asked for, forgeries set aside, new epochs replace old ones.

Here the owner's daemon is silent and the test writes the owner's envelopes itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from syftd.errors import Transient
from syftd.names import Digest
from syftd.state import messages, outbox, problems, streams
from syftd.transport import mailbox
from syftd.wire import codec
from syftd.wire.messages import Limits, Proposal, StreamPosition, Verdict
from tests.sim.world import Site, World
from tests.unit.sync.letters import gone, let_see, propose, put, tell


class Owner:
    """Writes a stream by hand, with everything in it under the test's control."""

    def __init__(self, owner: Site, reader: Site) -> None:
        self.owner, self.reader = owner, reader
        row = streams.stream(reader.db, owner.email)
        assert row is not None
        self.epoch, self.sequence, self.previous = row.epoch, row.next_seq, row.previous

    def says(self, *changes: object, sequence: int | None = None, **position: object) -> None:
        """The next envelope, unless another number is given."""
        number = self.sequence if sequence is None else sequence
        place = StreamPosition(
            str(position.get("epoch", self.epoch)),
            number,
            position.get("previous", self.previous),  # type: ignore[arg-type]
            position.get("voided", ()),  # type: ignore[arg-type]
            bool(position.get("complete")),
        )
        payload = tell(self.owner, self.reader, changes, stream=place)  # type: ignore[arg-type]
        if number == self.sequence:
            self.sequence, self.previous = number + 1, Digest.of(payload)

    def withhold(self) -> Callable[[], None]:
        """Takes everything that lies for the reader away; what is returned puts it back."""
        hub = self.owner.world.hub
        box = mailbox.outbox(self.owner.email, self.reader.email)
        taken = hub.contents(box)
        for name in taken:
            self.owner.mailbox.remove(mailbox.Ref(box, name, -1, "memory"))

        def put_back() -> None:
            for name, payload in taken.items():
                super(type(self.owner.mailbox), self.owner.mailbox).put(box, name, payload, private=True)

        return put_back

    def asked(self) -> list[Proposal]:
        """What the reader has asked of the owner."""
        box = mailbox.inbox(self.owner.email, self.reader.email)
        contents = self.owner.world.hub.contents(box).values()
        return [codec.decode_proposal(payload, Limits()) for payload in contents]

    def mirror(self) -> dict[str, bytes]:
        return self.reader.tree(self.owner.email)


@pytest.fixture
def owner(world: World, ada: Site, bob: Site) -> Owner:
    ada.engine.paused = True
    return Owner(ada, bob)


def test_the_next_number_is_followed_and_acknowledged(owner: Owner, bob: Site) -> None:
    owner.says(put("a.txt", b"one"))
    owner.says(put("a.txt", b"two", b"one"))
    let_see(bob)
    assert owner.mirror() == {"a.txt": b"two"}
    assert not bob.world.hub.contents(mailbox.outbox(owner.owner.email, bob.email))


def test_a_gap_is_waited_for_and_then_everything_comes_in_order(owner: Owner, bob: Site) -> None:
    first = owner.sequence
    owner.says(put("a.txt", b"two"))
    put_back = owner.withhold()
    owner.says(put("a.txt", b"three", b"two"))
    let_see(bob)
    assert owner.mirror() == {}
    row = streams.stream(bob.db, owner.owner.email)
    assert row is not None and row.gap_since is not None
    put_back()
    let_see(bob)
    assert owner.mirror() == {"a.txt": b"three"}
    row = streams.stream(bob.db, owner.owner.email)
    assert row is not None and row.gap_since is None and row.next_seq == first + 2


def test_a_gap_that_stays_is_asked_about_with_growing_patience(owner: Owner, bob: Site) -> None:
    owner.says(put("a.txt", b"later"), sequence=owner.sequence + 3)
    let_see(bob)
    assert owner.asked() == []
    let_see(bob, 1.0)
    let_see(bob, 11.0)
    assert [asked.resync for asked in owner.asked()] == [True]
    let_see(bob, 30.0)
    assert len(owner.asked()) == 1
    let_see(bob, 60.0)
    assert len(owner.asked()) == 2
    assert "gap" in bob.problem_kinds()
    for _ in range(100):
        let_see(bob, 3600.0)
    assert len(owner.asked()) < 15, "who does not answer is asked ever more rarely"


def test_a_wall_clock_that_is_put_back_does_not_make_a_gap_wait(owner: Owner, bob: Site) -> None:
    owner.says(put("a.txt", b"later"), sequence=owner.sequence + 3)
    let_see(bob)
    let_see(bob, 1.0)
    bob.world.clock.step = -86400.0
    let_see(bob, 11.0)
    assert len(owner.asked()) == 1


def test_numbers_that_were_taken_back_are_no_gap(owner: Owner, bob: Site) -> None:
    first = owner.sequence
    owner.says(put("a.txt", b"a"), sequence=first + 2, voided=(first, first + 1))
    let_see(bob)
    assert owner.mirror() == {"a.txt": b"a"}


def test_a_later_envelope_may_tell_what_an_earlier_one_needs(owner: Owner, bob: Site) -> None:
    first = owner.sequence
    owner.says(put("withdrawn.txt", b"w"))
    owner.withhold()
    owner.says(put("a.txt", b"a"))
    owner.says(put("b.txt", b"b"), voided=(first,))
    let_see(bob)
    assert set(owner.mirror()) == {"a.txt", "b.txt"}


def test_a_duplicate_has_no_effect_and_goes_away(owner: Owner, bob: Site) -> None:
    owner.says(put("a.txt", b"one"))
    let_see(bob)
    owner.says(put("a.txt", b"old again"), sequence=owner.sequence - 1)
    let_see(bob)
    assert owner.mirror() == {"a.txt": b"one"}
    assert not bob.world.hub.contents(mailbox.outbox(owner.owner.email, bob.email))


def test_an_envelope_that_does_not_continue_the_chain_is_set_aside_and_the_stream_asked_for_anew(
    owner: Owner, bob: Site
) -> None:
    owner.says(put("a.txt", b"true"))
    let_see(bob)
    owner.says(put("a.txt", b"forged", b"true"), previous=Digest.of(b"something else"))
    let_see(bob)
    assert owner.mirror() == {"a.txt": b"true"}
    assert len(bob.quarantined) == 1
    assert [asked.resync for asked in owner.asked()] == [True]


def test_an_envelope_that_speaks_for_somebody_else_is_set_aside(owner: Owner, world: World, bob: Site) -> None:
    cy = world.site("cy")
    tell(owner.owner, bob, [put("a.txt", b"a")], claims=cy)
    let_see(bob)
    assert len(bob.quarantined) == 1
    assert "quarantine" in bob.problem_kinds()
    assert not bob.place("a.txt", cy.email).exists()


def test_garbage_is_set_aside_and_stops_nothing(owner: Owner, bob: Site) -> None:
    box = mailbox.outbox(owner.owner.email, bob.email)
    stamp = bob.world.stamp() / 1e9
    super(type(owner.owner.mailbox), owner.owner.mailbox).put(
        box, f"syfteventsmessagev3_{stamp!r}_{bob.world.random.uuid()}.tar.gz", b"garbage", private=True
    )
    owner.says(put("a.txt", b"a"))
    let_see(bob)
    assert owner.mirror() == {"a.txt": b"a"}
    assert [payload for _, _, payload in bob.quarantined] == [b"garbage"]


def test_a_complete_new_epoch_removes_what_only_the_old_one_told(owner: Owner, bob: Site) -> None:
    owner.says(put("keep.txt", b"k"), put("leave.txt", b"l"))
    let_see(bob)
    owner.sequence = 1
    owner.says(put("keep.txt", b"k"), epoch="new", previous=None)
    let_see(bob)
    assert set(owner.mirror()) == {"keep.txt", "leave.txt"}, "nothing goes before the epoch is complete"
    owner.says(put("more.txt", b"m"), epoch="new", complete=True)
    let_see(bob)
    assert set(owner.mirror()) == {"keep.txt", "more.txt"}
    assert b"l" in bob.trash()


def test_many_leftovers_wait_for_a_person(owner: Owner, bob: Site) -> None:
    owner.says(*(put(f"{number}.txt", b"%d" % number) for number in range(30)))
    let_see(bob)
    owner.sequence = 1
    owner.says(put("only.txt", b"o"), epoch="new", previous=None, complete=True)
    let_see(bob)
    assert len(owner.mirror()) == 31
    [halt] = problems.halts(bob.db)
    assert (halt.kind, halt.site, len(halt.paths)) == ("mirror", owner.owner.email, 30)
    bob.engine.confirm(halt)
    assert set(owner.mirror()) == {"only.txt"}
    assert len(bob.trash()) == 30


def test_an_envelope_of_an_epoch_that_ended_is_no_gap(owner: Owner, bob: Site) -> None:
    old = owner.epoch
    owner.says(put("late.txt", b"late"), sequence=owner.sequence + 5)
    let_see(bob)
    owner.sequence = 1
    owner.says(put("a.txt", b"a"), epoch="new", previous=None, complete=True)
    let_see(bob)
    let_see(bob, 100.0)
    assert owner.mirror() == {"a.txt": b"a"}
    assert owner.asked() == []
    row = streams.stream(bob.db, owner.owner.email)
    assert row is not None and row.gap_since is None and old in row.earlier
    assert not bob.world.hub.contents(mailbox.outbox(owner.owner.email, bob.email))


def test_an_envelope_that_was_taken_back_while_it_waited_is_forgotten(owner: Owner, world: World, bob: Site) -> None:
    box = mailbox.outbox(owner.owner.email, bob.email)
    owner.says(put("a.txt", b"withdrawn"), sequence=owner.sequence + 1)
    let_see(bob)
    [name] = world.hub.contents(box)
    owner.owner.mailbox.remove(mailbox.Ref(box, name, -1, "memory"))
    let_see(bob, 700.0)
    first = owner.sequence
    owner.says(put("b.txt", b"b"), sequence=first + 2, voided=(first, first + 1))
    let_see(bob)
    assert set(owner.mirror()) == {"b.txt"}


def test_a_plain_message_of_the_network_is_followed_without_a_stream(owner: Owner, bob: Site) -> None:
    tell(owner.owner, bob, [put("a.txt", b"one")])
    let_see(bob)
    tell(owner.owner, bob, [put("a.txt", b"two", b"one"), put("b.txt", b"b")])
    let_see(bob)
    assert owner.mirror() == {"a.txt": b"two", "b.txt": b"b"}
    tell(owner.owner, bob, [gone("a.txt", b"two")])
    let_see(bob)
    assert owner.mirror() == {"b.txt": b"b"}


def test_the_same_object_is_followed_once_also_after_a_restart(owner: Owner, bob: Site) -> None:
    def no_removal(seam: str) -> None:
        if seam == "mail.remove":
            raise Transient("the acknowledgement does not get through")

    bob.meet = no_removal
    owner.says(put("a.txt", b"a"))
    let_see(bob)
    assert bob.world.hub.contents(mailbox.outbox(owner.owner.email, bob.email))
    bob.meet = lambda seam: None
    bob.restart()
    let_see(bob)
    assert not bob.world.hub.contents(mailbox.outbox(owner.owner.email, bob.email))
    followed = bob.db.value("SELECT count(*) FROM message WHERE verdict = 'followed' AND sender = ?", owner.owner.email)
    assert followed == 2, "the one that made them peers, and this one"


def test_a_verdict_and_a_later_change_of_the_same_path_keep_their_order(owner: Owner, bob: Site) -> None:
    bob.write("drop/x.txt", b"bob's", owner.owner.email)
    let_see(bob)
    [proposal] = owner.asked()
    place = StreamPosition(owner.epoch, owner.sequence, owner.previous)
    verdict = Verdict(proposal.id, "applied", "")
    tell(owner.owner, bob, [put("drop/x.txt", b"ada's", b"bob's")], stream=place, verdicts=[verdict])
    let_see(bob)
    assert owner.mirror() == {"drop/x.txt": b"ada's"}
    told = streams.told(bob.db, owner.owner.email, "drop/x.txt")
    assert told is not None and told.sha256 == Digest.of(b"ada's")


def test_a_mirror_that_vanished_is_filled_again_and_nothing_is_proposed(world: World, ada: Site, bob: Site) -> None:
    ada.write("drop/a.txt", b"a")
    world.settle()
    shutil.rmtree(bob.place("", ada.email))
    world.settle()
    assert bob.tree(ada.email) == {"drop/a.txt": b"a"}
    assert ada.tree()["drop/a.txt"] == b"a"


def test_content_that_is_missing_is_asked_for(world: World, ada: Site, bob: Site) -> None:
    ada.write("public/a.txt", b"a")
    world.settle()
    # The user's edit loses, but the owner's content is not at hand any more.
    messages.drop_content(bob.db, [Digest.of(b"a")])
    bob.write("public/a.txt", b"not allowed", ada.email)
    world.settle()
    assert bob.tree(ada.email)["public/a.txt"] == b"a"
    assert b"not allowed" in bob.trash()
    assert not outbox.in_state(bob.db, "due")


def test_requests_for_paths_that_a_reader_may_not_see_tell_nothing(world: World, ada: Site, bob: Site) -> None:
    ada.write("secret/s.txt", b"s")
    world.settle()
    propose(bob, ada, [put("secret/s.txt", b"?")], resync=True)
    world.settle()
    assert bob.tree(ada.email) == {}
