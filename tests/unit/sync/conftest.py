"""The rooms of sync are tried in whole worlds: an owner, a reader and a storage, all in one process."""

from __future__ import annotations

from tests.sim.conftest import ada, bob, judge, make_world, quick_folder, world

__all__ = ["ada", "bob", "judge", "make_world", "quick_folder", "world"]
