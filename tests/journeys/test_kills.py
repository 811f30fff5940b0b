"""Sudden ends at random moments while files, permissions and jobs change on both sides: afterwards both trees agree,
nothing anybody wrote is lost, and nothing was done twice.

`SYFT_TEST_KILLS` says how many ends there are (`make soak-kills` has 300), `SYFT_TEST_SEED` which dice are thrown.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from syftd.errors import SyftdError
from tests.journeys.conftest import OWNER, RESEARCHER
from tests.journeys.daemons import Daemon, befriend, wait_until

KILLS = int(os.environ.get("SYFT_TEST_KILLS", "30"))
QUIET_SECONDS = 90.0
JOB_SECONDS = 60.0
KILLS_A_JOB = 6
"""A job is submitted once in so many kills."""
LARGEST = 5 * 1024 * 1024
"""More than one chunk."""


class Person:
    """Somebody at work in a thread of its own; what goes wrong there is raised by `stop`."""

    def __init__(self, seed: int, slowest: float) -> None:
        self.failure: BaseException | None = None
        self._random = random.Random(seed)
        self._slowest = slowest
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _work(self) -> None:
        try:
            while not self._ended.wait(self._random.uniform(0.0, self._slowest)):
                self._step()
        except BaseException as error:  # Raised again by `stop`, in the test's own thread.
            self.failure = error

    def _step(self) -> None:
        raise NotImplementedError


class Writer(Person):
    """A person who saves, renames and deletes files in one folder, a few times a second.

    `latest` is what this person left last at each path of its own; `contended` the same for paths that both write.
    """

    def __init__(self, who: str, folder: Path, scratch: Path, seed: int) -> None:
        super().__init__(seed, slowest=0.25)
        self.who = who
        self.folder = folder
        self.latest: dict[str, bytes | None] = {}
        self.contended: dict[str, bytes] = {}
        self.steps = 0
        self._scratch = scratch

    def _step(self) -> None:
        self.steps += 1
        mine = sorted(path for path, content in self.latest.items() if content is not None)
        what = self._random.random()
        if what < 0.55 or len(mine) < 4:
            known = mine and self._random.random() < 0.5
            path = self._random.choice(mine) if known else f"{self._random.choice('abc')}/{self.who}-{self.steps}.txt"
            self._save(path)
        elif what < 0.75:
            self._rename(self._random.choice(mine), f"{self._random.choice('abc')}/{self.who}-moved-{self.steps}.txt")
        elif what < 0.9:
            self._delete(self._random.choice(mine))
        else:
            # A shared name: both write it, so the two get into each other's way.
            self._save(f"both/{self._random.randrange(3)}.txt")

    def _save(self, path: str) -> None:
        content = self._content()
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        self._scratch.write_bytes(content)
        try:
            self._scratch.replace(target)
        except FileNotFoundError:
            return self._save(path)  # The daemon pruned the folder, empty until now, in this very moment.
        if path.startswith("both/"):
            self.contended[path] = content
        else:
            self.latest[path] = content
        return None

    def _content(self) -> bytes:
        """Something that was never written before; one in twenty is larger than a chunk and does not compress."""
        mark = f"{self.who} {self.steps} ".encode()
        if self._random.random() < 0.05:
            return mark + self._random.randbytes(self._random.choice([1_200_000, LARGEST]))
        return mark * self._random.choice([1, 10, 1000, 40_000])

    def _rename(self, old: str, new: str) -> None:
        (self.folder / new).parent.mkdir(parents=True, exist_ok=True)
        try:
            (self.folder / old).rename(self.folder / new)
        except FileNotFoundError:
            # In a mirror it may have been taken back for a while; or the target's folder was pruned just now.
            return
        self.latest[new], self.latest[old] = self.latest[old], None

    def _delete(self, path: str) -> None:
        try:
            (self.folder / path).unlink()
        except FileNotFoundError:
            return
        self.latest[path] = None


class Keeper(Person):
    """The owner, who changes their mind about what the reader may write and may see, by editing permission files."""

    def __init__(self, owner: Daemon, seed: int) -> None:
        super().__init__(seed, slowest=1.5)
        self._owner = owner
        self._scratch = owner.home.parent / ".owner-rules"
        self.edits = 0

    def allow(self, folder: str, *, write: bool, read: bool) -> None:
        """Lets the reader write, only read, or do nothing in a folder of the own datasite."""
        words = (["write"] if write else []) + (["read"] if read else [])
        access = "".join(f"    {word}: ['{RESEARCHER}']\n" for word in words)
        rule = f"- pattern: '**'\n  access:\n{access}" if access else ""
        target = self._owner.own / folder / "syft.pub.yaml"
        target.parent.mkdir(parents=True, exist_ok=True)
        self._scratch.write_text(f"terminal: false\nrules:\n{rule}" if rule else "terminal: false\nrules: []\n")
        self._scratch.replace(target)

    def settle(self) -> None:
        """The last word: the reader may write in one folder and read the other."""
        self.allow("joint", write=True, read=True)
        self.allow("gated", write=False, read=True)

    def _step(self) -> None:
        self.edits += 1
        if self._random.random() < 0.5:
            self.allow("joint", write=self._random.random() < 0.7, read=True)
        else:
            self.allow("gated", write=False, read=self._random.random() < 0.5)


class Reviewer(Person):
    """The owner, who approves every job that waits, whenever the daemon answers."""

    def __init__(self, owner: Daemon, seed: int) -> None:
        super().__init__(seed, slowest=0.8)
        self._owner = owner

    def _step(self) -> None:
        with killed_meanwhile():
            for job in self._owner.cli("jobs", "list"):
                if job["state"] == "pending":
                    self._owner.cli("jobs", "approve", job["id"], "--release")


@contextmanager
def killed_meanwhile() -> Iterator[None]:
    """A command may find no daemon, or lose it before the answer came; whoever gave it tries again later."""
    try:
        yield
    except SyftdError as error:
        print(f"(a command failed: {str(error)[:150]})")


class Submitter:
    """The reader, who sends a job now and then. Each run of a job says a number that no other run ever says."""

    def __init__(self, reader: Daemon, place: Path) -> None:
        self._reader = reader
        self._place = place
        self.names: list[str] = []
        self.seen: dict[str, set[bytes]] = {}
        """What each job's result was, whenever it was looked at."""

    def submit(self) -> None:
        """Drops a job's folder into the mirror, in one step; a daemon that is not there finds it later."""
        name = f"job-{len(self.names)}"
        made = self._place / name
        made.mkdir(parents=True)
        (made / "run.sh").write_text("sleep 0.3\ncat /proc/sys/kernel/random/uuid > outputs/run.txt\n")
        inbox = self._reader.mirror(OWNER) / "app_data/job/inbox" / RESEARCHER
        inbox.mkdir(parents=True, exist_ok=True)
        shutil.move(made, inbox / name)
        self.names.append(name)

    def look(self) -> None:
        for name in self.names:
            try:
                said = (self._reader.data / "outbox" / OWNER / name / "outputs/run.txt").read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                continue  # Not run yet, interrupted, or the view is being built anew.
            if said:
                self.seen.setdefault(name, set()).add(said)


def tree(folder: Path) -> dict[str, bytes]:
    """Every ordinary file below a folder, permission files apart."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "syft.pub.yaml":
            try:
                found[str(path.relative_to(folder))] = path.read_bytes()
            except FileNotFoundError:
                continue  # It went in this moment.
    return found


def both(one: Daemon) -> dict[str, bytes]:
    """What a daemon's copy of the owner's datasite holds in the folders of this test."""
    site = one.mirror(OWNER)
    return {
        f"{folder}/{path}": content for folder in ("joint", "gated") for path, content in tree(site / folder).items()
    }


def at_rest(owner: Daemon, reader: Daemon) -> bool:
    """Whether both trees agree and neither daemon has anything on its way."""
    if both(owner) != both(reader):
        return False
    for one in (owner, reader):
        status = one.cli("status", ok=(0, 3))
        if any(peer["to_send"] or peer["to_fetch"] or peer["waiting_verdict"] for peer in status["peers"]):
            return False
    return True


def test_kills_at_random_moments_lose_nothing_and_do_nothing_twice(place: Path) -> None:
    seed = int(os.environ.get("SYFT_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
    print(f"seed {seed}; play it again with SYFT_TEST_SEED={seed}")
    dice = random.Random(seed)
    with (
        Daemon(place / "owner", OWNER, place / "mailbox") as owner,
        Daemon(place / "reader", RESEARCHER, place / "mailbox") as reader,
    ):
        befriend(reader, owner)
        keeper = Keeper(owner, dice.randrange(2**31))
        keeper.settle()
        gated = {f"gated/{number}.txt": f"only sometimes {number}".encode() * 50 for number in range(5)}
        for path, content in ({"joint/start.txt": b"start"} | gated).items():
            owner.write(path, content)
        for path, content in gated.items():
            reader.sees(OWNER, path, content)
        reader.sees(OWNER, "joint/start.txt", "start")
        writers = (
            Writer("owner", owner.own / "joint", place / ".owner-draft", dice.randrange(2**31)),
            Writer("reader", reader.mirror(OWNER) / "joint", place / ".reader-draft", dice.randrange(2**31)),
        )
        submitter = Submitter(reader, place / "work")
        people = (*writers, keeper, Reviewer(owner, dice.randrange(2**31)))
        for person in people:
            person.start()
        pause = threading.Event()
        kills = Counter[str]()
        try:
            for number in range(KILLS):
                if number % KILLS_A_JOB == 0:
                    submitter.submit()
                pause.wait(dice.uniform(0.0, 1.2))
                submitter.look()
                victim = dice.choice((owner, reader))
                victim.kill()
                kills[victim.email] += 1
                pause.wait(dice.choice((0.0, 0.0, dice.uniform(0.0, 1.0))))
                # So many sudden ends would be a crash loop; here each is the first of a long life.
                victim.forget_crashes()
                victim.start()
        finally:
            for person in people[:-1]:
                person.stop()
        try:
            keeper.settle()
            wait_until(lambda: at_rest(owner, reader), QUIET_SECONDS, "both trees to agree", 0.3)
            owner.wait_for(lambda: ended(owner, submitter), JOB_SECONDS, "every job to end", 0.3)
            people[-1].stop()
            wait_until(lambda: at_rest(owner, reader), QUIET_SECONDS, "the results to be there", 0.3)
        finally:
            report(seed, owner, reader, writers)
            print(f"kills {dict(kills)}, {keeper.edits} edits of permissions, {len(submitter.names)} jobs")
        submitter.look()
        judge(owner, reader, writers)
        judge_once(owner, submitter)


def ended(owner: Daemon, submitter: Submitter) -> bool:
    """Whether every job that was submitted is over, one way or the other."""
    states = {job["name"]: job["state"] for job in owner.cli("jobs", "list")}
    return all(states.get(name) in ("done", "failed") for name in submitter.names)


def judge(owner: Daemon, reader: Daemon, writers: tuple[Writer, Writer]) -> None:
    """Nothing is lost, whatever happened."""
    own, mirror = both(owner), both(reader)
    by_owner, by_reader = writers
    assert own == mirror
    wrong = {path for path, content in by_owner.latest.items() if own.get(f"joint/{path}") != content}
    # The reader may edit the owner's files only under names of its own here, so the owner's last word stands.
    assert wrong == set(), f"not as the owner left them: {sorted(wrong)}"
    assert sum(path.startswith("gated/") for path in own) == 5
    everywhere = set(own.values()) | owner.trash() | reader.trash() | kept(owner)
    left = {content for content in by_reader.latest.values() if content is not None}
    left |= {content for writer in writers for content in writer.contended.values()}
    lost = left - everywhere
    assert not lost, f"lost what somebody left last: {[content[:30] for content in lost]}"
    for one in (owner, reader):
        # Nothing half done lies in a tree, and nothing went wrong that nobody expected.
        assert list((one.data / "datasites").rglob(".syftd-*")) == []
        kinds = {problem["kind"] for problem in one.cli("problems")}
        assert kinds <= {"not-taken", "put-back", "gap"}, kinds


def judge_once(owner: Daemon, submitter: Submitter) -> None:
    """No proposal had its effect twice, none has two verdicts, and no job ran a second time by itself."""
    events = rows(owner, "SELECT path, sha256, before FROM event WHERE by = ? AND sha256 IS NOT NULL", RESEARCHER)
    # Every content of the reader's was written once at each path, so the owner's history must have it there once.
    twice = [event[:2] for event, count in Counter((row[0], row[1]) for row in events).items() if count > 1]
    assert twice == [], f"had their effect twice: {twice}"
    record = [
        (kind, subject, json.loads(text))
        for kind, subject, text in rows(owner, "SELECT kind, subject, text FROM record ORDER BY n")
    ]
    decided = Counter(facts["proposal"] for kind, _, facts in record if kind == "decided")
    assert [id for id, count in decided.items() if count > 1] == []
    started = Counter(subject for kind, subject, _ in record if kind == "started")
    assert [job for job, count in started.items() if count > 1] == []
    assert len(started) == len(submitter.names)
    several = {name: sorted(said) for name, said in submitter.seen.items() if len(said) > 1}
    assert several == {}, "ran more than once"
    for job in owner.cli("jobs", "list"):
        shown: dict[str, Any] = owner.cli("jobs", "show", job["id"])
        assert shown["state"] == "done" or "interrupted" in shown["reason"], shown["reason"]
        assert (shown["state"] == "done") == (job["name"] in submitter.seen), (job["name"], shown["state"])


def rows(one: Daemon, sql: str, *values: Any) -> list[Any]:
    """What the daemon's own record says."""
    with sqlite3.connect(f"file:{one.home / 'state' / 'state.db'}?mode=ro", uri=True) as state:
        return state.execute(sql, values).fetchall()


def kept(one: Daemon) -> set[bytes]:
    """The earlier contents that the owner can go back to."""
    with sqlite3.connect(f"file:{one.home / 'state' / 'versions.db'}?mode=ro", uri=True) as versions:
        return {zlib.decompress(row[0]) for row in versions.execute("SELECT bytes FROM version")}


def report(seed: int, owner: Daemon, reader: Daemon, writers: tuple[Writer, Writer]) -> None:
    """Prints what a failure would have to be understood from."""
    own, mirror = both(owner), both(reader)
    print(f"seed {seed}: {[writer.steps for writer in writers]} steps, {len(own)} files")
    for path in sorted({*own, *mirror}):
        if own.get(path) != mirror.get(path):
            print(f"  {path}: owner {own.get(path, b'-')[:30]!r}, mirror {mirror.get(path, b'-')[:30]!r}")
    for one in (owner, reader):
        print(one.email, one.cli("problems"), one.last_words(6))


@pytest.mark.parametrize("victim", ["owner", "reader"])
def test_a_kill_in_the_middle_of_many_files_resumes(place: Path, victim: str) -> None:
    with (
        Daemon(place / "owner", OWNER, place / "mailbox") as owner,
        Daemon(place / "reader", RESEARCHER, place / "mailbox") as reader,
    ):
        befriend(reader, owner)
        reader.caught_up_with(owner)
        contents = {f"many/{number % 7}/{number}.txt": os.urandom(700) for number in range(1500)}
        for path, content in contents.items():
            (owner.own / "public" / path).parent.mkdir(parents=True, exist_ok=True)
            (owner.own / "public" / path).write_bytes(content)
        arriving = reader.mirror(OWNER) / "public/many"
        wait_until(lambda: len(list(arriving.rglob("*.txt"))) > 100, 60, "the first files", 0.01)
        one = owner if victim == "owner" else reader
        one.kill()
        one.start()
        for path, content in contents.items():
            reader.sees(OWNER, f"public/{path}", content, timeout=60)
        assert reader.problem("gap") is None
