"""A random walk: people, time and faults take turns by chance, then the faults end and the world must be in order.

Everything follows from the seed, so a failing seed is a failing test that can be run again.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from syftd.errors import Transient
from syftd.names import Email
from syftd.sync.parts import Tuning
from syftd.transport.mailbox import Ref
from tests.engine.adversity import Crash
from tests.engine.judge import Judge
from tests.engine.world import Site, World

FOLDERS = ("public", "team", "drop", "team/inner", "secret")
NAMES = ("a.txt", "b.txt", "c.txt")
SMALL = Tuning(inline_bytes=4096, envelope_bytes=200, envelope_changes=3, window_messages=3, turn_messages=2)
"""Narrow windows, so that a handful of files shows what thousands would."""


class Walk:
    """One walk. `steps` things happen under faults; `end` lets the world settle and judges it."""

    def __init__(self, folder: Path, seed: int, *, people: int = 2, on_disk: bool = False) -> None:
        self.chance = random.Random(f"walk {seed}")
        tuning = SMALL if self.chance.random() < 0.7 else Tuning()
        self.world = World(folder, seed, on_disk=on_disk, tuning=tuning, admits=True)
        self.judge = Judge(self.world)
        self.trace: list[str] = []
        self.sites = [self.world.site(name) for name in ("ada", "bob", "cy")[:people]]
        self.storm = 0.0
        self.crashing = 0.0
        self._count = 0
        self._owed: dict[Email, set[bytes]] = defaultdict(set)
        """What each person saved and did not overwrite or delete again themselves."""
        self._granted: dict[tuple[Email, str], set[str]] = defaultdict(set)
        """Who was ever let into a folder."""
        for site in self.sites:
            self._rule(site, "public", ["*"], [])
            self._rule(site, "team", [], [])
            self._rule(site, "drop", [], [other.email for other in self.sites if other is not site])
        for index, site in enumerate(self.sites):
            for other in self.sites[index + 1 :]:
                self.world.befriend(site, other)
        for site in self.sites:
            site.meet = self._meeting(site)

    def run(self, steps: int = 60) -> None:
        """Walks, settles, judges."""
        actions: list[tuple[int, Callable[[Site], None]]] = [
            (10, self._write), (5, self._write_there), (3, self._delete), (2, self._delete_there), (3, self._rename),
            (2, self._rename_there), (4, self._change_rules), (2, self._job), (10, self._work), (8, self._pass_time),
            (4, self._poll), (4, self._scan), (2, self._crash), (3, self._weather), (1, self._listing),
        ]  # fmt: skip
        weights = [weight for weight, _ in actions]
        for _ in range(steps):
            action = self.chance.choices([action for _, action in actions], weights)[0]
            action(self.chance.choice(self.sites))
        self.end()

    def end(self) -> None:
        """The storm is over."""
        self.storm = self.crashing = 0.0
        for site in self.sites:
            site.lag, site.arrange = 0, None
            site.mailbox.lag, site.mailbox.arrange = 0, None
        self.world.settle()
        self.judge.at_rest()
        for site in self.sites:
            for content in sorted(self._owed[site.email]):
                assert site.holds(content), f"I9: {content!r} is nowhere at {site.email}"
        for (owner, reader), contents in self.judge.sent.items():
            for content in contents:
                if content.startswith(b"of "):
                    folder = content.split(b" ")[2].decode()
                    assert reader in self._granted[owner, folder] or "*" in self._granted[owner, folder], (
                        f"I7: {reader} was sent {content!r}"
                    )

    # -- people ----------------------------------------------------------------------------------------------------

    def _content(self, owner: Email, folder: str) -> bytes:
        self._count += 1
        padding = b"x" * self.chance.choice((0, 0, 0, 50, 300))
        return f"of {owner} {folder} number {self._count} ".encode() + padding

    def _save(self, site: Site, owner: Email, path: str, content: bytes) -> None:
        self._forget(site, owner, path)
        site.write(path, content, owner, hint=self._hinted())
        self._owed[site.email].add(content)
        self.trace.append(f"{site.email} saves {owner}/{path}: {content[:40]!r}")

    def _forget(self, site: Site, owner: Email, path: str) -> None:
        place = site.place(path, owner)
        if place.exists():
            self._owed[site.email].discard(place.read_bytes())

    def _hinted(self) -> bool:
        return self.chance.random() < 0.7

    def _write(self, site: Site) -> None:
        folder = self.chance.choice((*FOLDERS, "private"))
        self._save(site, site.email, f"{folder}/{self.chance.choice(NAMES)}", self._content(site.email, folder))

    def _write_there(self, site: Site) -> None:
        owner = self._other(site)
        folder = self.chance.choice(("public", "team", "drop", "drop"))
        if site.place("", owner.email).is_dir():
            # What a peer proposes is theirs: in the owner's tree it may be read by whoever may read that folder.
            self._save(site, owner.email, f"{folder}/{self.chance.choice(NAMES)}", self._content(owner.email, folder))

    def _delete(self, site: Site) -> None:
        self._remove(site, site.email)

    def _delete_there(self, site: Site) -> None:
        self._remove(site, self._other(site).email)

    def _remove(self, site: Site, owner: Email) -> None:
        path = self._some_file(site, owner)
        if path is not None:
            self._forget(site, owner, path)
            site.delete(path, owner, hint=self._hinted())
            self.trace.append(f"{site.email} deletes {owner}/{path}")

    def _rename(self, site: Site) -> None:
        self._move(site, site.email)

    def _rename_there(self, site: Site) -> None:
        self._move(site, self._other(site).email)

    def _move(self, site: Site, owner: Email) -> None:
        path = self._some_file(site, owner)
        if path is None:
            return
        self._count += 1
        to = f"{path.rpartition('/')[0]}/moved-{self._count}.txt"
        site.rename(path, to, owner, hint=self._hinted())
        self.trace.append(f"{site.email} renames {owner}/{path} to {to}")

    def _some_file(self, site: Site, owner: Email) -> str | None:
        if not site.place("", owner).is_dir():
            return None
        found = [path for path in site.tree(owner) if path.endswith(".txt")]
        return self.chance.choice(found) if found else None

    def _change_rules(self, site: Site) -> None:
        others = [other.email for other in self.sites if other is not site]
        folder = self.chance.choice(("team", "team", "drop", "team/inner"))
        some = [email for email in others if self.chance.random() < 0.5]
        if folder == "drop":
            self._rule(site, folder, [], some)
        else:
            self._rule(site, folder, some, [])

    def _rule(self, site: Site, folder: str, read: Sequence[str], write: Sequence[str]) -> None:
        for other in self.sites:
            if other.email in (*read, *write) or "*" in read:
                for name in FOLDERS:
                    if name == folder or name.startswith(folder + "/"):
                        self._granted[site.email, name].add(other.email)
        site.rules(folder, read=read, write=write, hint=self._hinted())
        self.trace.append(f"{site.email} lets {read} read and {write} write {folder}")

    def _job(self, site: Site) -> None:
        owner = self._other(site)
        if not site.place("", owner.email).is_dir():
            return
        self._count += 1
        folder = f"app_data/job/inbox/{site.email}/job-{self._count}"
        for name in ("run.sh", "main.py"):
            site.write(f"{folder}/{name}", f"job {self._count} {name}".encode(), owner.email, hint=self._hinted())
        self.trace.append(f"{site.email} drops job-{self._count} at {owner.email}")

    def _other(self, site: Site) -> Site:
        return self.chance.choice([other for other in self.sites if other is not site])

    # -- time ------------------------------------------------------------------------------------------------------

    def _work(self, site: Site) -> None:
        for _ in range(self.chance.randint(1, 12)):
            self.world.step()

    def _pass_time(self, site: Site) -> None:
        self.world.clock.advance(self.chance.choice((0.1, 1.0, 5.0, 30.0)))
        for each in self.sites:
            each.due()

    def _poll(self, site: Site) -> None:
        site.poll()

    def _scan(self, site: Site) -> None:
        site.scan()

    # -- faults ----------------------------------------------------------------------------------------------------

    def _crash(self, site: Site) -> None:
        self.trace.append(f"{site.email} crashes")
        site.restart()
        if not site.alive:
            site.restart()

    def _weather(self, site: Site) -> None:
        self.storm = self.chance.choice((0.0, 0.0, 0.05, 0.3))
        self.crashing = self.chance.choice((0.0, 0.0, 0.005, 0.02))
        self.trace.append(f"the weather is {self.storm} {self.crashing}")

    def _listing(self, site: Site) -> None:
        site.lag = site.mailbox.lag = self.chance.choice((0, 1, 2))
        shuffled = self.chance.random() < 0.5
        site.arrange = self._shuffle if shuffled else None
        site.mailbox.arrange = site.arrange

    def _shuffle(self, refs: tuple[Ref, ...]) -> list[Ref]:
        again = list(refs) + [ref for ref in refs if self.chance.random() < 0.3]
        self.chance.shuffle(again)
        return again

    def _meeting(self, site: Site) -> Callable[[str], None]:
        def meet(seam: str) -> None:
            if self.crashing and self.chance.random() < self.crashing:
                self.trace.append(f"{site.email} crashes at {seam}")
                raise Crash(seam)
            if self.storm and seam.startswith(("mail.", "blobs.", "profile.")) and self.chance.random() < self.storm:
                raise Transient(f"the storm took {seam}")

        return meet
