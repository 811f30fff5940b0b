"""A world in one process: datasites with real engines on real folders, one storage between them, one clock, one seed.

Nothing happens by itself. `step` does one thing (a piece of queued work, or of pool work), `settle` lets everything come
to rest: it moves the clock, polls and scans until a whole round changes nothing anywhere.
"""

from __future__ import annotations

import os
import random
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from syftd.daemon.engine import Engine
from syftd.names import PERMISSION_FILE, Email
from syftd.rules.access import Access
from syftd.rules.ruleset import Rule, Ruleset, render
from syftd.state import problems
from syftd.state.db import Db, open_reader
from syftd.sync.parts import Parts, Tuning
from syftd.sync.versions import Versions
from syftd.transport.mailbox import Box, Ref
from syftd.transport.memory import MemoryHub
from syftd.transport.router import Router
from syftd.tree.ignore import Ignore, Ignores
from syftd.tree.scanner import Scanner
from syftd.tree.settle import Settle
from tests.engine.adversity import (
    Crash,
    QueuedPool,
    SeamedDb,
    SeamedDisk,
    SeamedMailbox,
    SeededRandom,
    WorldClock,
    seamed_db,
)

_WORKERS = 4
_GRANULARITY_NS = 10_000_000


class Site:
    """One person's machine: a folder, a database, and an engine that may crash and start again."""

    def __init__(self, world: World, email: Email, folder: Path, tuning: Tuning, *, on_disk: bool) -> None:
        self.world = world
        self.email = email
        self.home = folder
        self.data = folder / "SyftBox"
        self.own = self.data / "datasites" / email
        self.tuning = tuning
        self.quarantined: list[tuple[Email, str, bytes]] = []
        self.meet: Callable[[str], None] = lambda seam: None
        """May raise `Crash`, or an error that the seam can have; set by tests."""
        self.lag = 0
        self.arrange: Callable[[tuple[Ref, ...]], Iterable[Ref]] | None = None
        self.crashes = 0
        self._on_disk = on_disk
        folder.mkdir(parents=True, exist_ok=True)
        self.db: SeamedDb = seamed_db(folder / "state.db" if on_disk else None, self._meet)
        self.alive = False
        self._build()

    # -- life ------------------------------------------------------------------------------------------------------

    def _meet(self, seam: str) -> None:
        self.meet(seam)

    def _build(self) -> None:
        world = self.world
        self.queue: deque[object] = deque()
        self.pool = QueuedPool()
        self.disk = SeamedDisk(self.data, world.clock, world.random, self._meet)
        if self.db.meta("datasite_id") is None:
            self.disk.make_private_dir(self.email, "")
            self.disk.ensure_marker(self.email, "id-of-" + self.email)
            self.db.set_meta("datasite_id", "id-of-" + self.email)
        self.mailbox = SeamedMailbox(world.hub, self.email, self._meet, self._stored)
        self.mailbox.lag, self.mailbox.arrange = self.lag, self.arrange
        self.router = Router([self.mailbox], world.clock, world.random, lambda peer: ["memory"])
        self.settling = Settle(world.clock)
        ignores = Ignores(self.disk)
        self.parts = Parts(
            me=self.email,
            db=self.db,
            disk=self.disk,
            scanner=Scanner(self.disk, ignores, world.clock, _GRANULARITY_NS),
            ignores=ignores,
            access=Access(self.email),
            router=self.router,
            clock=world.clock,
            random=world.random,
            pool=self.pool,
            post=self.queue.append,
            look_again=lambda site, path: self.settling.touch(f"{site}/{path}"),
            reading=self._reading,
            quarantine=lambda sender, name, payload: self.quarantined.append((sender, name, payload)),
            tuning=self.tuning,
        )
        self.versions = Versions(self.home / "versions.db", 16 * 1024 * 1024)
        self.engine = Engine(self.parts, self.settling, self.versions)
        self.alive = True

    def _reading(self) -> Db:
        return open_reader(self.db.path) if self._on_disk else self.db

    def _stored(self, box: Box, name: str, content: bytes) -> None:
        for watcher in self.world.watchers:
            watcher(self, box, name, content)

    def start(self) -> None:
        """Starts the engine; a crash while it starts leaves it down."""
        self.guarded(self.engine.start)

    def crash(self) -> None:
        """The process is gone: memory, queue and running work with it. What was committed or written is still there."""
        self.crashes += 1
        self.alive = False
        self.queue.clear()
        self.pool.close()
        self.disk.close()
        self.versions.close()
        if self._on_disk:
            self.db.drop()

    def restart(self) -> None:
        """A new process on what the old one left."""
        if self.alive:
            self.crash()
        if self._on_disk:
            self.db = seamed_db(self.home / "state.db", self._meet)
        self._build()
        self.start()

    def close(self) -> None:
        self.meet = lambda seam: None
        if self.alive:
            self.crash()
        self.db.drop()

    def guarded(self, action: Callable[[], object]) -> None:
        """Does something of this process; a crash in it ends the process and nothing else."""
        if not self.alive:
            return
        try:
            action()
        except Crash:
            self.crash()

    def ready(self) -> list[Callable[[], None]]:
        """What could happen next here."""
        if not self.alive:
            return []
        actions: list[Callable[[], None]] = []
        if self.queue:
            actions.append(lambda: self.guarded(self._turn))
        for index in range(min(_WORKERS, len(self.pool.waiting))):
            actions.append(lambda index=index: self.guarded(lambda: self.pool.run(index)))  # type: ignore[misc]
        return actions

    def _turn(self) -> None:
        work = self.queue.popleft()
        assert self.engine.handle(work), f"nobody takes {type(work).__name__}"

    # -- what the daemon's ticks do --------------------------------------------------------------------------------

    def poll(self) -> None:
        self.guarded(self.engine.poll)

    def scan(self) -> None:
        self.guarded(self.engine.look.everything)

    def due(self) -> None:
        self.guarded(self.engine.due)

    def keep(self) -> None:
        self.guarded(lambda: self.versions.turn(self.parts))

    def next_due(self) -> float | None:
        if not self.alive:
            return None
        times = (self.settling.next_due(), self.engine.propose.next_due)
        return min((time for time in times if time is not None), default=None)

    # -- what the person at this machine does ----------------------------------------------------------------------

    def place(self, path: str, owner: Email | None = None) -> Path:
        return self.data / "datasites" / (owner or self.email) / path

    def write(
        self, path: str, content: bytes, owner: Email | None = None, *, hint: bool = True, executable: bool = False
    ) -> None:
        """Saves a file, in the own datasite or in a mirror, as an editor does: beside, then renamed over."""
        place = self.place(path, owner)
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(place.name + ".tmp")
        beside.write_bytes(content)
        beside.chmod(0o755 if executable else 0o644)
        stamp = self.world.stamp()
        os.utime(beside, ns=(stamp, stamp))
        beside.rename(place)
        self._hint(path, owner, hint)

    def delete(self, path: str, owner: Email | None = None, *, hint: bool = True) -> None:
        self.place(path, owner).unlink()
        self._hint(path, owner, hint, gone=True)

    def rename(self, path: str, to: str, owner: Email | None = None, *, hint: bool = True) -> None:
        self.place(to, owner).parent.mkdir(parents=True, exist_ok=True)
        self.place(path, owner).rename(self.place(to, owner))
        self._hint(path, owner, hint, gone=True)
        self._hint(to, owner, hint)

    def rules(self, directory: str, *, read: Iterable[str] = (), write: Iterable[str] = (), hint: bool = True) -> None:
        """Writes the permission file of a folder."""
        text = render(Ruleset((Rule("**", read=tuple(map(str, read)), write=tuple(map(str, write))),)))
        path = f"{directory}/{PERMISSION_FILE}" if directory else PERMISSION_FILE
        self.write(path, text.encode(), hint=hint)

    def _hint(self, path: str, owner: Email | None, hint: bool, *, gone: bool = False) -> None:
        if hint and self.alive:
            self.engine.hint(f"{owner or self.email}/{path}", True, gone)

    # -- what can be seen here -------------------------------------------------------------------------------------

    def tree(self, owner: Email | None = None) -> dict[str, bytes]:
        """The ordinary files of the own datasite or of a mirror, by path, without what never travels."""
        top = self.data / "datasites" / (owner or self.email)
        ignore = Ignore()
        found: dict[str, bytes] = {}
        for place in sorted(top.rglob("*")):
            path = str(place.relative_to(top))
            if place.is_file() and ignore.reason(path) is None:
                found[path] = place.read_bytes()
        return found

    def trash(self) -> set[bytes]:
        """Every content in the trash."""
        return {place.read_bytes() for place in (self.data / ".trash").rglob("*") if place.is_file()}

    def problem_kinds(self) -> set[str]:
        return {str(row["kind"]) for row in problems.problems(self.db)}

    def holds(self, content: bytes) -> bool:
        """Whether a content is anywhere in this data folder, in a tree or in the trash."""
        places = [self.data / "datasites", self.data / ".trash"]
        return any(place.is_file() and place.read_bytes() == content for top in places for place in top.rglob("*"))


class World:
    """All datasites, the storage between them, the clock and the seed.

    With `admits` nobody reads chunks to which they were not let; tests that write messages by hand do without.
    """

    def __init__(
        self, folder: Path, seed: int = 0, *, on_disk: bool = False, tuning: Tuning | None = None, admits: bool = False
    ) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        self.clock = WorldClock()
        self.random = SeededRandom(random.Random(f"identities {seed}"))
        self.hub = MemoryHub(admits=admits)
        self.sites: dict[Email, Site] = {}
        self.watchers: list[Callable[[Site, Box, str, bytes], None]] = []
        """Shown every object that is about to be stored in an outbox."""
        self._on_disk = on_disk
        self._tuning = tuning or Tuning()

    def site(self, name: str, *, tuning: Tuning | None = None) -> Site:
        """The datasite of `name`@example.org, made and started when it is new."""
        email = Email(f"{name}@example.org")
        if email not in self.sites:
            site = Site(self, email, self.folder / name, tuning or self._tuning, on_disk=self._on_disk)
            self.sites[email] = site
            site.start()
        return self.sites[email]

    def befriend(self, one: Site, other: Site) -> None:
        """Makes two people peers of each other."""
        one.guarded(lambda: one.engine.pairing.add(other.email))
        self.settle()
        other.guarded(lambda: other.engine.pairing.accept(one.email))
        self.settle()

    def stamp(self) -> int:
        """The time of the next thing that a person does, in ns; each is later than the one before."""
        self.clock.advance(0.001)
        return int(self.clock.at * 1e9)

    # -- time passes -----------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Does one thing that is ready, chosen by chance; False when nothing is."""
        ready = [action for site in self.sites.values() for action in site.ready()]
        if not ready:
            return False
        self.chance.choice(ready)()
        return True

    def drain(self, limit: int = 20_000) -> None:
        """Does everything that is ready, without letting time pass."""
        for _ in range(limit):
            if not self.step():
                return
        raise AssertionError("I10: the world does not become quiet")

    def round(self, seconds: float) -> None:
        """One round of every daemon: what has settled is looked at, everything is polled and scanned."""
        for site in self.sites.values():
            if not site.alive:
                site.restart()
        until = self.clock.at + seconds
        for _ in range(200):
            due = [time for site in self.sites.values() if (time := site.next_due()) is not None]
            wait = min(due, default=until) - self.clock.monotonic()
            if not due or self.clock.at + wait > until:
                break
            self.clock.advance(max(0.0, wait))
            for site in self.sites.values():
                site.due()
            self.drain()
        self.clock.at = max(self.clock.at, until)
        for site in self.sites.values():
            site.due()
            site.poll()
            site.scan()
            site.keep()
        self.drain()

    def writes(self) -> tuple[int, ...]:
        return (self.hub.position, *(site.db.writes if site.alive else -1 for site in self.sites.values()))

    def settle(self, rounds: int = 60) -> None:
        """Lets everything come to rest: rounds until two in a row, the second a long time later, change nothing."""
        pauses = (3.0, 700.0)
        quiet = 0
        for _ in range(rounds):
            before = self.writes()
            self.round(pauses[quiet] if quiet else 3.0)
            quiet = quiet + 1 if self.writes() == before else 0
            if quiet == len(pauses):
                return
        raise AssertionError("I15: the world does not come to rest")

    def close(self) -> None:
        for site in self.sites.values():
            site.close()


def readable(owner: Site, reader: Email) -> dict[str, bytes]:
    """What a reader should have of a datasite: its files, as far as its rules let the reader see them."""
    access = owner.parts.access
    return {path: content for path, content in owner.tree().items() if access.may_read(reader, path)}
