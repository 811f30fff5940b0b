"""Two thousand walks, once; then each invariant says for itself whether it held, and that it was looked at at all.

A seed that fails is told as a story: ``make sim SEED=<seed>`` tells it again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.sim.judge import INVARIANTS

SEEDS = int(os.environ.get("SYFTD_SEEDS", "2000"))
FIRST = int(os.environ.get("SYFTD_FIRST_SEED", "1"))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the simulator found, in a process of its own with a fixed order of sets."""
    report = tmp_path_factory.mktemp("sim") / "found.json"
    words = ["--seeds", str(SEEDS), "--first", str(FIRST), "--json", str(report), "--workers", "2"]
    subprocess.run([sys.executable, "-m", "tests.sim", *words], check=False, capture_output=True, timeout=3000)
    result: dict[str, Any] = json.loads(report.read_text())
    return result


@pytest.mark.parametrize("name", INVARIANTS, ids=[f"{name} {text.split(':')[0]}" for name, text in INVARIANTS.items()])
def test_invariant(found: dict[str, Any], name: str) -> None:
    broken = [failure for failure in found["failures"] if failure["broken"] == name]
    assert not broken, _told(broken)
    assert found["checks"].get(name, 0) >= SEEDS // 10, f"{name} was hardly looked at: {INVARIANTS[name]}"


def test_no_error_that_nobody_expected(found: dict[str, Any]) -> None:
    broken = [failure for failure in found["failures"] if failure["broken"] == "bug"]
    assert not broken, _told(broken)


def test_all_seeds_were_run(found: dict[str, Any]) -> None:
    assert found["seeds"] == SEEDS


@pytest.mark.parametrize(
    "fault",
    [
        "crash", "power cut", "transport error", "reply lost", "list lag", "listing shuffled", "read cut short",
        "bit flipped", "disk full", "disk error", "meddling", "hostile", "clock", "overflow", "delete_much", "permit",
        "change_rules", "answer_job",
    ],
)  # fmt: skip
def test_every_fault_happened(found: dict[str, Any], fault: str) -> None:
    assert found["coverage"].get(fault, 0) >= SEEDS // 50


def _told(broken: list[dict[str, Any]]) -> str:
    first = broken[0]
    return f"{len(broken)} seeds: {[failure['seed'] for failure in broken]}\n{first.get('story', first['text'])}"


def test_the_same_seed_goes_the_same_way_whatever_else_the_process_did(tmp_path: Path) -> None:
    def told(*seeds: int) -> str:
        script = "; ".join(
            ["from tests.sim import telling", "telling.quiet()", *(f"print(telling.tell({seed}).fingerprint)" for seed in seeds)]
        )
        words = [sys.executable, "-c", script]
        done = subprocess.run(words, check=True, capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": "0"})
        return done.stdout.splitlines()[-1]

    assert told(7) == told(7) == told(8, 9, 7)
    assert told(7) != told(8)
