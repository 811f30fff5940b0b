"""The disk in memory must behave as the worst of the honest ones: what was not synchronised may go, what was may not."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from syftd.errors import ContentMissing
from syftd.names import Digest, Email
from syftd.tree.disk import RealDisk
from tests.sim import kernel
from tests.sim.adversity import SeededRandom, WorldClock
from tests.sim.volume import Habits, Volume

ADA = Email("ada@example.org")


class Machine:
    """A production disk on a volume in memory."""

    def __init__(self, habits: Habits | None = None) -> None:
        kernel.install()
        self.clock = WorldClock()
        self.volume = Volume((1 << 41) + 7, lambda: int(self.clock.now() * 1e9), habits)
        self.machine = kernel.Machine("test", self.volume)
        self.start()
        self.disk.make_private_dir(ADA, "")
        self.disk.ensure_marker(ADA, "id")
        self.disk.sync()

    def start(self) -> None:
        self.disk = RealDisk(Path(self.machine.path) / "SyftBox", self.clock, SeededRandom(random.Random(1)))

    def power_cut(self, seed: int) -> None:
        self.machine.reboot()
        self.volume.power_cut(random.Random(seed))
        self.start()

    def put(self, path: str, content: bytes, before: bytes | None = None) -> None:
        expected = None if before is None else Digest.of(before)
        self.disk.replace(ADA, path, content, executable=False, expected=expected, known=None)

    def content(self, path: str) -> bytes | None:
        return self.disk.read(ADA, path, 1 << 20)[0] if self.disk.stat(ADA, path) else None


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    yield made
    made.machine.switch_off()


@pytest.mark.parametrize("seed", range(30))
def test_what_was_synchronised_survives_a_power_cut(machine: Machine, seed: int) -> None:
    machine.put("public/deep/a.txt", b"first")
    machine.disk.sync()
    machine.put("public/deep/a.txt", b"second", b"first")
    machine.disk.sync()
    machine.put("other/b.txt", b"never synchronised")
    machine.power_cut(seed)
    assert machine.content("public/deep/a.txt") == b"second"


def test_what_was_not_synchronised_may_survive_or_not() -> None:
    found = set()
    for seed in range(40):
        made = Machine()
        made.put("public/a.txt", b"old")
        made.disk.sync()
        made.disk.remove(ADA, "public/a.txt", expected=Digest.of(b"old"), known=None)
        made.power_cut(seed)
        found.add(made.content("public/a.txt"))
        made.machine.switch_off()
    assert found == {None, b"old"}


@pytest.mark.parametrize("seed", range(30))
def test_a_rename_that_was_not_synchronised_is_whole_or_not_at_all(machine: Machine, seed: int) -> None:
    machine.put("public/a.txt", b"the only copy")
    machine.disk.sync()
    id = machine.disk.remove(ADA, "public/a.txt", expected=Digest.of(b"the only copy"), known=None)
    machine.power_cut(seed)
    in_place = machine.content("public/a.txt") == b"the only copy"
    try:
        in_trash = machine.disk.restore(id or "") == b"the only copy"
    except ContentMissing:
        in_trash = False
    assert in_place != in_trash


def test_a_disk_that_folds_case_finds_a_file_by_any_spelling_and_says_so() -> None:
    made = Machine(Habits(folds_case=True))
    try:
        made.put("public/Read.me", b"x")
        assert made.content("public/READ.ME") == b"x"
        assert made.disk.case_insensitive()
    finally:
        made.machine.switch_off()


def test_a_coarse_disk_is_taken_for_one() -> None:
    made = Machine(Habits(granularity_ns=2 * 10**9))
    try:
        assert made.disk.probe_granularity() == 2 * 10**9
    finally:
        made.machine.switch_off()


def test_a_disk_that_is_full_at_the_start_is_taken_for_the_worst(machine: Machine) -> None:
    def full(call: str, name: str) -> None:
        if call in ("create", "write"):
            raise OSError(28, "No space left on device")

    machine.machine.meet = full
    machine.start()
    assert machine.disk.probe_granularity() == 2 * 10**9
    assert machine.disk.case_insensitive()
