"""The parts that every room of the engine works with, wired once by the daemon (or by the simulator)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from syftd.errors import DiskFull, ItemError
from syftd.log import logger
from syftd.names import Digest, Email, RelPath
from syftd.plan.guard import DeletionLimit
from syftd.rules.access import Access
from syftd.seams import Clock, Pool, Random
from syftd.state import events, files, problems
from syftd.state.db import Db
from syftd.transport.router import Router
from syftd.tree.contract import Disk
from syftd.tree.ignore import Ignores
from syftd.tree.scanner import Known, Scanner
from syftd.tree.stat import Stat
from syftd.wire.messages import Limits

_log = logger("sync")


@dataclass(frozen=True, slots=True)
class Tuning:
    """Numbers that the engine obeys; bytes unless the name says otherwise."""

    inline_bytes: int = 256 * 1024
    envelope_bytes: int = 512 * 1024
    envelope_changes: int = 512
    window_messages: int = 64
    window_bytes: int = 32 * 1024 * 1024
    legacy_inline_bytes: int = 32 * 1024 * 1024
    proposal_bytes: int = 1024 * 1024 * 1024
    held_proposals_per_peer: int = 16
    held_seconds: float = 7 * 86400.0
    """So many proposals of one peer may wait for large content, and so long."""
    held_bytes_per_peer: int = 1024 * 1024 * 1024
    """So much large content of one peer may lie here, or be on its way, for proposals that are not decided."""
    reserve_bytes: int = 64 * 1024 * 1024
    """So much of the disk stays free whatever peers send."""
    turn_messages: int = 32
    turn_bytes: int = 2 * 1024 * 1024
    gap_seconds: float = 10.0
    resync_seconds: float = 60.0
    job_quiet_seconds: float = 1.0
    whole_seconds: float = 600.0
    """How often a transport that tells what changed since a cursor is asked for everything all the same."""


@dataclass
class Parts:
    """One datasite's engine. Only the control thread touches `db`, `access` and the rooms; pools read, hash and move."""

    me: Email
    db: Db
    disk: Disk
    scanner: Scanner
    ignores: Ignores
    access: Access
    router: Router
    clock: Clock
    random: Random
    pool: Pool
    post: Callable[[Any], None]
    look_again: Callable[[Email, str], None]
    reading: Callable[[], Db]
    quarantine: Callable[[Email, str, bytes], None]
    tuning: Tuning = field(default_factory=Tuning)
    limits: Limits = field(default_factory=Limits)
    deletion_limit: DeletionLimit = field(default_factory=DeletionLimit)
    full_at: float = float("-inf")
    """When a disk was last found full, in monotonic seconds."""
    proving: Callable[[Email], frozenset[str]] = lambda site: frozenset()
    """Paths of a datasite that an upload reads from end to end right now; set by the engine."""

    def problem(self, kind: str, subject: str, text: str, remedy: str, plan: str | None = None) -> None:
        """Shows something to a person until it is solved. With a full disk only the log can hold it."""
        if kind == "disk-full":
            self.full_at = self.clock.monotonic()
        try:
            problems.raise_problem(self.db, kind, subject, text, remedy, self.clock.now(), plan)
        except DiskFull as error:
            _log.error("a problem could not be written down", problem=text, reason=str(error))

    def solved(self, kind: str, subject: str) -> None:
        problems.clear_problem(self.db, kind, subject)

    def hidden(self, path: str) -> str | None:
        """Why a path of the own datasite never travels, in words; None when it may. Fails closed."""
        try:
            return self.ignores(self.me).reason(path)
        except ItemError as error:
            return f"syftignore cannot be read ({error})"

    def note(self, kind: str, subject: str, **facts: Any) -> None:
        events.note(self.db, self.clock.now(), kind, subject, **facts)


def stat_of(row: files.FileRow) -> Stat:
    """The stat that was taken when this row was written."""
    return Stat(row.size, row.mtime_ns, row.ctime_ns, row.inode, row.executable)


def row_of(path: RelPath, spelling: str, sha256: Digest, stat: Stat, settled: bool = True) -> files.FileRow:
    """The index row of an observation."""
    return files.FileRow(
        path, spelling, sha256, stat.size, stat.mtime_ns, stat.ctime_ns, stat.inode, stat.executable, settled
    )


class Index:
    """The file table of one datasite as the scanner wants to see it. Reads through the given connection, so a scan on
    a pool thread uses a reading connection of its own."""

    def __init__(self, db: Db, site: Email, proving: frozenset[str] = frozenset()) -> None:
        """`proving`: paths that are being read from end to end anyway, so that nobody else need do it meanwhile."""
        self._db = db
        self._site = site
        self._proving = proving

    def get(self, path: str) -> Known | None:
        row = files.get(self._db, self._site, path)
        return None if row is None else self._known(row)

    def below(self, prefix: str) -> list[tuple[Any, Known]]:
        return [(row.path, self._known(row)) for row in files.below(self._db, self._site, prefix)]

    def _known(self, row: files.FileRow) -> Known:
        return Known(stat_of(row), row.sha256, row.settled or row.path in self._proving)
