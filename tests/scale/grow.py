"""The machines that are measured, from the smallest to the largest."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from tests.scale.machine import Machine
from tests.scale.scenarios import Result, measured


def grown(place: Path, sizes: Iterable[tuple[int, int]]) -> list[Result]:
    """Measures a fresh machine of each size, given as (peers, files)."""
    return [_one(place, peers, files) for peers, files in sizes]


def _one(place: Path, peers: int, files: int) -> Result:
    print(f"{peers:,} peers, {files:,} files …", file=sys.stderr, flush=True)
    machine = Machine(place / f"{peers}-{files}", peers)
    try:
        machine.fill(files)
        return measured(machine, files)
    finally:
        machine.close()
