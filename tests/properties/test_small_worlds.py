"""Two or three people, their disks, and a storm: Hypothesis owns every choice, so that what fails is told as a short story.

The seeded simulator goes for volume; this machine goes for small counter-examples. Everything between the rules is the
production engine on a real folder. Always: the seams' own checks (I5, I9), and each object that goes out (I7, I8). At the
end the faults stop, everything settles, and the judge has the last word.
"""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from syftd.errors import Transient
from syftd.names import Email
from syftd.sync.parts import Tuning
from tests.properties.effort import examples
from tests.sim.adversity import Crash
from tests.sim.judge import Judge
from tests.sim.world import Site, World

FOLDERS = ("public", "team", "drop", "secret")
SMALL = Tuning(inline_bytes=4096, envelope_bytes=200, envelope_changes=3, window_messages=3, turn_messages=2)

# Only a place that is quick to synchronise; anything else serves as well.
MEMORY_DISK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

people = st.sampled_from([0, 1])
places = st.tuples(st.sampled_from(FOLDERS), st.sampled_from(["a.txt", "b.txt"])).map("/".join)
sizes = st.sampled_from([0, 10, 400, 5_000])


class SmallWorld(RuleBasedStateMachine):
    """Ada and Bob are peers. `paths` are the files that somebody saved, in a datasite."""

    paths = Bundle("paths")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="syftd-small-", dir=MEMORY_DISK)
        self._count = 0
        self._storm = False
        self._countdown: dict[Email, int] = {}
        self._saved: dict[Email, set[bytes]] = defaultdict(set)
        """What each person saved and did not overwrite or delete again."""
        self._granted: dict[tuple[Email, str], bool] = defaultdict(bool)
        """Whether the other one was ever let into a folder."""

    @initialize(narrow=st.booleans())
    def begin(self, narrow: bool) -> None:
        self.world = World(Path(self._folder.name), tuning=SMALL if narrow else Tuning())
        self.judge = Judge(self.world)
        self.sites = [self.world.site("ada"), self.world.site("bob")]
        for site, other in zip(self.sites, reversed(self.sites), strict=True):
            self._let(site, "public", read=["*"])
            self._let(site, "drop", write=[other.email])
            self._let(site, "team", read=[other.email])
        self.world.befriend(*self.sites)
        for site in self.sites:
            site.meet = self._meeting(site)

    # -- people ----------------------------------------------------------------------------------------------------

    @rule(target=paths, who=people, place=places, size=sizes, hint=st.booleans())
    def saves(self, who: int, place: str, size: int, hint: bool) -> tuple[int, str]:
        self._save(self.sites[who], who, place, size, hint)
        return who, place

    @rule(target=paths, who=people, place=places, size=sizes, hint=st.booleans())
    def saves_at_the_other_ones(self, who: int, place: str, size: int, hint: bool) -> tuple[int, str]:
        """An edit in a mirror, which becomes a proposal."""
        if self.sites[who].place("", self.sites[1 - who].email).is_dir():
            self._save(self.sites[who], 1 - who, place, size, hint)
        return 1 - who, place

    @rule(who=people, path=paths, hint=st.booleans())
    def deletes(self, who: int, path: tuple[int, str], hint: bool) -> None:
        site, owner = self.sites[who], self.sites[path[0]].email
        if site.place(path[1], owner).is_file():
            self._forget(site, owner, path[1])
            site.delete(path[1], owner, hint=hint)

    @rule(target=paths, who=people, path=consumes(paths), place=places, hint=st.booleans())
    def renames(self, who: int, path: tuple[int, str], place: str, hint: bool) -> tuple[int, str]:
        site, owner = self.sites[who], self.sites[path[0]].email
        # Within one folder: who moves a file into another one gives it to that folder's readers.
        to = f"{path[1].rpartition('/')[0]}/{place.rpartition('/')[2]}"
        if site.place(path[1], owner).is_file() and to != path[1]:
            self._forget(site, owner, to)
            site.rename(path[1], to, owner, hint=hint)
        return path[0], to

    @rule(who=people, folder=st.sampled_from(["team", "drop"]), level=st.sampled_from(["", "read", "write"]))
    def edits_the_rules(self, who: int, folder: str, level: str) -> None:
        other = self.sites[1 - who].email
        self._let(self.sites[who], folder, **({level: [other]} if level else {}))

    def _save(self, site: Site, owner: int, place: str, size: int, hint: bool) -> None:
        self._count += 1
        email = self.sites[owner].email
        content = f"{email} {place.partition('/')[0]} {self._count} ".encode().ljust(size, b"x")
        self._forget(site, email, place)
        site.write(place, content, email, hint=hint)
        self._saved[site.email].add(content)

    def _forget(self, site: Site, owner: Email, place: str) -> None:
        with suppress(FileNotFoundError):
            self._saved[site.email].discard(site.place(place, owner).read_bytes())

    def _let(self, site: Site, folder: str, *, read: list[str] | None = None, write: list[str] | None = None) -> None:
        self._granted[site.email, folder] |= bool(read or write)
        site.rules(folder, read=read or [], write=write or [])

    # -- time and faults -------------------------------------------------------------------------------------------

    @rule(turns=st.integers(1, 12), order=st.integers(0, 3))
    def works(self, turns: int, order: int) -> None:
        """So many things that are ready happen, in an order of Hypothesis's choice."""
        self.world.chance.seed(order)
        for _ in range(turns):
            self.world.step()

    @rule(seconds=st.sampled_from([0.1, 2.0, 30.0, 700.0]))
    def waits(self, seconds: float) -> None:
        self.world.clock.advance(seconds)
        for site in self.sites:
            site.due()

    @rule()
    def a_round_goes_by(self) -> None:
        """Everybody looks, polls, scans and works until nothing is left to do now; a daemon that is down starts again."""
        self.world.round(3.0)

    @rule(who=people, scan=st.booleans())
    def polls(self, who: int, scan: bool) -> None:
        self.sites[who].poll()
        if scan:
            self.sites[who].scan()

    @rule(who=people, seams=st.integers(0, 25))
    def crashes_soon(self, who: int, seams: int) -> None:
        """The process ends at the seam that it comes to after so many others."""
        self._countdown[self.sites[who].email] = seams

    @rule(who=people)
    def starts_again(self, who: int) -> None:
        self._countdown.pop(self.sites[who].email, None)
        self.sites[who].restart()

    @rule()
    def the_storm_turns(self) -> None:
        """From now on every third call of the transport fails, half of these after it has worked; or none any more."""
        self._storm = not self._storm

    def _meeting(self, site: Site) -> Callable[[str], None]:
        calls = 0

        def meet(seam: str) -> None:
            nonlocal calls
            left = self._countdown.get(site.email)
            if left == 0:
                del self._countdown[site.email]
                raise Crash(seam)
            if left is not None:
                self._countdown[site.email] = left - 1
            if self._storm and seam.startswith(("mail.", "blobs.", "profile.")):
                calls += 1
                if calls % 3 == 0:
                    raise Transient(f"the storm took {seam}")

        return meet

    # -- what must hold --------------------------------------------------------------------------------------------

    @invariant()
    @precondition(lambda self: hasattr(self, "judge"))
    def nobody_was_ever_sent_what_was_never_theirs_to_read(self) -> None:
        for (owner, reader), contents in self.judge.sent.items():
            for content in contents:
                if content.startswith((b"ada@", b"bob@")):
                    of, folder, _ = content.decode().split(" ", 2)
                    assert of != owner or self._granted[owner, folder], f"I7: {reader} was sent {content[:40]!r}"

    @invariant()
    @precondition(lambda self: hasattr(self, "sites"))
    def nothing_lies_outside_of_the_datasites(self) -> None:
        for site in self.sites:
            own = {other.email for other in self.sites}
            assert {place.name for place in (site.data / "datasites").iterdir()} <= own, "I12"

    def teardown(self) -> None:
        try:
            if hasattr(self, "judge"):
                self._storm = False
                self._countdown.clear()
                # What a reader could not remove in a storm is removed after the next whole listing, which is no write
                # that `settle` would see, and that it is gone shows in the one after that.
                for _ in range(2):
                    self.world.settle()
                    self.world.round(700.0)
                self.judge.at_rest()
                for site in self.sites:
                    for content in sorted(self._saved[site.email]):
                        assert site.holds(content), f"I9: {content[:40]!r} is nowhere at {site.email}"
        finally:
            if hasattr(self, "world"):
                self.world.close()
            self._folder.cleanup()


class TestSmallWorlds(SmallWorld.TestCase):
    settings = settings(examples(200), stateful_step_count=30)
