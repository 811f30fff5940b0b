"""Fixtures of the journeys: an owner and researchers as real daemons on a shared folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.journeys.daemons import Daemon, befriend

OWNER = "owner@hospital.example"
RESEARCHER = "researcher@university.example"
ANN = "ann@university.example"
BEN = "ben@institute.example"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two running daemons that know each other."""

    owner: Daemon
    researcher: Daemon


@dataclass(frozen=True, slots=True)
class Three:
    """An owner and two researchers, all running; both researchers are the owner's peers and not each other's."""

    place: Path
    owner: Daemon
    ann: Daemon
    ben: Daemon

    @property
    def mailbox(self) -> Path:
        """The folder that the three share."""
        return self.place / "mailbox"


@contextmanager
def short_place() -> Iterator[Path]:
    """A folder with a short path: the sockets of the daemons live below it, and a socket's path is limited."""
    with tempfile.TemporaryDirectory(prefix="syftd-") as folder:
        yield Path(folder)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of one test's own, with a short path."""
    with short_place() as folder:
        yield folder


@pytest.fixture
def strangers(place: Path) -> Iterator[Pair]:
    """Two running daemons that do not know each other."""
    with (
        Daemon(place / "owner", OWNER, place / "mailbox") as owner,
        Daemon(place / "researcher", RESEARCHER, place / "mailbox") as researcher,
    ):
        yield Pair(owner, researcher)


@pytest.fixture
def pair(strangers: Pair) -> Pair:
    """Two running daemons that have accepted each other."""
    befriend(strangers.researcher, strangers.owner)
    return strangers


@pytest.fixture(scope="module")
def three() -> Iterator[Three]:
    """Three daemons for all tests of a module; each test keeps to paths of its own."""
    with (
        short_place() as place,
        Daemon(place / "owner", OWNER, place / "mailbox") as owner,
        Daemon(place / "ann", ANN, place / "mailbox") as ann,
        Daemon(place / "ben", BEN, place / "mailbox") as ben,
    ):
        befriend(ann, owner)
        befriend(ben, owner)
        yield Three(place, owner, ann, ben)
