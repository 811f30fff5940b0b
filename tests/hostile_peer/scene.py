"""The stage of every row: an owner's daemon, two honest peers at work, Eve; and what must hold around each row.

How "not delayed by more than one turn" is measured: the owner's process is stopped (SIGSTOP) while Eve's objects, one
edit of each honest peer and one honest proposal of Eve's are put into the shared folder, so that all of it lies there
when the process goes on (SIGCONT). The owner's record then says in which order everything was decided. A turn is up to
32 messages of one sender; the honest peers' edits must be decided before Eve's third turn begins: the one that comes to
her beside theirs, and at the most one more. No clock is looked at.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syftd.names import Email
from syftd.state.db import open_reader
from syftd.sync.parts import Tuning
from syftd.transport import layout, mailbox
from tests.hostile_peer.eve import Eve
from tests.journeys.daemons import Daemon, drop

SECONDS = 60.0
MOST_MEMORY = 200 * 1000 * 1000
TURN = Tuning().turn_messages
GOOD = "joint"
"""The folder in which the honest peers work; everything else must stay as it was, unless a row says so."""


@dataclass
class Scene:
    """Everybody. `pid` is the owner's process, which must live to the end."""

    place: Path
    owner: Daemon
    ann: Daemon
    ben: Daemon
    eve: Eve
    pid: int
    rounds: int = 0
    _expected: dict[str, tuple[Daemon, str]] = field(default_factory=dict)

    # -- at once ----------------------------------------------------------------------------------------------------

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """What is sent inside the block lies in the shared folder before the owner looks again, together with an edit
        of each honest peer that was written before."""
        for who in (self.ann, self.ben):
            # A path whose last change is not answered yet waits for the answer, which a stopped owner cannot give.
            who.wait_for(lambda who=who: not _drafts(who), SECONDS, "the answer to the last honest edit")  # type: ignore[misc]
        os.kill(self.pid, signal.SIGSTOP)
        try:
            self._begin = self._last_line()
            self.rounds += 1
            self._expected = {
                f"{GOOD}/{who.email}.txt": (who, f"round {self.rounds} of {who.email}") for who in (self.ann, self.ben)
            }
            for path, (who, content) in self._expected.items():
                target = who.mirror(self.owner.email) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                drop(self.place / f".{who.email}.edit", target, content.encode())
            for who in (self.ann, self.ben):
                box = self._inbox_of(who)
                who.wait_for(lambda box=box: any(box.glob("msgv2_*")), SECONDS, "the honest edit to be on its way")  # type: ignore[misc]
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def good_arrives(self) -> None:
        """The honest edits are there, at the owner's and at the other honest peer's, and Eve was not let in between."""
        for path, (who, content) in self._expected.items():
            self.owner.holds(path, content, SECONDS)
            other = self.ben if who is self.ann else self.ann
            other.sees(self.owner.email, path, content, SECONDS)
        assert self.turns_before_the_good() <= 2

    def turns_before_the_good(self) -> int:
        """How many turns Eve had begun when the later of the two honest edits was decided."""
        before = 0
        waiting = {str(self.ann.email), str(self.ben.email)}
        for _, kind, subject, _ in self.record(self._begin):
            if kind == "decided" and subject in waiting:
                waiting.discard(subject)
                if not waiting:
                    break
            elif subject == self.eve.email and kind in ("decided", "quarantined"):
                before += 1
        assert not waiting, "an honest edit was not decided"
        return -(-before // TURN)

    def _inbox_of(self, who: Daemon) -> Path:
        box = mailbox.inbox(Email(self.owner.email), Email(who.email))
        return self.owner.folder / who.email / layout.folder_name(box)

    # -- what the owner's daemon says --------------------------------------------------------------------------------

    def ask(self, sql: str, *values: Any) -> list[Any]:
        """Looks into the owner's database, as a second process may."""
        address = f"file:{self.owner.home / 'state' / 'state.db'}?mode=ro"
        with sqlite3.connect(address, uri=True, timeout=30.0) as state:
            return state.execute(sql, values).fetchall()

    def record(self, after: int = 0) -> list[tuple[int, str, str, dict[str, Any]]]:
        """The lines of the record: number, kind, subject, facts."""
        rows = self.ask("SELECT n, kind, subject, text FROM record WHERE n > ? ORDER BY n", after)
        return [(n, kind, subject, json.loads(text)) for n, kind, subject, text in rows]

    def since(self) -> list[tuple[int, str, str, dict[str, Any]]]:
        """The lines since the row began."""
        return self.record(self._begin)

    def _last_line(self) -> int:
        return int(self.ask("SELECT coalesce(max(n), 0) FROM record")[0][0])

    def quarantined(self, path: Path) -> str | None:
        """Why an object of Eve's was set aside; None when it was not (yet)."""
        found = [facts["reason"] for _, kind, _, facts in self.since() if kind == "quarantined" and facts["name"] == path.name]
        assert len(found) <= 1, "set aside twice"
        return found[0] if found else None

    def decided(self, id: str) -> tuple[str, str] | None:
        """Outcome and reason of a proposal of Eve's; None when there is no verdict (yet)."""
        found = [
            (facts["outcome"], facts["reason"])
            for _, kind, subject, facts in self.since()
            if kind == "decided" and subject == self.eve.email and facts["proposal"] == id
        ]
        assert len(found) <= 1, "decided twice"
        return found[0] if found else None

    def is_told(self, id: str, *outcomes: str) -> str:
        """Waits until Eve is told what became of a proposal, which must be one of `outcomes`."""

        def told() -> str | None:
            self.eve.read()
            return self.eve.verdicts.get(id)

        outcome: str = self.wait(told, f"the verdict about {id}")
        assert outcome in outcomes, (outcome, self.decided(id))
        return outcome

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        return self.owner.wait_for(condition, SECONDS, what, 0.03)

    # -- what must stay ----------------------------------------------------------------------------------------------

    def untouched(self) -> dict[str, str]:
        """Everything below the owner's data folder that only a person or an allowed change may alter, and its digest or
        kind; and the names beside it, to which nothing may be added."""
        found: dict[str, str] = {}
        own = self.owner.own
        for base in (own, self.owner.mirror(self.eve.email), self.owner.data / "inbox", self.owner.data / "outbox"):
            for path in sorted(base.rglob("*")):
                if not path.is_relative_to(own / GOOD):
                    found[str(path.relative_to(self.owner.data))] = _kind(path)
        for folder in (self.owner.data, self.owner.data / "datasites", self.place):
            for path in folder.iterdir():
                # A peer's daemon draws its edits up beside its home; hidden files of the tests are nobody's.
                if not path.name.startswith("."):
                    found.setdefault(f"name {path}", "there")
        return found

    def in_bounds(self) -> None:
        """The same process as at the beginning, which never had more memory than it may."""
        assert self.owner.pid == self.pid
        most = self.owner.memory("VmHWM")
        print(f"the owner's process has had {most:,} bytes at the most")
        assert most < MOST_MEMORY, f"{most:,} bytes"


def _kind(path: Path) -> str:
    try:
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            return hashlib.sha256(path.read_bytes()).hexdigest()
        return "directory" if stat.S_ISDIR(mode) else "something else"
    except FileNotFoundError:
        return "gone"


def gone(path: Path) -> bool:
    """Whether an object was taken from the shared folder."""
    return not os.path.lexists(path)


def _drafts(who: Daemon) -> int:
    """How many changes a daemon has asked for and not been answered."""
    db = open_reader(who.home / "state" / "state.db")
    try:
        return int(db.value("SELECT count(*) FROM draft"))
    finally:
        db.close()
