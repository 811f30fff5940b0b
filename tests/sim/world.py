"""A world in one process: datasites with real engines, one storage between them, one clock, one seed.

Their disks are folders of this machine or, in a *virtual* world, volumes in memory with the production code down to the
system calls on top of them. Nothing happens by itself. `step` does one thing (a piece of queued work, or of pool work),
`settle` lets everything come to rest: it moves the clock, polls and scans until a whole round changes nothing anywhere.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Iterable
from pathlib import Path

from syftd.config import JobSettings
from syftd.daemon.engine import Engine
from syftd.daemon.loop import Hint
from syftd.errors import SyftdError
from syftd.jobs.desk import JobDesk
from syftd.names import PERMISSION_FILE, Email
from syftd.rules.access import Access
from syftd.rules.ruleset import Rule, Ruleset, render
from syftd.state import problems
from syftd.state.db import Db, open_reader
from syftd.sync.parts import Parts, Tuning
from syftd.sync.versions import Versions
from syftd.transport.mailbox import Box, Mailbox, Ref
from syftd.transport.memory import MemoryHub
from syftd.transport.router import Router
from syftd.tree.ignore import Ignore, Ignores
from syftd.tree.scanner import Scanner
from syftd.tree.settle import Settle
from tests.sim import kernel
from tests.sim.adversity import (
    Crash,
    QueuedPool,
    SeamedDb,
    SeamedDisk,
    SeamedMailbox,
    SeededRandom,
    WorldClock,
    seamed_db,
)
from tests.sim.hands import Hands, RealHands, VirtualHands
from tests.sim.volume import Habits, Volume

_WORKERS = 4
_LARGE_DEVICES = 1 << 40
"""Device numbers of volumes in memory; no disk of a machine has them."""


class Site:
    """One person's machine: a folder, a database, and an engine that may crash and start again."""

    def __init__(
        self, world: World, email: Email, folder: Path, tuning: Tuning, *, on_disk: bool, habits: Habits | None
    ) -> None:
        self.world = world
        self.email = email
        self.home = folder
        self.tuning = tuning
        self.quarantined: list[tuple[Email, str, bytes]] = []
        self.meet: Callable[[str], None] = lambda seam: None
        """May raise `Crash`, or an error that the seam can have; set by tests."""
        self.lag = 0
        self.arrange: Callable[[tuple[Ref, ...]], Iterable[Ref]] | None = None
        self.spoil: Callable[[bytes], bytes] = lambda content: content
        self.crashes = 0
        self._on_disk = on_disk
        folder.mkdir(parents=True, exist_ok=True)
        self.db: SeamedDb = seamed_db(folder / "state.db" if on_disk else None, self._meet)
        self.machine: kernel.Machine | None = None
        self.hands: Hands
        if habits is None:
            self.data = folder / "SyftBox"
            self.hands = RealHands(self.data)
        else:
            name = f"{world.number}-{email}"
            volume = Volume(_LARGE_DEVICES + world.device(), lambda: int(world.clock.now() * 1e9), habits)
            self.machine = kernel.Machine(name, volume)
            self.data = Path(self.machine.path) / "SyftBox"
            self.hands = VirtualHands(self.machine)
        self.own = self.data / "datasites" / email
        self.alive = False
        self._build()

    # -- life ------------------------------------------------------------------------------------------------------

    def _meet(self, seam: str) -> None:
        self.meet(seam)

    def _build(self) -> None:
        world = self.world
        self.queue: deque[object] = deque()
        self.pool = QueuedPool()
        self.job_pool = QueuedPool()
        self.disk = SeamedDisk(self.data, world.clock, world.random, self._meet)
        self.disk.checks = world.disk_checks
        if self.machine is not None:
            habits = self.machine.volume.habits
            self.disk.coarse = habits.granularity_ns > 1 or not habits.exchanges
        if self.db.meta("datasite_id") is None:
            self.disk.make_private_dir(self.email, "")
            self.disk.ensure_marker(self.email, "id-of-" + self.email)
            self.disk.sync()
            self.db.set_meta("datasite_id", "id-of-" + self.email)
        self.mailboxes = [SeamedMailbox(hub, self.email, name, self._meet, self._stored) for name, hub in world.hubs.items()]
        for mailbox in self.mailboxes:
            mailbox.lag, mailbox.arrange, mailbox.spoil = self.lag, self.arrange, self.spoil
        self.mailbox = self.mailboxes[0]
        boxes: list[Mailbox] = list(self.mailboxes)
        self.router = Router(boxes, world.clock, world.random, lambda peer: list(world.hubs))
        self.settling = Settle(world.clock)
        ignores = Ignores(self.disk)
        granularity = 10_000_000 if self.machine is None else self.disk.probe_granularity()
        self.parts = Parts(
            me=self.email,
            db=self.db,
            disk=self.disk,
            scanner=Scanner(self.disk, ignores, world.clock, granularity),
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
        self.desk = self._desk() if world.with_jobs else None
        self.alive = True

    def _desk(self) -> JobDesk:
        """The jobs, wired as the daemon wires them; their folders of links and runs are on a real disk."""
        desk = JobDesk(
            me=self.email, db=self.db, disk=self.disk, data=self.home, folder=self.home / "jobs", clock=self.world.clock,
            limits=JobSettings(), pool=self.job_pool, post=self.queue.append,
            stirred=lambda site, path: self.settling.touch(f"{site}/{path}", True),
            send_folder=self.engine.propose.send_folder, copying=self.pool,
        )  # fmt: skip
        self.engine.changed = desk.changed
        self.engine.propose.sent_folder = desk.proposed
        return desk

    def _reading(self) -> Db:
        return open_reader(self.db.path) if self._on_disk else self.db

    def _stored(self, box: Box, name: str, content: bytes) -> None:
        for watcher in self.world.watchers:
            watcher(self, box, name, content)

    def start(self) -> None:
        """Starts the engine; a crash while it starts leaves it down."""
        self.guarded(self._start)

    def _start(self) -> None:
        self.engine.start()
        if self.desk is not None:
            self.desk.start(running=True)

    def crash(self, *, power: random.Random | None = None) -> None:
        """The process is gone: memory, queue and running work with it. What was committed or written is still there; with
        `power` the machine went too, and of what was not synchronised chance decides what is left."""
        self.crashes += 1
        self.alive = False
        self.queue.clear()
        self.pool.close()
        self.job_pool.close()
        if self.machine is None:
            self.disk.close()
        else:
            self.machine.reboot()
            if power is not None:
                self.machine.volume.power_cut(power)
        self.versions.close()
        if self._on_disk:
            self.db.drop()

    def restart(self) -> None:
        """A new process on what the old one left."""
        if self.alive:
            self.crash()
        if self._on_disk:
            self.db = seamed_db(self.home / "state.db", self._meet)
        self.guarded_start()

    def guarded_start(self) -> None:
        """Builds and starts; when even that cannot be done, the process has ended and may be started again."""
        try:
            self._build()
        except Crash as crash:
            self.crash(power=crash.power)
            return
        except SyftdError as error:
            if not self.world.goes_on:
                raise
            self.world.shown.append(f"{self.email} does not start: {error}")
            return
        self.start()

    def close(self) -> None:
        self.meet = lambda seam: None
        if self.alive:
            self.crash()
        if self.machine is not None:
            self.machine.switch_off()
        self.db.drop()

    def guarded(self, action: Callable[[], object]) -> None:
        """Does something of this process; a crash in it ends the process and nothing else."""
        if not self.alive:
            return
        try:
            action()
        except Crash as crash:
            self.crash(power=crash.power)
        except SyftdError as error:
            if not self.world.goes_on:
                raise
            self.world.shown.append(f"{self.email} has a problem: {error}")

    def ready(self) -> list[Callable[[], None]]:
        """What could happen next here."""
        if not self.alive:
            return []
        actions: list[Callable[[], None]] = []
        if self.queue:
            actions.append(lambda: self.guarded(self._turn))
        for pool in (self.pool, self.job_pool):
            for index in range(min(_WORKERS, len(pool.waiting))):
                actions.append(lambda pool=pool, index=index: self.guarded(lambda: pool.run(index)))  # type: ignore[misc]
        return actions

    def _turn(self) -> None:
        work = self.queue.popleft()
        if isinstance(work, Hint):
            self.engine.hint(work.path, work.quick, work.gone)
            return
        taken = self.engine.handle(work) or (self.desk is not None and self.desk.handle(work))
        assert taken, f"nobody takes {type(work).__name__}"

    # -- what the daemon's ticks do --------------------------------------------------------------------------------

    def poll(self) -> None:
        self.guarded(self.engine.poll)
        if self.desk is not None:
            self.guarded(self.desk.retry)

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

    def at(self, path: str, owner: Email | None = None) -> str:
        """A path of a datasite as `hands` takes it."""
        return f"datasites/{owner or self.email}/{path}".rstrip("/")

    def write(
        self, path: str, content: bytes, owner: Email | None = None, *, hint: bool = True, executable: bool = False,
        in_place: bool = False,
    ) -> None:  # fmt: skip
        """Saves a file, in the own datasite or in a mirror."""
        self.hands.save(self.at(path, owner), content, self.world.stamp(), executable=executable, in_place=in_place)
        self._hint(path, owner, hint)

    def delete(self, path: str, owner: Email | None = None, *, hint: bool = True) -> None:
        self.hands.delete(self.at(path, owner))
        self._hint(path, owner, hint, gone=True)

    def rename(self, path: str, to: str, owner: Email | None = None, *, hint: bool = True) -> None:
        self.hands.rename(self.at(path, owner), self.at(to, owner))
        self._hint(path, owner, hint, gone=True)
        self._hint(to, owner, hint)

    def rules(self, directory: str, *, read: Iterable[str] = (), write: Iterable[str] = (), hint: bool = True) -> None:
        """Writes the permission file of a folder."""
        text = render(Ruleset((Rule("**", read=tuple(map(str, read)), write=tuple(map(str, write))),)))
        path = f"{directory}/{PERMISSION_FILE}" if directory else PERMISSION_FILE
        self.write(path, text.encode(), hint=hint)

    def _hint(self, path: str, owner: Email | None, hint: bool, *, gone: bool = False) -> None:
        if not hint or not self.alive:
            return
        if self.world.hints_wait:
            self.queue.append(Hint(f"{owner or self.email}/{path}", True, gone))
        else:
            self.engine.hint(f"{owner or self.email}/{path}", True, gone)

    # -- what can be seen here -------------------------------------------------------------------------------------

    def tree(self, owner: Email | None = None) -> dict[str, bytes]:
        """The ordinary files of the own datasite or of a mirror, by path, without what never travels."""
        ignore = Ignore()
        found = self.hands.files(self.at("", owner))
        return {path: content for path, content in found.items() if ignore.reason(path) is None}

    def trash(self) -> set[bytes]:
        """Every content in the trash."""
        return set(self.hands.files(".trash").values())

    def problem_kinds(self) -> set[str]:
        return {str(row["kind"]) for row in problems.problems(self.db)}

    def holds(self, content: bytes) -> bool:
        """Whether a content is anywhere in this data folder, in a tree or in the trash."""
        return any(content in self.hands.files(top).values() for top in ("datasites", ".trash"))


_worlds = 0


class World:
    """All datasites, the storage between them, the clock and the seed.

    With `admits` nobody reads chunks to which they were not let; tests that write messages by hand do without.
    """

    def __init__(
        self, folder: Path, seed: int = 0, *, on_disk: bool = False, tuning: Tuning | None = None, virtual: bool = False,
        with_jobs: bool = False, hubs: int = 1, admits: bool = False,
    ) -> None:  # fmt: skip
        global _worlds
        _worlds += 1
        self.number = _worlds
        self.folder = folder
        self.chance = random.Random(seed)
        self.clock = WorldClock()
        self.random = SeededRandom(random.Random(f"identities {seed}"))
        self.hubs = {name: MemoryHub(admits=admits) for name in ("memory", "spare")[:hubs]}
        self.hub = self.hubs["memory"]
        self.sites: dict[Email, Site] = {}
        self.watchers: list[Callable[[Site, Box, str, bytes], None]] = []
        """Shown every object that is about to be stored in an outbox."""
        self.virtual = virtual
        self.with_jobs = with_jobs
        self.hints_wait = virtual
        """Whether hints reach the engine through its queue, as from a watcher's thread, or at once."""
        self.goes_on = virtual
        """Whether errors for people are `shown` and the engine goes on, as in the daemon's loop, or end the test."""
        self.shown: list[str] = []
        self.disk_checks: Counter[str] = Counter()
        self._on_disk = on_disk
        self._tuning = tuning or Tuning()
        self._devices = 0
        if virtual:
            kernel.install()

    def device(self) -> int:
        """The number of a new volume."""
        self._devices += 1
        return self.number * 1000 + self._devices

    def site(self, name: str, *, tuning: Tuning | None = None, habits: Habits | None = None) -> Site:
        """The datasite of `name`@example.org, made and started when it is new. `habits`: of its disk, in a virtual world."""
        email = Email(f"{name}@example.org")
        if email not in self.sites:
            disk = (habits or Habits()) if self.virtual else None
            site = Site(self, email, self.folder / name, tuning or self._tuning, on_disk=self._on_disk, habits=disk)
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
        return int(self.clock.now() * 1e9)

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
        positions = [hub.position for hub in self.hubs.values()]
        return (*positions, *(site.db.writes if site.alive else -1 for site in self.sites.values()))

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
