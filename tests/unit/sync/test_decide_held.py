"""Proposals with large content wait for it within bounds, and whose message it is decides what an id means."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from syftd.errors import Transient
from syftd.names import Digest, RelPath
from syftd.state import contacts, messages
from syftd.transport import mailbox
from syftd.transport.mailbox import Ref
from syftd.wire import names as wire_names
from syftd.wire.messages import BlobRef, Change, Verdict
from tests.sim.adversity import Crash
from tests.sim.world import Site, World
from tests.unit.sync.letters import let_see, lying, propose, pump_only, put

DAY = 86400.0


@pytest.fixture(autouse=True)
def silent(world: World, ada: Site, bob: Site) -> None:
    """Bob's daemon does nothing; the test speaks for it."""
    world.settle()


def large(sender: Site, path: str, content: bytes, *, there: bool = True) -> Change:
    """A change whose content lies in the sender's blobs box (or is only said to)."""
    digest = Digest.of(content)
    if there:
        sender.mailbox.put(mailbox.blobs(sender.email), digest, content, private=True)
    return Change(RelPath(path), None, digest, blob=BlobRef(len(content), (digest,)))


def outcomes(ada: Site, bob: Site) -> dict[str, Verdict]:
    return {item.proposal: item for told in lying(ada, bob) for item in told.verdicts}


@contextmanager
def cut_off(ada: Site) -> Iterator[None]:
    """No large content reaches ada."""
    get = ada.mailbox.get

    def refusing(ref: Ref, *args: int) -> bytes:
        if ref.box.kind == "blobs":
            raise Transient("the line is down")
        return get(ref, *args)

    ada.mailbox.get = refusing  # type: ignore[method-assign]
    yield
    ada.mailbox.get = get  # type: ignore[method-assign]


def later(ada: Site) -> None:
    for _ in range(4):
        let_see(ada, 400)


def test_what_a_removed_peer_proposed_is_not_carried_out_when_its_content_arrives(ada: Site, bob: Site) -> None:
    with cut_off(ada):
        propose(bob, ada, [large(bob, "drop/big.bin", b"b" * 300_000)])
        let_see(ada)
        assert [item.sender for item in messages.held(ada.db)] == [bob.email]
        ada.engine.pairing.remove(bob.email)
    assert not messages.held(ada.db)
    later(ada)
    assert "drop/big.bin" not in ada.tree()


def test_a_held_proposal_is_judged_by_the_peers_and_the_rules_of_the_day(ada: Site, bob: Site) -> None:
    with cut_off(ada):
        propose(bob, ada, [large(bob, "drop/big.bin", b"b" * 300_000)])
        let_see(ada)
        peer = contacts.get(ada.db, bob.email)
        assert peer is not None
        contacts.put(ada.db, peer._replace(state="rejected"))
    later(ada)
    assert "drop/big.bin" not in ada.tree()
    assert not messages.held(ada.db)


def test_rules_edited_a_moment_ago_govern_a_held_proposal(ada: Site, bob: Site) -> None:
    with cut_off(ada):
        id = propose(bob, ada, [large(bob, "drop/big.bin", b"b" * 300_000)])
        let_see(ada)
        ada.rules("drop", write=[], hint=False)
    ada.world.clock.advance(400)
    ada.poll()
    pump_only(ada)
    assert "drop/big.bin" not in ada.tree()
    later(ada)
    assert outcomes(ada, bob)[id].outcome == "denied"
    assert "drop/big.bin" not in ada.tree()


def test_the_held_proposal_goes_in_the_same_commit_as_its_verdict(ada: Site, bob: Site) -> None:
    seen: list[tuple[bool, bool]] = []
    with cut_off(ada):
        id = propose(bob, ada, [large(bob, "drop/big.bin", b"b" * 300_000)])
        let_see(ada)

    def meet(seam: str) -> None:
        if seam == "commit.after":
            done = messages.decided(ada.db, bob.email, id) is not None
            seen.append((done, messages.held_payload(ada.db, bob.email, id) is not None))

    ada.meet = meet
    later(ada)
    assert (True, False) in seen and (True, True) not in seen
    assert ada.tree()["drop/big.bin"] == b"b" * 300_000
    assert not ada.world.hub.contents(mailbox.inbox(ada.email, bob.email))


def test_one_peer_can_only_keep_so_many_proposals_waiting(ada: Site, bob: Site) -> None:
    ada.parts.tuning = replace(ada.parts.tuning, held_proposals_per_peer=2)
    with cut_off(ada):
        ids = [propose(bob, ada, [large(bob, f"drop/{n}.bin", b"%d" % n * 300_000)]) for n in range(3)]
        let_see(ada)
        assert {item.id for item in messages.held(ada.db)} == set(ids[:2])
        assert outcomes(ada, bob)[ids[2]].outcome == "too_large"


def test_one_peer_can_only_announce_so_many_bytes(ada: Site, bob: Site) -> None:
    ada.parts.tuning = replace(ada.parts.tuning, held_bytes_per_peer=700_000)
    with cut_off(ada):
        ids = [propose(bob, ada, [large(bob, f"drop/{n}.bin", b"%d" % n * 300_000)]) for n in range(3)]
        let_see(ada)
        assert {item.id for item in messages.held(ada.db)} == set(ids[:2])
        assert outcomes(ada, bob)[ids[2]].outcome == "too_large"
    later(ada)
    assert {"drop/0.bin", "drop/1.bin"} <= ada.tree().keys()


def test_content_that_never_arrives_ends_the_wait(ada: Site, bob: Site) -> None:
    id = propose(bob, ada, [large(bob, "drop/never.bin", b"n" * 300_000, there=False)])
    let_see(ada)
    let_see(ada, 6 * DAY)
    assert messages.held(ada.db) and id not in outcomes(ada, bob)
    let_see(ada, 2 * DAY)
    let_see(ada)
    assert outcomes(ada, bob)[id].outcome == "malformed"
    assert not messages.held(ada.db)
    assert not ada.world.hub.contents(mailbox.inbox(ada.email, bob.email))


def test_equal_large_files_in_one_proposal_all_arrive(ada: Site, bob: Site) -> None:
    content = bytes(range(256)) * 2000
    changes = [large(bob, f"drop/{name}.bin", content) for name in ("a", "b", "c")]
    id = propose(bob, ada, [put("drop/run.sh", b"#!/bin/sh\n"), *changes])
    for _ in range(3):
        let_see(ada)
    assert outcomes(ada, bob)[id].outcome == "applied"
    tree = ada.tree()
    assert {tree[f"drop/{name}.bin"] for name in ("a", "b", "c")} == {content}
    inodes = {ada.place(f"drop/{name}.bin").stat().st_ino for name in ("a", "b", "c")}
    assert len(inodes) == 3, "an edit of one must not change the others"
    assert not list((ada.data / ".stage").iterdir())


def test_large_files_survive_a_crash_in_the_middle(ada: Site, bob: Site) -> None:
    content = bytes(range(256)) * 2000
    id = propose(bob, ada, [large(bob, "drop/a.bin", content), large(bob, "drop/b.bin", content)])

    def meet(seam: str) -> None:
        if seam == "replace" and ada.place("drop/a.bin").exists():
            raise Crash(seam)

    ada.meet = meet
    for _ in range(3):
        let_see(ada)
    ada.meet = lambda seam: None
    assert not ada.alive
    ada.restart()
    let_see(ada)
    assert outcomes(ada, bob)[id].outcome == "applied"
    assert ada.tree()["drop/a.bin"] == ada.tree()["drop/b.bin"] == content


def test_somebody_elses_use_of_an_id_takes_nothing_from_its_owner(world: World, ada: Site, bob: Site) -> None:
    cy = world.site("cy")
    world.befriend(ada, cy)
    id = propose(cy, ada, [put("nope/x.txt", b"x")])
    let_see(ada)
    [name] = [
        name for (name,) in ada.db.all("SELECT id FROM message WHERE sender = ? AND kind = 'inbox'", cy.email)
    ]
    payload_id = propose(bob, ada, [put("drop/mine.txt", b"mine")], id=id)
    # The same object name as well, as somebody does who saw it in a shared folder.
    box = mailbox.inbox(ada.email, bob.email)
    [(own_name, payload)] = world.hub.contents(box).items()
    bob.mailbox.remove(Ref(box, own_name, -1, "memory"))
    bob.mailbox.put(box, name, payload, private=True)
    let_see(ada)
    assert ada.tree()["drop/mine.txt"] == b"mine"
    assert outcomes(ada, bob)[payload_id].outcome == "applied"
    assert outcomes(ada, cy)[id].outcome == "denied"
    assert not world.hub.contents(box)


def test_a_malformed_proposal_is_answered(ada: Site, bob: Site) -> None:
    id = ada.world.random.uuid()
    name = wire_names.proposal_name(ada.world.stamp() / 1e9, id)
    bob.mailbox.put(mailbox.inbox(ada.email, bob.email), name, b"garbage", private=True)
    let_see(ada)
    assert outcomes(ada, bob)[id].outcome == "malformed"
    assert messages.refused_since(ada.db, bob.email, 0.0) == 1


def test_garbage_under_an_id_that_was_decided_changes_no_verdict(ada: Site, bob: Site) -> None:
    id = propose(bob, ada, [put("drop/x.txt", b"x")])
    let_see(ada)
    name = wire_names.proposal_name(ada.world.stamp() / 1e9, id)
    bob.mailbox.put(mailbox.inbox(ada.email, bob.email), name, b"garbage", private=True)
    let_see(ada)
    assert messages.decided(ada.db, bob.email, id) == "applied"


def test_where_anybody_writes_garbage_ends_nobodys_proposal(ada: Site, bob: Site) -> None:
    ada.router.vouches = lambda transport: False  # type: ignore[method-assign]
    id = propose(bob, ada, [put("drop/x.txt", b"x")])
    let_see(ada)
    assert messages.decided(ada.db, bob.email, id) is None


def test_a_stale_verdict_names_a_bounded_number_of_paths(ada: Site, bob: Site) -> None:
    changes = [put(f"drop/{number}.txt", b"x", b"some base") for number in range(150)]
    id = propose(bob, ada, changes)
    let_see(ada)
    found = outcomes(ada, bob)[id]
    assert found.outcome == "stale" and len(found.current) == 100
