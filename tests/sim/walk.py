"""A random walk: people, time and faults take turns by chance, then the faults end and the world must be in order.

Everything follows from the seed. A walk is first a plan, a list of steps each with a chance of its own, and then its
execution: so a failing walk can be told again without the steps that have nothing to do with its failure.
"""

from __future__ import annotations

import errno
import random
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from syftd.errors import AuthNeeded, Quota, Transient
from syftd.plan.guard import DeletionLimit
from syftd.sync.parts import Tuning
from syftd.transport.mailbox import Ref
from tests.sim import jobs as simulated_jobs
from tests.sim.adversity import Crash
from tests.sim.hands import VirtualHands
from tests.sim.hostile import Mallory
from tests.sim.jobs import Runs
from tests.sim.judge import Judge, watch_decisions
from tests.sim.people import FOLDERS, People
from tests.sim.volume import Habits, failure
from tests.sim.world import Site, World

SMALL = Tuning(inline_bytes=4096, envelope_bytes=200, envelope_changes=3, window_messages=3, turn_messages=2)
"""Narrow windows, so that a handful of files shows what thousands would."""

KINDS: dict[str, int] = {
    "save": 8, "save_there": 8, "save_twice": 2, "delete": 3, "delete_there": 2, "rename": 3, "rename_there": 2,
    "change_rules": 7, "send_job": 5, "answer_job": 11, "delete_much": 3, "permit": 1, "work": 9, "rest": 18,
    "pass_time": 4, "poll": 2, "scan": 2, "crash": 3, "weather": 5, "listing": 2, "clock": 1, "hostile": 10, "keep": 1,
    "overflow": 1, "tidy": 1,
}  # fmt: skip
"""What may happen in a step, and how often."""

_CHANGES = frozenset({"create", "write", "rename", "exchange", "link", "unlink", "mkdir", "rmdir"})
_READS = frozenset({"open", "pread", "list", "stat"})


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens; `number` gives it its own chance, whatever happens before."""

    number: int
    kind: str


def plan(seed: int, steps: int = 70) -> list[Step]:
    """The steps of a seed."""
    chance = random.Random(f"plan {seed}")
    kinds = chance.choices(list(KINDS), list(KINDS.values()), k=steps)
    return [Step(number, kind) for number, kind in enumerate(kinds)]


@dataclass(slots=True)
class Weather:
    """How likely faults are while it lasts, each time a seam is passed."""

    transport: float = 0.0
    crash: float = 0.0
    disk: float = 0.0
    full: float = 0.0
    spoil: float = 0.0
    meddle: float = 0.0
    """People acting in the middle of what a daemon does."""

    @property
    def calm(self) -> bool:
        return not (self.crash or self.disk or self.full or self.meddle)


class Walk:
    """One walk through a world in memory."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.seed = seed
        begin = random.Random(f"walk {seed}")
        tuning = SMALL if begin.random() < 0.7 else Tuning(inline_bytes=4096)
        self.world = World(folder, seed, tuning=tuning, virtual=True, with_jobs=True, admits=True, hubs=begin.choice((1, 1, 2)))
        self.coverage: Counter[str] = Counter()
        self.weather = Weather()
        self.chance = begin
        names = ("ada", "bob", "cy", "dee")[: begin.choice((2, 2, 2, 3, 3, 4))]
        self.runs: dict[str, Runs] = {}
        self.people = People(self.world, self.runs)  # type: ignore[arg-type]
        self.judge = Judge(self.world, self.runs, apart=frozenset({Mallory.email}))  # type: ignore[arg-type]
        self._meddling = False
        self._passed = 0
        for name in names:
            self._move_in(name, begin)
        self.mallory = Mallory(self.world) if begin.random() < 0.5 else None
        self._meet(begin)
        for site in self.sites:
            self._watch(site)

    @property
    def sites(self) -> list[Site]:
        return self.people.sites

    @property
    def trace(self) -> list[str]:
        """What happened, for people."""
        return self.people.trace

    @property
    def fingerprint(self) -> str:
        """Stands for every seam and system call that was passed, in order, and for everything that was told."""
        return f"{zlib.crc32(chr(10).join([*self.trace, *self.world.shown]).encode(), self._passed):08x}"

    def _move_in(self, name: str, begin: random.Random) -> None:
        habits = Habits(
            granularity_ns=begin.choice((1, 1, 1, 4_000_000, 2 * 10**9)), folds_case=begin.random() < 0.1,
            decomposes=begin.random() < 0.1, exchanges=begin.random() < 0.8,
        )  # fmt: skip
        site = self.world.site(name, habits=habits)
        self.runs[site.email] = Runs(lambda: self.chance, lambda out, seam: self._at_seam(site, seam))
        site.parts.deletion_limit = DeletionLimit(*begin.choice(((20, 30), (2, 30))))
        self.people.rule(site, "public", ["*"], [])
        self.people.rule(site, "team", [], [])
        others = ("mallory@example.org", *(f"{other}@example.org" for other in ("ada", "bob", "cy", "dee") if other != name))
        self.people.rule(site, "drop", [], others)

    def _meet(self, begin: random.Random) -> None:
        """Makes most of them peers of each other; what they tell each other first may still be under way afterwards."""
        pairs = [
            (one, other)
            for number, one in enumerate(self.sites)
            for other in self.sites[number + 1 :]
            if number == 0 or begin.random() < 0.8
        ]
        for one, other in pairs:
            one.guarded(lambda one=one, other=other: one.engine.pairing.add(other.email))  # type: ignore[misc]
        if self.mallory is not None:
            for site in self.sites:
                self.mallory.ask(site)
        for _ in range(2):
            self.world.round(3.0)
        for one, other in pairs:
            other.guarded(lambda one=one, other=other: other.engine.pairing.accept(one.email))  # type: ignore[misc]
        if self.mallory is not None:
            for site in self.sites:
                site.guarded(lambda site=site: site.engine.pairing.accept(Mallory.email))  # type: ignore[misc]
        for _ in range(2):
            self.world.round(3.0)

    def _watch(self, site: Site) -> None:
        """Puts the weather at every seam of a site, now and after each of its restarts."""
        site.meet = lambda seam: self._at_seam(site, seam)
        site.spoil = self._spoil
        for mailbox in site.mailboxes:
            mailbox.spoil, mailbox.lags_by = self._spoil, self._lags_by
        assert site.machine is not None
        site.machine.meet = lambda call, name: self._at_call(site, call)
        build = site._build
        limit = site.parts.deletion_limit

        def building() -> None:
            build()
            site.parts.deletion_limit = limit
            for mailbox in site.mailboxes:
                mailbox.lags_by = self._lags_by
            watch_decisions(site, self.judge)

        site._build = building  # type: ignore[method-assign]
        watch_decisions(site, self.judge)

    # -- the walk --------------------------------------------------------------------------------------------------

    def run(self, steps: Sequence[Step] | None = None) -> None:
        """Walks, settles, judges."""
        with simulated_jobs.simulated(self._runs_of):
            for step in plan(self.seed) if steps is None else steps:
                self.chance = self.world.chance = self.people.chance = random.Random(f"{self.seed} {step.number} {step.kind}")
                self._do(step.kind, self.chance.choice(self.sites))
                for site in self.sites:
                    self.judge.turned(site)
            self.end()

    def _runs_of(self, out: Path) -> Runs:
        return next(self.runs[site.email] for site in self.sites if out.is_relative_to(site.home))

    def _do(self, kind: str, site: Site) -> None:
        self.coverage[kind] += 1
        own: dict[str, Callable[[Site], object]] = {
            "work": self._work, "rest": self._rest, "pass_time": self._pass_time, "poll": Site.poll, "scan": Site.scan,
            "crash": self._crash, "weather": self._change_weather, "listing": self._listing, "clock": self._step_clock,
            "hostile": self._hostile, "keep": Site.keep, "overflow": self._overflow, "tidy": self._tidy,
        }  # fmt: skip
        (own.get(kind) or getattr(self.people, kind))(site)

    def end(self) -> None:
        """The storm is over: the world comes to rest, and is judged; then again after everybody was started anew."""
        self.chance = self.world.chance = self.people.chance = random.Random(f"{self.seed} end")
        self._calm()
        self.world.settle()
        confirm = self.chance.random() < 0.5
        for _ in range(3):
            if not sum([self.people.answer_halts(site, confirm=confirm) for site in self.sites]):
                break
            self.world.settle()
            confirm = True
        self._judge()
        before = [self._shape(site) for site in self.sites]
        for site in self.sites:
            site.restart()
        self.world.settle()
        self.judge.checks["I11"] += 1
        assert [self._shape(site) for site in self.sites] == before, "I11: another start made other trees"
        self._judge()
        self._idle()

    def _calm(self) -> None:
        self.weather = Weather()
        self.world.clock.step = 0.0
        for site in self.sites:
            site.lag, site.arrange = 0, None
            for mailbox in site.mailboxes:
                mailbox.lag, mailbox.arrange = 0, None
            assert isinstance(site.hands, VirtualHands)
            site.hands.lasting = True
            self.people.permit_all(site)
            if not site.alive:
                site.restart()
            for name in self.world.hubs:
                site.router.retry(name)
        self._forgive()

    def _forgive(self) -> None:
        """What was not synchronised and did not survive a power cut is owed by nobody."""
        for site in self.sites:
            there = {content for top in ("datasites", ".trash") for content in site.hands.files(top).values()}
            self.people.owed[site.email] -= self.people.fleeting[site.email] - there

    def _judge(self) -> None:
        self.judge.at_rest()
        self.judge.owed(self.people.owed)
        for (owner, reader), contents in self.judge.sent.items():
            for content in contents:
                if content.startswith(b"of ") and content.count(b" ") > 2:
                    folder = content.split(b" ")[2].decode()
                    granted = self.people.granted[owner, folder]
                    assert reader in granted or "*" in granted, f"I7: {reader} was sent {content[:60]!r}"

    def _shape(self, site: Site) -> dict[str, dict[str, bytes]]:
        others = (other.email for other in self.sites if other is not site)
        return {owner: site.tree(owner) for owner in (site.email, *others)}

    def _idle(self) -> None:
        """I15: one more round of a world at rest."""
        changes: Counter[str] = Counter()
        for site in self.sites:
            assert site.machine is not None
            site.machine.meet = lambda call, name: changes.update([call] if call in _CHANGES else ())
            for mailbox in site.mailboxes:
                mailbox.lists = 0
        self.world.round(3.0)
        self.judge.checks["I15"] += 1
        assert not changes, f"I15: an idle world changes its disks: {dict(changes)}"
        asked = max(mailbox.lists for site in self.sites for mailbox in site.mailboxes)
        assert asked <= 1, f"I15: {asked} listings for one poll"

    # -- time ------------------------------------------------------------------------------------------------------

    def _work(self, site: Site) -> None:
        for _ in range(self.chance.randint(1, 14)):
            self.world.step()

    def _rest(self, site: Site) -> None:
        """Everybody's daemons get some time for themselves, in whatever weather there is."""
        for _ in range(self.chance.randint(1, 3)):
            self._pass_time(site)
            for each in self.sites:
                each.poll()
            for _ in range(150):
                if not self.world.step():
                    break

    def _pass_time(self, site: Site) -> None:
        self.world.clock.advance(self.chance.choice((0.1, 1.0, 5.0, 30.0)))
        for each in self.sites:
            each.due()

    def _tidy(self, site: Site) -> None:
        site.guarded(lambda: site.engine.tidy(7 * 86400.0, 1 << 30))

    # -- faults ----------------------------------------------------------------------------------------------------

    def _crash(self, site: Site) -> None:
        power = self.chance if self.chance.random() < 0.5 else None
        self.people.say(f"{site.email} {'loses power' if power else 'is killed'}")
        if site.alive:
            site.crash(power=power)
        site.restart()
        if not site.alive:
            site.restart()

    def _change_weather(self, site: Site) -> None:
        chance = self.chance
        self.weather = Weather(
            transport=chance.choice((0.0, 0.0, 0.05, 0.3)), crash=chance.choice((0.0, 0.001, 0.004, 0.02)),
            disk=chance.choice((0.0, 0.0, 0.004, 0.02)), full=chance.choice((0.0, 0.0, 0.0, 0.1)),
            spoil=chance.choice((0.0, 0.0, 0.4)), meddle=chance.choice((0.0, 0.003, 0.02)),
        )  # fmt: skip
        self.people.say(f"the weather is {self.weather}")

    def _listing(self, site: Site) -> None:
        site.lag = self.chance.choice((0, 1, 3))
        site.arrange = self._shuffle if self.chance.random() < 0.5 else None
        for mailbox in site.mailboxes:
            mailbox.lag, mailbox.arrange = site.lag, site.arrange

    def _lags_by(self, most: int) -> int:
        self.coverage["list lag"] += 1 if most else 0
        return self.chance.randint(0, most)

    def _shuffle(self, refs: tuple[Ref, ...]) -> list[Ref]:
        self.coverage["listing shuffled"] += 1
        again = list(refs) + [ref for ref in refs if self.chance.random() < 0.3]
        self.chance.shuffle(again)
        return again

    def _step_clock(self, site: Site) -> None:
        self.world.clock.step = self.chance.choice((0.0, 3600.0, -3600.0, 86400.0 * 3))
        self.people.say(f"the wall clock is off by {self.world.clock.step} s")

    def _overflow(self, site: Site) -> None:
        """The watcher lost hints, and says so."""
        site.scan()

    def _hostile(self, site: Site) -> None:
        if self.mallory is None:
            return
        self.people.say(f"mallory {self.mallory.act(site, self.chance)} to {site.email}")
        for datasite, digest in self.mallory.sent:
            self.judge.asked(datasite, self.mallory.email, digest)

    def _spoil(self, content: bytes) -> bytes:
        if not self.weather.spoil or self.chance.random() >= self.weather.spoil or not content:
            return content
        if self.chance.random() < 0.5:
            self.coverage["read cut short"] += 1
            return content[: self.chance.randrange(len(content))]
        self.coverage["bit flipped"] += 1
        at = self.chance.randrange(len(content))
        return content[:at] + bytes([content[at] ^ (1 << self.chance.randrange(8))]) + content[at + 1 :]

    def _at_seam(self, site: Site, seam: str) -> None:
        weather = self.weather
        self._passed = zlib.crc32(f"{site.email} {seam}".encode(), self._passed)
        if weather.crash and self.chance.random() < 4 * weather.crash:
            self._end_here(site, seam)
        if weather.transport and seam.startswith(("mail.", "blobs.", "profile.")) and self.chance.random() < weather.transport:
            self.coverage["reply lost" if seam.endswith(".reply") else "transport error"] += 1
            raise self.chance.choice((
                Transient(f"the storm took {seam}"), Transient(f"503 at {seam}"),
                Quota(f"429 at {seam}", after=self.chance.choice((1.0, 60.0))), AuthNeeded(f"401 at {seam}"),
            ))  # fmt: skip

    def _at_call(self, site: Site, call: str) -> None:
        weather = self.weather
        self._passed = zlib.crc32(call.encode(), self._passed)
        if weather.calm:
            return
        draw = self.chance.random()
        if weather.crash and draw < weather.crash:
            self._end_here(site, call)
        draw = self.chance.random()
        if call in _CHANGES and weather.full and draw < weather.full:
            self.coverage["disk full"] += 1
            raise failure(errno.ENOSPC, call)
        if weather.disk and draw < weather.disk and call in _CHANGES | _READS:
            self.coverage["disk error"] += 1
            raise failure(self.chance.choice((errno.EIO, errno.EACCES)), call)
        assert site.machine is not None
        if call == "rename" and not site.machine.volume.habits.exchanges:
            return  # Such a disk has a gap between the last look and the rename, and nobody can close it.
        if weather.meddle and not self._meddling and self.chance.random() < weather.meddle:
            self._meddle(site)

    def _end_here(self, site: Site, seam: str) -> None:
        power = self.chance if self.chance.random() < 0.5 else None
        self.coverage["power cut" if power else "crash"] += 1
        self.people.say(f"{site.email} {'loses power' if power else 'crashes'} at {seam}")
        raise Crash(seam, power)

    def _meddle(self, site: Site) -> None:
        """Somebody works at this machine just now."""
        self._meddling = True
        try:
            self.coverage["meddling"] += 1
            busy = site.disk.busy_with
            if busy is not None and busy[1].startswith(FOLDERS) and self.chance.random() < 0.7:
                self.people.save_over(site, *busy)
                return
            kind = self.chance.choice(("save", "save", "save_there", "delete", "rename", "delete_there", "change_rules"))
            getattr(self.people, kind)(site)
        finally:
            self._meddling = False
