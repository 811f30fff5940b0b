"""Messages made by hand for the tests: valid ones, and every way in which a stranger's bytes can be wrong."""

from __future__ import annotations

import copy
import gzip
import io
import json
import tarfile
from typing import Any

from syftd.names import Digest, Email, RelPath
from syftd.wire.container import MEMBER
from syftd.wire.messages import CHUNK_BYTES, BlobRef, Change, Events, Proposal, StreamPosition, Verdict

MESSAGE_ID = "5f0c7a52-1d0b-4a83-9a7e-2f5f0f6c9b10"
EVENTS_ID = "0d5ad7a6-93a1-4b6f-8e27-6f3a1c2b4d5e"
OWNER = Email.parse("do@example.org")
SENDER = Email.parse("ds@example.org")
DIGEST_X = Digest.of(b"x")
DIGEST_Y = Digest.of(b"y")

JOB = "app_data/job/inbox/ds@example.org/mean/"
RUN = b'#!/bin/bash\necho "hi"\n'
TABLE = b"\x00\xff\x10"

PROPOSAL = Proposal(
    MESSAGE_ID,
    SENDER,
    OWNER,
    1795309352.0454535,
    (
        Change(RelPath.parse(JOB + "run.sh"), None, Digest.of(RUN), RUN),
        Change(RelPath.parse(JOB + "code/table.bin"), None, Digest.of(TABLE), TABLE),
    ),
)
README = "Grüße\n".encode()
PLAIN_EVENTS = Events(
    EVENTS_ID,
    OWNER,
    1795309400.5,
    (
        Change(RelPath.parse("public/readme.md"), DIGEST_X, Digest.of(README), README),
        Change(RelPath.parse("public/old.csv"), DIGEST_Y, None),
    ),
)
EXTENDED_EVENTS = Events(
    EVENTS_ID,
    OWNER,
    1795309400.5,
    (
        Change(RelPath.parse("public/readme.md"), DIGEST_X, Digest.of(README), README, executable=True),
        Change(RelPath.parse("public/old.csv"), DIGEST_Y, None),
        Change(
            RelPath.parse("public/big.bin"), None, DIGEST_X, blob=BlobRef(CHUNK_BYTES + 1, (DIGEST_X, DIGEST_Y))
        ),
    ),
    (Verdict(MESSAGE_ID, "stale", "changed since", ((RelPath.parse("public/old.csv"), None),)),),
    StreamPosition("e1", 7, DIGEST_X, (5, 6), True),
)


def change_json(path: str = "public/a.txt", content: str | None = "hello", **fields: Any) -> dict[str, Any]:
    """One proposed change in the network's JSON; `fields` replace or add."""
    return {
        "id": "11111111-2222-4333-8444-555555555555",
        "old_hash": None,
        "submitted_timestamp": 5.5,
        "path_in_datasite": path,
        "content": content,
        "datasite_email": str(OWNER),
    } | fields


def proposal_json(*changes: Any, **fields: Any) -> dict[str, Any]:
    """A proposal in the network's JSON; `fields` replace or add."""
    return {
        "id": MESSAGE_ID,
        "sender_email": str(SENDER),
        "message_filename": {"submitted_timestamp": 5.5, "uid": MESSAGE_ID},
        "proposed_file_changes": list(changes) or [change_json()],
    } | copy.deepcopy(fields)


def events_json(*changes: Any, **fields: Any) -> dict[str, Any]:
    """Events in the network's JSON; `fields` replace or add."""
    return {
        "events": list(changes) or [change_json(timestamp=6.5)],
        "message_filepath": {"id": EVENTS_ID, "timestamp": 6.5, "extension": ".tar.gz"},
    } | copy.deepcopy(fields)


def member(name: str = MEMBER, kind: bytes = tarfile.REGTYPE, linkname: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, linkname
    return info


def tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """An uncompressed tar, as the standard library writes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def packed(message: Any) -> bytes:
    """A message in its container, written by the standard library as the network's peers do it; a large one is stored
    without compression, so that the limit on the ratio does not hide what a test looks for."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return gzip.compress(tar((member(), body)), 0 if len(body) > 100_000 else 9)
