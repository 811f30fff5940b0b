"""Hostile bytes: whatever is done to a message, it is refused for what it is, or still says what it said.

Three layers are bent, since each must hold when the one outside lets something through. What is bent outside of the JSON
may only give the same message or a refusal; bent JSON may say something else, and is then a message like any other: it
can be written down and read again. Nothing raises anything but Malformed and TooLarge, and nothing takes long. Who really
sent a message is not the codec's business; the last test lets a real inbox judge that as well (Forged).
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from time import process_time
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import pytest
from hypothesis import given

from syftd.errors import Malformed, TooLarge
from syftd.state import messages as verdicts
from syftd.transport.mailbox import inbox
from syftd.wire import container, names
from syftd.wire.changes import EXTENSION_KEY
from syftd.wire.codec import decode_events
from syftd.wire.messages import Events, Limits, Proposal
from tests.properties import messages
from tests.properties.effort import examples
from tests.properties.test_rules import places, replaced
from tests.properties.test_wire import decoded, encoded
from tests.sim.world import World
from tests.unit.wire import forge
from tests.unit.wire.test_refusals import peak

LIMITS = Limits()
MIB = 1024 * 1024
LONGEST = 1.0
"""Seconds of processor time that a small message may take, on a busy machine."""

SAMPLES: list[Proposal | Events] = [forge.PROPOSAL, forge.EXTENDED_EVENTS, forge.PLAIN_EVENTS]


def judged(kind: type, packed: bytes) -> Proposal | Events | None:
    """The message in some bytes, None when they are refused; anything else that happens fails the test."""
    started = process_time()
    try:
        return decoded(kind, packed)
    except (Malformed, TooLarge) as error:
        assert str(error) and len(str(error)) < 1_000
        return None
    finally:
        assert process_time() - started < LONGEST


def understood_or_refused(kind: type, packed: bytes) -> None:
    """A bent message that is read is one that can be written down and read again."""
    message = judged(kind, packed)
    if message is not None:
        assert decoded(kind, encoded(message)) == message


@st.composite
def bent(draw: st.DrawFn, whole: bytes, other: bytes) -> bytes:
    """`whole` after one to three of: bits flipped, bytes overwritten, a piece cut out, repeated, or taken from `other`."""
    result = whole
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(result) - 1)))
        size = draw(st.one_of(st.integers(0, 8), st.integers(0, 700)))
        match draw(st.sampled_from(["flip", "write", "cut", "end", "repeat", "splice", "insert"])):
            case "flip" if result:
                mutable = bytearray(result)
                mutable[at] ^= 1 << draw(st.integers(0, 7))
                result = bytes(mutable)
            case "write":
                result = result[:at] + draw(st.binary(min_size=1, max_size=8)) + result[at + 8 :]
            case "cut":
                result = result[:at] + result[at + size :]
            case "end":
                result = result[:at]
            case "repeat":
                result = result[:at] + result[at : at + size] + result[at:]
            case "splice":
                start = draw(st.integers(0, max(0, len(other) - 1)))
                result = result[:at] + other[start : start + size] + result[at + size :]
            case "insert":
                result = result[:at] + draw(st.binary(max_size=16)) + result[at:]
    return result


@examples(300)
@given(st.sampled_from(SAMPLES), st.sampled_from(SAMPLES), st.data())
def test_a_bent_gzip_stream_is_refused_or_says_what_it_said(
    message: Proposal | Events, other: Proposal | Events, data: st.DataObject
) -> None:
    """A checksum goes over everything inside, so nothing else can come out."""
    sent = data.draw(bent(encoded(message), encoded(other)))
    for kind in (Proposal, Events):
        assert judged(kind, sent) in (None, message, other)


@examples(300)
@given(st.sampled_from(SAMPLES), st.sampled_from(SAMPLES), st.data())
def test_a_bent_tar_is_refused_or_holds_a_message(
    message: Proposal | Events, other: Proposal | Events, data: st.DataObject
) -> None:
    sent = data.draw(bent(gzip.decompress(encoded(message)), gzip.decompress(encoded(other))))
    understood_or_refused(type(message), gzip.compress(sent, 1))


@examples(300)
@given(st.sampled_from(SAMPLES), st.sampled_from(SAMPLES), st.data())
def test_bent_json_is_refused_or_is_a_message(
    message: Proposal | Events, other: Proposal | Events, data: st.DataObject
) -> None:
    raw, strange = (container.unpack(encoded(one), LIMITS) for one in (message, other))
    understood_or_refused(type(message), forge.packed(data.draw(bent(raw, strange))))


@examples(200)
@given(st.binary(max_size=400))
def test_random_bytes_are_refused_at_every_layer(content: bytes) -> None:
    for kind in (Proposal, Events):
        for sent in (content, gzip.compress(content), gzip.compress(forge.tar((forge.member(), content)))):
            assert judged(kind, sent) is None


STRANGE: list[Any] = [
    None, True, False, 0, -1, 1, 2**53, 2**63, 10**39, -(10**39), 1.5, -0.0, 1e308, "", "x", "a" * 64, "../x", "\ud800",
    "\0", "é" * 200, "x" * 9_000, [], [[]], [None], ["x"], {}, {"": 0}, {EXTENSION_KEY: {}}, [{}] * 40,
]  # fmt: skip


@pytest.mark.parametrize("message", SAMPLES, ids=["proposal", "events", "plain events"])
def test_everything_strange_in_every_place(message: Proposal | Events) -> None:
    """Every place in the JSON, from the whole of it to the last element, holds each strange value once; and is missing
    once."""
    body = json.loads(container.unpack(encoded(message), LIMITS))
    for place in places(body):
        for strange in STRANGE:
            understood_or_refused(type(message), quickly_packed(replaced(body, place, strange)))
        if place:
            understood_or_refused(type(message), quickly_packed(without(body, place)))


@examples(200)
@given(messages.proposals | messages.events, st.data())
def test_any_json_in_any_place_of_any_message(message: Proposal | Events, data: st.DataObject) -> None:
    body = json.loads(container.unpack(encoded(message), LIMITS))
    place = data.draw(st.sampled_from(places(body)))
    understood_or_refused(type(message), quickly_packed(replaced(body, place, data.draw(json_values))))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)

NUMBERS = ["9" * 41, "-" + "9" * 5_000, "1e999", "-1e999", "1e-999", "1." + "0" * 60, "0" * 9, "NaN", "Infinity", "0x1"]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("message", SAMPLES, ids=["proposal", "events", "plain events"])
def test_no_number_in_any_place_is_too_much(message: Proposal | Events, number: str) -> None:
    body = json.loads(container.unpack(encoded(message), LIMITS))
    for place in places(body):
        text = json.dumps(replaced(body, place, "\ue000")).replace('"\\ue000"', number)
        understood_or_refused(type(message), quickly_packed(text.encode()))


@examples(150)
@given(st.sampled_from(SAMPLES), st.data())
def test_members_that_are_there_twice_count_once_or_are_refused(message: Proposal | Events, data: st.DataObject) -> None:
    """The same key twice in an object, and the same member twice in the tar."""
    raw = container.unpack(encoded(message), LIMITS)
    body = json.loads(raw)
    target = data.draw(st.sampled_from([place for place in places(body) if place and isinstance(place[-1], str)]))
    twice = doubled(body, target)
    assert judged(type(message), forge.packed(twice.encode())) == message
    extra = data.draw(st.sampled_from([raw, b"{}", b""]))
    members = [(forge.member(), raw), (forge.member(), extra)]
    assert judged(type(message), gzip.compress(forge.tar(*members))) is None
    assert judged(type(message), gzip.compress(forge.tar(*reversed(members)))) is None


@examples(40)
@given(st.binary(min_size=1, max_size=2000))
def test_small_inputs_cost_little_memory(content: bytes) -> None:
    sent = gzip.compress(forge.tar((forge.member(), content)))
    assert peak(lambda: decode_events(sent, LIMITS)) < 2 * MIB


@examples(40)
@given(
    st.sampled_from([b"[", b"{", b'{"a":', b"0,", b'"",', b"[],", b'{"":0},', b"\\", b'"\\', b" ", b"9", b"\x00", b"null,"]),
    st.integers(10, MIB // 2),
    st.sampled_from([b"", b"[", b'{"events":[', b'{"x":"']),
)
def test_no_repetition_costs_more_than_what_json_costs(unit: bytes, size: int, start: bytes) -> None:
    """Whatever is repeated, and however early it turns out to be nothing: an empty object is two bytes there and a
    hundred times that in Python, and no more than that. (How many of them there may be is limited; see the refusals.)"""
    body = start + unit * (size // len(unit))
    sent = gzip.compress(forge.tar((forge.member(), body)), 0)
    assert judged(Events, sent) is None
    assert peak(lambda: decode_events(sent, LIMITS)) < 64 * len(sent) + MIB


def test_an_inbox_judges_every_bent_letter_and_takes_the_next_one(quick_folder: Path) -> None:
    """Through a real inbox: each bent proposal is acknowledged with a verdict of its own, one that speaks for somebody
    else or to somebody else is forged, and a good one that comes afterwards is applied."""
    world = World(quick_folder)
    ada, bob = world.site("ada"), world.site("bob")
    ada.rules("drop", write=[bob.email])
    world.befriend(ada, bob)
    box = inbox(ada.email, bob.email)
    body = forge.proposal_json(
        forge.change_json("drop/a.txt", datasite_email=str(ada.email)), sender_email=str(bob.email)
    )
    letters = [(place, strange) for place in places(body) for strange in (*STRANGE, "eve@example.org")]
    outcomes: Counter[str] = Counter()
    try:
        for number, (place, strange) in enumerate(letters):
            uid = str(UUID(int=number))
            body["id"] = body["message_filename"]["uid"] = uid
            name = names.proposal_name(2e9 + number, uid)
            bob.mailbox.put(box, name, quickly_packed(replaced(body, place, strange)), private=True)
            ada.poll()
            world.drain()
            assert name not in world.hub.contents(box), "it is acknowledged"
            outcomes[verdicts.decided(ada.db, bob.email, uid) or "none"] += 1
        assert outcomes.keys() == {"malformed", "forged", "applied", "stale", "denied"}, outcomes
        bob.write("drop/good.txt", b"good", ada.email)
        world.settle()
        ours = {path: content for path, content in ada.tree().items() if not path.startswith("app_data/")}
        assert ours.pop("drop/syft.pub.yaml")
        assert ours == {"drop/a.txt": b"hello", "drop/good.txt": b"good"}, "nothing was written but what may be"
    finally:
        world.close()


def quickly_packed(message: Any) -> bytes:
    """A message as the network's peers write it, but not compressed, which takes longer than everything else here."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return gzip.compress(forge.tar((forge.member(), body)), 0)


def without(value: Any, place: tuple[Any, ...]) -> Any:
    """A copy of a JSON value with one place left out."""
    key, *rest = place
    if rest:
        inside = value[key]
        return replaced(value, (key,), without(inside, tuple(rest)))
    if isinstance(value, dict):
        return {name: item for name, item in value.items() if name != key}
    return [item for number, item in enumerate(value) if number != key]


def doubled(body: Any, place: tuple[Any, ...]) -> str:
    """The JSON of a value, with the member at `place` written twice in its object: first as null, then as it is."""
    key, inside = place[-1], body
    for step in place[:-1]:
        inside = inside[step]
    target = json.dumps(inside)
    return json.dumps(replaced(body, place[:-1], "\ue000")).replace(
        '"\\ue000"', "{" + json.dumps(key) + ": null, " + target[1:]
    )
