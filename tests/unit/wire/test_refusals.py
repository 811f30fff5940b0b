"""Every row of the list of what a robust peer refuses, as far as it concerns the bytes of a message, by name. That nothing
else gets through either, whatever is done to the bytes, is in tests/properties."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from syftd.errors import ItemError, Malformed, TooLarge
from syftd.wire import container
from syftd.wire.codec import decode_events, decode_proposal
from syftd.wire.messages import CHUNK_BYTES, Limits

from . import forge
from .forge import change_json, events_json, packed, proposal_json

LIMITS = Limits()
MIB = 1024 * 1024


def refused(content: bytes, limits: Limits = LIMITS) -> ItemError:
    """The error with which a proposal of these bytes is refused; any other outcome fails the test."""
    with pytest.raises((Malformed, TooLarge)) as caught:
        decode_proposal(content, limits)
    return caught.value


def peak(work: Callable[[], object]) -> int:
    """Bytes that Python allocates at the most while `work` is refused or done."""
    tracemalloc.start()
    try:
        try:
            work()
        except ItemError:
            pass  # What counts here is the memory; the refusal itself is asserted elsewhere.
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_forged_message_is_valid_before_it_is_bent() -> None:
    assert len(decode_proposal(packed(proposal_json()), LIMITS).changes) == 1
    assert len(decode_events(packed(events_json()), LIMITS).changes) == 1


def test_sender_is_what_the_body_claims_so_that_the_inbox_can_compare() -> None:
    assert decode_proposal(packed(proposal_json(sender_email="Eve@Example.org")), LIMITS).sender == "eve@example.org"


@pytest.mark.parametrize("claimed", [None, 5, "", "nobody", "a/b@example.org", "a@b@c", "x" * 10_000_000 + "@e.org"])
def test_a_sender_that_is_no_address_is_refused(claimed: Any) -> None:
    refused(packed(proposal_json(sender_email=claimed)))


@pytest.mark.parametrize(
    "path",
    [
        None,
        5,
        "",
        "/etc/passwd",
        "../up",
        "a/../b",
        "a/./b",
        "./a",
        "a//b",
        "a/",
        "nul\0",
        "line\nfeed",
        "bell\x07",
        "c1\x85",
        "back\\slash",
        "..\\up",
        "nfd-e\u0301",
        "rtl\u202ename",
        "lone\ud800",
        "x" * 256,
        "é" * 128,
        "a/" * 2048 + "a",
        "x" * 5_000_000,
    ],
)
def test_a_path_that_is_not_canonical_is_refused(path: Any) -> None:
    assert isinstance(refused(packed(proposal_json(change_json(path)))), Malformed)


def test_a_change_for_another_datasite_than_the_rest_is_refused() -> None:
    other = change_json("b", datasite_email="other@example.org")
    assert "two datasites" in str(refused(packed(proposal_json(change_json("a"), other))))
    told = proposal_json(change_json("a"), syftd={"datasite": "other@example.org"})
    assert "two datasites" in str(refused(packed(told)))
    with pytest.raises(Malformed):
        decode_events(packed(events_json(change_json("a"), other)), LIMITS)


def test_a_message_that_names_no_datasite_is_refused() -> None:
    refused(packed(proposal_json(proposed_file_changes=[])))


def test_an_address_in_other_case_is_the_same_datasite() -> None:
    both = proposal_json(change_json("a"), change_json("b", datasite_email="DO@example.org"))
    assert decode_proposal(packed(both), LIMITS).datasite == "do@example.org"


def test_the_same_path_twice_is_refused_in_a_proposal_and_in_a_stream() -> None:
    refused(packed(proposal_json(change_json("a"), change_json("a"))))
    stream = {"owner": str(forge.OWNER), "stream": {"epoch": "e", "sequence": 1}}
    with pytest.raises(Malformed, match="twice"):
        decode_events(packed(events_json(change_json("a"), change_json("a"), syftd=stream)), LIMITS)


def test_a_digest_that_is_not_that_of_the_content_is_refused() -> None:
    assert "digest" in str(refused(packed(proposal_json(change_json(new_hash=forge.DIGEST_X)))))
    right = change_json(content="x", new_hash=forge.DIGEST_X)
    assert decode_proposal(packed(proposal_json(right)), LIMITS).changes[0].after == forge.DIGEST_X


def test_a_missing_digest_is_computed() -> None:
    assert decode_proposal(packed(proposal_json(change_json(content="x"))), LIMITS).changes[0].after == forge.DIGEST_X


@pytest.mark.parametrize("digest", ["", "x" * 64, "A" * 64, "a" * 63, 5, [], "a" * 10_000_000])
@pytest.mark.parametrize("key", ["old_hash", "new_hash"])
def test_a_digest_in_another_form_is_refused(key: str, digest: Any) -> None:
    refused(packed(proposal_json(change_json(**{key: digest}))))


@pytest.mark.parametrize(
    "fields",
    [
        {"content": None},
        {"content": 5},
        {"content": ["x"]},
        {"content": "lone \ud800 surrogate"},
        {"content_type": "html"},
        {"content_type": 5},
        {"content_type": {}},
        {"content": "AA==\n", "content_type": "binary"},
        {"content": "A A=", "content_type": "binary"},
        {"content": "AAA", "content_type": "binary"},
        {"content": "AA-_", "content_type": "binary"},
        {"content": "é", "content_type": "binary"},
        {"is_deleted": True},
        {"is_deleted": True, "content": None, "new_hash": forge.DIGEST_X},
        {"is_deleted": "yes"},
        {"is_deleted": 1},
        {"id": "not-a-uuid"},
        {"id": 5},
        {"submitted_timestamp": "now"},
        {"submitted_timestamp": True},
        {"submitted_timestamp": -1},
        {"submitted_timestamp": 1e308},
        {"datasite_email": None},
        {"datasite_email": ["do@example.org"]},
        {"syftd": []},
        {"syftd": {"executable": "yes"}},
        {"syftd": {"blob": {"size": 1, "chunks": [forge.DIGEST_X]}}},
    ],
)
def test_a_change_with_wrong_types_is_refused(fields: dict[str, Any]) -> None:
    assert isinstance(refused(packed(proposal_json(change_json(**fields)))), Malformed)


@pytest.mark.parametrize(
    "blob",
    [
        5,
        {},
        {"size": 0, "chunks": []},
        {"size": -1, "chunks": []},
        {"size": 1.0, "chunks": [forge.DIGEST_X]},
        {"size": True, "chunks": [forge.DIGEST_X]},
        {"size": 1, "chunks": []},
        {"size": 1, "chunks": [None]},
        {"size": 1, "chunks": [forge.DIGEST_X] * 2},
        {"size": CHUNK_BYTES + 1, "chunks": [forge.DIGEST_X]},
        {"size": 1, "chunks": forge.DIGEST_X},
        {"size": 2**70, "chunks": []},
        {"size": LIMITS.blob_bytes + 1, "chunks": []},
    ],
)
def test_a_blob_that_does_not_add_up_is_refused(blob: Any) -> None:
    refused(packed(proposal_json(change_json(content=None, new_hash=forge.DIGEST_X, syftd={"blob": blob}))))


def test_a_blob_over_the_limit_is_too_large() -> None:
    blob = {"size": 11, "chunks": [forge.DIGEST_X]}
    sent = packed(proposal_json(change_json(content=None, new_hash=forge.DIGEST_X, syftd={"blob": blob})))
    assert decode_proposal(sent, Limits(blob_bytes=11)).changes[0].blob is not None
    assert isinstance(refused(sent, Limits(blob_bytes=10)), TooLarge)


def test_a_blob_without_a_digest_of_the_whole_is_refused() -> None:
    blob = {"size": 1, "chunks": [forge.DIGEST_X]}
    refused(packed(proposal_json(change_json(content=None, syftd={"blob": blob}))))


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "x"},
        {"message_filename": None},
        {"message_filename": []},
        {"message_filename": {"uid": forge.MESSAGE_ID}},
        {"message_filename": {"submitted_timestamp": "5", "uid": forge.MESSAGE_ID}},
        {"message_filename": {"submitted_timestamp": 5.5, "uid": forge.MESSAGE_ID.upper()}},
        {"proposed_file_changes": None},
        {"proposed_file_changes": {}},
        {"proposed_file_changes": [None]},
        {"proposed_file_changes": ["x"]},
        {"syftd": "x"},
        {"syftd": {"resync": 1}},
        {"syftd": {"datasite": 5}},
    ],
)
def test_a_proposal_with_wrong_types_is_refused(fields: dict[str, Any]) -> None:
    assert isinstance(refused(packed(proposal_json(**fields))), Malformed)


@pytest.mark.parametrize(
    "beyond",
    [
        {"stream": []},
        {"stream": {"epoch": "e"}},
        {"stream": {"epoch": "e", "sequence": 0}},
        {"stream": {"epoch": "e", "sequence": 1.0}},
        {"stream": {"epoch": "e", "sequence": True}},
        {"stream": {"epoch": "e", "sequence": 2**60}},
        {"stream": {"epoch": "", "sequence": 1}},
        {"stream": {"epoch": "e/../e", "sequence": 1}},
        {"stream": {"sequence": 1}},
        {"stream": {"epoch": "e", "sequence": 3, "voided": [3]}},
        {"stream": {"epoch": "e", "sequence": 3, "voided": [2, 1]}},
        {"stream": {"epoch": "e", "sequence": 3, "voided": [0]}},
        {"stream": {"epoch": "e", "sequence": 3, "voided": 2}},
        {"stream": {"epoch": "e", "sequence": 3, "previous": "x"}},
        {"stream": {"epoch": "e", "sequence": 3, "complete": "yes"}},
        {"verdicts": {}},
        {"verdicts": [5]},
        {"verdicts": [{"proposal": "x", "outcome": "applied"}]},
        {"verdicts": [{"proposal": forge.MESSAGE_ID, "outcome": "great"}]},
        {"verdicts": [{"proposal": forge.MESSAGE_ID, "outcome": ["applied"]}]},
        {"verdicts": [{"proposal": forge.MESSAGE_ID, "outcome": "applied", "reason": 5}]},
        {"verdicts": [{"proposal": forge.MESSAGE_ID, "outcome": "stale", "current": [{"path": "../x"}]}]},
        {"verdicts": [{"proposal": forge.MESSAGE_ID, "outcome": "stale", "current": [{"path": "x", "digest": "y"}]}]},
        {"standing": "emperor"},
        {"standing": ["rejected"]},
        {"owner": "nobody"},
    ],
)
def test_extension_keys_with_wrong_types_are_refused(beyond: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        decode_events(packed(events_json(syftd=beyond)), LIMITS)


def test_unknown_keys_and_other_plain_members_are_ignored() -> None:
    message = proposal_json(change_json(novelty=1, syftd={"novelty": []}), novelty={}, syftd={"novelty": 1})
    body = json.dumps(message).encode()
    archive = forge.tar((forge.member("extra.txt"), b"x" * 700), (forge.member(), body))
    assert len(decode_proposal(gzip.compress(archive), LIMITS).changes) == 1


def test_garbage_bytes_are_refused() -> None:
    for garbage in (b"", b"\0", b"PK\x03\x04", os.urandom(5000), gzip.compress(b""), gzip.compress(os.urandom(5000))):
        refused(garbage)


def test_truncated_gzip_is_refused_at_every_byte() -> None:
    whole = packed(proposal_json())
    for length in range(len(whole)):
        refused(whole[:length])


def test_bytes_after_the_gzip_stream_are_refused() -> None:
    refused(packed(proposal_json()) + b"\0")
    refused(packed(proposal_json()) * 2)


def test_a_cut_tar_is_refused() -> None:
    archive = forge.tar((forge.member(), json.dumps(proposal_json()).encode()))
    for length in (0, 1, 511, 512, 600):
        refused(gzip.compress(archive[:length]))


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, b"S", b"x"],
)
def test_a_tar_with_links_or_devices_is_refused(kind: bytes) -> None:
    body = json.dumps(proposal_json()).encode()
    odd = forge.member("odd", kind, "/etc/passwd")
    refused(gzip.compress(forge.tar((odd, b""), (forge.member(), body))))
    refused(gzip.compress(forge.tar((forge.member(kind=kind, linkname="/etc/passwd"), b""))))


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up", "back\\slash", "/" + container.MEMBER])
def test_a_tar_with_members_outside_is_refused(name: str) -> None:
    body = json.dumps(proposal_json()).encode()
    refused(gzip.compress(forge.tar((forge.member(name), b"x"), (forge.member(), body), form=tarfile.USTAR_FORMAT)))


def test_a_tar_with_thousands_of_members_is_refused() -> None:
    body = json.dumps(proposal_json()).encode()
    many = [(forge.member(f"m{i}"), b"") for i in range(3000)]
    assert isinstance(refused(gzip.compress(forge.tar(*many, (forge.member(), body)))), TooLarge)


def test_a_tar_with_the_member_twice_or_not_at_all_is_refused() -> None:
    body = json.dumps(proposal_json()).encode()
    refused(gzip.compress(forge.tar((forge.member(), body), (forge.member(), body))))
    refused(gzip.compress(forge.tar((forge.member("./" + container.MEMBER), body))))


def test_a_tar_whose_header_lies_about_the_size_is_refused() -> None:
    archive = bytearray(forge.tar((forge.member(), json.dumps(proposal_json()).encode())))
    for lie in (b"77777777777\0", b"\x80" + b"\xff" * 11, b"-0000000001\0", b"            ", b"0000000009z\0"):
        archive[124:136] = lie
        archive[148:156] = b"        "
        archive[148:156] = b"%06o\0 " % sum(archive[:512])
        error = refused(gzip.compress(bytes(archive)))
        assert "cut off" in str(error) or "octal" in str(error)


def test_a_thousandfold_bomb_is_refused_in_bounded_memory() -> None:
    bomb = gzip.compress(bytes(400 * MIB), compresslevel=9)
    assert len(bomb) * 900 < 400 * MIB
    assert isinstance(refused(bomb), TooLarge)
    assert peak(lambda: decode_proposal(bomb, LIMITS)) < 3 * LIMITS.decompressed_bytes
    small = gzip.compress(bytes(2 * MIB))
    assert "200 times" in str(refused(small))
    assert peak(lambda: decode_proposal(small, LIMITS)) < 6 * MIB


def test_a_hundred_megabytes_of_json_are_refused_before_they_are_parsed() -> None:
    squeeze = zlib.compressobj(0, zlib.DEFLATED, 31)
    block = b"0," * (MIB // 2)
    sent = squeeze.compress(b"[") + b"".join(squeeze.compress(block) for _ in range(100)) + squeeze.flush()
    assert len(sent) > 100 * MIB
    assert peak(lambda: decode_proposal(sent, LIMITS)) < MIB
    assert isinstance(refused(sent), TooLarge)
    roomy = Limits(message_bytes=200 * MIB)
    assert isinstance(refused(sent, roomy), TooLarge)


@pytest.mark.parametrize("unit", [b"[]", b"{}", b"0", b'""', b'"ab"', b"1.5", b'{"":0}', b"[[[[]]]]", b"null"])
def test_values_that_cost_far_more_than_their_bytes_are_counted_before_they_are_built(unit: bytes) -> None:
    body = b"[" + b",".join([unit] * (12 * MIB // (len(unit) + 1))) + b"]"
    sent = gzip.compress(forge.tar((forge.member(), body)), compresslevel=0)
    assert peak(lambda: decode_proposal(sent, LIMITS)) < 4 * len(body)
    assert isinstance(refused(sent), TooLarge)


def test_objects_are_counted_apart_since_they_cost_the_most() -> None:
    body = b"[" + b",".join([b'{"":0}'] * 400_000) + b"]"
    sent = gzip.compress(forge.tar((forge.member(), body)), compresslevel=0)
    assert "objects" in str(refused(sent))


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b'{"id":' + b"[" * 40 + b"]" * 40 + b"}"])
def test_deep_json_is_refused(body: bytes) -> None:
    refused(packed(body))


def test_brackets_inside_strings_are_not_depth() -> None:
    for content in ("[" * 5000, '"[{\\"' * 3000, "\\" * 4001 + '"[[' * 200, '\\"' * 999 + "{"):
        (change,) = decode_proposal(packed(proposal_json(change_json(content=content))), LIMITS).changes
        assert change.content == content.encode()
    ends_in_backslash, brackets = change_json("a", "x\\"), change_json("b", "[" * 5000)
    assert len(decode_proposal(packed(proposal_json(ends_in_backslash, brackets)), LIMITS).changes) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"5",
        b"{",
        b"{}",
        b'{"id": NaN}',
        b'{"id": Infinity}',
        b'{"id": -Infinity}',
        b'{"id": ' + b"9" * 5000 + b"}",
        b'{"id": 1.' + b"9" * 5000 + b"}",
        b'{"id": "\xff"}',
        b"\xef\xbb\xbf{}",
        '{"id": 1}'.encode("utf-16"),
        b'{"id": "unended',
        b'{"id": "\x00"}',
        b"{}{}",
    ],
)
def test_what_is_not_a_json_object_is_refused(body: bytes) -> None:
    assert isinstance(refused(packed(body)), Malformed)


def test_not_a_number_as_a_time_is_refused() -> None:
    body = json.dumps(proposal_json(message_filename={"submitted_timestamp": float("nan"), "uid": forge.MESSAGE_ID}))
    assert "NaN" in str(refused(packed(body.encode())))


def test_too_many_changes_are_refused() -> None:
    many = proposal_json(*(change_json(f"f{i}") for i in range(11)))
    assert len(decode_proposal(packed(many), Limits(changes=11)).changes) == 11
    assert isinstance(refused(packed(many), Limits(changes=10)), TooLarge)


def test_each_size_limit_holds() -> None:
    sent = packed(proposal_json())
    assert isinstance(refused(sent, Limits(message_bytes=len(sent) - 1)), TooLarge)
    assert isinstance(refused(sent, Limits(decompressed_bytes=10_239)), TooLarge)
    assert isinstance(refused(sent, Limits(ratio=2, ratio_floor=100)), TooLarge)
    assert isinstance(refused(sent, Limits(json_depth=2)), Malformed)
    assert isinstance(refused(sent, Limits(members=0)), TooLarge)


def test_an_error_keeps_no_hold_of_the_message() -> None:
    """Errors are kept with the quarantined message; they must not keep its megabytes alive."""
    content = "é" * MIB + "\ud800"
    for sent in (packed(proposal_json(change_json(content=content))), packed(b'{"id": "' + b"a" * MIB + b"\xff")):
        error: BaseException | None = refused(sent)
        assert error is not None and len(str(error)) < 500
        assert error.__context__ is None or not isinstance(error.__context__, (UnicodeError, json.JSONDecodeError))
