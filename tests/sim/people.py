"""What people do in a walk: they save, rename and delete, let each other in and out, send jobs and answer them.

Everything a person saves is a content of its own that names where it was saved, so that a byte that turns up anywhere
tells who may know it.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence

from syftd.errors import SyftdError
from syftd.names import Email
from syftd.state import contacts, jobs, problems
from syftd.state.jobs import JobRow
from tests.sim.hands import VirtualHands
from tests.sim.jobs import Runs
from tests.sim.world import Site, World

FOLDERS = ("public", "team", "drop", "team/inner", "secret")
NAMES = ("a.txt", "b.txt", "c.txt")
LARGE = 9_000
"""Bytes of a file that travels in chunks when `Tuning.inline_bytes` is small."""


class People:
    """Everybody in a world, and what they are owed for what they did."""

    def __init__(self, world: World, runs: dict[Email, Runs]) -> None:
        self.world = world
        self.runs = runs
        self.trace: list[str] = []
        self.chance = random.Random(0)
        self.owed: dict[Email, set[bytes]] = defaultdict(set)
        """What each person saved and did not overwrite or delete again themselves."""
        self.fleeting: dict[Email, set[bytes]] = defaultdict(set)
        """What of that was saved so that a power cut may take it."""
        self.granted: dict[tuple[Email, str], set[str]] = defaultdict(set)
        """Who was ever let into a folder."""
        self._count = 0
        self._jobs: list[int] = []

    @property
    def sites(self) -> list[Site]:
        return list(self.world.sites.values())

    def say(self, text: str) -> None:
        self.trace.append(text)

    # -- files -----------------------------------------------------------------------------------------------------

    def save(self, site: Site) -> None:
        folder = self.chance.choice((*FOLDERS, "private"))
        self._save(site, site.email, f"{folder}/{self.chance.choice(NAMES)}", self._content(site.email, folder))

    def save_there(self, site: Site) -> None:
        """Changes a file in somebody's mirror: a wish, which its owner decides."""
        owner = self._other(site)
        folder = self.chance.choice(("public", "team", "drop", "drop"))
        if site.hands.exists(site.at("", owner)):
            # What a peer proposes is theirs: in the owner's tree it may be read by whoever may read that folder.
            self._save(site, owner, f"{folder}/{self.chance.choice(NAMES)}", self._content(owner, folder))

    def _content(self, owner: Email, folder: str) -> bytes:
        self._count += 1
        padding = b"x" * self.chance.choice((0, 0, 0, 50, 300, LARGE))
        return f"of {owner} {folder} number {self._count:05} ".encode() + padding

    def _save(self, site: Site, owner: Email, path: str, content: bytes) -> None:
        in_place = self.chance.random() < 0.25
        before = site.hands.read(site.at(path, owner))
        if in_place and before is not None and self.chance.random() < 0.7:
            content = content.rstrip(b"x").ljust(len(before), b"x")  # Of the same size: only its date tells.
        lasting = self.chance.random() < 0.8
        self._forget(site, owner, path)
        if isinstance(site.hands, VirtualHands):
            site.hands.lasting = lasting
        if not lasting:
            self.fleeting[site.email].add(content)
        site.write(path, content, owner, hint=self._hinted(), in_place=in_place)
        self.owed[site.email].add(content)
        self.say(f"{site.email} saves {owner}/{path}: {content[:60]!r}{' in place' if in_place else ''}")

    def save_over(self, site: Site, owner: Email, path: str) -> None:
        """Saves just the file that a daemon is about to change."""
        self._save(site, owner, path, self._content(owner, path.rpartition("/")[0]))

    def save_twice(self, site: Site) -> None:
        """Saves a file, and again before any clock has moved, after the first version was looked at."""
        folder = self.chance.choice(FOLDERS)
        path = f"{folder}/{self.chance.choice(NAMES)}"
        first, second = (self._content(site.email, folder)[:60].ljust(60, b"x") for _ in range(2))
        self._forget(site, site.email, path)
        if isinstance(site.hands, VirtualHands):
            site.hands.lasting = True
        site.write(path, first, in_place=True)
        for _ in range(20):
            if not self.world.step():
                break
        site.due()
        self._forget(site, site.email, path)
        if isinstance(site.hands, VirtualHands):
            site.hands.lasting = True  # Somebody may have saved something else in between.
        site.hands.save(site.at(path), second, int(self.world.clock.now() * 1e9), in_place=True)
        self.owed[site.email].add(second)
        self.say(f"{site.email} saves {path} twice: {first[:50]!r} and {second[:50]!r}")

    def _forget(self, site: Site, owner: Email, path: str) -> None:
        content = site.hands.read(site.at(path, owner))
        if content is not None:
            self.owed[site.email].discard(content)

    def _hinted(self) -> bool:
        return self.chance.random() < 0.7

    def delete(self, site: Site) -> None:
        self._remove(site, site.email)

    def delete_there(self, site: Site) -> None:
        self._remove(site, self._other(site))

    def _remove(self, site: Site, owner: Email) -> None:
        path = self._some_file(site, owner)
        if path is not None:
            self._forget(site, owner, path)
            site.delete(path, owner, hint=self._hinted())
            self.say(f"{site.email} deletes {owner}/{path}")

    def delete_much(self, site: Site) -> None:
        """A slip of the hand, or a disk that is not there: much is gone at once."""
        gone = [path for path in site.tree() if path.endswith(".txt")]
        for path in gone:
            self._forget(site, site.email, path)
            site.delete(path, hint=self._hinted())
        self.say(f"{site.email} deletes all of {len(gone)} files")

    def rename(self, site: Site) -> None:
        self._move(site, site.email)

    def rename_there(self, site: Site) -> None:
        self._move(site, self._other(site))

    def _move(self, site: Site, owner: Email) -> None:
        path = self._some_file(site, owner)
        if path is None:
            return
        self._count += 1
        to = f"{path.rpartition('/')[0]}/moved-{self._count}.txt"
        site.rename(path, to, owner, hint=self._hinted())
        self.say(f"{site.email} renames {owner}/{path} to {to}")

    def _some_file(self, site: Site, owner: Email) -> str | None:
        found = [path for path in site.tree(owner) if path.endswith(".txt")]
        return self.chance.choice(found) if found else None

    def permit(self, site: Site) -> None:
        """Takes the right to read something away from their own daemon, or gives all back."""
        hands = site.hands
        if not isinstance(hands, VirtualHands):
            return
        if self.chance.random() < 0.5:
            self.permit_all(site)
            self.say(f"{site.email} makes everything readable")
            return
        folder = f"{site.at('')}/{self.chance.choice(FOLDERS)}"
        place = self.chance.choice((folder, f"{folder}/{self.chance.choice(NAMES)}"))
        hands.permit(place, 0)
        self.say(f"{site.email} makes {place} unreadable")

    def permit_all(self, site: Site) -> None:
        hands = site.hands
        assert isinstance(hands, VirtualHands)
        for folder in hands.folders("datasites"):
            hands.permit(folder, 0o755)
        for path in hands.files("datasites"):
            place = f"datasites/{path}"
            hands.permit(place, 0o644)

    # -- permissions -----------------------------------------------------------------------------------------------

    def change_rules(self, site: Site) -> None:
        others = [other.email for other in self.sites if other is not site]
        folder = self.chance.choice(("team", "team", "drop", "team/inner"))
        some = [email for email in others if self.chance.random() < 0.5]
        if folder == "drop":
            self.rule(site, folder, [], some)
        else:
            self.rule(site, folder, some, [])

    def rule(self, site: Site, folder: str, read: Sequence[str], write: Sequence[str]) -> None:
        for name in FOLDERS:
            if name == folder or name.startswith(folder + "/"):
                self.granted[site.email, name].update((*read, *write))
        if isinstance(site.hands, VirtualHands):
            site.hands.lasting = True
        site.rules(folder, read=read, write=write, hint=self._hinted())
        self.say(f"{site.email} lets {list(read)} read and {list(write)} write {folder}")

    # -- peers -----------------------------------------------------------------------------------------------------

    def part(self, site: Site) -> None:
        """Ends a contact, or begins it again."""
        other = self._other(site)
        peer = contacts.get(site.db, other)
        pairing = site.engine.pairing

        def act() -> None:
            if peer is not None and peer.state == "accepted" and self.chance.random() < 0.5:
                pairing.remove(other)
            elif peer is not None and peer.state == "requested_by_peer":
                pairing.accept(other)
            elif peer is None or peer.state != "accepted":
                pairing.add(other)

        site.guarded(lambda: _as_commanded(act))
        self.say(f"{site.email} and {other}: {peer.state if peer else 'strangers'} no more")

    # -- jobs ------------------------------------------------------------------------------------------------------

    def send_job(self, site: Site) -> None:
        """Drops a job folder into an owner's mirror, or changes one that lies there."""
        owner = self._other(site)
        if not site.hands.exists(site.at("", owner)):
            return
        self._count += 1
        number = self.chance.choice(self._jobs) if self._jobs and self.chance.random() < 0.5 else self._count
        self._jobs.append(number)
        if isinstance(site.hands, VirtualHands):
            site.hands.lasting = self.chance.random() < 0.8
        folder = f"app_data/job/inbox/{site.email}/job-{number}"
        for name in ("run.sh", "main.py"):
            content = f"job {number} {name} {self._count}".encode()
            self._forget(site, owner, f"{folder}/{name}")
            site.write(f"{folder}/{name}", content, owner, hint=self._hinted())
        self.say(f"{site.email} drops job-{number} at {owner}")

    def answer_job(self, site: Site) -> None:
        """Somebody who has jobs of others does something about one of them."""
        lying = [
            (each, job)
            for each in self.sites
            if each.alive and each.desk is not None
            for job in jobs.all_jobs(each.db)
            if job.owner == each.email
        ]
        if lying:
            owner, job = self.chance.choice(lying)
            owner.guarded(lambda: _as_commanded(lambda: self._answer(owner, job)))

    def _answer(self, site: Site, job: JobRow) -> None:
        desk, runs = site.desk, self.runs[site.email]
        assert desk is not None
        now = int(job.facts.get("runs", 0))
        releasing = self.chance.random() < 0.4
        match job.state:
            case "pending" if self.chance.random() < 0.85:
                self._approve(site, runs, job, now, releasing=releasing)
            case "pending":
                desk.deny(job, "not today")
                self.say(f"{site.email} denies {job.name}")
            case "done" | "failed" if self.chance.random() < 0.5:
                if job.facts.get("started_at"):
                    runs.out.add((job.id, now))
                self.say(f"{site.email} releases run {now} of {job.name}")
                desk.release(job, None)
            case "done" | "failed":
                if releasing:
                    runs.out.add((job.id, now + 1))
                self.say(f"{site.email} runs {job.name} again, releasing={releasing}")
                desk.rerun(job, release=releasing, unsafe=False)
            case "approved" | "running":
                self.say(f"{site.email} cancels {job.name}")
                desk.cancel(job)

    def _approve(self, site: Site, runs: Runs, job: JobRow, now: int, *, releasing: bool) -> None:
        assert site.desk is not None
        before = runs.yes.get(job.id)
        runs.yes[job.id] = job.digest
        if releasing:
            runs.out.add((job.id, now + 1))
        self.say(f"{job.owner} approves {job.digest[:8]} of {job.name}, releasing={releasing}")
        try:
            site.desk.approve(job, release=releasing, digest=job.digest, unsafe=False)
        except SyftdError:
            # The yes may be written down all the same, when only what came after it failed.
            now_known = jobs.get(site.db, job.id)
            if now_known is None or now_known.facts.get("approved_digest") != job.digest:
                runs.yes.pop(job.id)
                if before is not None:
                    runs.yes[job.id] = before
            raise
        if self.chance.random() < 0.3:
            site.write(f"app_data/job/inbox/{job.submitter}/{job.name}/main.py", b"changed after the approval")
            self.say(f"{job.owner} changes main.py of {job.name}")

    # -- halts -----------------------------------------------------------------------------------------------------

    def answer_halts(self, site: Site, *, confirm: bool) -> int:
        """Answers everything that waits for a person's word; returns how many there were."""
        found = problems.halts(site.db)
        for halt in found:
            if confirm:
                if halt.kind == "own":
                    self._give_up(site, halt.paths)
                site.guarded(lambda halt=halt: site.engine.confirm(halt))  # type: ignore[misc]
            else:
                site.guarded(lambda halt=halt: site.engine.reject(halt))  # type: ignore[misc]
            self.say(f"{site.email} {'confirms' if confirm else 'rejects'} {halt.id}: {len(halt.paths)} files")
        return len(found)

    def _give_up(self, site: Site, paths: Sequence[str]) -> None:
        """What is meant to be deleted is owed to nobody."""
        for path in paths:
            self._forget(site, site.email, path)

    def _other(self, site: Site) -> Email:
        return self.chance.choice([other.email for other in self.sites if other is not site])


def _as_commanded(command: Callable[[], object]) -> None:
    """Runs a command as the local API does: what a person asked for in vain is told to that person."""
    try:
        command()
    except SyftdError:
        return
