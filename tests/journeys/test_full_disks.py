"""The data folder, or the state folder, on a small disk of its own that fills up or turns read-only while peers go on.

What must hold each time: the process lives, says which disk it is, goes on looking at files, loses nothing, does nothing
twice, and takes everything up by itself when the disk can be written again.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.journeys.conftest import OWNER, RESEARCHER
from tests.journeys.daemons import Daemon, befriend, drop, wait_until
from tests.journeys.test_disks import small_disk

KIBIBYTE = 1024
MEBIBYTE = 1024 * 1024
SECONDS = 60.0
FILES = 12
ROOM = 112
"""In MiB; some 64 of it stay free whatever peers send, so that a large file fits only on what is more."""


@contextmanager
def full(disk: Path, leave: int = 0) -> Iterator[Path]:
    """Fills a disk to its last byte (but `leave`) for the time of the block."""
    filler = disk / ".filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        for size in (MEBIBYTE, 4 * KIBIBYTE, 1):
            try:
                while True:
                    file.write(os.urandom(size))
            except OSError:
                if size == 1:
                    raise
    if leave:
        os.truncate(filler, filler.stat().st_size - leave)
    try:
        yield filler
    finally:
        filler.unlink(missing_ok=True)


def names_the_disk(one: Daemon, disk: Path) -> str:
    """Waits until the daemon says that its disk takes nothing more, and returns the words."""

    def said() -> str:
        status = one.cli("status", ok=(0, 3))
        told = [problem["text"] for problem in status["problems_list"] if problem["kind"] in ("disk-full", "unfinished")]
        return next((text for text in told if str(disk) in text or "disk" in text), "")

    words: str = one.wait_for(said, SECONDS, f"a problem that names {disk}", 0.3)
    assert one.cli("status", ok=(3,))["ready"]
    return words


def applied(owner: Daemon) -> list[tuple[str, str]]:
    """Path and digest of everything that the researcher's proposals made true."""
    with sqlite3.connect(f"file:{owner.home / 'state' / 'state.db'}?mode=ro", uri=True) as state:
        return state.execute("SELECT path, sha256 FROM event WHERE by = ? ORDER BY seq", (RESEARCHER,)).fetchall()


def shared(owner: Daemon, researcher: Daemon) -> None:
    """A folder that both may write in."""
    owner.write("lab/notes.txt", "first")
    owner.cli("share", "lab", "--with", RESEARCHER, "--write")
    researcher.sees(OWNER, "lab/notes.txt", "first")


def test_a_reader_whose_data_folder_is_full_gets_everything_once_there_is_room(place: Path) -> None:
    disk = place / "disk"
    with (
        small_disk(disk, ROOM),
        Daemon(place / "owner", OWNER, place / "mailbox") as owner,
        Daemon(place / "researcher", RESEARCHER, place / "mailbox", disk / "data") as researcher,
    ):
        befriend(researcher, owner)
        researcher.write("public/before.txt", "known")
        owner.sees(RESEARCHER, "public/before.txt", "known")
        researcher.caught_up_with(owner)
        pid = researcher.pid
        contents = {f"public/some/{number}.bin": os.urandom(100 * KIBIBYTE) for number in range(FILES)}
        contents["public/large.bin"] = os.urandom(2 * MEBIBYTE)
        with full(disk, leave=4 * 100 * KIBIBYTE):
            for path, content in contents.items():
                owner.write(path, content)
            names_the_disk(researcher, disk)
            # Some fit, and what does not fit left nothing half written where a person would look.
            for path in (researcher.mirror(OWNER) / "public/some").glob("*"):
                assert path.read_bytes() == contents[f"public/some/{path.name}"]
            # Its own changes are still seen and told: a rename takes no room.
            (researcher.own / "public/before.txt").rename(researcher.own / "public/after.txt")
            owner.sees(RESEARCHER, "public/after.txt", "known", SECONDS)
            owner.lacks(RESEARCHER, "public/before.txt")
        for path, content in contents.items():
            researcher.sees(OWNER, path, content, SECONDS)
        researcher.healed_of("disk-full", timeout=SECONDS)
        assert researcher.pid == pid
        assert list((researcher.data / "datasites").rglob(".syftd-*")) == []


def test_an_owner_whose_data_folder_is_full_decides_every_proposal_once(place: Path) -> None:
    disk = place / "disk"
    with (
        small_disk(disk, ROOM),
        Daemon(place / "owner", OWNER, place / "mailbox", disk / "data") as owner,
        Daemon(place / "researcher", RESEARCHER, place / "mailbox") as researcher,
    ):
        befriend(researcher, owner)
        shared(owner, researcher)
        pid = owner.pid
        contents = {f"lab/{number}.bin": os.urandom(100 * KIBIBYTE) for number in range(FILES)}
        contents["lab/large.bin"] = os.urandom(2 * MEBIBYTE)
        with full(disk, leave=4 * 100 * KIBIBYTE):
            for path, content in contents.items():
                drop(place / ".researcher-draft", researcher.mirror(OWNER) / path, content)
            names_the_disk(owner, disk)
            # The owner's own words still go out; and a deletion makes no difference to whom it does not concern.
            (owner.own / "lab/notes.txt").rename(owner.own / "lab/renamed.txt")
            researcher.sees(OWNER, "lab/renamed.txt", "first", SECONDS)
        for path, content in contents.items():
            owner.holds(path, content, SECONDS)
        owner.healed_of("disk-full", timeout=SECONDS)
        owner.healed_of("unfinished", timeout=SECONDS)
        researcher.wait_for(lambda: not _waiting(researcher), SECONDS, "every verdict", 0.2)
        assert researcher.problem("not-taken") is None
        assert owner.pid == pid
        counted = Counter(path for path, _ in applied(owner))
        assert counted == dict.fromkeys(contents, 1)


@pytest.mark.parametrize("who", ["owner", "researcher"])
def test_a_full_state_folder_stops_nobody_else_and_is_made_up_for(place: Path, who: str) -> None:
    disk = place / "disk"
    homes = {name: (disk if name == who else place) / name for name in ("owner", "researcher")}
    with (
        small_disk(disk, 48),
        Daemon(homes["owner"], OWNER, place / "mailbox", place / "owner-data") as owner,
        Daemon(homes["researcher"], RESEARCHER, place / "mailbox", place / "researcher-data") as researcher,
    ):
        befriend(researcher, owner)
        shared(owner, researcher)
        victim = owner if who == "owner" else researcher
        pid = victim.pid
        ours = {f"lab/o{number}.bin": os.urandom(200 * KIBIBYTE) for number in range(4 * FILES)}
        theirs = {f"lab/r{number}.bin": os.urandom(200 * KIBIBYTE) for number in range(4 * FILES)}
        with full(disk):
            for path, content in ours.items():
                owner.write(path, content)
            for path, content in theirs.items():
                drop(place / ".researcher-draft", researcher.mirror(OWNER) / path, content)
            words = names_the_disk(victim, disk)
            assert "full" in words or "space" in words
        for path, content in (ours | theirs).items():
            owner.holds(path, content, SECONDS)
            researcher.sees(OWNER, path, content, SECONDS)
        victim.healed_of("disk-full", timeout=SECONDS)
        assert victim.pid == pid
        # A file whose commit was cut short by the full disk may be in the history as found there instead; never twice.
        counted = Counter(path for path, _ in applied(owner))
        assert set(counted) <= set(theirs) and max(counted.values()) == 1


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """The disk can be read and not be written for the time of the block."""

    def remount(how: str) -> bool:
        return subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], capture_output=True, check=False).returncode == 0

    # Refused while a file is open for writing, as one is now and then for a moment.
    wait_until(lambda: remount("ro"), 20, "the disk to become read-only", 0.02)
    try:
        yield
    finally:
        assert remount("rw")


@contextmanager
def lock_elsewhere(data: Path, lock: Path) -> Iterator[None]:
    """Puts the data folder's lock on another disk: it is open for writing, and would keep this one from turning."""
    data.mkdir(parents=True)
    lock.touch()
    (data / ".lock").touch()
    subprocess.run(["mount", "--bind", str(lock), str(data / ".lock")], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(data / ".lock")], check=True)


@pytest.mark.parametrize("who", ["owner", "researcher"])
def test_a_data_folder_that_turns_read_only_refuses_nothing_and_goes_on_later(place: Path, who: str) -> None:
    disk = place / "disk"
    data = {name: (disk if name == who else place) / f"{name}-data" for name in ("owner", "researcher")}
    with (
        small_disk(disk, 48),
        lock_elsewhere(data[who], place / "lock"),
        Daemon(place / "owner", OWNER, place / "mailbox", data["owner"]) as owner,
        Daemon(place / "researcher", RESEARCHER, place / "mailbox", data["researcher"]) as researcher,
    ):
        befriend(researcher, owner)
        shared(owner, researcher)
        owner.write("public/known.txt", "known")
        researcher.sees(OWNER, "public/known.txt", "known")
        victim, other = (owner, researcher) if who == "owner" else (researcher, owner)
        pid = victim.pid
        proposed = {f"lab/{number}.txt": f"proposed {number}" for number in range(3)}
        with read_only(disk):
            if who == "owner":
                for path, content in proposed.items():
                    drop(place / ".researcher-draft", researcher.mirror(OWNER) / path, content.encode())
            else:
                owner.write("public/later.txt", "later")
            words = names_the_disk(victim, disk)
            assert "read-only" in words
            # Who can write is not held up.
            other.write("public/beside.txt", "beside")
            other.took_up("public/beside.txt")
        if who == "owner":
            for path, content in proposed.items():
                owner.holds(path, content, SECONDS)
            researcher.wait_for(lambda: not _waiting(researcher), SECONDS, "every verdict", 0.2)
            assert researcher.problem("not-taken") is None
            assert Counter(path for path, _ in applied(owner)) == dict.fromkeys(proposed, 1)
        else:
            researcher.sees(OWNER, "public/later.txt", "later", SECONDS)
        victim.sees(other.email, "public/beside.txt", "beside", SECONDS)
        victim.healed_of("disk-full", timeout=SECONDS)
        assert victim.pid == pid


def _waiting(one: Daemon) -> int:
    return sum(int(peer["waiting_verdict"]) for peer in one.cli("status", ok=(0, 3))["peers"])
