"""A data folder in a temporary directory, a clock that is set by hand, and randomness that repeats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syftd.names import Email
from syftd.tree.disk import RealDisk

ME = Email("ada@example.org")


class HandClock:
    def __init__(self, at: float = 2_000_000_000.0) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


class Counting:
    """Names in a row; the same row each time, as after a restart with the same seed."""

    def __init__(self) -> None:
        self.count = 0

    def uniform(self, low: float, high: float) -> float:
        return low

    def uuid(self) -> str:
        return f"00000000-0000-4000-8000-{int(self.token(6), 16):012x}"

    def token(self, size: int) -> str:
        self.count += 1
        return f"{self.count:0{2 * size}x}"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def disk(tmp_path: Path, clock: HandClock) -> Iterator[RealDisk]:
    made = RealDisk(tmp_path / "SyftBox", clock, Counting())
    made.make_private_dir(ME, "")
    yield made
    made.close()


@pytest.fixture
def site(disk: RealDisk) -> Path:
    return disk.data / "datasites" / ME
