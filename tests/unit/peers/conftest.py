"""Peers are made and lost in whole worlds, all in one process."""

from __future__ import annotations

from tests.sim.conftest import judge, make_world, quick_folder, world

__all__ = ["judge", "make_world", "quick_folder", "world"]
