"""The table: every way in which one message of Eve's is wrong, and the right answer to it (WIRE, section 11).

Here are the rows that are one object each. What takes several objects, or a history, is in `test_stories`.
"""

from __future__ import annotations

import functools
import gzip
import json
import os
import tarfile
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hostile_peer.eve import Eve
from tests.journeys.conftest import ANN, OWNER
from tests.unit.wire import forge

MIB = 1024 * 1024
ANN_SITE = str(ANN)
EVE = "eve@elsewhere.example"


@dataclass(frozen=True, slots=True)
class Row:
    """`send` puts one object into the shared folder. `outcome` is what Eve is told of a proposal; `reason` is a part of
    what the owner reads. `aside`: the message is quarantined, and not merely refused."""

    name: str
    send: Callable[[Eve], Path]
    outcome: str
    reason: str
    aside: bool = True


def forged(name: str, reason: str, /, **fields: Any) -> Row:
    """A proposal that speaks for somebody else: `fields` of the message, or `datasite_email` of its change."""
    site = {key: fields.pop(key) for key in ("datasite_email",) if key in fields}
    return Row(name, lambda eve: eve.propose(eve.change("lab/x.txt", **site), **fields), "forged", reason)


def refused(name: str, path: str, reason: str, **fields: Any) -> Row:
    """A well-formed proposal that gets the verdict "denied"."""
    return Row(name, lambda eve: eve.propose(eve.change(path, **fields)), "denied", reason, aside=False)


def malformed(name: str, reason: str, /, **fields: Any) -> Row:
    """A proposal with one change in the folder where Eve may write, with these fields bent."""
    return Row(name, lambda eve: eve.propose(eve.change("lab/bent.txt") | fields), "malformed", reason)


def _blob(size: int, chunks: list[str]) -> dict[str, Any]:
    return {"content": None, "new_hash": forge.DIGEST_X, "syftd": {"blob": {"size": size, "chunks": chunks}}}


def stale(name: str, send: Callable[[Eve], Path]) -> Row:
    return Row(name, send, "stale", "is not what the proposal was made from", aside=False)


FORGED = [
    forged("the body says another sender", "says it is from ann@", sender_email=ANN_SITE),
    forged("the body says the owner is the sender", "says it is from owner@", sender_email=OWNER),
    forged("the body says a stranger is the sender", "says it is from zoe@", sender_email="zoe@nowhere.example"),
    forged("a proposal for another's datasite", "meant for ann@", datasite_email=ANN_SITE),
    forged("a proposal for Eve's own datasite", "meant for eve@", datasite_email=EVE),
    Row(
        "a proposal for two datasites",
        lambda eve: eve.propose(eve.change("lab/x.txt"), eve.change("lab/y.txt", datasite_email=ANN_SITE)),
        "malformed", "two datasites",
    ),
]  # fmt: skip

PATHS = [
    Row(f"path: {name}", lambda eve, path=path: eve.propose(eve.change(path)), "malformed", reason)  # type: ignore[misc]
    for name, path, reason in (
        ("absolute", "/etc/passwd", "not relative and normal"),
        ("upwards", "../../../etc/passwd", "not relative and normal"),
        ("upwards in the middle", "lab/../../eve.txt", "not relative and normal"),
        ("a dot", "lab/./x.txt", "not relative and normal"),
        ("an empty part", "lab//x.txt", "not relative and normal"),
        ("a slash at the end", "lab/x/", "not relative and normal"),
        ("empty", "", "path"),
        ("missing", None, "path"),
        ("a number", 5, "path"),
        ("a list", ["lab", "x"], "path"),
        ("a NUL", "lab/x\0.txt", "control character"),
        ("a line feed", "lab/x\ny", "control character"),
        ("an escape sequence", "lab/\x1b[31mred", "control character"),
        ("a C1 control character", "lab/\x85", "control character"),
        ("text turned round", "lab/\u202etxt.exe", "control character"),
        ("backslashes", "lab\\..\\..\\x", "backslash"),
        ("backslashes behind a folder", "lab/..\\x", "backslash"),
        ("not NFC", "lab/e\u0301.txt", "NFC"),
        ("half a character", "lab/\ud800", "Unicode"),
        ("a part of 256 bytes", "lab/" + "x" * 256, "longer than 255"),
        ("a part of 256 bytes in few characters", "lab/" + "é" * 128, "longer than 255"),
        ("4,099 bytes", "a/" * 2049 + "a", "at most 4096"),
        ("five million bytes", "lab/" + "x" * 5_000_000, "at most 4096"),
    )
]

RULES = [
    refused("private, although a permission file says otherwise", "private/eve.txt", "never leaves"),
    refused("a private file that is there", "private/secret.txt", "never leaves"),
    refused("a permission file beside hers", "lab/syft.pub.yaml", "no write permission"),
    refused("a permission file below hers", "lab/deep/syft.pub.yaml", "no write permission"),
    refused("the permission file of everything", "syft.pub.yaml", "no write permission"),
    refused("a folder she may only read", "readonly/seen.txt", "no write permission"),
    refused("a folder she knows nothing of", "elsewhere/x.txt", "no write permission"),
    refused("the public folder", "public/x.txt", "no write permission"),
    refused("another's job inbox", f"app_data/job/inbox/{ANN_SITE}/job/run.sh", "no write permission"),
    refused("her own review folder", f"app_data/job/review/{EVE}/job/state.yaml", "no write permission"),
    refused("the marker of the datasite", ".syft/datasite.json", ".syft/"),
    refused("a git folder", "lab/.git/hooks/post-checkout", ".git"),
    refused("a virtual environment", "lab/.venv/bin/python", ".venv"),
    refused("compiled Python", "lab/__pycache__/x.pyc", "__pycache__"),
    refused("a temporary name of syftd's own", "lab/.syftd-0011223344.tmp", "lab/.syftd"),
    refused("another spelling of a folder she may write in", "LAB/x.txt", "no write permission"),
    Row(
        "one allowed change and one that is not",
        lambda eve: eve.propose(eve.change("lab/allowed.txt"), eve.change("readonly/seen.txt")),
        "denied", "no write permission for readonly/seen.txt", aside=False,
    ),
]  # fmt: skip

BASES = [
    stale("no base for a file that is there", lambda eve: eve.propose(eve.change("lab/first.txt"))),
    stale("a base that was never there", lambda eve: eve.propose(eve.change("lab/first.txt", old_hash="0" * 64))),
    stale("a base for a file that is not there", lambda eve: eve.propose(eve.change("lab/new.txt", old_hash=forge.DIGEST_X))),
    stale("a deletion without a base", lambda eve: eve.propose(eve.change("lab/first.txt", None, is_deleted=True))),
    stale(
        "a deletion with another base",
        lambda eve: eve.propose(eve.change("lab/first.txt", None, is_deleted=True, old_hash=forge.DIGEST_X)),
    ),
    stale(
        "one good base and one stale one",
        lambda eve: eve.propose(eve.change("lab/half.txt"), eve.change("lab/first.txt", old_hash=forge.DIGEST_X)),
    ),
    refused("a file over a folder", "lab/folder", "folder"),
    refused("a folder over a file", "lab/first.txt/below.txt", "lab/first.txt"),
]

TYPES = [
    malformed("a digest that is not the content's", "does not have the digest", new_hash=forge.DIGEST_X),
    malformed("a digest in capitals", "SHA-256", new_hash="A" * 64),
    malformed("a base that is no digest", "SHA-256|old_hash", old_hash="0"),
    malformed("a base that is an object", "old_hash", old_hash={}),
    malformed("no content", "no content", content=None),
    malformed("content that is a number", "content", content=5),
    malformed("content that is a list", "content", content=["x"]),
    malformed("content with half a character", "Unicode", content="\ud800"),
    malformed("base64 with blanks", "base64", content="A A=", content_type="binary"),
    malformed("an unknown content type", "content_type", content_type="html"),
    malformed("deleted and there", "deleted", is_deleted=True),
    malformed("deleted in a word", "is_deleted", is_deleted="yes", content=None),
    malformed("a time that is text", "submitted_timestamp", submitted_timestamp="now"),
    malformed("a time after the end of time", "submitted_timestamp", submitted_timestamp=1e300),
    malformed("an id that is a path", "id", id="../../x"),
    malformed("our own extension as a list", "syftd", syftd=[]),
    malformed("a blob without chunks", "chunk", **_blob(9, [])),
    malformed("a blob of negative size", "size", **_blob(-1, [])),
    malformed("a blob with a chunk too many", "chunk", **_blob(1, [forge.DIGEST_X] * 2)),
    Row(
        "a blob larger than there is",
        lambda eve: eve.propose(eve.change("lab/b") | _blob(2**70, [forge.DIGEST_X])), "too_large|malformed", "",
    ),
    Row(
        "a blob of many gigabytes",
        lambda eve: eve.propose(eve.change("lab/b") | _blob(4 * MIB * 9000, [forge.DIGEST_X] * 9000)),
        "too_large", "", aside=False,
    ),
    Row("changes that are no list", lambda eve: eve.propose(proposed_file_changes={}), "malformed", "proposed_file_changes"),
    Row("changes that are null", lambda eve: eve.propose(proposed_file_changes=[None]), "malformed", "proposed_file_changes"),
    Row("the same path twice", lambda eve: eve.propose(eve.change("lab/t"), eve.change("lab/t")), "malformed", "twice"),
    *(
        Row(
            f"a sender that is {name}",
            lambda eve, sender=sender: eve.propose(eve.change("lab/x"), sender_email=sender),  # type: ignore[misc]
            "malformed", "sender_email",
        )
        for name, sender in (("no address", "a/b@c"), ("missing", None), ("a list", [EVE]))
    ),
    Row(
        "more changes than a message may have",
        lambda eve: eve.propose(*[eve.change(f"lab/{n}", "") for n in range(20_001)]), "too_large", "",
    ),
]  # fmt: skip


# -- bytes that are no message, as a proposal and as events --------------------------------------------------------------

BODY = json.dumps(forge.proposal_json()).encode()


def _with_member(kind: bytes = tarfile.REGTYPE, name: str = "odd", linkname: str = "/etc/passwd") -> bytes:
    odd = forge.member(name, kind, linkname if kind != tarfile.REGTYPE else "")
    return gzip.compress(forge.tar((odd, b""), (forge.member(), BODY), form=tarfile.USTAR_FORMAT))


@functools.cache
def bomb() -> bytes:
    """400 MiB of nothing in 400 KiB."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(squeeze.compress(bytes(4 * MIB)) for _ in range(100)) + squeeze.flush()


@functools.cache
def nested_bomb() -> bytes:
    """A bomb inside a container whose own ratio looks harmless."""
    return gzip.compress(forge.tar((forge.member(), bomb())), 0)


def hundred_megabytes() -> bytes:
    """100 MB of JSON, stored as it is."""
    return gzip.compress(forge.tar((forge.member(), b"[" + b"0," * (50 * MIB) + b"0]")), 0)


@functools.cache
def hundred_megabytes_squeezed() -> bytes:
    """100 MB of JSON in a message that is small enough to be opened; one part in four does not compress."""
    squeeze = zlib.compressobj(1, zlib.DEFLATED, 31)
    blocks = (json.dumps([os.urandom(128 * 1024).hex(), "0" * 768 * 1024]).encode() for _ in range(100))
    return b"".join(squeeze.compress(block) for block in blocks) + squeeze.flush()


def values(unit: bytes) -> bytes:
    """12 MiB of JSON whose values would take far more memory than their bytes."""
    return gzip.compress(forge.tar((forge.member(), b"[" + b",".join([unit] * (12 * MIB // (len(unit) + 1))) + b"]")), 0)


def thousands_of_members() -> bytes:
    many = [(forge.member(f"m{number}"), b"") for number in range(5000)]
    return gzip.compress(forge.tar(*many, (forge.member(), BODY)))


BYTES: list[tuple[str, Callable[[], bytes], str, str]] = [
    # name, bytes, what Eve is told, part of the reason
    ("garbage", lambda: os.urandom(5000), "malformed", "not valid gzip"),
    ("nothing", lambda: b"", "malformed", "gzip"),
    ("a zip file", lambda: b"PK\x03\x04" + bytes(100), "malformed", "not valid gzip"),
    ("truncated gzip", lambda: forge.packed(forge.proposal_json())[:-20], "malformed", "gzip"),
    ("two messages in one", lambda: forge.packed(forge.proposal_json()) * 2, "malformed", "follow"),
    ("gzip of nothing", lambda: gzip.compress(b""), "malformed", "holds no"),
    ("gzip of garbage", lambda: gzip.compress(os.urandom(4096)), "malformed", "tar"),
    ("a tar that is cut off", lambda: gzip.compress(forge.tar((forge.member(), BODY))[:700]), "malformed", "cut off"),
    ("a tar with a symbolic link", lambda: _with_member(tarfile.SYMTYPE), "malformed", "only plain files"),
    ("a tar with a hard link", lambda: _with_member(tarfile.LNKTYPE), "malformed", "only plain files"),
    ("a tar with a character device", lambda: _with_member(tarfile.CHRTYPE), "malformed", "only plain files"),
    ("a tar with a block device", lambda: _with_member(tarfile.BLKTYPE), "malformed", "only plain files"),
    ("a tar with a pipe", lambda: _with_member(tarfile.FIFOTYPE), "malformed", "only plain files"),
    ("a tar with a folder", lambda: _with_member(tarfile.DIRTYPE), "malformed", "only plain files"),
    ("a tar with an absolute member", lambda: _with_member(name="/etc/cron.d/eve"), "malformed", "a member named"),
    ("a tar with a member above", lambda: _with_member(name="../../eve"), "malformed", "a member named"),
    ("a tar with thousands of members", thousands_of_members, "too_large", "members"),
    ("a tar with the member twice", lambda: gzip.compress(forge.tar(*[(forge.member(), BODY)] * 2)), "malformed", "twice"),
    ("a tar without the member", lambda: gzip.compress(forge.tar((forge.member("other.json"), BODY))), "malformed", "holds no"),
    ("a thousandfold bomb", bomb, "too_large", "200 times|bytes when decompressed"),
    ("a bomb in a container", nested_bomb, "malformed", ""),
    ("a hundred megabytes of JSON", hundred_megabytes, "too_large", "limit"),
    ("a hundred megabytes of JSON, squeezed", hundred_megabytes_squeezed, "too_large", "when decompressed"),
    ("deep JSON", lambda: forge.packed(b"[" * 100_000), "malformed", "deep"),
    ("deep JSON of objects", lambda: forge.packed(b'{"a":' * 100_000), "malformed", "deep"),
    ("a million brackets", lambda: forge.packed(b"[" * 1_000_000), "too_large", "objects and lists"),
    ("millions of lists", lambda: values(b"[]"), "too_large", ""),
    ("millions of objects", lambda: values(b'{"":0}'), "too_large", ""),
    ("millions of numbers", lambda: values(b"1.5"), "too_large", ""),
    ("JSON that is a list", lambda: forge.packed(b"[]"), "malformed", "not a JSON object"),
    ("JSON that is null", lambda: forge.packed(b"null"), "malformed", "not a JSON object"),
    ("JSON that is no JSON", lambda: forge.packed(b"{'id': 1}"), "malformed", "JSON"),
    ("JSON with NaN", lambda: forge.packed(b'{"id": NaN}'), "malformed", "NaN"),
    ("JSON with a number of 5,000 digits", lambda: forge.packed(b'{"id": ' + b"9" * 5000 + b"}"), "malformed", ""),
    ("JSON in UTF-16", lambda: forge.packed('{"id": 1}'.encode("utf-16")), "malformed", ""),
    ("an object with nothing in it", lambda: forge.packed(b"{}"), "malformed", ""),
    ("of an unknown kind", lambda: forge.packed({"id": str(uuid.uuid4()), "kind": "novelty", "payload": {}}), "malformed", ""),
]  # fmt: skip

PROPOSALS = [
    *FORGED, *PATHS, *RULES, *BASES, *TYPES,
    *(
        Row(f"bytes: {name}", lambda eve, content=content: eve.raw(content()), outcome, reason)  # type: ignore[misc]
        for name, content, outcome, reason in BYTES
    ),
    Row("events in the place of a proposal", lambda eve: eve.raw(forge.packed(forge.events_json())), "malformed", ""),
]  # fmt: skip


# -- what an owner's stream may not be -----------------------------------------------------------------------------------

def bent(name: str, reason: str, *changes: dict[str, Any], sequence: int = 1, **beyond: Any) -> Row:
    """An envelope of Eve's that is wrong in its changes or in the keys `beyond` the network's."""
    written = [{"datasite_email": EVE, "timestamp": 6.5} | change for change in changes]

    def send(eve: Eve) -> Path:
        return eve.envelope(*(eve.told_change("a") | each for each in written), sequence=sequence, **beyond)

    return Row(name, send, "", reason)


EVENTS = [
    Row("events that speak for another owner", lambda eve: _foreign(eve, ANN_SITE), "", "speaks for ann@"),
    Row("events that speak for the reader", lambda eve: _foreign(eve, eve.owner), "", "speaks for owner@"),
    bent("events for two datasites", "two datasites", {}, {"path_in_datasite": "b", "datasite_email": ANN_SITE}),
    bent("events with another word for the owner than in the changes", "two datasites", {}, owner=ANN_SITE),
    bent("events with an absolute path", "path", {"path_in_datasite": "/etc/passwd"}),
    bent("events with a path upwards", "path", {"path_in_datasite": f"../{OWNER}/lab/first.txt"}),
    bent("events with a NUL in a path", "path", {"path_in_datasite": "a\0"}),
    bent("events with a path that is not NFC", "path", {"path_in_datasite": "e\u0301"}),
    bent("events with a digest that is not the content's", "does not have the digest", {"new_hash": forge.DIGEST_X}),
    bent("events with a path twice", "twice", {}, {}),
    bent("a stream that is a list", "stream", {}, stream=[]),
    bent("a stream at number 0", "do not rise from 1", {}, sequence=0),
    bent("an epoch that is a path", "epoch", stream={"epoch": "../e", "sequence": 1}),
    bent("a verdict of an unknown kind", "outcome", verdicts=[{"proposal": forge.MESSAGE_ID, "outcome": "great"}]),
    bent("a standing of an unknown kind", "standing", standing="emperor"),
    Row("a proposal in the place of events", lambda eve: eve.raw_events(forge.packed(forge.proposal_json())), "", ""),
    *(
        Row(f"bytes: {name}", lambda eve, content=content: eve.raw_events(content()), "", reason)  # type: ignore[misc]
        for name, content, _, reason in BYTES
    ),
]  # fmt: skip


def _foreign(eve: Eve, owner: str) -> Path:
    """A whole new stream of somebody else's datasite, in Eve's channel."""
    message = forge.events_json(forge.change_json("public/x.txt", datasite_email=owner, timestamp=6.5))
    message["syftd"] = {"owner": owner, "stream": {"epoch": "e1", "sequence": 1, "complete": True}}
    return eve.raw_events(forge.packed(message))
