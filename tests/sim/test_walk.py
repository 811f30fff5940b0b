"""Random walks: whatever people, time and faults do, the world is in order when the faults end.

A failing seed stays failing: ``SYFTD_WALKS=1 SYFTD_FIRST_WALK=<seed> pytest tests/sim/test_walk.py`` runs it alone.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.sim.walk import Walk

_FIRST = int(os.environ.get("SYFTD_FIRST_WALK", "0"))
_COUNT = int(os.environ.get("SYFTD_WALKS", "160"))
_GROUP = 20


def _walk(folder: Path, seed: int, people: int, *, on_disk: bool = False) -> Walk:
    walk = Walk(folder / f"{people}-{seed}", seed, people=people, on_disk=on_disk)
    try:
        walk.run()
    except BaseException as error:
        error.add_note(f"seed {seed}, {people} people; what happened:\n" + "\n".join(walk.trace))
        raise
    finally:
        walk.world.close()
    return walk


@pytest.mark.parametrize("first", range(_FIRST, _FIRST + _COUNT, _GROUP))
def test_two_people(quick_folder: Path, first: int) -> None:
    for seed in range(first, min(first + _GROUP, _FIRST + _COUNT)):
        _walk(quick_folder, seed, 2)


@pytest.mark.parametrize("first", range(_FIRST, _FIRST + _COUNT // 4, _GROUP))
def test_three_people(quick_folder: Path, first: int) -> None:
    for seed in range(first, min(first + _GROUP, _FIRST + _COUNT // 4)):
        _walk(quick_folder, seed, 3)


def test_with_databases_on_the_disk(quick_folder: Path) -> None:
    for seed in range(_FIRST, _FIRST + min(10, _COUNT)):
        _walk(quick_folder, seed, 2, on_disk=True)


def test_the_same_seed_walks_the_same_way(quick_folder: Path) -> None:
    once, again = (_walk(quick_folder / name, 7, 2) for name in ("once", "again"))
    assert once.trace == again.trace
    assert [site.tree() for site in once.sites] == [site.tree() for site in again.sites]
