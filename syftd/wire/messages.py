"""What is said between datasites, as values. `codec` turns them into the network's bytes and back.

Our extension keys sit under one JSON key, ``syftd``, at the top of a message and in each change; a reader of the
existing network ignores them. A message without them is a plain message of that network.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from syftd.names import Digest, Email, RelPath

CHUNK_BYTES = 4 * 1024 * 1024
"""Content above the inline limit travels as chunks of this many bytes (the last one shorter)."""

Outcome = Literal["applied", "stale", "denied", "malformed", "too_large", "forged"]


@dataclass(frozen=True, slots=True)
class BlobRef:
    """Content that lies in the sender's blobs box: chunk digests in order; the chunk's name is its digest."""

    size: int
    chunks: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One path's change. `after` None is a deletion. Content is inline, or in `blob`, or (for a deletion) absent."""

    path: RelPath
    before: Digest | None
    after: Digest | None
    content: bytes | None = None
    blob: BlobRef | None = None
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """Changes that `sender` asks the owner of `datasite` to make: all of them or none."""

    id: str
    sender: Email
    datasite: Email
    made_at: float
    changes: tuple[Change, ...]
    resync: bool = False
    """Extension: no changes, but a request to start the stream anew (a gap that does not close, a lost database)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a proposal. `current` tells, per path of a stale one, the digest the owner has (None: no file)."""

    proposal: str
    outcome: Outcome
    reason: str
    current: tuple[tuple[RelPath, Digest | None], ...] = ()


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Where an envelope stands in the stream of one owner to one reader.

    `sequence` is dense from 1 within `epoch`. `voided` are numbers just before this one that were taken back unread.
    `previous` is the SHA-256 of the bytes of the envelope before (None for the first), for tamper evidence.
    `complete` is true on the envelope with which everything the reader may see has been told in this epoch.
    """

    epoch: str
    sequence: int
    previous: Digest | None = None
    voided: tuple[int, ...] = ()
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Events:
    """Changes the owner made true, and verdicts, for one reader. `stream` is None from a peer without our extension."""

    id: str
    owner: Email
    made_at: float
    changes: tuple[Change, ...]
    verdicts: tuple[Verdict, ...] = ()
    stream: StreamPosition | None = None
    standing: Literal["", "rejected", "removed"] = ""
    """Extension: tells a peer who asked that the answer was no, or that the contact has ended."""


@dataclass(frozen=True, slots=True)
class Version:
    """A peer's SYFT_version.json. `extensions` is empty for a peer that does not know ours."""

    client_version: str
    extensions: frozenset[str] = field(default_factory=frozenset)
    updated_at: str = ""


EXTENSIONS: frozenset[str] = frozenset({"blobs", "stream", "verdicts"})
"""What this version of syftd understands beyond the network's messages."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Hard limits that hold before any work is done on a peer's bytes."""

    message_bytes: int = 40 * 1024 * 1024
    decompressed_bytes: int = 48 * 1024 * 1024
    ratio: int = 200
    ratio_floor: int = 1024 * 1024
    """A message that decompresses to less than this is not judged by its ratio."""
    members: int = 16
    json_depth: int = 32
    changes: int = 20_000
    blob_bytes: int = 1024 * 1024 * 1024 * 1024
