"""Worlds on the fastest folder there is, closed when their test ends."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syftd.sync.parts import Tuning
from tests.sim.judge import Judge
from tests.sim.world import Site, World

# Only a place that is quick to synchronise; anything else serves as well.
_MEMORY_DISK = Path("/dev/shm")


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for one test, in memory where the system has such a place."""
    if _MEMORY_DISK.is_dir() and os.access(_MEMORY_DISK, os.W_OK):
        with tempfile.TemporaryDirectory(prefix="syftd-world-", dir=_MEMORY_DISK) as folder:
            yield Path(folder)
    else:
        yield tmp_path


MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(quick_folder: Path) -> Iterator[MakeWorld]:
    """Makes a world; keywords are those of `World`."""
    made: list[World] = []

    def make(seed: int = 0, *, on_disk: bool = False, tuning: Tuning | None = None) -> World:
        world = World(quick_folder / str(len(made)), seed, on_disk=on_disk, tuning=tuning)
        made.append(world)
        return world

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A world without anybody in it."""
    return make_world()


@pytest.fixture
def judge(world: World) -> Judge:
    """Watches the world; ask for it before anybody who lives there."""
    return Judge(world)


@pytest.fixture
def ada(world: World, judge: Judge) -> Site:
    """An owner whose folder public/ everybody may read, and in whose folder drop/ bob may write."""
    site = world.site("ada")
    site.rules("public", read=["*"])
    site.rules("drop", write=["bob@example.org"])
    return site


@pytest.fixture
def bob(world: World, ada: Site) -> Site:
    """A peer of ada's."""
    site = world.site("bob")
    world.befriend(ada, site)
    return site
