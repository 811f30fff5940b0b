"""What the control loop's queue carries: hints, results of pools, ticks and requests, as values."""

from __future__ import annotations

from dataclasses import dataclass

from syftd.names import Digest, Email
from syftd.transport.mailbox import Listing, Ref
from syftd.tree.scanner import Findings
from syftd.tree.stage import Staged
from syftd.wire.messages import Events, Proposal, Version


@dataclass(frozen=True, slots=True)
class Found:
    """A scan on a pool thread found something; `final` ends the scan, `full` says that it covered the whole tree."""

    site: Email
    findings: Findings | None
    final: bool
    full: bool
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """What the transports answered to one poll that began at `started` (monotonic seconds)."""

    started: float
    listings: dict[str, Listing]
    errors: dict[str, BaseException]


@dataclass(frozen=True, slots=True)
class Letter:
    """One fetched object: its message, or the error that kept it from being one. `payload` is kept for quarantine."""

    ref: Ref
    sender: Email
    payload: bytes
    message: Proposal | Events | None
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class Letters:
    """One sender's turn, in the order in which they were written."""

    sender: Email
    letters: tuple[Letter, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Sent:
    """Results of sending one peer's messages: (outbox row, transport or None, error or None)."""

    peer: Email
    results: tuple[tuple[int, str | None, BaseException | None], ...]


@dataclass(frozen=True, slots=True)
class ChunkUp:
    """One chunk of an upload lies on `transport` (None: it lay there before), or could not be sent."""

    key: str
    index: int
    digest: Digest | None
    transport: str | None
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class ChunkDown:
    """One chunk of the download `key` is in its stage file (or could not be had from `source`)."""

    key: Digest
    index: int
    source: Email
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class Copied:
    """A further copy of large content lies on the stage, or could not be made."""

    sha256: Digest
    staged: Staged | None
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class WholeDown:
    """The stage file of the download `key`, which should hold `sha256`, was hashed from end to end."""

    key: Digest
    sha256: Digest
    staged: Staged | None
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class ProfileRead:
    """A peer's version file, None when there is none that can be read."""

    peer: Email
    version: Version | None


@dataclass(frozen=True, slots=True)
class Removed:
    """Objects were removed from a transport: names of outbox rows taken back, or chunks."""

    rows: tuple[int, ...] = ()
    chunks: tuple[tuple[str, Digest], ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """Something on a pool thread ended in an error that nobody else handles."""

    what: str
    error: BaseException
