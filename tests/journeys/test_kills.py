"""Fifty sudden ends while files change on both sides: afterwards both trees agree and nothing anybody wrote is lost."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journeys.conftest import OWNER, RESEARCHER
from tests.journeys.daemons import Daemon, befriend, wait_until

KILLS = 50
QUIET_SECONDS = 90.0


class Writer:
    """A person who saves, renames and deletes files in one folder, a few times a second.

    `latest` is what this person left last at each path of its own; `contended` the same for paths that both write.
    """

    def __init__(self, who: str, folder: Path, scratch: Path, seed: int) -> None:
        self.who = who
        self.folder = folder
        self.latest: dict[str, bytes | None] = {}
        self.contended: dict[str, bytes] = {}
        self.steps = 0
        self._scratch = scratch
        self._random = random.Random(seed)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _write(self) -> None:
        try:
            while not self._ended.wait(self._random.uniform(0.0, 0.25)):
                self._step()
        except BaseException as error:  # Raised again by `stop`, in the test's own thread.
            self.failure = error

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
        content = f"{self.who} {self.steps} ".encode() * self._random.choice([1, 10, 1000, 40_000])
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


def at_rest(
    owner: Daemon, reader: Daemon, theirs: Callable[[], dict[str, bytes]], mine: Callable[[], dict[str, bytes]]
) -> bool:
    """Whether both trees agree and neither daemon has anything on its way."""
    if theirs() != mine():
        return False
    for one in (owner, reader):
        status = one.cli("status", ok=(0, 3))
        if any(peer["to_send"] or peer["to_fetch"] or peer["waiting_verdict"] for peer in status["peers"]):
            return False
    return True


def test_fifty_kills_at_random_moments_lose_nothing(place: Path) -> None:
    seed = int(os.environ.get("SYFT_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
    print(f"seed {seed}; play it again with SYFT_TEST_SEED={seed}")
    dice = random.Random(seed)
    with (
        Daemon(place / "owner", OWNER, place / "mailbox") as owner,
        Daemon(place / "reader", RESEARCHER, place / "mailbox") as reader,
    ):
        befriend(reader, owner)
        owner.write("joint/start.txt", "start")
        owner.cli("share", "joint", "--with", RESEARCHER, "--write")
        reader.sees(OWNER, "joint/start.txt", "start")
        own, mirror = owner.own / "joint", reader.mirror(OWNER) / "joint"
        writers = (
            Writer("owner", own, place / ".owner-draft", dice.randrange(2**31)),
            Writer("reader", mirror, place / ".reader-draft", dice.randrange(2**31)),
        )
        for writer in writers:
            writer.start()
        pause = threading.Event()
        try:
            for _ in range(KILLS):
                pause.wait(dice.uniform(0.0, 1.2))
                victim = dice.choice((owner, reader))
                victim.kill()
                pause.wait(dice.choice((0.0, 0.0, dice.uniform(0.0, 1.0))))
                # So many sudden ends would be a crash loop; here each is the first of a long life.
                victim.forget_crashes()
                victim.start()
        finally:
            for writer in writers:
                writer.stop()
        try:
            wait_until(
                lambda: at_rest(owner, reader, lambda: tree(own), lambda: tree(mirror)),
                QUIET_SECONDS,
                "both trees to agree",
                0.3,
            )
        finally:
            report(seed, owner, reader, writers, tree(own), tree(mirror))
        judge(owner, reader, writers, tree(own), tree(mirror))


def judge(
    owner: Daemon, reader: Daemon, writers: tuple[Writer, Writer], own: dict[str, bytes], mirror: dict[str, bytes]
) -> None:
    """What must be true in the end, whatever happened."""
    by_owner, by_reader = writers
    assert own == mirror
    wrong = {path for path, content in by_owner.latest.items() if own.get(path) != content}
    # The reader may edit the owner's files only under names of its own here, so the owner's last word stands.
    assert wrong == set(), f"not as the owner left them: {sorted(wrong)}"
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


def kept(one: Daemon) -> set[bytes]:
    """The earlier contents that the owner can go back to."""
    import sqlite3
    import zlib

    with sqlite3.connect(f"file:{one.home / 'state' / 'versions.db'}?mode=ro", uri=True) as versions:
        return {zlib.decompress(row[0]) for row in versions.execute("SELECT bytes FROM version")}


def report(
    seed: int,
    owner: Daemon,
    reader: Daemon,
    writers: tuple[Writer, Writer],
    own: dict[str, bytes],
    mirror: dict[str, bytes],
) -> None:
    """Prints what a failure would have to be understood from."""
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
