"""The codec: every message comes back, with and without the extension keys, and is written one way only."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
from hypothesis import given

from syftd.wire import container
from syftd.wire.codec import decode_events, decode_proposal, encode_events, encode_proposal
from syftd.wire.messages import Events, Limits, Proposal
from tests.properties import messages
from tests.properties.effort import examples
from tests.unit.wire import forge

LIMITS = Limits()


def encoded(message: Proposal | Events, *, extensions: bool = True) -> bytes:
    if isinstance(message, Proposal):
        return encode_proposal(message, extensions=extensions)
    return encode_events(message, extensions=extensions)


def decoded(kind: type, packed: bytes) -> Proposal | Events:
    return decode_proposal(packed, LIMITS) if kind is Proposal else decode_events(packed, LIMITS)


@examples(150)
@given(messages.proposals | messages.events)
def test_every_message_comes_back_and_is_written_one_way(message: Proposal | Events) -> None:
    packed = encoded(message)
    assert decoded(type(message), packed) == message
    assert encoded(message) == packed


@examples(100)
@given(messages.plain_proposals | messages.plain_events)
def test_every_plain_message_comes_back_without_a_word_of_ours(message: Proposal | Events) -> None:
    packed = encoded(message, extensions=False)
    assert decoded(type(message), packed) == message
    body = json.loads(container.unpack(packed, LIMITS))
    assert "syftd" not in body and not any("syftd" in change for change in inner_changes(body))


@examples(150)
@given(messages.proposals | messages.events, st.data())
def test_keys_that_nobody_knows_change_nothing_wherever_they_stand(
    message: Proposal | Events, data: st.DataObject
) -> None:
    """Newer peers may add keys of their own, to the network's objects and to ours."""
    body = json.loads(container.unpack(encoded(message), LIMITS))
    objects = found_objects(body)
    for target in data.draw(st.lists(st.sampled_from(objects), max_size=4)):
        target["novelty"] = data.draw(st.sampled_from([None, 0, [], {"syftd": 1}, "x", [[["deep"]]]]))
    assert decoded(type(message), forge.packed(body)) == message


@examples(100)
@given(messages.proposals | messages.events, st.data())
def test_the_order_and_the_spelling_of_the_json_mean_nothing(message: Proposal | Events, data: st.DataObject) -> None:
    body = json.loads(container.unpack(encoded(message), LIMITS))
    other = json.dumps(body, sort_keys=True, ensure_ascii=True, indent=data.draw(st.sampled_from([None, 0, 7])))
    assert decoded(type(message), forge.packed(other.encode())) == message


def inner_changes(body: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body.get("proposed_file_changes", body.get("events", []))
    return found


def found_objects(value: Any) -> list[dict[str, Any]]:
    """Every JSON object in a value, itself included."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [*([value] if isinstance(value, dict) else []), *(found for item in inside for found in found_objects(item))]
