"""Fixtures of the hostile tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.worlds import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def open_world() -> Iterator[World]:
    """A world that any user can reach and write to; pytest's own folders are closed to others."""
    with tempfile.TemporaryDirectory(prefix="syftd-open-") as folder:
        world = World(Path(folder))
        world.top.chmod(0o777)
        yield world


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder for programs that a runner which drops root must still find; it covers /tmp before it starts them."""
    with tempfile.TemporaryDirectory(prefix="syftd-tool-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
