"""Disks that are full, read-only or gone: said in words, nothing lost, and it goes on by itself afterwards."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.journeys.conftest import OWNER, RESEARCHER
from tests.journeys.daemons import Daemon, befriend, wait_until

MEBIBYTE = 1024 * 1024


@contextmanager
def small_disk(at: Path, mebibytes: int) -> Iterator[None]:
    """A file system of its own, of that size, mounted for the time of the block."""
    at.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=700", "tmpfs", str(at)], check=False)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def grow(at: Path, mebibytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={mebibytes}m", str(at)], check=True)


def test_a_mirror_that_does_not_fit_waits_for_room_and_small_files_go_on(place: Path) -> None:
    disk = place / "disk"
    with (
        small_disk(disk, 40),
        Daemon(place / "owner", OWNER, place / "mailbox") as owner,
        Daemon(disk / "researcher", RESEARCHER, place / "mailbox") as researcher,
    ):
        befriend(researcher, owner)
        large = os.urandom(60 * MEBIBYTE)
        owner.write("public/large.bin", large)
        researcher.troubled_by("disk-full")
        owner.write("public/small.txt", "still here")
        researcher.sees(OWNER, "public/small.txt", "still here")
        grow(disk, 400)
        researcher.sees(OWNER, "public/large.bin", large, timeout=60)
        researcher.healed_of("disk-full", timeout=60)


def test_an_owner_whose_disk_is_full_answers_every_proposal_and_loses_nothing(place: Path) -> None:
    disk = place / "disk"
    with (
        small_disk(disk, 160),
        Daemon(disk / "owner", OWNER, place / "mailbox") as owner,
        Daemon(place / "researcher", RESEARCHER, place / "mailbox") as researcher,
    ):
        befriend(researcher, owner)
        owner.write("lab/notes.txt", "first")
        owner.cli("share", "lab", "--with", RESEARCHER, "--write")
        researcher.sees(OWNER, "lab/notes.txt", "first")
        filler = disk / "filler"
        with filler.open("wb") as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(os.urandom(MEBIBYTE))
                file.flush()
        theirs = researcher.mirror(OWNER) / "lab/notes.txt"
        theirs.write_text("second " * 100_000)
        wait_until(lambda: owner.cli("status", ok=(0, 3))["ready"], 20, "the owner's daemon to answer on a full disk")
        assert (owner.own / "lab/notes.txt").read_text() == "first"
        filler.unlink()
        wait_until(
            lambda: (owner.own / "lab/notes.txt").read_text() == theirs.read_text(), 90, "both sides to agree once there is room"
        )
        owner.write("public/after.txt", "goes on")
        researcher.sees(OWNER, "public/after.txt", "goes on")


def test_a_mailbox_that_cannot_be_written_is_a_problem_and_nothing_is_lost(place: Path) -> None:
    with (
        Daemon(place / "owner", OWNER, place / "mailbox") as owner,
        Daemon(place / "researcher", RESEARCHER, place / "mailbox") as researcher,
    ):
        befriend(researcher, owner)
        aside = place / "unmounted"
        (place / "mailbox").rename(aside)
        owner.write("public/later.txt", "waits")
        owner.troubled_by("cannot-send")
        aside.rename(place / "mailbox")
        researcher.sees(OWNER, "public/later.txt", "waits", timeout=60)
        owner.healed_of("cannot-send", timeout=60)
