"""Where a world may go wrong: every durable step of an engine passes a *seam*, and a seam may crash, fail or remember.

A crash is an exception that nothing in the engine catches, so the process ends exactly there; what was durable stays.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from syftd.errors import ItemError
from syftd.names import Digest, Email
from syftd.state.db import Db, in_memory, open_writer
from syftd.transport.mailbox import Box, Listing, Ref
from syftd.transport.memory import MemoryHub, MemoryMailbox
from syftd.tree.disk import RealDisk
from syftd.tree.stage import Staged
from syftd.tree.stat import Stat
from tests.sim.kernel import passed_over

Meet = Callable[[str], None]
"""Called with the name of a seam that is about to be passed (or, with the ending ``.after``, has just been passed)."""


class Crash(BaseException):
    """The process ends here; with `power`, the machine does too, and chance says what its disk has kept."""

    def __init__(self, seam: str, power: random.Random | None = None) -> None:
        super().__init__(seam)
        self.power = power


class Violated(BaseException):
    """An invariant does not hold. No room of an engine may take it for an error of its own, so it is no Exception."""


def require(condition: object, text: str) -> None:
    """Raises Violated with `text`, which begins with the invariant's name, unless `condition` holds."""
    if not condition:
        raise Violated(text)


class WorldClock:
    """Time that only moves when it is told to. The wall clock may be put forward or back by `step`."""

    def __init__(self, at: float = 2_000_000_000.0) -> None:
        self.at = at
        self.step = 0.0

    def now(self) -> float:
        return self.at + self.step

    def monotonic(self) -> float:
        return self.at - 1_000_000_000.0

    def advance(self, seconds: float) -> None:
        self.at += seconds


class SeededRandom:
    """Randomness that repeats with its seed."""

    def __init__(self, source: random.Random) -> None:
        self._source = source

    def uniform(self, low: float, high: float) -> float:
        return self._source.uniform(low, high)

    def uuid(self) -> str:
        digits = f"{self._source.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"

    def token(self, size: int) -> str:
        return f"{self._source.getrandbits(8 * size):0{2 * size}x}"


class QueuedPool:
    """Work waits here until the world runs it, in an order that the world chooses."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Callable[[], Any], Callable[[Any, BaseException | None], None]]] = deque()

    def submit(self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        self.waiting.append((work, done))

    def close(self) -> None:
        self.waiting.clear()

    def run(self, index: int) -> None:
        """Runs one piece of work to its end. A crash and a broken invariant go through; other errors go to `done`."""
        work, done = self.waiting[index]
        del self.waiting[index]
        try:
            result = work()
        except (Crash, AssertionError):
            raise
        except Exception as error:
            done(None, error)
        else:
            done(result, None)


class SeamedDb(Db):
    """A database that passes a seam before and after each transaction."""

    def __init__(self, path: Path, connection: sqlite3.Connection, meet: Meet) -> None:
        super().__init__(path, connection)
        self._meet = meet

    @contextlib.contextmanager
    def commit(self) -> Iterator[None]:
        outermost = self._depth == 0
        if outermost:
            self._meet("commit")
        with super().commit():
            yield
        if outermost:
            self._meet("commit.after")

    @property
    def writes(self) -> int:
        """Rows changed so far; equal numbers mean that nothing was written in between."""
        return self._connection.total_changes

    def drop(self) -> None:
        """Ends the connection as the end of the process does: nothing is checkpointed."""
        self._connection.close()


def seamed_db(path: Path | None, meet: Meet) -> SeamedDb:
    """A database in a file, or with None in memory."""
    db = in_memory() if path is None else open_writer(path)
    return SeamedDb(db.path, db._connection, meet)


class SeamedDisk(RealDisk):
    """The real disk with a seam round each change, which also checks that no change loses a content (I5, I9)."""

    def __init__(self, data: Path, clock: WorldClock, random: SeededRandom, meet: Meet) -> None:
        self._meet: Meet = lambda seam: None
        self.busy_with: tuple[Email, str] | None = None
        """The file that is being replaced or removed just now."""
        self.checks: Counter[str] = Counter()
        """How often what was displaced was compared; whoever keeps count over restarts puts a counter here."""
        self.coarse = False
        """Whether two writes can bear one date here, or names cannot be exchanged. Then somebody may save between the last
        look and the change (docs/architecture.md); what they saved is in the trash all the same."""
        super().__init__(data, clock, random)
        self._meet = meet

    def stage(self, content: bytes | memoryview) -> Staged:
        self._meet("stage")
        return super().stage(content)

    def sync(self) -> None:
        self._meet("sync")
        super().sync()
        self._meet("sync.after")

    def replace(
        self, site: Email, path: str, content: bytes | Staged, *, executable: bool, expected: Digest | None,
        known: Stat | None,
    ) -> tuple[Stat, str | None]:  # fmt: skip
        self._meet("replace")
        self.busy_with = (site, path)
        try:
            stat, trash = super().replace(site, path, content, executable=executable, expected=expected, known=known)
        finally:
            self.busy_with = None
        self._lost_nothing(f"{site}/{path}", expected, trash)
        self._meet("replace.after")
        return stat, trash

    def remove(self, site: Email, path: str, *, expected: Digest | None, known: Stat | None) -> str | None:
        self._meet("remove")
        self.busy_with = (site, path)
        try:
            trash = super().remove(site, path, expected=expected, known=known)
        finally:
            self.busy_with = None
        if trash is not None:
            self._lost_nothing(f"{site}/{path}", expected, trash)
        self._meet("remove.after")
        return trash

    def _lost_nothing(self, where: str, expected: Digest | None, trash: str | None) -> None:
        """What was displaced lies in the trash, so its content there is what the path held at that moment."""
        self.checks["I5"] += 1
        if expected is None:
            require(trash is None, f"I5: {where} was believed to be free and was not")
            return
        require(trash is not None, f"I9: {where} was changed and the old content is not in the trash")
        with passed_over():
            try:
                lost = Digest.of(self.restore(trash or ""))
            except ItemError:
                raise Violated(f"I9: what {where} held before is not in the trash") from None
        require(lost == expected or self.coarse, f"I5: {where} held something else than the base of the change")


class SeamedMailbox(MemoryMailbox):
    """A memory mailbox whose verbs pass seams, and which shows every object for a reader to `stored` before it is there.

    A seam is called ``mail.put``, ``blobs.get``, ``profile.put.reply`` and so on.
    """

    def __init__(
        self, hub: MemoryHub, me: Email, name: str, meet: Meet, stored: Callable[[Box, str, bytes], None]
    ) -> None:
        super().__init__(hub, me, name)
        self.spoil: Callable[[bytes], bytes] = lambda content: content
        """What the network makes of bytes on their way here."""
        self._passes = meet
        self.lists = 0
        """How often it was asked for a listing."""
        self.lags_by: Callable[[int], int] = lambda most: most
        """How many listings leave a new object out, of at most so many."""
        self._stored = stored
        self.fault = self._seam

    def _seam(self, verb: str, box: Box | None, name: str) -> None:
        self._passes(f"{box.kind if box is not None and box.kind in ('blobs', 'profile') else 'mail'}.{verb}")

    def put(self, box: Box, name: str, content: bytes | memoryview, *, private: bool, replace: bool = False) -> Ref:
        if box.kind in ("outbox", "inbox", "blobs"):
            self._stored(box, name, bytes(content))
        return super().put(box, name, content, private=private, replace=replace)

    def list(self, cursor: str, peers: frozenset[Email]) -> Listing:
        self.lists += 1
        return super().list(cursor, peers)

    def _lags(self, box: Box, name: str, since: int) -> bool:
        most, self.lag = self.lag, self.lags_by(self.lag)
        try:
            return super()._lags(box, name, since)
        finally:
            self.lag = most

    def get(self, ref: Ref, offset: int = 0, length: int | None = None) -> bytes:
        content = super().get(ref, offset, length)
        # A version file has nothing that would tell a flipped bit: there the network is believed, as it is between others.
        return content if ref.box.kind == "profile" else self.spoil(content)
