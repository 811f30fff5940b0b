"""Becoming peers, saying no, and parting: what each side sees, and that strangers get nothing."""

from __future__ import annotations

import pytest

from tests.journeys.boxes import carried
from tests.journeys.conftest import ANN, BEN, OWNER, Pair, Three
from tests.journeys.daemons import CommandFailed, Daemon, befriend

SECONDS = 30.0


def becomes(one: Daemon, peer: str, state: str) -> None:
    """Waits until `one` shows `peer` in that state."""
    one.wait_for(lambda: one.peer_state(peer) == state, SECONDS, f"{peer} to be {state}", 0.1)


def test_a_request_is_seen_on_both_sides_and_accepting_connects_them(strangers: Pair) -> None:
    owner, researcher = strangers.owner, strangers.researcher
    owner.write("public/hello.txt", "hello")
    assert owner.cli("peers", "list") == []
    researcher.cli("peers", "add", owner.email)
    assert researcher.peer_state(owner.email) == "requested_by_me"
    becomes(owner, researcher.email, "requested_by_peer")
    assert not researcher.mirror(owner.email).exists()
    assert carried(owner.folder, b"hello") == []
    owner.cli("peers", "accept", researcher.email)
    assert owner.peer_state(researcher.email) == "accepted"
    becomes(researcher, owner.email, "accepted")
    researcher.sees(owner.email, "public/hello.txt", "hello")


def test_accepting_before_the_request_has_arrived_fails_with_a_clear_word(strangers: Pair) -> None:
    owner, researcher = strangers.owner, strangers.researcher
    with pytest.raises(CommandFailed, match=f"no request from {researcher.email} has arrived yet") as failed:
        owner.cli("peers", "accept", researcher.email)
    assert failed.value.code == 2
    assert f"syftd peers add {owner.email}" in str(failed.value)
    assert owner.peer_state(researcher.email) == ""
    befriend(researcher, owner)


def test_a_no_is_seen_on_both_sides_and_nothing_is_sent(strangers: Pair) -> None:
    owner, researcher = strangers.owner, strangers.researcher
    owner.write("public/letter.txt", "a canary in the public folder")
    researcher.cli("peers", "add", owner.email)
    becomes(owner, researcher.email, "requested_by_peer")
    owner.cli("peers", "reject", researcher.email)
    assert owner.peer_state(researcher.email) == "rejected"
    becomes(researcher, owner.email, "rejected")
    assert carried(owner.folder, b"a canary in the public folder") == []
    assert not researcher.mirror(owner.email).exists()


def test_parting_stops_the_flow_is_seen_by_both_and_can_be_mended(pair: Pair) -> None:
    owner, researcher = pair.owner, pair.researcher
    owner.write("public/before.txt", "before")
    researcher.sees(owner.email, "public/before.txt", "before")
    owner.cli("peers", "remove", researcher.email)
    assert owner.peer_state(researcher.email) == ""  # Who was removed is no contact, so the list does not name them.
    becomes(researcher, owner.email, "rejected")
    owner.write("public/after.txt", "written after parting")
    owner.wait_for(lambda: owner.cli("history", "public/after.txt"), SECONDS, "the new file in history", 0.1)
    assert carried(owner.folder, b"written after parting") == []
    assert not (researcher.mirror(owner.email) / "public/after.txt").exists()
    # What was received before stays: it is the reader's now.
    assert (researcher.mirror(owner.email) / "public/before.txt").read_text() == "before"
    researcher.cli("peers", "remove", owner.email)
    befriend(researcher, owner)
    researcher.sees(owner.email, "public/after.txt", "written after parting")


def test_the_researcher_may_part_too(pair: Pair) -> None:
    owner, researcher = pair.owner, pair.researcher
    researcher.cli("peers", "remove", owner.email)
    assert researcher.peer_state(owner.email) == ""
    becomes(owner, researcher.email, "rejected")
    owner.write("public/after.txt", "written after parting")
    owner.wait_for(lambda: owner.cli("history", "public/after.txt"), SECONDS, "the new file in history", 0.1)
    assert carried(owner.folder, b"written after parting") == []


def test_an_unknown_peer_gets_nothing_and_two_peers_of_one_owner_stay_strangers(three: Three) -> None:
    owner, ann, ben = three.owner, three.ann, three.ben
    owner.write("public/all.txt", "for every peer")
    ann.sees(OWNER, "public/all.txt", "for every peer")
    ben.sees(OWNER, "public/all.txt", "for every peer")
    ann.write("public/mine.txt", "ann's own public file")
    owner.sees(ANN, "public/mine.txt", "ann's own public file")
    ben.caught_up_with(owner)
    assert [peer["email"] for peer in ann.cli("peers", "list")] == [OWNER]
    assert [peer["email"] for peer in ben.cli("peers", "list")] == [OWNER]
    assert not ben.mirror(ANN).exists()
    # Ann's boxes name the owner and nobody else.
    boxes = [box.name for box in (three.mailbox / ANN).iterdir() if box.name.startswith("syft_datasite#")]
    assert boxes
    assert all(BEN not in box for box in boxes)
