"""What was decided, what is under way, and content that waits for its place."""

from __future__ import annotations

import pytest

from syftd.names import Digest, Email, RelPath
from syftd.state import files, messages, streams
from syftd.state.db import Db, in_memory
from syftd.transport import mailbox
from syftd.transport.mailbox import Ref

ADA, BOB, CY = (Email(f"{name}@example.org") for name in ("ada", "bob", "cy"))
A, B = (Digest.of(letter.encode()) for letter in "ab")
LETTER = Ref(mailbox.outbox(ADA, BOB), "letter", -1, "memory")


@pytest.fixture
def db() -> Db:
    return in_memory()


def test_a_verdict_belongs_to_a_sender_and_an_id(db: Db) -> None:
    messages.decide(db, BOB, "m1", "proposal", 1.0, "applied")
    assert messages.decided(db, BOB, "m1") == "applied"
    assert messages.decided(db, CY, "m1") is None, "somebody else's message of that name is another one"


def test_verdicts_are_told_once_in_order_unless_they_must_be_told_again(db: Db) -> None:
    for number, id in enumerate(("m1", "m2", "m3")):
        messages.decide(
            db, BOB, id, "proposal", float(number), "stale", "why", current=[("x", A), ("y", None)], tell=True
        )
    messages.decide(db, BOB, "letter", "inbox", 5.0, "handled")
    [first, *_] = messages.untold(db, BOB)
    assert (first.id, first.reason, first.current) == ("m1", "why", (("x", A), ("y", None)))
    assert [item.id for item in messages.untold(db, BOB, 2)] == ["m1", "m2"]
    assert messages.with_untold(db) == [BOB]
    messages.told(db, BOB, ["m1", "m2", "m3"])
    assert messages.untold(db, BOB) == [] and messages.with_untold(db) == []
    messages.tell_again(db, BOB, ["m2"])
    assert [item.id for item in messages.untold(db, BOB)] == ["m2"]
    messages.tell_all_again(db, BOB, 1.0)
    assert [item.id for item in messages.untold(db, BOB)] == ["m2", "m3"]


def test_old_verdicts_are_forgotten_when_they_were_told(db: Db) -> None:
    messages.decide(db, BOB, "told", "proposal", 1.0, "applied")
    messages.decide(db, BOB, "untold", "proposal", 1.0, "applied", tell=True)
    messages.decide(db, BOB, "new", "proposal", 9.0, "applied")
    messages.forget_before(db, 5.0)
    assert [messages.decided(db, BOB, id) for id in ("told", "untold", "new")] == [None, "applied", "applied"]


def test_refused_messages_are_counted_by_sender_and_time(db: Db) -> None:
    for number, verdict in enumerate(("malformed", "forged", "followed", "malformed")):
        messages.decide(db, BOB, f"m{number}", "outbox", float(number), verdict)
    assert messages.refused_since(db, BOB, 0.0) == 3
    assert messages.refused_since(db, BOB, 1.0) == 2
    assert messages.refused_since(db, CY, 0.0) == 0


def test_an_intent_lasts_until_it_is_carried_out(db: Db) -> None:
    rows = [
        messages.Intent("m1", RelPath("x"), None, A, BOB),
        messages.Intent("m1", RelPath("y"), A, None, BOB),
        messages.Intent("m1", RelPath("x"), None, B, CY),
    ]
    messages.intend(db, rows)
    messages.intend(db, rows[:1])
    assert messages.intents(db) == {(BOB, "m1"): rows[:2], (CY, "m1"): rows[2:]}
    assert messages.intended(db, BOB, "m1") and messages.under_way(db, CY, "m1")
    messages.intent_done(db, BOB, "m1")
    assert messages.intents(db) == {(CY, "m1"): rows[2:]}


def test_content_stays_while_somebody_waits_for_it(db: Db) -> None:
    for letter in b"abcd":
        messages.keep_content(db, [(Digest.of(bytes([letter])), bytes([letter]))])
    messages.intend(db, [messages.Intent("m", RelPath("x"), None, A, BOB)])
    streams.tell(db, ADA, "e", [streams.Told(RelPath("y"), B, False, 1, None)])
    messages.drop_content(db, [A])
    messages.drop_unused_content(db)
    assert [messages.content(db, Digest.of(bytes([letter]))) for letter in b"abcd"] == [b"a", b"b", None, None]
    messages.intent_done(db, BOB, "m")
    files.put(db, ADA, [files.FileRow(RelPath("y"), "y", B, 1, 0, 0, 0, False, True)])
    messages.drop_unused_content(db)
    assert messages.content(db, A) is None and messages.content(db, B) is None


def test_an_object_stays_until_all_that_it_told_of_is_here(db: Db) -> None:
    messages.owe_ack(db, LETTER, [A, B])
    assert messages.ack_owed(db, LETTER)
    assert messages.arrived(db, A) == []
    assert messages.owed_digests(db) == [B]
    assert messages.arrived(db, B) == [LETTER]
    assert not messages.ack_owed(db, LETTER)


def test_a_held_proposal_keeps_its_object_until_its_verdict(db: Db) -> None:
    ref = Ref(mailbox.inbox(ADA, BOB), "proposal", -1, "memory")
    messages.hold(db, BOB, "m1", ref, b"payload", 100, 1.0)
    messages.owe_ack(db, ref, [A])
    assert messages.held(db) == [messages.Held("m1", BOB, 1.0)]
    assert messages.held_payload(db, BOB, "m1") == b"payload" and messages.held_for(db, BOB) == (1, 100)
    assert messages.held_payload(db, CY, "m1") is None and messages.held_for(db, CY) == (0, 0)
    assert messages.arrived(db, A) == [], "its content is here, and its verdict is not"
    assert messages.release_held(db, BOB, "m1") == [ref]
    assert messages.held(db) == [] and not messages.ack_owed(db, ref)


def test_what_a_former_peer_proposed_is_forgotten(db: Db) -> None:
    ref = Ref(mailbox.inbox(ADA, BOB), "proposal", -1, "memory")
    messages.hold(db, BOB, "m1", ref, b"payload", 100, 1.0)
    messages.owe_ack(db, ref, [A])
    messages.drop_held(db, BOB)
    assert messages.held(db) == [] and messages.owed_digests(db) == []
