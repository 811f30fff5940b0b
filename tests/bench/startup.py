"""What the commands cost that people and scripts call most: `syftd --help` and `syftd status`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from syftd.demo.daemon import clean_environment
from tests.bench.peers import OWNER
from tests.bench.report import Row, summary
from tests.journeys.daemons import Daemon

RUNS = 10


def measure(place: Path, *, quick: bool) -> list[Row]:
    """CPU seconds (user and system) of each command as a process of its own; one run before warms the disk cache."""
    runs = 3 if quick else RUNS
    with Daemon(place / "o", OWNER, place / "mailbox") as owner:
        commands = {
            "syftd --help": [*_program(), "--help"],
            "syftd status": [*_program(), "--home", str(owner.home), "status"],
        }
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for name, command in commands.items():
            for run in range(runs + 1):
                cpu = _cpu_seconds(command)
                if run:
                    taken[name].append(cpu)
    rows = []
    for name, values in taken.items():
        middle, low, high = summary(values)
        rows.append(Row("startup", f"{name}, CPU", middle, "s", len(values), low, high, limit=0.15))
    return rows


def _program() -> list[str]:
    beside = Path(sys.executable).with_name("syftd")
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "syftd"]


def _cpu_seconds(command: list[str]) -> float:
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=clean_environment()
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        words = said.decode(errors="replace")[-500:]
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {words}")
    return usage.ru_utime + usage.ru_stime
