"""Becoming peers and ceasing to be, between whole engines: what one party does must never stop or fool the others."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from syftd.names import PERMISSION_FILE, Digest, Email, RelPath
from syftd.state import contacts, outbox, problems
from syftd.transport import mailbox
from syftd.transport.memory import MemoryHub, MemoryMailbox
from syftd.transport.router import Router
from syftd.wire import codec, version
from syftd.wire import names as wire_names
from syftd.wire.messages import EXTENSIONS, Change, Events, Proposal
from tests.sim.world import Site, World, readable


def friends(world: World, *names: str) -> list[Site]:
    """An owner and the peers whom the owner lets read `public`."""
    owner, *others = (world.site(name) for name in names)
    for other in others:
        world.befriend(owner, other)
    owner.rules("public", read=[other.email for other in others])
    world.settle()
    return [owner, *others]


def unread(site: Site, peer: Email) -> int:
    return len([row for row in outbox.in_state(site.db, "sent") if row.peer == peer])


def test_a_peer_whose_boxes_cannot_be_read_keeps_nobody_elses_mail_unread(world: World) -> None:
    ann, bob, eve = friends(world, "ann", "bob", "eve")
    ann.mailbox.unreadable = frozenset({eve.email})
    ann.write("public/note", b"for both")
    world.settle()
    assert bob.tree(ann.email)["public/note"] == b"for both"
    assert unread(ann, bob.email) == 0
    assert unread(ann, eve.email) > 0, "what cannot be listed is not taken for read"
    ann.mailbox.unreadable = frozenset()
    world.settle()
    assert unread(ann, eve.email) == 0


# -- births of boxes ----------------------------------------------------------------------------------------------------


def second_transport(world: World, *sites: Site) -> MemoryHub:
    """Gives everybody another transport beside the first."""
    hub = MemoryHub()
    for site in sites:
        mailboxes = [site.mailbox, MemoryMailbox(hub, site.email, "second")]
        site.parts.router = Router(mailboxes, world.clock, world.random, lambda peer: ["memory", "second"])
    return hub


def state_of(site: Site, other: Site) -> str:
    peer = contacts.get(site.db, other.email)
    return "" if peer is None else peer.state


def test_with_two_transports_a_removed_peer_stays_removed_and_nothing_is_written_at_rest(world: World) -> None:
    ann, bob = world.site("ann"), world.site("bob")
    second_transport(world, ann, bob)
    world.befriend(ann, bob)
    world.settle()  # It would not come to rest with the peer's row written at each poll.
    assert (state_of(ann, bob), state_of(bob, ann)) == ("accepted", "accepted")
    ann.engine.pairing.remove(bob.email)
    world.settle()
    assert state_of(ann, bob) == "removed"
    assert state_of(bob, ann) == "rejected"


def test_boxes_that_are_made_anew_on_either_transport_are_a_new_request(world: World) -> None:
    ann, bob = world.site("ann"), world.site("bob")
    hub = second_transport(world, ann, bob)
    world.befriend(ann, bob)
    ann.engine.pairing.remove(bob.email)
    world.settle()
    box = mailbox.inbox(ann.email, bob.email)
    again = MemoryMailbox(hub, bob.email, "second")
    again.unshare(box)
    again.share(box)
    world.settle()
    assert state_of(ann, bob) == "requested_by_peer"


def test_a_request_outlives_a_transport_that_cannot_be_reached_after_a_restart(world: World) -> None:
    ann, bob = world.site("ann"), world.site("bob")
    bob.guarded(lambda: bob.engine.pairing.add(ann.email))
    world.settle()
    ann.mailbox.unreadable = frozenset({bob.email})
    pairing = ann.engine.pairing
    pairing._opened.clear()
    pairing._whole.clear()
    world.settle()
    assert state_of(ann, bob) == "requested_by_peer"
    ann.mailbox.unreadable = frozenset()
    box = MemoryMailbox(world.hub, bob.email)
    for made in (mailbox.inbox(ann.email, bob.email), mailbox.outbox(ann.email, bob.email)):
        box.unshare(made)
    world.settle()
    assert state_of(ann, bob) == "removed"


def test_what_lay_unread_in_a_box_that_was_made_anew_is_told_again(world: World) -> None:
    ann, bob = friends(world, "ann", "bob")
    bob.crash()
    ann.write("public/note", b"lost on the way")
    for _ in range(3):
        ann.due()
        world.drain()
        world.clock.advance(5.0)
    box = mailbox.outbox(ann.email, bob.email)
    assert world.hub.contents(box)
    anew = MemoryMailbox(world.hub, bob.email)
    anew.unshare(box)
    anew.share(box)
    world.settle()
    assert bob.tree(ann.email) == readable(ann, bob.email) != {}
    assert not ann.problem_kinds()


@pytest.mark.parametrize("read_first", [False, True], ids=["the word is taken back", "the word is read"])
def test_a_contact_that_ends_and_begins_anew_between_two_polls_does_not_end_in_silence(
    world: World, read_first: bool
) -> None:
    ann, bob = friends(world, "ann", "bob")
    pairing = bob.engine.pairing
    pairing.remove(ann.email)
    if read_first:
        pairing._unsay = lambda email: None  # type: ignore[method-assign]
    run(bob)
    pairing.add(ann.email)
    run(bob)
    assert state_of(ann, bob) == state_of(bob, ann) == "accepted", "ann has not looked yet"
    # What ann sees first is everything at once: the word, and boxes that are newer than it.
    ann.engine.inbox._whole_at = float("-inf")
    ann.write("public/later", b"after it all")
    world.settle()
    if read_first:
        # They are a request, which ann may accept.
        assert state_of(ann, bob) == "requested_by_peer"
        ann.guarded(lambda: ann.engine.pairing.accept(bob.email))
        world.settle()
    assert state_of(ann, bob) == state_of(bob, ann) == "accepted"
    assert bob.tree(ann.email) == readable(ann, bob.email)


def run(site: Site) -> None:
    """Lets one site do what it has to do, while the others sleep."""
    for _ in range(200):
        ready = site.ready()
        if not ready:
            site.engine.pump()
            if not site.ready():
                return
            continue
        ready[0]()


# -- rights, and versions -----------------------------------------------------------------------------------------------


def test_a_job_right_that_was_taken_away_stays_away(world: World) -> None:
    ann, bob = friends(world, "ann", "bob")
    right = f"app_data/job/inbox/{bob.email}/{PERMISSION_FILE}"
    assert ann.place(right).exists()
    ann.delete(right)
    world.settle()
    ann.restart()
    world.clock.advance(4000.0)
    world.settle()
    assert not ann.place(right).exists()
    assert not ann.parts.access.may_write(bob.email, RelPath(f"app_data/job/inbox/{bob.email}/one/run.sh"))
    ann.engine.pairing.remove(bob.email)
    world.settle()
    ann.engine.pairing.add(bob.email)
    world.settle()
    assert ann.place(right).exists(), "accepting a peer anew gives the right anew"


def test_an_upgraded_peer_is_noticed_within_the_hour(world: World) -> None:
    ann, bob = friends(world, "ann", "bob")
    old = version.encode_version("0.1.117", frozenset(), "2026-01-01T00:00:00Z")
    new = version.encode_version("0.1.118", EXTENSIONS, "2026-01-02T00:00:00Z")
    for content, extensions in ((old, frozenset()), (new, EXTENSIONS)):
        bob.router.publish_profile(bob.email, content)
        world.clock.advance(3700.0)
        world.settle()
        peer = contacts.get(ann.db, bob.email)
        assert peer is not None
        assert peer.extensions == extensions
    ann.write("public/fresh", b"with numbers again")
    world.settle()
    assert bob.tree(ann.email)["public/fresh"] == b"with numbers again"


# -- what anybody could have written --------------------------------------------------------------------------------------


def test_where_anybody_could_have_written_it_nothing_is_done_in_a_peers_name(world: World) -> None:
    ann, bob = friends(world, "ann", "bob")
    ann.rules("public", read=["*"], write=[bob.email])
    world.settle()
    hub = MemoryHub()
    open_folder = MemoryMailbox(hub, ann.email, "open", authenticates_sender=False, carries_private=False)
    ann.parts.router = Router(
        [ann.mailbox, open_folder], world.clock, world.random, lambda peer: ["memory", "open"]
    )  # fmt: skip
    forger = MemoryMailbox(hub, bob.email)
    bobs_boxes = (mailbox.inbox(ann.email, bob.email), mailbox.outbox(ann.email, bob.email))
    for box in bobs_boxes:
        forger.share(box)
    ann.engine.pairing.open_boxes(bob.email)
    world.settle()
    now, id = world.clock.now(), world.random.uuid()
    change = Change(RelPath("public/planted"), None, Digest.of(b"x"), b"x")
    proposal = codec.encode_proposal(Proposal(id, bob.email, ann.email, now, (change,)), extensions=True)
    forger.put(bobs_boxes[0], wire_names.proposal_name(now, id), proposal, private=True)
    word = codec.encode_events(Events(id, bob.email, now, (), standing="removed"), extensions=True)
    forger.put(mailbox.outbox(bob.email, ann.email), wire_names.events_name(now, id), word, private=True)
    world.settle()
    assert "public/planted" not in ann.tree()
    assert state_of(ann, bob) == "accepted"
    assert len(ann.quarantined) == 2
    (shown,) = [row for row in problems.problems(ann.db) if row["kind"] == "quarantine"]
    assert "“open”" in str(shown["text"])
    assert "trusted = true" in str(shown["remedy"])


def test_what_is_public_is_followed_and_asked_for_through_an_open_folder(world: World) -> None:
    ann, bob = world.site("ann"), world.site("bob")
    hub = MemoryHub()
    for site in (ann, bob):
        only = MemoryMailbox(hub, site.email, "open", authenticates_sender=False, carries_private=False)
        site.parts.router = Router([only], world.clock, world.random, lambda peer: ["open"])
        site.engine.pairing.publish_profile()
    ann.rules("public", read=["*"])
    ann.write("public/note", b"for all")
    world.befriend(ann, bob)
    world.settle()
    assert bob.tree(ann.email)["public/note"] == b"for all"
    bob.engine.follow.ask_anew(ann.email)
    ann.write("public/note", b"for all again")
    world.settle()
    assert bob.tree(ann.email)["public/note"] == b"for all again"
    assert not ann.quarantined


# -- the list of contacts -----------------------------------------------------------------------------------------------


def test_the_list_of_contacts_is_kept_where_the_networks_programs_look_for_it(world: World) -> None:
    ann, bob = world.site("ann"), world.site("bob")
    ann.mailbox._capabilities = replace(ann.mailbox.capabilities, keeps_contacts=True)
    ref = mailbox.Ref(mailbox.profile(ann.email), "SYFT_peers.json", -1, "memory")
    theirs = {"old@example.org": {"state": "accepted", "public_encryption_bundle": {"id": "did"}}}
    ann.mailbox.share(mailbox.profile(ann.email))
    ann.mailbox.put(mailbox.profile(ann.email), ref.name, json.dumps(theirs).encode(), private=True, replace=True)

    def kept() -> dict[str, object]:
        found: dict[str, object] = json.loads(ann.mailbox.get(ref))
        return found

    ann.guarded(lambda: ann.engine.pairing.add(bob.email))
    ann.poll()
    world.drain()
    assert kept() == {**theirs, str(bob.email): {"state": "requested_by_me"}}
    world.settle()
    bob.guarded(lambda: bob.engine.pairing.accept(ann.email))
    world.settle()
    assert kept() == {**theirs, str(bob.email): {"state": "accepted"}}
    ann.guarded(lambda: ann.engine.pairing.remove(bob.email))
    world.settle()
    assert kept() == theirs
