"""What is written can be read again, and is written the same way every time."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from syftd.errors import ContentMissing, Malformed, TooLarge
from syftd.names import Digest, RelPath
from syftd.wire import container
from syftd.wire.changes import body_cost
from syftd.wire.codec import decode_events, decode_proposal, encode_events, encode_proposal
from syftd.wire.messages import (
    CHUNK_BYTES,
    BlobRef,
    Change,
    Events,
    Limits,
    Proposal,
    Verdict,
)

from . import forge

LIMITS = Limits()
GOLDEN = Path(__file__).with_name("golden")


def test_golden_messages() -> None:
    """The bodies in golden/ were written by hand from the description of the network's format."""
    for packed, name in [
        (encode_proposal(forge.PROPOSAL, extensions=False), "proposal_plain.json"),
        (encode_events(forge.PLAIN_EVENTS, extensions=False), "events_plain.json"),
        (encode_events(forge.EXTENDED_EVENTS, extensions=True), "events_extended.json"),
    ]:
        assert container.unpack(packed, LIMITS) == (GOLDEN / name).read_bytes().rstrip(b"\n")
    body = (GOLDEN / "proposal_plain.json").read_bytes()
    assert decode_proposal(forge.packed(body), LIMITS) == forge.PROPOSAL
    assert decode_events(forge.packed((GOLDEN / "events_plain.json").read_bytes()), LIMITS) == forge.PLAIN_EVENTS
    assert decode_events(forge.packed((GOLDEN / "events_extended.json").read_bytes()), LIMITS) == forge.EXTENDED_EVENTS


def test_the_container_is_what_the_standard_library_would_write() -> None:
    packed = encode_proposal(forge.PROPOSAL, extensions=False)
    assert packed[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    raw = gzip.decompress(packed)
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        (info,) = archive.getmembers()
        assert (info.name, info.mode, info.mtime, info.uid, info.gid) == (container.MEMBER, 0o644, 0, 0, 0)
        member = archive.extractfile(info)
        assert member is not None
        body = member.read()
    # Python's releases disagree about the device numbers of a plain file, and so about the checksum; nobody reads them.
    theirs = forge.tar((forge.member(), body))
    for span in (slice(0, 148), slice(156, 329), slice(345, None)):
        assert raw[span] == theirs[span]


def test_text_is_what_decodes_as_utf8_unless_escapes_would_bloat_it() -> None:
    cases = {
        b"": "text",
        b"a\r\nb\r\n": "text",
        "Grüße".encode(): "text",
        b'"""': "text",
        b"\xff": "binary",
        bytes(1000): "binary",
        b"\xed\xa0\x80": "binary",
    }
    batch = tuple(
        Change(RelPath.parse(f"f{i}"), None, Digest.of(content), content) for i, content in enumerate(cases)
    )
    proposal = Proposal(forge.MESSAGE_ID, forge.SENDER, forge.OWNER, 5.5, batch)
    packed = encode_proposal(proposal, extensions=False)
    written = json.loads(container.unpack(packed, LIMITS))["proposed_file_changes"]
    assert [change["content_type"] for change in written] == list(cases.values())
    assert decode_proposal(packed, LIMITS).changes == batch


def test_very_repetitive_content_does_not_look_like_a_bomb_to_our_own_reader() -> None:
    content = bytes(4 * 1024 * 1024)
    change = Change(RelPath.parse("zeros.bin"), None, Digest.of(content), content)
    packed = encode_events(Events(forge.EVENTS_ID, forge.OWNER, 5.5, (change,)), extensions=False)
    assert len(packed) < len(content)
    assert decode_events(packed, LIMITS).changes == (change,)


def test_the_largest_inline_content_fits() -> None:
    content = os.urandom(32 * 1024 * 1024)
    change = Change(RelPath.parse("large.bin"), None, Digest.of(content), content)
    packed = encode_events(Events(forge.EVENTS_ID, forge.OWNER, 5.5, (change,)), extensions=False)
    assert len(packed) <= LIMITS.message_bytes
    assert decode_events(packed, LIMITS).changes == (change,)


def test_what_our_own_reader_would_refuse_is_not_written() -> None:
    content = os.urandom(40 * 1024 * 1024)
    change = Change(RelPath.parse("large.bin"), None, Digest.of(content), content)
    with pytest.raises(TooLarge):
        encode_events(Events(forge.EVENTS_ID, forge.OWNER, 5.5, (change,)), extensions=False)


def test_the_cost_of_a_change_is_an_upper_bound() -> None:
    hard = [b"", bytes(3000), b'"\\' * 1500, os.urandom(3000), b"\n" * 3000, "\u2028é".encode() * 500]
    batch = [Change(RelPath.parse(f'q"{i}' + "é" * 60), None, Digest.of(raw), raw) for i, raw in enumerate(hard)]
    batch.append(Change(RelPath.parse("b"), None, forge.DIGEST_X, blob=BlobRef(9 * CHUNK_BYTES, (forge.DIGEST_X,) * 9)))
    proposal = Proposal(forge.MESSAGE_ID, forge.SENDER, forge.OWNER, 5.5, tuple(batch))
    body = container.unpack(encode_proposal(proposal, extensions=True), LIMITS)
    assert len(body) <= sum(body_cost(change) for change in batch)


def test_what_a_plain_message_cannot_say_is_refused_when_written() -> None:
    blob = Change(RelPath.parse("b"), None, forge.DIGEST_X, blob=BlobRef(1, (forge.DIGEST_X,)))
    nothing = Change(RelPath.parse("n"), None, forge.DIGEST_X)
    proposal = Proposal(forge.MESSAGE_ID, forge.SENDER, forge.OWNER, 5.5, ())
    with pytest.raises(Malformed):
        encode_proposal(proposal, extensions=False)
    with pytest.raises(TooLarge):
        encode_events(Events(forge.EVENTS_ID, forge.OWNER, 5.5, (blob,)), extensions=False)
    with pytest.raises(ContentMissing):
        encode_events(Events(forge.EVENTS_ID, forge.OWNER, 5.5, (nothing,)), extensions=True)


def test_a_merged_message_of_the_network_is_folded_to_one_change_a_path() -> None:
    """The network's owners merge old outbox messages and keep every event, so paths repeat there."""
    merged = forge.events_json(
        forge.change_json("a", "1", old_hash=forge.DIGEST_X),
        forge.change_json("b", "2"),
        forge.change_json("a", None, is_deleted=True),
        forge.change_json("a", "3"),
    )
    assert decode_events(forge.packed(merged), LIMITS).changes == (
        Change(RelPath.parse("b"), None, Digest.of(b"2"), b"2"),
        Change(RelPath.parse("a"), forge.DIGEST_X, Digest.of(b"3"), b"3"),
    )


def test_the_reason_of_a_verdict_cannot_steer_a_terminal() -> None:
    told = Verdict(forge.MESSAGE_ID, "denied", "no\x1b[2J\nyou\u202e may not" + "!" * 5000)
    packed = encode_events(Events(forge.EVENTS_ID, forge.OWNER, 5.5, (), (told,)), extensions=True)
    (read,) = decode_events(packed, LIMITS).verdicts
    assert read.reason.startswith("no [2J you  may not!!!")
    assert len(read.reason) <= 2000


def test_the_message_gives_its_object_name_again() -> None:
    from syftd.wire.names import events_name, parse

    events = decode_events(encode_events(forge.PLAIN_EVENTS, extensions=False), LIMITS)
    name = parse(events_name(events.made_at, events.id))
    assert name is not None
    assert (name.timestamp, name.uid) == (1795309400.5, forge.EVENTS_ID)
